//! All of a gated delta net between its projections, by the kernels of [`crate::cuda`].

use candle_core::{DType, Result};

use super::{DeltaNet, Projected};
use crate::cuda::delta_chunks::{self, Products};
use crate::cuda::delta_step::{self, DeltaMemory, DeltaShape, DeltaWeights, Order};
use crate::cuda::{self, attention_decode::Unit};
use crate::model::delta_state::{DeltaState, ValueHeadOrder};

/// Whether they serve this layer and what its projections made.
pub(super) fn applies(net: &DeltaNet, projected: &Projected) -> bool {
    cuda::serves(&projected.qkv) && net.has_cuda_kernels()
}

/// As [`DeltaNet::plain`].
pub(super) fn mix(
    net: &DeltaNet,
    projected: &Projected,
    state: &mut DeltaState,
) -> Result<candle_core::Tensor> {
    let (heads, x) = (&net.heads, &projected.qkv);
    let shape = DeltaShape {
        key_heads: heads.key_heads,
        value_heads: heads.value_heads,
        key_dim: heads.key_dim,
        value_dim: heads.value_dim,
        conv_width: heads.conv_width,
        order: match net.order {
            ValueHeadOrder::Grouped => Order::Grouped,
            ValueHeadOrder::Tiled => Order::Tiled,
        },
    };
    let Projected { qkv, gate, beta, decay } = projected;
    let projected = delta_step::Projected { qkv, gate, beta, decay };
    let DeltaNet { conv, decay_rate, decay_bias, norm, .. } = net;
    let weights = DeltaWeights { conv, decay_rate, decay_bias, norm, eps: net.eps as f32 };
    let memory = DeltaMemory { conv: state.rows(), memory: state.memory(), arrivals: state.arrivals() };
    if x.dim(0)? == 1 {
        return delta_step::step(&projected, &weights, &memory, &shape);
    }
    // f32 is asked for where every digit counts, and 16 bits where speed does.
    let products = match (x.dtype(), Unit::of(x.device(), x.dtype())?) {
        (DType::F32, _) | (_, Unit::Plain) => Products::Exact,
        (_, Unit::TensorCores) => Products::Split,
    };
    delta_chunks::mix(&projected, &weights, &memory, &shape, products)
}

impl DeltaNet {
    /// Whether kernels for cards know heads of this size.
    pub(in crate::model) fn has_cuda_kernels(&self) -> bool {
        let heads = &self.heads;
        heads.key_dim <= delta_chunks::MOST_DIM && heads.value_dim <= delta_chunks::MOST_DIM
    }
}
