//! Loops over raw numbers, where candle has no fused operation. Safe Rust, one file a kernel,
//! each with a test against the plain form in candle's own operations.
//!
//! On CPU in f32 the fused loop runs; every other device and type takes the plain form.

mod add;
mod add_rows;
mod causal_conv;
mod causal_softmax;
mod chunk_decay;
mod chunk_inverse;
mod delta_step;
mod exp;
mod full_softmax;
mod gelu;
mod route;
mod silu_mul;
mod slices;

pub use add::add;
pub use add_rows::add_rows;
pub use causal_conv::{SplitHeads, causal_conv};
pub use causal_softmax::causal_softmax;
pub use chunk_decay::chunk_decay;
pub use chunk_inverse::chunk_inverse;
pub use delta_step::delta_step;
pub use full_softmax::full_softmax;
pub use gelu::gelu;
pub use route::{Groups, Picks, pick};
pub use silu_mul::{sigmoid_mul, silu_mul};
pub use slices::{read, write};

use candle_core::{DType, Layout, Result, Tensor};

use crate::cuda;

/// Whether the fused CPU loops apply to `x`.
pub(super) fn is_plain_f32(x: &Tensor) -> bool {
    x.device().is_cpu() && !cuda::serves(x) && x.dtype() == DType::F32 && x.is_contiguous()
}

/// The numbers of a contiguous tensor inside its storage.
fn contiguous_range(layout: &Layout) -> Result<std::ops::Range<usize>> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(start..end),
        None => candle_core::bail!("kernels work on contiguous tensors only"),
    }
}

/// The numbers of a CPU storage, which is f32 since [`is_plain_f32`] was asked first.
fn f32_slice(storage: &mut candle_core::CpuStorage) -> Result<&mut [f32]> {
    match storage {
        candle_core::CpuStorage::F32(values) => Ok(values),
        other => candle_core::bail!("kernels work on f32 only, not on {:?}", other.dtype()),
    }
}

use candle_core::backend::BackendStorage as _;
