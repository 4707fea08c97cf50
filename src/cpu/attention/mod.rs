//! Causal attention with grouped heads, from projected rows to mixed rows, and the cache between.
//!
//! [`KvCache`] holds keys and values of one layer in blocks of [`BLOCK`] tokens, keys turned so that a register
//! holds 16 of them: no sum runs across a register. [`KvCache::append`] normalises and rotates keys on their way
//! in; [`KvCache::attend`] does so with queries. Few rows split the keys among threads, many rows the rows.
//! The query heads that share a key head are rows of one product. Not here: projections, tensors.

mod decode;
mod gate;
mod kv;
mod prefill;
mod prepare;
mod rows;
mod scratch;
mod tile;

pub use gate::gate_outputs;
pub use kv::{BLOCK, Held, KvCache, KvType};
pub use prepare::{HeadNorm, Prepare, Turn};
pub use rows::{HeadShape, Rows};

use super::isa::Isa;

/// What queries go through before they meet keys.
#[derive(Clone, Copy, Debug)]
pub struct Queries<'a> {
    /// (tokens, heads · dim), as projected.
    pub rows: Rows<'a>,
    /// Norm and rotation of each head.
    pub prepare: Prepare<'a>,
    /// Multiplies the scores.
    pub scale: f32,
}

impl KvCache {
    /// Mixes values for `queries`, the first of which stands at position `offset`, into `out`
    /// (tokens, heads · dim). Each token sees all positions up to its own.
    ///
    /// # Panics
    /// If the cache was made for other heads, or is too short.
    pub fn attend(&self, isa: Isa, queries: &Queries<'_>, offset: usize, out: &mut [f32]) {
        let (shape, tokens) = (self.shape(), queries.rows.count());
        assert_eq!(queries.rows.width(), shape.heads * shape.dim, "queries of other heads");
        assert_eq!(out.len(), tokens * shape.heads * shape.dim, "an output of another size");
        assert!(offset + tokens <= self.capacity(), "more tokens than the cache has room for");
        let few = tokens * shape.group() <= decode::MOST_ROWS;
        match (self.kind(), few) {
            (_, true) if tokens == 0 => {}
            (KvType::F16, true) => decode::attend::<u16>(self, isa, queries, offset, out),
            (KvType::F32, true) => decode::attend::<f32>(self, isa, queries, offset, out),
            (KvType::F16, false) => prefill::attend::<u16>(self, isa, queries, offset, out),
            (KvType::F32, false) => prefill::attend::<f32>(self, isa, queries, offset, out),
        }
    }
}

#[cfg(test)]
mod tests;
