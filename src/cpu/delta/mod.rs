//! The gated delta net between its projections: convolution, activation, unit length, gates, memory, output norm
//! and output gate, in one region of the pool.
//!
//! Comes in: what the projections made of some tokens, and the state. Goes out: what the output projection reads,
//! written over the gate, and the state after these tokens. A piece of work is a key head with the value heads
//! that read it: all its tokens in order, with everything it needs in the core's own cache. The formulas stand
//! in the file of the layer; here it takes tokens one by one or [`CHUNK`] at a time.

#![expect(unsafe_code, reason = "heads write to parts of the same rows")]

mod chunk;
mod convolve;
mod gates;
mod piece;
mod scratch;
mod step;
#[cfg(test)]
mod tests;

use super::isa::Isa;
use super::lanes;
use super::pool::{self, Shared};
use piece::Piece;

/// Tokens of a chunk. With keys and values of 128 numbers a token costs 6 · 128² multiplications with the memory
/// and 768 for each token of a chunk: few tokens cost less, and more of them spread the reading of the memory.
pub const CHUNK: usize = 32;

/// Heads of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
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

/// Which value heads read a key head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Those that follow each other.
    Grouped,
    /// Every `key_heads`th one.
    Tiled,
}

impl Shape {
    fn key_channels(&self) -> usize {
        self.key_heads * self.key_dim
    }

    fn value_channels(&self) -> usize {
        self.value_heads * self.value_dim
    }

    fn channels(&self) -> usize {
        2 * self.key_channels() + self.value_channels()
    }

    /// Value head number `index` of those that read `key_head`.
    fn value_head(&self, key_head: usize, index: usize) -> usize {
        match self.order {
            Order::Grouped => key_head * (self.value_heads / self.key_heads) + index,
            Order::Tiled => key_head + index * self.key_heads,
        }
    }
}

/// The small weights of a layer.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// Depthwise (width, channels), oldest token first. Channels: queries, keys, values.
    pub conv: &'a [f32],
    /// −exp(A_log), negative: (value_heads,)
    pub decay_rate: &'a [f32],
    /// (value_heads,)
    pub decay_bias: &'a [f32],
    /// Of the norm of each head's output: (value_dim,)
    pub norm: &'a [f32],
    /// Added to the mean square in that norm.
    pub eps: f32,
}

/// What the projections made of some tokens, each (tokens, its channels).
#[derive(Debug)]
pub struct Tokens<'a> {
    /// Queries, keys and values before the convolution.
    pub qkv: &'a [f32],
    /// Before the sigmoid: (tokens, value_heads)
    pub beta: &'a [f32],
    /// Before the bias: (tokens, value_heads)
    pub decay: &'a [f32],
    /// The output gate before its activation: (tokens, value channels). Takes the result.
    pub gate: &'a mut [f32],
}

/// What a layer remembers.
#[derive(Debug)]
pub struct State<'a> {
    /// (width − 1, channels): the rows of `qkv` before these tokens, oldest first.
    pub conv: &'a mut [f32],
    /// A matrix (key_dim, value_dim) for each value head, each at a multiple of `step`.
    pub memory: &'a mut [f32],
    /// Numbers from the start of one matrix to the next.
    pub step: usize,
}

/// Mixes the tokens after what `state` holds; `tokens.gate` takes what the output projection reads.
///
/// # Panics
/// If a slice is not as long as `shape` and the number of tokens say.
pub fn mix(isa: Isa, shape: &Shape, weights: &Weights, tokens: Tokens, state: State) {
    let count = tokens.qkv.len() / shape.channels().max(1);
    check(shape, weights, &tokens, &state, count);
    let group = shape.value_heads / shape.key_heads;
    // Few key heads for many threads: each value head by itself, and what they share is made again.
    let together = if shape.key_heads >= 2 * pool::threads() { group } else { 1 };
    let (gate, memory) = (Shared::new(tokens.gate), Shared::new(state.memory));
    pool::run(shape.value_heads / together, |number| {
        let (key_head, first) = (number / (group / together), number % (group / together) * together);
        let piece = Piece {
            shape,
            weights,
            qkv: tokens.qkv,
            before: state.conv,
            beta: tokens.beta,
            decay: tokens.decay,
            tokens: count,
            key_head,
            value_heads: first..first + together,
            // SAFETY: the range is one value head's part of one token's row, and each value head belongs to one
            // piece, which holds one part at a time.
            gate: |range| unsafe { gate.part(range) },
            // SAFETY: as above; the matrix of one value head.
            memory: |range| unsafe { memory.part(range) },
            step: state.step,
        };
        lanes::run(isa, piece);
    });
    keep_last(tokens.qkv, state.conv, shape.channels());
}

fn check(shape: &Shape, weights: &Weights, tokens: &Tokens, state: &State, count: usize) {
    let (channels, heads) = (shape.channels(), shape.value_heads);
    assert!(shape.conv_width > 0 && shape.key_heads > 0 && heads.is_multiple_of(shape.key_heads));
    assert!(weights.conv.len() == shape.conv_width * channels && weights.norm.len() == shape.value_dim);
    assert!(weights.decay_rate.len() == heads && weights.decay_bias.len() == heads);
    assert!(tokens.qkv.len() == count * channels && tokens.gate.len() == count * shape.value_channels());
    assert!(tokens.beta.len() == count * heads && tokens.decay.len() == count * heads);
    assert_eq!(state.conv.len(), (shape.conv_width - 1) * channels);
    let matrix = shape.key_dim * shape.value_dim;
    assert!(state.step >= matrix && state.memory.len() >= (heads - 1) * state.step + matrix);
}

/// Moves the last rows of `x`, as many as `conv` has, to `conv`.
fn keep_last(x: &[f32], conv: &mut [f32], channels: usize) {
    if x.len() >= conv.len() {
        conv.copy_from_slice(&x[x.len() - conv.len()..]);
    } else {
        let stay = conv.len() - x.len();
        conv.copy_within(x.len().., 0);
        conv[stay..].copy_from_slice(x);
        debug_assert!(stay.is_multiple_of(channels));
    }
}
