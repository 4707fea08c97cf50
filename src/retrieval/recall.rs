//! How many of the true nearest chunks a store's search finds.
//!
//! Comes in: a store and vectors of questions. Goes out: a share. Not here: whether that is enough.

use std::collections::HashSet;

use super::{Hit, RetrievalError, VectorStore};

/// Scores nearer than this are equal: the same texts, added up in another order.
const SCORE_TOLERANCE: f32 = 1e-6;
/// How many times `k` is asked for first, to see which chunks are as near as the last of the `k`.
const BEYOND: usize = 4;

/// Mean share of the `k` nearest chunks that the store's search found, over the questions; of the chunks there
/// are, where they are fewer than `k`. `None` where the store has no exact search, or there is nothing to find.
///
/// A chunk that is as near as the last of the true ones counts as found: of equal texts, either will do.
pub fn at_k(
    store: &mut dyn VectorStore,
    queries: &[Vec<f32>],
    k: usize,
) -> Result<Option<f64>, RetrievalError> {
    let (mut shares, mut counted) = (0.0, 0u32);
    for query in queries {
        let Some(truth) = truth(store, query, k)? else {
            return Ok(None);
        };
        let found = store.search(query, k)?;
        let wanted = k.min(truth.len());
        if wanted > 0 {
            let right: HashSet<u64> =
                found.iter().map(|hit| hit.chunk).filter(|chunk| truth.contains(chunk)).collect();
            shares += right.len().min(wanted) as f64 / wanted as f64;
            counted += 1;
        }
    }
    Ok((counted > 0).then(|| shares / f64::from(counted)))
}

/// The chunks that belong to the `k` nearest, those as near as the last of them included.
fn truth(
    store: &mut dyn VectorStore,
    query: &[f32],
    k: usize,
) -> Result<Option<HashSet<u64>>, RetrievalError> {
    let mut asked = k.saturating_mul(BEYOND);
    loop {
        let Some(hits) = store.search_exact(query, asked)? else {
            return Ok(None);
        };
        let Some(last) = hits.get(..k).and_then(<[Hit]>::last) else {
            return Ok(Some(hits.iter().map(|hit| hit.chunk).collect()));
        };
        let near: HashSet<u64> = hits
            .iter()
            .take_while(|hit| hit.score >= last.score - SCORE_TOLERANCE)
            .map(|hit| hit.chunk)
            .collect();
        if near.len() < asked {
            return Ok(Some(near));
        }
        asked = asked.saturating_mul(BEYOND);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retrieval::{Identity, Row};

    /// A store with scripted answers; the exact ones may be missing.
    struct Scripted {
        found: Vec<u64>,
        exact: Option<Vec<f32>>,
    }

    impl VectorStore for Scripted {
        fn kind(&self) -> &'static str {
            "scripted"
        }
        fn open(&mut self, _: &Identity) -> Result<u64, RetrievalError> {
            Ok(0)
        }
        fn add(&mut self, _: &[Row]) -> Result<(), RetrievalError> {
            Ok(())
        }
        fn finish(&mut self) -> Result<(), RetrievalError> {
            Ok(())
        }
        fn search(&mut self, _: &[f32], k: usize) -> Result<Vec<Hit>, RetrievalError> {
            Ok(self.found.iter().take(k).map(|chunk| Hit { chunk: *chunk, score: 0.0 }).collect())
        }
        fn search_exact(&mut self, _: &[f32], k: usize) -> Result<Option<Vec<Hit>>, RetrievalError> {
            let hit = |(chunk, score): (usize, &f32)| Hit { chunk: chunk as u64, score: *score };
            Ok(self.exact.as_ref().map(|scores| scores.iter().enumerate().take(k).map(hit).collect()))
        }
        fn fetch(&mut self, _: &[u64]) -> Result<Vec<String>, RetrievalError> {
            Ok(Vec::new())
        }
        fn size_bytes(&mut self) -> Result<Option<u64>, RetrievalError> {
            Ok(None)
        }
    }

    fn recall(found: &[u64], exact: Option<&[f32]>, k: usize) -> Option<f64> {
        let mut store = Scripted { found: found.to_vec(), exact: exact.map(<[f32]>::to_vec) };
        at_k(&mut store, &[vec![1.0], vec![1.0]], k).unwrap()
    }

    #[test]
    fn it_is_the_share_of_the_true_ones_that_were_found() {
        let scores = [0.9, 0.8, 0.7, 0.6, 0.5];
        assert_eq!(recall(&[1, 0], Some(&scores), 2), Some(1.0));
        assert_eq!(recall(&[0, 4], Some(&scores), 2), Some(0.5));
        assert_eq!(recall(&[3, 4], Some(&scores), 2), Some(0.0));
        assert_eq!(recall(&[0, 0], Some(&scores), 2), Some(0.5));
    }

    #[test]
    fn of_equal_chunks_either_will_do_however_many_there_are() {
        let scores = [&[0.9][..], &[0.8; 50]].concat();
        assert_eq!(recall(&[0, 47], Some(&scores), 2), Some(1.0));
    }

    #[test]
    fn fewer_chunks_than_k_are_all_there_is_to_find() {
        assert_eq!(recall(&[0, 1], Some(&[0.9, 0.8]), 10), Some(1.0));
        assert_eq!(recall(&[0], Some(&[0.9, 0.8]), 10), Some(0.5));
    }

    #[test]
    fn nothing_to_hold_it_against_is_no_recall() {
        assert_eq!(recall(&[0], None, 10), None);
        assert_eq!(recall(&[], Some(&[]), 10), None);
        assert_eq!(recall(&[0], Some(&[0.9]), 0), None);
    }
}
