//! The gated delta net of Qwen3-Next and Qwen3.5: a mixer whose memory does not grow.
//!
//! Each value head keeps one matrix S (key_dim, value_dim). A token decays it, corrects what it
//! answers to the token's key, and asks it the token's query:
//!
//! ```text
//! S ← exp(g) S;   S ← S + k ⊗ β (v − kᵀS);   o = qᵀS
//! ```
//!
//! Few tokens take these steps one by one. Many take them `CHUNK` at a time as matrix products:
//! with D the decay between two tokens of a chunk and s the decay since its start,
//!
//! ```text
//! (I + lower(β k kᵀ ∘ D)) V' = β (v − s k S);   o = s q S + lower(q kᵀ ∘ D) V';   S ← s_last S + (k · s_last/s)ᵀ V'
//! ```
//!
//! All of this is f32, whatever the type of the activations. On the CPU in f32 all but the projections is one
//! kernel, on a card a few; what stands here as candle's operations is their plain twin and what other devices run. The
//! paper: Yang, Kautz, Hatamizadeh, "Gated Delta Networks" (2024).

use candle_core::{DType, Result, Tensor};

pub use super::delta_state::ValueHeadOrder;
use super::delta_state::{DeltaHeads, DeltaState};
use super::kernels::{SplitHeads, causal_conv, chunk_decay, chunk_inverse, delta_step, silu_mul};
use super::linear::Linear;
use super::norm::RmsNorm;
pub use crate::cuda::delta_chunks::SEGMENT as CARD_SEGMENT;

mod on_cpu;
mod on_cuda;

/// Tokens per chunk. A power of two: the inversion by halves pads others.
const CHUNK: usize = 64;

/// So many tokens or fewer are mixed one by one. Measured on two cores with 16 and with 32 value heads: at
/// three the forms take the same time, at four the chunked one is faster.
const FEW: usize = 3;

/// What the projections made of some tokens, each (tokens, its channels) in the type of the activations.
struct Projected {
    qkv: Tensor,
    gate: Tensor,
    beta: Tensor,
    decay: Tensor,
}

/// Weights of one layer.
#[derive(Clone, Debug)]
pub struct DeltaNet {
    /// Queries, keys, values: (2 · key channels + value channels, hidden)
    pub qkv: Linear,
    /// Gate of the output: (value channels, hidden)
    pub gate: Linear,
    /// How much of a correction is made, before the sigmoid: (value_heads, hidden)
    pub beta: Linear,
    /// Decay of the memory, before the bias: (value_heads, hidden)
    pub decay: Linear,
    /// Depthwise weights (width, channels) f32, oldest token first.
    pub conv: Tensor,
    /// −exp(A_log), negative: (value_heads,) f32
    pub decay_rate: Tensor,
    /// (value_heads,) f32
    pub decay_bias: Tensor,
    /// Weight of the norm of each head's output, plain: (value_dim,) f32
    pub norm: Tensor,
    /// (hidden, value channels)
    pub output: Linear,
    /// Heads.
    pub heads: DeltaHeads,
    /// Which key head a value head reads.
    pub order: ValueHeadOrder,
    /// Added to the mean square in the norm.
    pub eps: f64,
}

impl DeltaNet {
    /// `x` (tokens, hidden) to the same shape, after what `state` holds; `state` moves on.
    ///
    /// An error may leave `state` between two tokens: restore or reset it.
    pub fn forward(&self, x: &Tensor, state: &mut DeltaState) -> Result<Tensor> {
        let projected = self.project(x)?;
        let mixed = match on_cpu::applies(self, &projected, state) {
            true => on_cpu::mix(self, projected, state)?,
            false if on_cuda::applies(self, &projected) => on_cuda::mix(self, &projected, state)?,
            false => self.plain(projected, state)?,
        };
        self.output.forward(&mixed)
    }

    fn project(&self, x: &Tensor) -> Result<Projected> {
        let [qkv, gate, beta, decay] =
            Linear::forward_all([&self.qkv, &self.gate, &self.beta, &self.decay], x)?;
        Ok(Projected { qkv, gate, beta, decay })
    }

