//! Causal attention with grouped heads, as blocks of matrix products. The only attention.
//!
//! On the CPU the kernels of [`crate::cpu::attention`] do it, on a card those of [`crate::cuda`]; what follows is the
//! plain form, for every other device, and for heads that no kernel knows.
//!
//! Query rows are taken `QUERY_BLOCK` at a time, so that the scores in flight are
//! (heads × block × keys) and never (heads × keys²). Keys and values are read where they lie
//! in the cache; the query heads that share a key head are stacked into the rows of one product,
//! so nothing is repeated.

use candle_core::{DType, Device, Result, Tensor};

use super::cache::{KeyValues, KvType, PlainKeyValues, Seen, is_tiled};
use super::kernels::causal_softmax;
use super::linear::Linear;
use super::norm::RmsNorm;
use super::position::Position;
use super::rope::Rope;
use super::tiled;

mod on_cuda;

/// Query rows per block: scores of 16 heads × 128 rows × 4,096 keys are 32 MiB in f32.
pub const QUERY_BLOCK: usize = 128;

/// The name, in reports, of the path that runs on `device` with activations of `dtype` and a cache of `kv`; `known`
/// says whether a card's kernels know the heads.
pub fn path(device: &Device, dtype: DType, kv: KvType, known: HeadsKnown) -> &'static str {
    match (is_tiled(device, dtype), kv) {
        (true, KvType::F16) => "tiled, f16 KV",
        (true, KvType::F32) => "tiled, f32 KV",
        (false, _) if !device.is_cuda() || known == HeadsKnown::No => "blocked-matmul",
        (false, _) => on_cuda::path(device, dtype),
    }
}

/// Whether kernels for cards know a model's heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadsKnown {
    /// They do.
    Yes,
    /// Candle's own operations run.
    No,
}

/// Whether kernels for cards know heads of `dim` dimensions.
pub fn known_on_card(dim: usize) -> HeadsKnown {
    if on_cuda::knows(dim) { HeadsKnown::Yes } else { HeadsKnown::No }
}

/// Projections of one attention layer.
#[derive(Clone, Debug)]
pub struct Attention {
    /// (heads · dim, hidden)
    pub query: Linear,
    /// (heads · dim, hidden): its sigmoid scales the mixed values; hybrids have it.
    pub gate: Option<Linear>,
    /// (kv_heads · dim, hidden)
    pub key: Linear,
    /// (kv_heads · dim, hidden)
    pub value: Linear,
    /// (hidden, heads · dim)
    pub output: Linear,
    /// Norms on each head of queries and keys, before the rotation; Qwen3 has them.
    pub head_norms: Option<HeadNorms>,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Dimensions of a head.
    pub head_dim: usize,
}

/// Norms over the dimensions of each head.
#[derive(Clone, Debug)]
pub struct HeadNorms {
    /// On queries, (dim,).
    pub query: RmsNorm,
    /// On keys, (dim,).
    pub key: RmsNorm,
}

impl Attention {
    /// `x` (tokens, hidden) from `position` on, to the same shape; appends to `cache`.
    pub fn forward(
        &self,
        x: &Tensor,
        rope: &Rope,
        cache: &mut KeyValues,
        position: &Position,
    ) -> Result<Tensor> {
        let ([q, k, v], gate) = self.project(x)?;
        let mixed = match (cache, position.on_device().filter(|_| self.has_cuda_kernels())) {
            (KeyValues::Tiled(cache), _) => {
                let layer = tiled::Layer { attention: self, rope, offset: position.first() };
                layer.mix(cache, tiled::Projected { q, k, v, gate })?
            }
            (KeyValues::Plain(cache), Some(before)) => {
                self.on_cuda(on_cuda::Projected { q, k, v, gate }, rope, cache, before)?
            }
            (KeyValues::Plain(cache), None) => {
                let mixed = self.plain([q, k, v], rope, cache, position.first())?;
                gate.map_or(Ok(mixed.clone()), |gate| mixed * candle_nn::ops::sigmoid(&gate)?)?
            }
        };
        self.output.forward(&mixed)
    }

