//! Kernels for 512-bit vectors with integer (VNNI) and bf16 dot products.
//!
//! A lane holds a row of the weights: 16 results grow side by side, and nothing is summed across a vector.
//! The functions here are safe: each checks that the processor has the instructions.

#![expect(unsafe_code, reason = "instructions beyond the baseline, and loads from computed addresses")]

mod dense;
mod gemv;
mod gemv_dense;
mod levels;
mod narrow;
mod panel;
pub(super) mod peak;
mod rounding;
mod tile;

pub(super) use dense::{bf16_tile, f32_tile};
pub(super) use gemv::gemv_strip;
pub(super) use narrow::{gemv_narrow, widen_pairs};
pub(super) use panel::{unpack, widen};
pub(super) use rounding::{quantize, round};
pub(super) use tile::int_tile;

use std::sync::LazyLock;

use super::isa::Isa;

/// Panics unless the kernels of this folder may run.
fn check() {
    // Asked once: it is a dozen questions, and asked for every few rows.
    static HAS: LazyLock<bool> = LazyLock::new(|| Isa::Avx512Vnni.is_available());
    assert!(*HAS, "this processor has no 512-bit integer dot products");
}
