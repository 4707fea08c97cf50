//! Rows with random vectors, and what any store must do with them.

use ctxbench::retrieval::{Hit, Identity, Row, VectorStore};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Numbers in a vector.
pub const DIMENSIONS: usize = 24;

/// An index of so many chunks; another `digit` is another index.
pub fn identity(digit: char, chunks: u64) -> Identity {
    Identity { digest: String::from(digit).repeat(64), chunks, dimensions: DIMENSIONS }
}

/// Vectors of length 1, the same each time.
pub fn vectors(count: u64, seed: u64) -> Vec<Vec<f32>> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut vector = || {
        let raw: Vec<f32> = (0..DIMENSIONS).map(|_| random.random_range(-1.0..1.0)).collect();
        let length = dot(&raw, &raw).sqrt();
        raw.iter().map(|value| value / length).collect()
    };
    (0..count).map(|_| vector()).collect()
}

/// Rows from 0 on, with texts that are told apart.
pub fn rows(count: u64) -> Vec<Row> {
    let row = |(chunk, vector)| Row { chunk, vector, text: text(chunk) };
    (0..).zip(vectors(count, 7)).map(row).collect()
}

/// Text of a chunk, with what a protocol may trip over.
pub fn text(chunk: u64) -> String {
    format!("Chunk {chunk}: \"quoted\"\tund ein Kessel für 20 €\n")
}

/// What a search must find, by looking at every vector here.
pub fn nearest(rows: &[Row], vector: &[f32], k: usize) -> Vec<Hit> {
    let hit = |row: &Row| Hit { chunk: row.chunk, score: dot(&row.vector, vector) };
    let mut hits: Vec<Hit> = rows.iter().map(hit).collect();
    hits.sort_by(|a, b| b.score.total_cmp(&a.score));
    hits.truncate(k);
    hits
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The same chunks in the same order, with scores that differ by rounding alone.
pub fn assert_same(found: &[Hit], expected: &[Hit]) {
    let chunks = |hits: &[Hit]| hits.iter().map(|hit| hit.chunk).collect::<Vec<_>>();
    assert_eq!(chunks(found), chunks(expected));
    for (found, expected) in found.iter().zip(expected) {
        assert!((found.score - expected.score).abs() < 1e-5, "{found:?} {expected:?}");
    }
}

/// Fills a store in batches from the row on that `open` says.
pub fn fill(store: &mut dyn VectorStore, digit: char, rows: &[Row]) {
    let there = store.open(&identity(digit, rows.len() as u64)).expect("the store opens") as usize;
    for batch in rows[there..].chunks(150) {
        store.add(batch).expect("the store takes rows");
    }
    store.finish().expect("the store is finished");
}
