//! RMSNorm, the only one: `x / sqrt(mean(x²) + eps) · w`, accumulated in f32.

use candle_core::{Result, Tensor};

/// Normalises the last dimension.
#[derive(Clone, Debug)]
pub struct RmsNorm {
    weight: Tensor,
    eps: f32,
}

impl RmsNorm {
    /// `weight` (dim,) in the type of the activations.
    pub fn new(weight: Tensor, eps: f64) -> Self {
        Self { weight, eps: eps as f32 }
    }

    /// `x` (…, dim), contiguous, to the same shape.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        candle_nn::ops::rms_norm(x, &self.weight, self.eps)
    }
}