    /// Queries, keys and values, and the gate of those that have one.
    fn project(&self, x: &Tensor) -> Result<([Tensor; 3], Option<Tensor>)> {
        match &self.gate {
            None => Ok((Linear::forward_all([&self.query, &self.key, &self.value], x)?, None)),
            Some(gate) => {
                let [q, k, v, gate] = Linear::forward_all([&self.query, &self.key, &self.value, gate], x)?;
                Ok(([q, k, v], Some(gate)))
            }
        }
    }

    /// Queries, keys and values as projected, in candle's operations, to (tokens, heads · dim).
    fn plain(
        &self,
        [q, k, v]: [Tensor; 3],
        rope: &Rope,
        cache: &PlainKeyValues,
        offset: usize,
    ) -> Result<Tensor> {
        let norms = self.head_norms.as_ref();
        let q = rope.forward(&self.split(q, self.heads, norms.map(|n| &n.query))?, offset)?;
        let k = rope.forward(&self.split(k, self.kv_heads, norms.map(|n| &n.key))?, offset)?;
        let seen = cache.append(&k, &self.split(v, self.kv_heads, None)?, offset)?;
        self.attend(&q, &seen, offset)
    }

    /// (tokens, heads · dim) to (tokens, heads, dim), each head normalised.
    fn split(&self, x: Tensor, heads: usize, norm: Option<&RmsNorm>) -> Result<Tensor> {
        let x = x.reshape((x.dim(0)?, heads, self.head_dim))?;
        norm.map_or(Ok(x.clone()), |norm| norm.forward(&x))
    }

    /// `q` (tokens, heads, dim) over all that was seen, to (tokens, heads · dim).
    fn attend(&self, q: &Tensor, seen: &Seen, offset: usize) -> Result<Tensor> {
        let tokens = q.dim(0)?;
        if tokens <= QUERY_BLOCK {
            return self.attend_block(q, seen, offset);
        }
        let blocks = (0..tokens)
            .step_by(QUERY_BLOCK)
            .map(|start| {
                let rows = QUERY_BLOCK.min(tokens - start);
                self.attend_block(&q.narrow(0, start, rows)?, seen, offset + start)
            })
            .collect::<Result<Vec<_>>>()?;
        Tensor::cat(&blocks, 0)
    }

    /// One block of query rows, the first at position `offset`.
    fn attend_block(&self, q: &Tensor, seen: &Seen, offset: usize) -> Result<Tensor> {
        let (rows, group) = (q.dim(0)?, self.heads / self.kv_heads);
        let visible = offset + rows;
        let keys = seen.keys.narrow(1, 0, visible)?; // (kv_heads, visible, dim)
        let values = seen.values.narrow(1, 0, visible)?;
        // (rows, kv_heads, group · dim) → (kv_heads, rows · group, dim)
        let q = q
            .reshape((rows, self.kv_heads, group * self.head_dim))?
            .transpose(0, 1)?
            .contiguous()?
            .reshape((self.kv_heads, rows * group, self.head_dim))?;
        let scale = 1.0 / (self.head_dim as f64).sqrt();
        // In 16 bits scores are kept in range by scaling before the product; Qwen2's keys are large.
        let (q, scale) = if q.dtype() == DType::F32 { (q, scale) } else { ((q * scale)?, 1.0) };
        let scores = q.matmul(&keys.t()?)?; // (kv_heads, rows · group, visible)
        let mixed = causal_softmax(scores, offset, group, scale)?.matmul(&values)?;
        mixed
            .reshape((self.kv_heads, rows, group * self.head_dim))?
            .transpose(0, 1)?
            .contiguous()?
            .reshape((rows, self.heads * self.head_dim))
    }

    /// Bytes of the weights as stored.
    pub fn bytes(&self) -> u64 {
        let gate = self.gate.as_ref().map_or(0, Linear::bytes);
        gate + self.query.bytes() + self.key.bytes() + self.value.bytes() + self.output.bytes()
    }
}

#[cfg(test)]
mod tests;