    /// All between the projections in candle's operations, for every device.
    fn plain(&self, projected: Projected, state: &mut DeltaState) -> Result<Tensor> {
        let Projected { qkv, gate, beta, decay } = projected;
        let (tokens, dtype) = (qkv.dim(0)?, qkv.dtype());
        let gates = self.gates(&beta, &decay)?;
        let mixed = match tokens <= FEW {
            true => self.one_by_one(&qkv, &gates, state)?,
            false => self.by_chunk(&qkv, &gates, state)?,
        };
        let norm = RmsNorm::new(self.norm.clone(), self.eps);
        let normed = norm.forward(&mixed.contiguous()?)?.reshape((tokens, self.heads.value_channels()))?;
        silu_mul(gate.to_dtype(DType::F32)?, &normed)?.to_dtype(dtype)
    }

    /// Bytes of the weights as stored.
    pub fn bytes(&self) -> u64 {
        let linears = [&self.qkv, &self.gate, &self.beta, &self.decay, &self.output];
        let tensors = [&self.conv, &self.decay_rate, &self.decay_bias, &self.norm];
        let of = |t: &Tensor| (t.elem_count() * t.dtype().size_in_bytes()) as u64;
        linears.into_iter().map(Linear::bytes).chain(tensors.into_iter().map(of)).sum()
    }

    /// Logarithm of the decay (≤ 0), then β: (2, value_heads, tokens) f32.
    fn gates(&self, beta: &Tensor, decay: &Tensor) -> Result<Tensor> {
        let a = decay.to_dtype(DType::F32)?.broadcast_add(&self.decay_bias)?;
        let log_decay = softplus(&a)?.broadcast_mul(&self.decay_rate)?;
        let beta = candle_nn::ops::sigmoid(&beta.to_dtype(DType::F32)?)?;
        Tensor::stack(&[log_decay, beta], 0)?.transpose(1, 2)?.contiguous()
    }

    /// Convolution of `qkv` after the rows that `state` keeps, in f32.
    fn convolve(&self, qkv: &Tensor, state: &DeltaState, chunk: usize) -> Result<SplitHeads> {
        let before = state.conv()?.to_dtype(DType::F32)?;
        causal_conv(&qkv.to_dtype(DType::F32)?, &before, &self.conv, &self.heads, chunk)
    }

    /// The recurrent form, to (tokens, value_heads, value_dim) f32.
    fn one_by_one(&self, qkv: &Tensor, gates: &Tensor, state: &mut DeltaState) -> Result<Tensor> {
        let answers = (0..qkv.dim(0)?)
            .map(|token| {
                let row = qkv.narrow(0, token, 1)?;
                let split = self.convolve(&row, state, 1)?;
                state.push(&row)?;
                let gates = gates.narrow(2, token, 1)?.squeeze(2)?.contiguous()?;
                delta_step(state.memory(), &split, &gates, &self.heads, self.order)?;
                let answer = state.memory().narrow(1, self.heads.key_dim, 1)?.contiguous()?;
                answer.reshape((1, self.heads.value_heads, self.heads.value_dim))
            })
            .collect::<Result<Vec<_>>>()?;
        Tensor::cat(&answers, 0)
    }

    /// The chunked form, to (tokens, value_heads, value_dim) f32.
    fn by_chunk(&self, qkv: &Tensor, gates: &Tensor, state: &mut DeltaState) -> Result<Tensor> {
        let (tokens, heads) = (qkv.dim(0)?, &self.heads);
        let chunk = tokens.next_power_of_two().min(CHUNK);
        let chunks = tokens.div_ceil(chunk);
        let split = self.convolve(qkv, state, chunk)?;
        state.push(qkv)?;
        // Beyond the last token nothing decays (0) and nothing is corrected (0).
        let gates = gates.pad_with_zeros(2, 0, chunks * chunk - tokens)?;
        let gates = gates.contiguous()?.reshape((2, heads.value_heads, chunks, chunk))?;
        let mixed = self.all_heads(&split, &gates, &state.recurrent()?)?;
        state.store(&mixed.memory)?;
        mixed.answers.narrow(0, 0, tokens)
    }

