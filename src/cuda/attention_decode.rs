//! Attention of one token over all before it and itself: a step of decode.
//!
//! Comes in: rotated queries, and caches that already hold the token's own key and value. Goes out: the
//! mixed values. The number of keys is read on the device, so that a step can be captured once and replayed.
//! Not here: many tokens at a time ([`super::attention_prefill`]), rotation and the writing of caches
//! ([`super::prepare`]).

use candle_core::{DType, Result, Tensor};

use super::address::{address, output};
use super::launch::{Launch, suffix};

#[cfg(test)]
pub(super) mod edge;
pub(super) mod shape;
#[cfg(test)]
pub(super) mod tests;

use shape::Shape;
pub use shape::Unit;

/// Dimensions of a head that the kernels know.
pub const DIMS: [usize; 3] = [64, 128, 256];

/// Blocks for each multiprocessor of the card.
const BLOCKS_EACH: usize = 2;
/// Query heads that one block of the tensor-core kernel takes at most.
const PACK: usize = 8;
/// Threads of the blocks that walk keys, and of those that combine what they found.
const THREADS: [u32; 2] = [128, 512];

/// `q` (1, heads · dim), rotated, over `keys` and `values` (kv_heads, capacity, dim), to (1, heads · dim):
/// all of one type, f32, bf16 or f16. Keys 0 to `position` (1,), u32, are visible; a position beyond the
/// capacity counts as its last.
///
/// Softmax in f32, scores scaled by 1/√dim. What lies in the caches beyond is not read.
/// Errors if shapes or types do not fit, for heads of other than 64, 128 or 256 dimensions, and as launches
/// do.
pub fn attend_one(
    q: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    position: &Tensor,
    heads: usize,
) -> Result<Tensor> {
    attend_one_on(Unit::of(q.device(), q.dtype())?, q, [keys, values], position, heads)
}

/// As [`attend_one`], on units of the caller's choice.
pub fn attend_one_on(
    unit: Unit,
    q: &Tensor,
    caches: [&Tensor; 2],
    position: &Tensor,
    heads: usize,
) -> Result<Tensor> {
    let shape = Shape::of(q, caches, position, heads)?;
    if shape.tokens != 1 {
        candle_core::bail!("a step of decode has one token, not {}", shape.tokens);
    }
    Split::of(shape, unit, super::multiprocessors(q.device())?).attend(q, caches, position)
}

/// How keys are split over blocks, from the capacity alone.
struct Split {
    shape: Shape,
    unit: Unit,
    splits: usize,
    /// Keys that are worth a block: a tile for each of its warps.
    share: usize,
}

impl Split {
    fn of(shape: Shape, unit: Unit, multiprocessors: usize) -> Self {
        let share = if shape.dim == 256 { 64 } else { 128 };
        let columns = Self::columns(shape, unit);
        let splits = (BLOCKS_EACH * multiprocessors).div_ceil(columns).min(shape.capacity.div_ceil(share));
        Self { shape, unit, splits, share }
    }

    fn attend(&self, q: &Tensor, [keys, values]: [&Tensor; 2], position: &Tensor) -> Result<Tensor> {
        let partials = output(&[self.shape.heads, self.splits, self.shape.dim + 4], q, DType::F32)?;
        let out = output(q.dims(), q, q.dtype())?;
        let caches = [address(keys)?, address(values)?];
        let [at, between] = [address(position)?, address(&partials)?];
        self.walk(q, caches, at, between)?.run(q.device())?;
        self.combine(q.dtype(), [between, at, address(&out)?])?.run(q.device())?;
        Ok(out)
    }

    /// Blocks that stand side by side over the same keys.
    fn columns(shape: Shape, unit: Unit) -> usize {
        match unit {
            Unit::TensorCores => shape.kv_heads * (shape.heads / shape.kv_heads).div_ceil(PACK),
            Unit::Plain => shape.heads,
        }
    }

    fn shared_bytes(&self) -> usize {
        let keys = if self.shape.dim == 256 { 16 } else { 32 };
        match self.unit {
            // Of 4 warps, for keys and for values, 2 bytes a number.
            Unit::TensorCores => 4 * 2 * keys * self.shape.dim * 2,
            Unit::Plain => 0,
        }
    }

    fn walk(&self, q: &Tensor, [keys, values]: [u64; 2], position: u64, partials: u64) -> Result<Launch> {
        let Shape { heads, kv_heads, capacity, dim, .. } = self.shape;
        let name = format!("attention_one_{}{dim}_{}", self.unit.infix(), suffix(q.dtype())?);
        Launch::grid(name, [Self::columns(self.shape, self.unit), self.splits, 1], THREADS[0])?
            .shared(self.shared_bytes())
            .overlapping()
            .address(address(q)?)
            .address(keys)
            .address(values)
            .address(position)
            .address(partials)
            .int(heads)?
            .int(kv_heads)?
            .int(capacity)?
            .int(self.share)
            .map(|launch| launch.float(self.shape.scale()))
    }

    fn combine(&self, dtype: DType, [partials, position, out]: [u64; 3]) -> Result<Launch> {
        Launch::new(format!("attention_combine_{}", suffix(dtype)?), self.shape.heads, THREADS[1])?
            .overlapping()
            .address(partials)
            .address(position)
            .address(out)
            .int(self.shape.dim)?
            .int(self.shape.capacity)?
            .int(self.splits)?
            .int(self.share)
    }
}
