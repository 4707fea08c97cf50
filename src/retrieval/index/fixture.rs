//! For tests: texts that are numbers, and an embedder that counts what it is asked.

use std::cell::Cell;

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::ChunkSource;
use crate::retrieval::perturb::{gaussian, unit};
use crate::retrieval::{Embedder, RetrievalError, TextRole};

/// Texts `0 of texts`, `1 of texts`, ... of different lengths.
pub(in crate::retrieval) struct Numbered {
    pub count: u64,
    pub of: &'static str,
    /// Texts that were asked for.
    pub asked: Cell<u64>,
}

impl Numbered {
    pub fn new(count: u64) -> Self {
        Self { count, of: "texts", asked: Cell::new(0) }
    }
}

impl ChunkSource for Numbered {
    fn count(&self) -> u64 {
        self.count
    }

    fn text(&self, chunk: u64) -> Result<String, RetrievalError> {
        self.asked.set(self.asked.get() + 1);
        let tail = "é".repeat((chunk % 7) as usize);
        Ok(format!("{chunk} of {}{tail}", self.of))
    }

    fn digest(&self) -> String {
        self.of.to_string()
    }
}

/// Vectors by the bytes of a text, and a little by the longest text beside it, as padding does.
pub(in crate::retrieval) struct FakeEmbedder {
    pub dimensions: usize,
    pub fingerprint: String,
    /// Texts that were embedded.
    pub embedded: u64,
}

impl FakeEmbedder {
    pub fn new(dimensions: usize) -> Self {
        Self { dimensions, fingerprint: "fake".into(), embedded: 0 }
    }
}

impl Embedder for FakeEmbedder {
    fn id(&self) -> &str {
        "fake"
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn is_stand_in(&self) -> bool {
        true
    }

    fn tokenize(&self, text: &str, _: TextRole) -> Result<Vec<u32>, RetrievalError> {
        Ok(text.bytes().map(u32::from).collect())
    }

    fn embed(&mut self, batch: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, RetrievalError> {
        self.embedded += batch.len() as u64;
        let longest = batch.iter().map(Vec::len).max().unwrap_or_default();
        let vector = |ids: &Vec<u32>| {
            let seed = ids.iter().fold(7u64, |seed, id| seed.wrapping_mul(31).wrapping_add(u64::from(*id)));
            let mut numbers = gaussian(self.dimensions, &mut Xoshiro256PlusPlus::seed_from_u64(seed));
            numbers[0] += longest as f32 * 1e-3;
            unit(numbers).ok_or_else(|| RetrievalError::Model("no direction".into()))
        };
        batch.iter().map(vector).collect()
    }
}
