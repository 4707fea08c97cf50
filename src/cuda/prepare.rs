//! From projections to what attention reads: heads normalised and rotated, keys and values in their caches.
//!
//! Comes in: q, k and v of some tokens, and where in the sequence they stand, in device memory. Goes out: q,
//! changed in place, and rows of the caches. One launch for any number of tokens. Not here: attention.

use candle_core::{DType, Result, Tensor};

use super::address::address;
use super::launch::{Launch, suffix};

#[cfg(test)]
mod edge;
#[cfg(test)]
mod tests;

/// Heads that a block takes, one a warp.
const HEADS_OF_BLOCK: usize = 4;
/// Dimensions of a head at most: what a warp holds in registers.
const LARGEST_HEAD: usize = 256;

/// How the rows of q, k and v divide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Of queries.
    pub heads: usize,
    /// Of keys and of values.
    pub kv_heads: usize,
    /// Numbers of a head: even, 256 at most.
    pub dim: usize,
}

/// Norms over the numbers of each head.
#[derive(Clone, Copy, Debug)]
pub struct HeadNorms<'a> {
    /// On queries, (dim,), of the activations' type or f32.
    pub query: &'a Tensor,
    /// On keys, (dim,), of the same type.
    pub key: &'a Tensor,
    /// Added to the mean square.
    pub eps: f32,
}

/// One layer's projections of some tokens, and all that is done with them.
#[derive(Clone, Copy, Debug)]
pub struct Prepare<'a> {
    /// (tokens, heads · dim), changed in place.
    pub q: &'a Tensor,
    /// (tokens, kv_heads · dim)
    pub k: &'a Tensor,
    /// (tokens, kv_heads · dim)
    pub v: &'a Tensor,
    /// Before the rotation, rounded to the activations' type.
    pub norms: Option<HeadNorms<'a>>,
    /// (positions, half) f32; the first 2 · half numbers of a head are turned, number `i` with `i + half`.
    pub cos: &'a Tensor,
    /// (positions, half) f32
    pub sin: &'a Tensor,
    /// (1,) u32 on the device: tokens before the first of these.
    pub position: &'a Tensor,
    /// Cache (kv_heads, capacity, dim).
    pub keys: &'a Tensor,
    /// Cache (kv_heads, capacity, dim).
    pub values: &'a Tensor,
}

impl<'a> Prepare<'a> {
    /// Does it. A token beyond the capacity of the caches, or beyond the tables, is left as it is.
    ///
    /// Errors if shapes, types or devices do not fit, if so many tokens never could, or from 2³¹ numbers on.
    pub fn run(&self, heads: Heads) -> Result<()> {
        heads.check()?;
        let (tokens, (positions, half)) = (self.q.dim(0)?, self.cos.dims2()?);
        let capacity = self.keys.dim(1)?;
        self.check(heads, [tokens, capacity, positions, half])?;
        let weights = self.norms.map_or(self.q.dtype(), |norms| norms.query.dtype());
        let kernel = format!("prepare_{}_{}", suffix(self.q.dtype())?, suffix(weights)?);
        let warps = tokens * (heads.heads + 2 * heads.kv_heads);
        let mut launch =
            Launch::new(kernel, warps.div_ceil(HEADS_OF_BLOCK), 32 * HEADS_OF_BLOCK as u32)?.overlapping();
        let mut in_pairs = half.is_multiple_of(2) && heads.dim.is_multiple_of(4);
        for tensor in self.tensors() {
            let place = tensor.map(address).transpose()?;
            let pair = tensor.map_or(1, |tensor| 2 * tensor.dtype().size_in_bytes() as u64);
            in_pairs &= place.unwrap_or(0).is_multiple_of(pair);
            launch = launch.maybe(place);
        }
        launch
            .address(address(self.position)?)
            .long(tokens)
            .long(capacity)
            .long(positions)
            .int(heads.heads)?
            .int(heads.kv_heads)?
            .int(heads.dim)?
            .int(half)?
            .int(usize::from(in_pairs))?
            .float(self.norms.map_or(0.0, |norms| norms.eps))
            .run(self.q.device())
    }

    /// In the order of the kernel's parameters, up to the position.
    fn tensors(&self) -> [Option<&'a Tensor>; 9] {
        let norms = self.norms.as_ref();
        let [query, key] = [norms.map(|norms| norms.query), norms.map(|norms| norms.key)];
        let [q, k, v, keys, values] = [self.q, self.k, self.v, self.keys, self.values].map(Some);
        [q, k, v, keys, values, query, key, Some(self.cos), Some(self.sin)]
    }

    fn check(&self, heads: Heads, [tokens, capacity, positions, half]: [usize; 4]) -> Result<()> {
        let (dtype, dim) = (self.q.dtype(), heads.dim);
        let (cache, table) = ([heads.kv_heads, capacity, dim], [positions, half]);
        self.fits("q", self.q, &[tokens, heads.heads * dim], dtype)?;
        for (name, rows) in [("k", self.k), ("v", self.v)] {
            self.fits(name, rows, &[tokens, heads.kv_heads * dim], dtype)?;
        }
        for (name, tensor) in [("keys", self.keys), ("values", self.values)] {
            self.fits(name, tensor, &cache, dtype)?;
        }
        for (name, tensor) in [("cos", self.cos), ("sin", self.sin)] {
            self.fits(name, tensor, &table, DType::F32)?;
        }
        self.fits("position", self.position, &[1], DType::U32)?;
        if let Some(norms) = &self.norms {
            let kind = if norms.query.dtype() == DType::F32 { DType::F32 } else { dtype };
            self.fits("the norm of queries", norms.query, &[dim], kind)?;
            self.fits("the norm of keys", norms.key, &[dim], kind)?;
        }
        if 2 * half > dim {
            candle_core::bail!("tables turn {} of a head's {dim} numbers: build them for the head", 2 * half);
        }
        if tokens > capacity.min(positions) || self.q.elem_count() > i32::MAX as usize {
            candle_core::bail!(
                "{tokens} tokens at once are too many for room for {capacity} and tables of {positions}: \
                 take fewer at a time, or make more room"
            );
        }
        Ok(())
    }

    fn fits(&self, name: &str, tensor: &Tensor, dims: &[usize], dtype: DType) -> Result<()> {
        if tensor.dims() != dims || tensor.dtype() != dtype || !tensor.device().same_device(self.q.device()) {
            candle_core::bail!("{name} should be {dims:?} of {dtype:?} beside the queries, not {tensor:?}");
        }
        Ok(())
    }
}

impl Heads {
    fn check(&self) -> Result<()> {
        let Self { heads, kv_heads, dim } = *self;
        if heads == 0 || kv_heads == 0 || dim == 0 || dim % 2 == 1 || dim > LARGEST_HEAD {
            candle_core::bail!(
                "no kernel for {self:?}: heads have an even number of dimensions, {LARGEST_HEAD} at most"
            );
        }
        Ok(())
    }
}
