//! A model's tokenizer.json, with the special tokens that its own template adds, cut at the longest length.
//!
//! Truncation and padding that the file may ask for are its publisher's and are replaced: texts are cut where
//! the model's settings say, and never padded. Not here: prompts for models that generate ([`crate::tokenizer`]).

use std::path::Path;

use tokenizers::{EncodeInput, Encoding, PostProcessor, Tokenizer, TruncationParams};

use crate::retrieval::RetrievalError;
use crate::tokenizer::TokenizerError;

/// What a decoder's embedding is read from, where its tokenizer adds nothing itself.
const END: &str = "<|endoftext|>";

/// How a text's ids are marked for the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// `[CLS]` and `[SEP]`, by the file's own template.
    Template,
    /// The end of text, by the file's own template or else added here.
    End,
}

/// A tokenizer that adds a model's special tokens.
pub struct MarkedTokenizer {
    inner: Tokenizer,
    /// Added behind each text.
    end: Option<u32>,
}

impl MarkedTokenizer {
    /// Reads the file at `path` for a model with `vocab_size` rows that reads at most `max_tokens`.
    pub fn read(
        path: &Path,
        vocab_size: usize,
        max_tokens: usize,
        marks: Marks,
    ) -> Result<Self, TokenizerError> {
        let wrong = |reason: String| TokenizerError::File { path: path.into(), reason };
        let bytes = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
        let mut inner = Tokenizer::from_bytes(bytes).map_err(|e| wrong(e.to_string()))?;
        let ids = inner.get_vocab(true).values().max().map_or(0, |id| *id as usize + 1);
        if ids > vocab_size {
            return Err(TokenizerError::TooManyIds { largest_id: ids - 1, vocab_size });
        }
        let added = |pair| inner.get_post_processor().map_or(0, |template| template.added_tokens(pair));
        let (single, pair) = (added(false), added(true));
        let end = match (single, marks) {
            (0, Marks::Template) => return Err(wrong("it adds no [CLS] and [SEP] to a text".into())),
            (0, Marks::End) => Some(inner.token_to_id(END).ok_or_else(|| wrong(format!("it has no {END}")))?),
            _ => None,
        };
        let max_length = max_tokens - usize::from(end.is_some()).min(max_tokens);
        if max_length <= single.max(pair) {
            return Err(wrong(format!(
                "{max_tokens} tokens leave no room for a text beside its special ones"
            )));
        }
        let cut = TruncationParams { max_length, ..TruncationParams::default() };
        inner.with_truncation(Some(cut)).map_err(|e| wrong(e.to_string()))?;
        inner.with_padding(None);
        Ok(Self { inner, end })
    }

    /// The ids of `text`.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>, RetrievalError> {
        let mut ids = self.encode(text.into(), text.len())?.get_ids().to_vec();
        ids.extend(self.end);
        Ok(ids)
    }

    /// The ids and token types of two texts as one.
    pub fn pair(&self, first: &str, second: &str) -> Result<Encoding, RetrievalError> {
        self.encode((first, second).into(), first.len() + second.len())
    }

    fn encode(&self, input: EncodeInput<'_>, bytes: usize) -> Result<Encoding, RetrievalError> {
        let failed = |reason: String| {
            let error = TokenizerError::Encode { bytes, reason };
            RetrievalError::Model(format!("{error}; leave the text out, or name another model"))
        };
        self.inner.encode_fast(input, true).map_err(|e| failed(e.to_string()))
    }
}
