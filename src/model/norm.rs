//! RMSNorm, the only one: `x / sqrt(mean(x²) + eps) · w`, accumulated in f32.

use candle_core::{Result, Tensor};

/// Normalises the last dimension.
#[derive(Clone, Debug)]
pub struct RmsNorm {
    weight: Tensor,
    eps: f32,
}

impl RmsNorm {
    /// `weight` (dim,) in the type of the activations, or in f32: then it multiplies in f32.
    pub fn new(weight: Tensor, eps: f64) -> Self {
        Self { weight, eps: eps as f32 }
    }

    /// (dim,)
    pub(super) fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// Added to the mean square.
    pub(super) fn eps(&self) -> f32 {
        self.eps
    }

    /// `x` (…, dim), contiguous, to the same shape.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if x.dtype() == self.weight.dtype() {
            return candle_nn::ops::rms_norm(x, &self.weight, self.eps);
        }
        let wide = x.to_dtype(self.weight.dtype())?;
        candle_nn::ops::rms_norm(&wide, &self.weight, self.eps)?.to_dtype(x.dtype())
    }
}
