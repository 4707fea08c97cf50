//! A gated delta net between its projections, for many tokens, 64 at a time as products of matrices.
//!
//! Comes in and goes out: as for one token ([`super::delta_step`], where the types stand). Five launches for
//! every `SEGMENT` tokens: convolution; what each chunk can make ready by itself; the memory through the chunks in
//! order; the rows of the convolution; norm and output gate.

use candle_core::{DType, Result, Tensor};

use super::address::{address, output};
use super::delta_step::{DeltaMemory, DeltaShape, DeltaWeights, Projected, check, rows};
use super::launch::{Launch, THREADS, suffix};

#[cfg(test)]
mod edge;
#[cfg(test)]
mod tests;

/// Tokens of a chunk.
const CHUNK: usize = 64;
/// Tokens whose intermediates are held at once: 56 kB each for 16 key heads and 32 value heads of 128.
pub const SEGMENT: usize = 2048;
/// Dimensions of a query, key or value at most.
pub const MOST_DIM: usize = 128;
/// Tokens that a warp convolves, and warps of a block where a warp has its own work.
const RUN: usize = 8;
const WARPS: usize = 8;
/// Fewer slices of 32 columns than this leave most of a large card idle: they are halved.
const ENOUGH_BLOCKS: usize = 72;

/// How products are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Products {
    /// In f32, without tensor cores: on any card, slow.
    Exact,
    /// On tensor cores, with each operand as two bf16: exact to about 2⁻¹⁶. Compute capability 8.0 or newer.
    Split,
}

/// Mixes the tokens after what `state` holds, to (tokens, value_heads · value_dim) in their type; `state` moves on.
///
/// All in f32, rounded once; the recurrence of a chunk as `products` say. Errors if shapes or types do not fit,
/// beyond 128 dimensions a head, and for so many heads that a segment's scores are 2³¹.
pub fn mix(
    projected: &Projected<'_>,
    weights: &DeltaWeights<'_>,
    state: &DeltaMemory<'_>,
    shape: &DeltaShape,
    products: Products,
) -> Result<Tensor> {
    let tokens = check(projected, weights, state, shape, MOST_DIM)?;
    let x = projected.qkv;
    if shape.value_heads * tokens.min(SEGMENT).next_multiple_of(CHUNK) * CHUNK > i32::MAX as usize {
        candle_core::bail!(
            "{} heads of a delta net are too many for {tokens} tokens at once",
            shape.value_heads
        );
    }
    let out = output(&[tokens, shape.value_channels()], x, x.dtype())?;
    for first in (0..tokens).step_by(SEGMENT) {
        let count = SEGMENT.min(tokens - first);
        let of = |x: &Tensor| x.narrow(0, first, count);
        Segment {
            qkv: of(x)?,
            gate: of(projected.gate)?,
            beta: of(projected.beta)?,
            decay: of(projected.decay)?,
            out: of(&out)?,
            weights,
            state,
            shape,
            products,
            tokens: count,
        }
        .mix()?;
    }
    Ok(out)
}

/// Some tokens, all of whose intermediates are held at once.
struct Segment<'a> {
    qkv: Tensor,
    gate: Tensor,
    beta: Tensor,
    decay: Tensor,
    out: Tensor,
    weights: &'a DeltaWeights<'a>,
    state: &'a DeltaMemory<'a>,
    shape: &'a DeltaShape,
    products: Products,
    tokens: usize,
}

/// What the kernels of a segment hand on. Words are numbers as the products take them.
struct Handed {
    /// (key_heads, padded tokens, 128) words.
    queries: Tensor,
    /// As many.
    keys: Tensor,
    /// (value_heads, padded tokens, 128) f32: values, then corrections before the memory, then answers.
    values: Tensor,
    /// (value_heads, padded tokens, 128) words: what corrections read of the memory.
    reads: Tensor,
    /// (value_heads, chunks, 64, 64) words: what answers read of the corrections of their chunk.
    within: Tensor,
    /// (value_heads, chunks, 2, 64) f32: decay since the chunk's start, and to its end.
    gates: Tensor,
}

