//! A tokenizer.json, through the crate `tokenizers`.
//!
//! Comes in: the file. Goes out: [`HubTokenizer`], which a GGUF's metadata also ends in.

use std::path::Path;

use super::{Tokenizer, TokenizerError};

/// What ends an answer in every family of Qwen. config.json, generation_config.json and GGUF files each
/// name one of the two or both, and not the same one in each family.
const STOP_TOKENS: [&str; 2] = ["<|im_end|>", "<|endoftext|>"];

/// A tokenizer of the hub's library, with the name of what it was made from.
pub struct HubTokenizer {
    inner: tokenizers::Tokenizer,
    name: &'static str,
    vocab_size: usize,
    stop_ids: Vec<u32>,
}

/// Reads a tokenizer.json.
pub fn read(path: &Path) -> Result<HubTokenizer, TokenizerError> {
    let file_error = |reason: String| TokenizerError::File { path: path.into(), reason };
    let bytes = std::fs::read(path).map_err(|e| file_error(e.to_string()))?;
    let inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(|e| file_error(e.to_string()))?;
    Ok(HubTokenizer::new(inner, "tokenizer.json"))
}

impl HubTokenizer {
    /// Wraps `inner`; truncation and padding that its file may ask for are switched off.
    pub(super) fn new(mut inner: tokenizers::Tokenizer, name: &'static str) -> Self {
        // Removing the truncation cannot fail; only setting one can.
        let _ = inner.with_truncation(None);
        inner.with_padding(None);
        let vocab_size = inner.get_vocab(true).values().max().map_or(0, |id| *id as usize + 1);
        let known = STOP_TOKENS.iter().filter_map(|token| inner.token_to_id(token)).collect::<Vec<_>>();
        Self { inner, name, vocab_size, stop_ids: Vec::new() }.ending_in(known)
    }

    /// Adds ids that end an answer.
    pub(super) fn ending_in(mut self, ids: impl IntoIterator<Item = u32>) -> Self {
        self.stop_ids.extend(ids);
        self.stop_ids.sort_unstable();
        self.stop_ids.dedup();
        self
    }
}

impl Tokenizer for HubTokenizer {
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let encoding = self
            .inner
            .encode_fast(text, false)
            .map_err(|e| TokenizerError::Encode { bytes: text.len(), reason: e.to_string() })?;
        Ok(encoding.get_ids().to_vec())
    }

    fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        self.inner
            .decode(ids, true)
            .map_err(|e| TokenizerError::Decode { ids: ids.len(), reason: e.to_string() })
    }

    fn name(&self) -> &str {
        self.name
    }

    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn stop_ids(&self) -> &[u32] {
        &self.stop_ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::fixture;

    fn written(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("tokenizer.json");
        std::fs::write(&path, text).expect("a writable folder");
        (folder, path)
    }

    #[test]
    fn text_comes_back_and_special_tokens_are_one_id() {
        let (_folder, path) = written(&fixture::tokenizer_json(fixture::QWEN2_REGEX));
        let tokenizer = read(&path).unwrap();
        let ids = tokenizer.encode("<|im_start|>user\nHello 12<|im_end|>").unwrap();
        assert_eq!(ids[0], fixture::im_start());
        assert_eq!(tokenizer.decode(&ids).unwrap(), "user\nHello 12");
        assert_eq!(tokenizer.name(), "tokenizer.json");
        assert_eq!(tokenizer.stop_ids(), [fixture::im_start() + 1]);
        assert!(ids.iter().all(|id| (*id as usize) < tokenizer.vocab_size()));
    }

    #[test]
    fn a_broken_file_is_named() {
        let (_folder, path) = written("{\"model\": 3");
        let message = read(&path).err().expect("an error").to_string();
        assert!(message.contains("tokenizer.json") && message.contains("fetch"), "{message}");
        assert!(read(Path::new("nowhere/tokenizer.json")).is_err());
    }
}