    /// All heads in each product: few launches, for devices that are wide.
    fn all_heads(&self, split: &SplitHeads, gates: &Tensor, memory: &Tensor) -> Result<Mixed> {
        let keyed = stacked(&split.keyed)?;
        let heads = Chunks {
            scores: self.order.expand(&scores(&keyed)?, &self.heads)?,
            keyed: self.order.expand(&keyed, &self.heads)?,
            values: split.values.clone(),
            gates: gates.clone(),
        };
        heads.mix(memory.force_contiguous()?)
    }
}

/// ln(1 + eˣ), without overflow.
fn softplus(x: &Tensor) -> Result<Tensor> {
    x.relu()? + (x.abs()?.neg()?.exp()? + 1.0)?.log()?
}

/// (heads, chunks, 2, size, key_dim) to (heads, chunks, 2 · size, key_dim): one matrix a chunk.
fn stacked(keyed: &Tensor) -> Result<Tensor> {
    let (heads, chunks, parts, size, dim) = keyed.dims5()?;
    keyed.reshape((heads, chunks, parts * size, dim))
}

/// Queries, then keys, with the keys of their chunk: (heads, chunks, 2 · size, size).
fn scores(keyed: &Tensor) -> Result<Tensor> {
    let size = keyed.dim(2)? / 2;
    keyed.matmul(&keyed.narrow(2, size, size)?.t()?)
}

/// All chunks of some heads.
struct Chunks {
    /// (heads, chunks, 2 · size, size)
    scores: Tensor,
    /// (heads, chunks, 2 · size, key_dim): queries, then keys.
    keyed: Tensor,
    /// (heads, chunks, size, value_dim)
    values: Tensor,
    /// (2, heads, chunks, size): logarithm of the decay, then β.
    gates: Tensor,
}

/// What comes of the chunks of some heads.
struct Mixed {
    /// (chunks · size, heads, value_dim)
    answers: Tensor,
    /// (heads, key_dim, value_dim)
    memory: Tensor,
}

impl Chunks {
    /// Runs the chunks in order, from `memory` (heads, key_dim, value_dim) on.
    fn mix(&self, mut memory: Tensor) -> Result<Mixed> {
        let (_, chunks, size, _) = self.values.dims4()?;
        let (log_decay, beta) = (self.gates.get(0)?, self.gates.get(1)?);
        let decay = chunk_decay(&self.scores, &log_decay, &beta)?;
        let solved = chunk_inverse(&decay.between_keys, &beta)?;
        let mut answers = Vec::with_capacity(chunks);
        for chunk in 0..chunks {
            let of = |x: &Tensor| x.narrow(1, chunk, 1)?.squeeze(1);
            let keyed = of(&self.keyed)?;
            let said = keyed.matmul(&memory)?; // (heads, 2 · size, value_dim)
            let of_keys = said.narrow(1, size, size)?;
            let start = of(&decay.from_start)?.unsqueeze(2)?;
            let missing = (of(&self.values)? - of_keys.broadcast_mul(&start)?)?;
            let corrections = of(&solved)?.matmul(&missing)?;
            let recent = of(&decay.within)?.matmul(&corrections)?;
            let asked = said.narrow(1, 0, size)?.broadcast_mul(&start)?;
            answers.push((asked + recent)?.transpose(0, 1)?);
            let kept = corrections.broadcast_mul(&of(&decay.to_end)?.unsqueeze(2)?)?;
            let learnt = keyed.narrow(1, size, size)?.transpose(1, 2)?.matmul(&kept)?;
            memory = (memory.broadcast_mul(&start.narrow(1, size - 1, 1)?)? + learnt)?;
        }
        Ok(Mixed { answers: Tensor::cat(&answers, 0)?, memory })
    }
}

#[cfg(test)]
mod tests;
