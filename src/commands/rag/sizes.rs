//! Indexes of other sizes, for the claim that the short prompt does not depend on the corpus.

use super::Setup;
use super::retrieval::{self, Source};
use crate::rag::sizes::Size;
use crate::retrieval::Embedder;
use crate::retrieval::index::ChunkSource;
use crate::retrieval::store::choice::StoreChoice;

/// Fewest chunks of an index that says anything about size.
const FEWEST: u64 = 10;

/// The sizes to measure at: those that were named, or a tenth and a hundredth of the corpus, and the corpus.
pub fn wanted(named: &[u64], chunks: u64) -> Vec<u64> {
    let default = [chunks / 100, chunks / 10, chunks];
    let mut sizes: Vec<u64> = if named.is_empty() { default.to_vec() } else { named.to_vec() };
    sizes.retain(|size| *size >= FEWEST);
    sizes.sort();
    sizes.dedup();
    sizes
}

/// An embedded index of each size; none where another store was chosen, whose indexes are not ours to multiply.
pub fn build(setup: &Setup, source: &Source<'_>, embedder: &mut dyn Embedder) -> anyhow::Result<Vec<Size>> {
    if !matches!(setup.store, StoreChoice::Embedded) {
        return Ok(Vec::new());
    }
    let size = |count: u64| {
        let indexed = retrieval::index(setup, &source.chunks(Some(count))?, embedder)?;
        Ok(Size::new(count, indexed.store))
    };
    let all = source.chunks(setup.config.chunks)?.count();
    wanted(&setup.config.corpus_sizes, all).into_iter().map(size).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_span_decades_and_leave_out_what_is_no_corpus() {
        assert_eq!(wanted(&[], 330), [33, 330]);
        assert_eq!(wanted(&[], 100_000), [1_000, 10_000, 100_000]);
        assert_eq!(wanted(&[5_000, 50, 5_000, 3], 330), [50, 5_000]);
        assert!(wanted(&[], 4).is_empty());
    }
}
