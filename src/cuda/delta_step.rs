//! A gated delta net between its projections, for one token: convolution, gates, memory, norm and output gate in one
//! launch.
//!
//! Comes in: what the projections made of the token, the layer's small weights, its state. Goes out: what the output
//! projection reads; the state has moved on. Nothing is read on the host, so a graph may hold it. The types stand
//! here for [`super::delta_chunks`] too, which takes many tokens.

use candle_core::{DType, Result, Tensor};

use super::address::{address, output};
use super::launch::{Argument, Launch, suffix};

#[cfg(test)]
pub(super) mod edge;
#[cfg(test)]
pub(super) mod recurrence;
#[cfg(test)]
mod tests;

/// Threads of a block that work on the memory, and a warp beside them that moves rows.
const WORKERS: usize = 512;
const THREADS: u32 = WORKERS as u32 + 32;
/// Rows of the memory that a thread holds, and columns where they are read four at a time.
const ROWS: usize = 8;
const COLUMNS: usize = 4;
/// Dimensions of a query, key or value at most.
const MOST_DIM: usize = 256;

/// Heads of a layer, and the width of its convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeltaShape {
    /// Heads of queries and keys.
    pub key_heads: usize,
    /// Heads of values, a multiple of `key_heads`.
    pub value_heads: usize,
    /// Dimensions of a query or key.
    pub key_dim: usize,
    /// Dimensions of a value.
    pub value_dim: usize,
    /// Tokens that the convolution sees, the present one included: at least 1.
    pub conv_width: usize,
    /// Which key head a value head reads.
    pub order: Order,
}

/// Which key head a value head reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Head j reads key head j / r, r the number of value heads to a key head.
    Grouped,
    /// Head j reads key head j mod key_heads.
    Tiled,
}

/// What the projections made of some tokens, all of one type: f32, bf16 or f16.
#[derive(Clone, Copy, Debug)]
pub struct Projected<'a> {
    /// Queries, keys and values before the convolution: (tokens, channels)
    pub qkv: &'a Tensor,
    /// The output gate before its activation: (tokens, value_heads · value_dim)
    pub gate: &'a Tensor,
    /// Before the sigmoid: (tokens, value_heads)
    pub beta: &'a Tensor,
    /// Before the bias: (tokens, value_heads)
    pub decay: &'a Tensor,
}

/// The small weights of a layer, f32.
#[derive(Clone, Copy, Debug)]
pub struct DeltaWeights<'a> {
    /// Depthwise (width, channels), oldest token first.
    pub conv: &'a Tensor,
    /// −exp(A_log), negative: (value_heads,)
    pub decay_rate: &'a Tensor,
    /// (value_heads,)
    pub decay_bias: &'a Tensor,
    /// Of the norm of each head's answer: (value_dim,)
    pub norm: &'a Tensor,
    /// Added to the mean square in that norm.
    pub eps: f32,
}

/// What a layer remembers; kernels write it in place.
#[derive(Clone, Copy, Debug)]
pub struct DeltaMemory<'a> {
    /// (width − 1, channels) of the activations' type: the rows before these tokens, oldest first.
    pub conv: &'a Tensor,
    /// (value_heads, key_dim + 1, value_dim) f32; the last row of a head is not used.
    pub memory: &'a Tensor,
    /// (key_heads,) u32: zeros, before a call and after it. Layers may share it.
    pub arrivals: &'a Tensor,
}

impl DeltaShape {
    /// Channels that the convolution runs over: queries, keys, values.
    pub fn channels(&self) -> usize {
        2 * self.key_heads * self.key_dim + self.value_channels()
    }

    /// Channels of all values.
    pub fn value_channels(&self) -> usize {
        self.value_heads * self.value_dim
    }

    /// As kernels take it.
    pub(super) fn argument(&self) -> Argument {
        let both = |low: usize, high: usize| low as u64 | (high as u64) << 32;
        Argument::Struct(vec![
            both(self.key_heads, self.value_heads),
            both(self.key_dim, self.value_dim),
            both(self.conv_width, usize::from(self.order == Order::Tiled)),
        ])
    }

    /// Errors unless heads fit each other, and nothing is larger than `most` dimensions or than an `int`.
    pub(super) fn check(&self, most: usize) -> Result<()> {
        let Self { key_heads, value_heads, key_dim, value_dim, conv_width, .. } = *self;
        if [key_heads, value_heads, key_dim, value_dim, conv_width].contains(&0)
            || !value_heads.is_multiple_of(key_heads)
        {
            candle_core::bail!(
                "a delta net of {self:?}: value heads must be a multiple of key heads, and none 0"
            );
        }
        if key_dim.max(value_dim) > most || self.channels() > 1 << 24 || conv_width > 1 << 16 {
            candle_core::bail!("no kernel for a delta net of {self:?}: heads of {most} dimensions at most");
        }
        Ok(())
    }
}

