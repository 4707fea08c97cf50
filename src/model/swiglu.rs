//! `down(silu(gate x) ∘ up x)`: the dense feed-forward, and each expert of a mixture.

use candle_core::{Result, Tensor};

use super::kernels::silu_mul;
use super::linear::Linear;

/// Its three matrices.
#[derive(Clone, Debug)]
pub struct SwiGlu {
    /// (middle, hidden)
    pub gate: Linear,
    /// (middle, hidden)
    pub up: Linear,
    /// (hidden, middle)
    pub down: Linear,
}

impl SwiGlu {
    /// `x` (tokens, hidden) to the same shape.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let [gate, up] = Linear::forward_all([&self.gate, &self.up], x)?;
        self.down.forward(&silu_mul(gate, &up)?)
    }

    /// Whether kernels for cards know its matrices.
    pub(super) fn has_cuda_kernels(&self) -> bool {
        [&self.gate, &self.up, &self.down].into_iter().all(Linear::has_cuda_kernels)
    }

    /// Bytes of the weights as stored.
    pub fn bytes(&self) -> u64 {
        self.gate.bytes() + self.up.bytes() + self.down.bytes()
    }
}
