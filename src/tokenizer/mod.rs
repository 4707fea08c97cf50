//! Text to ids, and chat templates.
//!
//! Comes in: a model's tokenizer.json, GGUF metadata or nothing. Goes out: something that encodes,
//! with notes on every substitution. Not here: which model, and what is asked of it.

pub mod chat;
#[cfg(test)]
pub(crate) mod fixture;
pub mod from_file;
pub mod from_gguf;
pub mod load;
pub mod python_json;
pub mod python_text;
pub mod stand_in;
pub mod tool_call;

use std::path::PathBuf;

use thiserror::Error;

/// Turns text into the ids a model reads.
pub trait Tokenizer: Send + Sync {
    /// The ids of `text`. Special tokens such as `<|im_start|>` are recognised where they are
    /// written out, and none is added.
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError>;

    /// The text of `ids`, special tokens left out.
    fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError>;

    /// What made the ids, for the report: `tokenizer.json`, `gguf` or `stand-in`.
    fn name(&self) -> &str;

    /// Smallest number that is larger than every id.
    fn vocab_size(&self) -> usize;

    /// Ids that end an answer, ascending: `<|im_end|>`, `<|endoftext|>` and whatever a GGUF names as its
    /// end. Empty where none is known. A timed request goes on past them.
    fn stop_ids(&self) -> &[u32] {
        &[]
    }
}

/// A tokenizer that cannot be used, or refused its input.
#[derive(Debug, Error)]
pub enum TokenizerError {
    /// The file is missing, unreadable or not a tokenizer.
    #[error("could not read the tokenizer in '{}': {reason}\nfetch the file again, or use a model whose tokenizer is whole", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong, as the reader says it.
        reason: String,
    },
    /// A GGUF key is missing or holds something else than it should.
    #[error("the GGUF has no usable '{key}': {reason}")]
    Metadata {
        /// The key.
        key: String,
        /// What was found.
        reason: String,
    },
    /// A GGUF tokenizer of a kind this build does not know.
    #[error("the GGUF's {key} is '{found}'; supported: {supported}")]
    Unsupported {
        /// The key.
        key: String,
        /// Its value in the file.
        found: String,
        /// Values that work.
        supported: String,
    },
    /// The parts do not make a tokenizer.
    #[error("the GGUF's tokens and merges do not make a tokenizer: {0}")]
    Build(String),
    /// The vocabulary does not fit the model's embedding table.
    #[error("the tokenizer has ids up to {largest_id}, but the model's vocabulary has {vocab_size}")]
    TooManyIds {
        /// Largest id of the tokenizer.
        largest_id: usize,
        /// Rows of the model's embedding table.
        vocab_size: usize,
    },
    /// The text could not be encoded.
    #[error("the tokenizer failed on {bytes} bytes of text: {reason}")]
    Encode {
        /// Length of the text.
        bytes: usize,
        /// What the tokenizer says.
        reason: String,
    },
    /// The ids could not be decoded.
    #[error("the tokenizer failed to decode {ids} ids: {reason}")]
    Decode {
        /// How many ids.
        ids: usize,
        /// What the tokenizer says.
        reason: String,
    },
}
