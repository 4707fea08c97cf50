//! The feed-forward of a layer: dense, or a mixture of experts.

use candle_core::{Result, Tensor};

use super::experts::Experts;
use super::swiglu::SwiGlu;

/// What follows the mixer.
#[derive(Clone, Debug)]
pub enum FeedForward {
    /// The same matrices for every token.
    Dense(SwiGlu),
    /// A few of many experts for each token.
    Experts(Experts),
}

impl FeedForward {
    /// `x` (tokens, hidden) to the same shape.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Dense(dense) => dense.forward(x),
            Self::Experts(experts) => experts.forward(x),
        }
    }

    /// Whether kernels for cards know its matrices.
    pub(super) fn has_cuda_kernels(&self) -> bool {
        match self {
            Self::Dense(dense) => dense.has_cuda_kernels(),
            Self::Experts(experts) => experts.has_cuda_kernels(),
        }
    }

    /// Bytes of the weights, as stored, that one decode step reads.
    pub fn decode_bytes(&self) -> u64 {
        match self {
            Self::Dense(dense) => dense.bytes(),
            Self::Experts(experts) => experts.decode_bytes(),
        }
    }
}