impl Segment<'_> {
    fn mix(&self) -> Result<()> {
        let handed = self.room()?;
        self.convolve(&handed)?;
        self.prepare(&handed)?;
        self.pass(&handed)?;
        self.keep()?;
        self.finish(&handed)
    }

    fn chunks(&self) -> usize {
        self.tokens.div_ceil(CHUNK)
    }

    fn padded(&self) -> usize {
        self.chunks() * CHUNK
    }

    fn key_width(&self) -> usize {
        self.shape.key_dim.next_multiple_of(16)
    }

    fn value_width(&self) -> usize {
        self.shape.value_dim.next_multiple_of(32)
    }

    fn room(&self) -> Result<Handed> {
        let (keyed, valued) = (self.shape.key_heads, self.shape.value_heads);
        let of = |dims: &[usize], dtype: DType| output(dims, &self.qkv, dtype);
        Ok(Handed {
            queries: of(&[keyed, self.padded(), MOST_DIM], DType::U32)?,
            keys: of(&[keyed, self.padded(), MOST_DIM], DType::U32)?,
            values: of(&[valued, self.padded(), MOST_DIM], DType::F32)?,
            reads: of(&[valued, self.padded(), MOST_DIM], DType::U32)?,
            within: of(&[valued, self.chunks(), CHUNK, CHUNK], DType::U32)?,
            gates: of(&[valued, self.chunks(), 2, CHUNK], DType::F32)?,
        })
    }

    /// A kernel of this segment's products and types over a grid of blocks of [`THREADS`].
    fn launch(&self, kernel: &str, blocks: [usize; 3]) -> Result<Launch> {
        let products = match self.products {
            Products::Exact => "exact",
            Products::Split => "split",
        };
        Launch::grid(format!("delta_{kernel}_{products}_{}", suffix(self.qkv.dtype())?), blocks, THREADS)
    }

    fn convolve(&self, handed: &Handed) -> Result<()> {
        let heads = 2 * self.shape.key_heads + self.shape.value_heads;
        let grid = [self.padded().div_ceil(RUN), heads.div_ceil(WARPS), 1];
        self.launch("convolve", grid)?
            .address(address(&self.qkv)?)
            .address(rows(self.state, self.shape)?)
            .address(address(self.weights.conv)?)
            .address(address(&handed.queries)?)
            .address(address(&handed.keys)?)
            .address(address(&handed.values)?)
            .int(self.tokens)?
            .int(self.padded())?
            .int(self.key_width())?
            .int(self.value_width())?
            .argument(self.shape.argument())
            .run(self.qkv.device())
    }

    fn prepare(&self, handed: &Handed) -> Result<()> {
        self.launch("prepare", [self.chunks(), self.shape.key_heads, 1])?
            .address(address(&handed.queries)?)
            .address(address(&handed.keys)?)
            .address(address(&self.beta)?)
            .address(address(&self.decay)?)
            .address(address(self.weights.decay_rate)?)
            .address(address(self.weights.decay_bias)?)
            .address(address(&handed.values)?)
            .address(address(&handed.reads)?)
            .address(address(&handed.within)?)
            .address(address(&handed.gates)?)
            .int(self.tokens)?
            .int(self.key_width())?
            .int(self.value_width())?
            .argument(self.shape.argument())
            .run(self.qkv.device())
    }

    /// The memory through all chunks; corrections become answers.
    fn pass(&self, handed: &Handed) -> Result<()> {
        let wide = self.shape.value_heads * self.value_width() / 32 >= ENOUGH_BLOCKS;
        let columns = if wide { 32 } else { 16 };
        let kernel = match self.products {
            Products::Exact => format!("delta_chunks_exact_{columns}"),
            Products::Split => format!("delta_chunks_split_{columns}"),
        };
        Launch::grid(kernel, [self.shape.value_heads, self.value_width() / columns, 1], THREADS)?
            .address(address(&handed.queries)?)
            .address(address(&handed.keys)?)
            .address(address(&handed.reads)?)
            .address(address(&handed.within)?)
            .address(address(&handed.gates)?)
            .address(address(&handed.values)?)
            .address(address(self.state.memory)?)
            .int(self.chunks())?
            .int(self.key_width())?
            .argument(self.shape.argument())
            .run(self.qkv.device())
    }

    /// The rows that the next tokens' convolution starts from.
    fn keep(&self) -> Result<()> {
        let blocks = self.shape.channels().div_ceil(THREADS as usize);
        Launch::new(format!("delta_keep_{}", suffix(self.qkv.dtype())?), blocks, THREADS)?
            .address(address(&self.qkv)?)
            .address(rows(self.state, self.shape)?)
            .int(self.tokens)?
            .argument(self.shape.argument())
            .run(self.qkv.device())
    }

    fn finish(&self, handed: &Handed) -> Result<()> {
        let blocks = (self.tokens * self.shape.value_heads).div_ceil(WARPS);
        Launch::new(format!("delta_finish_{}", suffix(self.qkv.dtype())?), blocks, THREADS)?
            .address(address(&handed.values)?)
            .address(address(&self.gate)?)
            .address(address(self.weights.norm)?)
            .address(address(&self.out)?)
            .float(self.weights.eps)
            .int(self.tokens)?
            .int(self.padded())?
            .argument(self.shape.argument())
            .run(self.qkv.device())
    }
}
