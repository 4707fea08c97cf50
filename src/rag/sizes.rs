//! The short prompt beside indexes of several sizes: does its TTFT depend on the corpus?
//!
//! Each size has an index of its own. Before a short request is timed, a question is searched in that index, so
//! that its memory is in use as it would be in a service.

use super::bench::Bench;
use super::rehearsal::Asked;
use super::request::in_hand;
use super::timed::timed;
use crate::retrieval::VectorStore;
use crate::sample::Stages;
use crate::sample::case::Kind;

/// One corpus size.
pub struct Size {
    /// Chunks in the index.
    pub chunks: u64,
    /// The index; `None` for the one that the pipeline has.
    pub store: Option<Box<dyn VectorStore>>,
    /// TTFT of the short prompt, one per block; `None` where it failed.
    pub short_ttft_ms: Vec<Option<f64>>,
    /// Searches, one per block.
    pub search_ms: Vec<f64>,
}

impl Size {
    /// Nothing measured yet.
    pub fn new(chunks: u64, store: Option<Box<dyn VectorStore>>) -> Self {
        Self { chunks, store, short_ttft_ms: Vec::new(), search_ms: Vec::new() }
    }

    /// Searches for `vector`, in `pipelines` where this size has no store of its own, then times a short prompt.
    pub fn visit(
        &mut self,
        bench: &mut Bench<'_>,
        pipelines: &mut dyn VectorStore,
        vector: &[f32],
        asked: &Asked,
        text: &str,
    ) {
        let mut stages = Stages::default();
        let store: &mut dyn VectorStore = match &mut self.store {
            Some(own) => own.as_mut(),
            None => pipelines,
        };
        let searched = timed(bench.clock, &mut stages.search, || store.search(vector, asked.hits));
        self.search_ms.extend(stages.search.filter(|_| searched.is_ok()));
        let sample = in_hand(bench, asked, text);
        self.short_ttft_ms.push(sample.rag_ttft_ms.filter(|_| sample.error.is_none()));
    }

    /// The serial of a short prompt at this size: no two of a block are alike.
    pub fn number(&self, place: usize, block: u32) -> u32 {
        // Far above the numbers of the blocks themselves.
        (place as u32 + 1) * 100_000 + block
    }
}

/// The arm whose prompts are timed at each size.
pub const ARM: Kind = Kind::Short;