/// Mixes one token after what `state` holds, to (1, value_heads · value_dim) in its type; `state` moves on.
///
/// All in f32, rounded once. Errors if shapes or types do not fit, or if a head's memory is larger than a block
/// holds: key_dim · value_dim of 128 · 128, or of 32 · 128 where value_dim is no multiple of four.
pub fn step(
    projected: &Projected<'_>,
    weights: &DeltaWeights<'_>,
    state: &DeltaMemory<'_>,
    shape: &DeltaShape,
) -> Result<Tensor> {
    let tokens = check(projected, weights, state, shape, MOST_DIM)?;
    if tokens != 1 {
        candle_core::bail!("a step takes one token, not {tokens}: mix several with delta_chunks");
    }
    let (x, memory) = (projected.qkv, address(state.memory)?);
    let quads = shape.value_dim.is_multiple_of(COLUMNS) && memory.is_multiple_of(16);
    let (columns, kind) = if quads { (COLUMNS, "") } else { (1, "single_") };
    if shape.key_dim > ROWS * (WORKERS / (shape.value_dim / columns)) {
        candle_core::bail!("no kernel for a step of {shape:?}: a block cannot hold a head's memory");
    }
    let out = output(&[1, shape.value_channels()], x, x.dtype())?;
    Launch::new(format!("delta_step_{kind}{}", suffix(x.dtype())?), shape.value_heads, THREADS)?
        .overlapping()
        .address(address(x)?)
        .address(address(projected.gate)?)
        .address(address(projected.beta)?)
        .address(address(projected.decay)?)
        .address(address(weights.conv)?)
        .address(address(weights.decay_rate)?)
        .address(address(weights.decay_bias)?)
        .address(address(weights.norm)?)
        .address(rows(state, shape)?)
        .address(memory)
        .address(address(state.arrivals)?)
        .address(address(&out)?)
        .float(weights.eps)
        .argument(shape.argument())
        .run(x.device())?;
    Ok(out)
}

/// Where the rows of the convolution lie; nowhere if there are none.
pub(super) fn rows(state: &DeltaMemory<'_>, shape: &DeltaShape) -> Result<u64> {
    if shape.conv_width == 1 { Ok(0) } else { address(state.conv) }
}

/// The number of tokens. Errors unless everything is of its shape, type and device.
pub(super) fn check(
    projected: &Projected<'_>,
    weights: &DeltaWeights<'_>,
    state: &DeltaMemory<'_>,
    shape: &DeltaShape,
    most_dim: usize,
) -> Result<usize> {
    shape.check(most_dim)?;
    let (tokens, channels) = projected.qkv.dims2()?;
    let (heads, dtype) = (shape.value_heads, projected.qkv.dtype());
    let is = |what: &str, x: &Tensor, dims: &[usize], dtype: DType| {
        let here = x.device().same_device(projected.qkv.device());
        if x.dims() != dims || x.dtype() != dtype || !here {
            candle_core::bail!(
                "{what} of a delta net must be {dims:?} {dtype:?} on the tokens' device, not {x:?}"
            );
        }
        Ok(())
    };
    if channels != shape.channels() {
        candle_core::bail!(
            "{channels} channels for a delta net of {shape:?}, which has {}",
            shape.channels()
        );
    }
    is("the gate", projected.gate, &[tokens, shape.value_channels()], dtype)?;
    is("beta", projected.beta, &[tokens, heads], dtype)?;
    is("the decay", projected.decay, &[tokens, heads], dtype)?;
    is("the convolution", weights.conv, &[shape.conv_width, channels], DType::F32)?;
    is("the rate of decay", weights.decay_rate, &[heads], DType::F32)?;
    is("the bias of decay", weights.decay_bias, &[heads], DType::F32)?;
    is("the norm", weights.norm, &[shape.value_dim], DType::F32)?;
    is("the rows", state.conv, &[shape.conv_width - 1, channels], dtype)?;
    is("the memory", state.memory, &[heads, shape.key_dim + 1, shape.value_dim], DType::F32)?;
    is("the arrivals", state.arrivals, &[shape.key_heads], DType::U32)?;
    Ok(tokens)
}
