//! The nearest vectors by looking at every one: the truth that a quick search is held against.
//!
//! Comes in: rows of numbers in one slice. Goes out: the best rows with their scores. Not here: files.

use std::cmp::Ordering;

use rayon::prelude::*;

use crate::retrieval::Hit;

/// Rows that one thread looks at before it takes more: about 6 MB of 384 numbers each.
const ROWS_PER_TASK: usize = 4096;
/// Sums kept apart, so that the loop becomes vector instructions.
const LANES: usize = 16;

/// The `k` rows of `vectors` (`[rows, dimensions]`, flat) with the largest inner product with `query`, best
/// first; of equal ones the row that comes first. Fewer where there are fewer rows.
pub fn nearest(vectors: &[f32], query: &[f32], k: usize) -> Vec<Hit> {
    if k == 0 || query.is_empty() {
        return Vec::new();
    }
    let tasks = vectors.par_chunks(ROWS_PER_TASK * query.len()).enumerate();
    let found = tasks.map(|(task, rows)| best_of(rows, task * ROWS_PER_TASK, query, k));
    found.reduce(Vec::new, |left, right| merged(left, right, k))
}

/// The best of some rows, the first of which is row `first`.
fn best_of(rows: &[f32], first: usize, query: &[f32], k: usize) -> Vec<Hit> {
    let mut best: Vec<Hit> = Vec::new();
    for (row, vector) in rows.chunks_exact(query.len()).enumerate() {
        let hit = Hit { chunk: (first + row) as u64, score: dot(vector, query) };
        if best.len() == k && best.last().is_some_and(|worst| by_score(worst, &hit) == Ordering::Less) {
            continue;
        }
        let place = best.partition_point(|other| by_score(other, &hit) == Ordering::Less);
        best.insert(place, hit);
        best.truncate(k);
    }
    best
}

fn merged(mut left: Vec<Hit>, right: Vec<Hit>, k: usize) -> Vec<Hit> {
    left.extend(right);
    left.sort_by(by_score);
    left.truncate(k);
    left
}

/// Best first; of equal scores the lower chunk.
pub(crate) fn by_score(left: &Hit, right: &Hit) -> Ordering {
    right.score.total_cmp(&left.score).then(left.chunk.cmp(&right.chunk))
}

/// Inner product: the cosine of two vectors of length 1.
pub fn dot(left: &[f32], right: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (left, right) = (left.chunks_exact(LANES), right.chunks_exact(LANES));
    let tail: f32 = left.remainder().iter().zip(right.remainder()).map(|(a, b)| a * b).sum();
    for (left, right) in left.zip(right) {
        for lane in 0..LANES {
            sums[lane] += left[lane] * right[lane];
        }
    }
    sums.iter().sum::<f32>() + tail
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By sorting every row: slow and plain, in f64.
    fn naive(vectors: &[f32], query: &[f32], k: usize) -> Vec<f64> {
        let score = |row: &[f32]| row.iter().zip(query).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        let mut scores: Vec<f64> = vectors.chunks_exact(query.len()).map(score).collect();
        scores.sort_by(|a, b| b.total_cmp(a));
        scores.truncate(k);
        scores
    }

    #[test]
    fn equal_rows_come_in_their_order_across_tasks() {
        let vectors = vec![1.0f32; 3 * ROWS_PER_TASK];
        let hits = nearest(&vectors, &[1.0], 5);
        assert_eq!(hits.iter().map(|hit| hit.chunk).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }

    proptest! {
        #[test]
        fn it_finds_what_sorting_everything_finds(
            dimensions in 1usize..64,
            rows in 0usize..200,
            k in 0usize..20,
            numbers in prop::collection::vec(-1.0f32..1.0, 64 * 200),
            query in prop::collection::vec(-1.0f32..1.0, 64),
        ) {
            let (vectors, query) = (&numbers[..rows * dimensions], &query[..dimensions]);
            let hits = nearest(vectors, query, k);
            let truth = naive(vectors, query, k);
            prop_assert_eq!(hits.len(), truth.len());
            prop_assert!(hits.windows(2).all(|pair| by_score(&pair[0], &pair[1]) == Ordering::Less));
            for (hit, score) in hits.iter().zip(&truth) {
                prop_assert!((f64::from(hit.score) - score).abs() < 1e-5);
            }
        }
    }
}
