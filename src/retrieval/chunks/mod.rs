//! Documents cut into chunks of so many tokens of the generating model.
//!
//! Comes in: texts with the places of their facts, a tokenizer. Goes out: chunks, each with its facts. Not here:
//! vectors.

pub mod corpus;

use std::ops::Range;

use text_splitter::{ChunkConfig, TextSplitter, TryChunkSizer};

use super::RetrievalError;
use crate::tokenizer::{Tokenizer, TokenizerError};

/// Fewest tokens of a chunk: one character can take four, and a chunk should hold more than one.
pub const FEWEST_TOKENS: u32 = 8;

/// How documents are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunking {
    /// Tokens that a chunk has at most.
    pub tokens: u32,
    /// Tokens at most that a chunk shares with the one before it: whole sentences where a paragraph is cut,
    /// nothing where both are whole paragraphs that are longer than this.
    pub overlap: u32,
}

/// A piece of a document that can be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Name of the document.
    pub document: String,
    /// Without markers.
    pub text: String,
    /// Its length in ids of the generating model.
    pub tokens: u32,
    /// Ids of the facts that it states; where chunks overlap, both have them.
    pub facts: Vec<String>,
}

impl Chunking {
    /// Errors if nothing can be cut so.
    pub fn check(self) -> Result<(), RetrievalError> {
        let Self { tokens, overlap } = self;
        if tokens < FEWEST_TOKENS {
            return Err(RetrievalError::Text(format!(
                "chunks of {tokens} tokens hold no text; give them at least {FEWEST_TOKENS}"
            )));
        }
        if overlap >= tokens {
            return Err(RetrievalError::Text(format!(
                "chunks of {tokens} tokens cannot share {overlap} of them with their neighbours; \
                 give an overlap below {tokens}"
            )));
        }
        Ok(())
    }

    /// Bytes of each chunk of `text`, white space at their ends left out. Text ends are preferred as borders in
    /// this order: blank lines, lines, sentences, words, characters.
    pub fn cut(self, text: &str, tokenizer: &dyn Tokenizer) -> Result<Vec<Range<usize>>, RetrievalError> {
        self.check()?;
        let config = ChunkConfig::new(self.tokens as usize).with_sizer(Ids(tokenizer));
        let config =
            config.with_overlap(self.overlap as usize).map_err(|e| RetrievalError::Text(e.to_string()))?;
        let splitter = TextSplitter::new(config);
        let ranges = splitter.try_chunk_indices(text).map(|chunk| {
            let (start, chunk) = chunk.map_err(|e| unreadable(&e))?;
            Ok(start..start + chunk.len())
        });
        ranges.collect()
    }
}

/// Length in ids.
struct Ids<'a>(&'a dyn Tokenizer);

impl TryChunkSizer for Ids<'_> {
    type Error = TokenizerError;

    fn try_size(&self, chunk: &str) -> Result<usize, TokenizerError> {
        Ok(self.0.encode(chunk)?.len())
    }
}

fn unreadable(error: &TokenizerError) -> RetrievalError {
    RetrievalError::Text(format!("the documents cannot be cut into chunks: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tokenizer::fixture::{QWEN35_REGEX, bpe};
    use crate::tokenizer::stand_in::StandIn;

    const TEXT: &str = include_str!("../../../tests/fixtures/corpus/01-boilers.md");

    fn length(text: &str, tokenizer: &dyn Tokenizer) -> u32 {
        tokenizer.encode(text).expect("ids").len() as u32
    }

    fn message(tokens: u32, overlap: u32) -> String {
        Chunking { tokens, overlap }.check().expect_err("an error").to_string()
    }

    #[test]
    fn what_cannot_be_cut_is_told() {
        assert!(message(0, 0).contains("0 tokens hold no text"));
        assert!(message(64, 64).contains("overlap below 64"));
        assert!(Chunking { tokens: 64, overlap: 63 }.check().is_ok());
    }

    #[test]
    fn neighbours_share_text_where_they_overlap() {
        let (tokenizer, text) = (StandIn::new(1000), TEXT.replace("\n\n", " "));
        let ranges = Chunking { tokens: 128, overlap: 64 }.cut(&text, &tokenizer).unwrap();
        assert!(ranges.len() > 5);
        for pair in ranges.windows(2) {
            let shared = pair[1].start..pair[0].end;
            assert!(!shared.is_empty() && length(&text[shared], &tokenizer) <= 64, "{pair:?}");
        }
    }

    #[test]
    fn an_empty_text_has_no_chunk() {
        let ranges = Chunking { tokens: 64, overlap: 0 }.cut(" \n\n", &StandIn::new(10)).unwrap();
        assert!(ranges.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn no_chunk_is_too_long_and_no_word_is_lost(
            words in prop::collection::vec("[a-zA-Z水é]{1,12}[.,]?(\n\n)?", 0..150), tokens in 8u32..80,
        ) {
            let text = words.join(" ");
            let tokenizer = bpe(QWEN35_REGEX);
            let ranges = Chunking { tokens, overlap: 0 }.cut(&text, &tokenizer).unwrap();
            let chunks: Vec<&str> = ranges.into_iter().map(|range| &text[range]).collect();
            prop_assert!(chunks.iter().all(|chunk| length(chunk, &tokenizer) <= tokens));
            let without_space = |text: &str| text.split_whitespace().collect::<String>();
            prop_assert_eq!(without_space(&chunks.concat()), without_space(&text));
        }
    }
}
