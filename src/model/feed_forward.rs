//! The dense feed-forward: `down(silu(gate x) ∘ up x)`.

use candle_core::{Result, Tensor};

use super::kernels::silu_mul;
use super::linear::Linear;

/// Three matrices of a SwiGLU block.
#[derive(Clone, Debug)]
pub struct FeedForward {
    /// (middle, hidden)
    pub gate: Linear,
    /// (middle, hidden)
    pub up: Linear,
    /// (hidden, middle)
    pub down: Linear,
}

impl FeedForward {
    /// `x` (tokens, hidden) to the same shape.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.down.forward(&silu_mul(self.gate.forward(x)?, &self.up.forward(x)?)?)
    }

    /// Bytes of the weights as stored.
    pub fn bytes(&self) -> u64 {
        self.gate.bytes() + self.up.bytes() + self.down.bytes()
    }
}
