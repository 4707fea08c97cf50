//! Kernels for 256-bit vectors with multiply-add and f16 conversion.
//!
//! A strip of 16 rows is two vectors of eight lanes; a lane holds a row, as in the wider kernels.
//! The functions here are safe: each checks that the processor has the instructions.

#![expect(unsafe_code, reason = "instructions beyond the baseline, and loads from computed addresses")]

mod ahead;
mod dense;
mod gemv;
mod gemv_dense;
mod levels;
mod panel;
pub(super) mod peak;
mod rounding;
mod tile;

pub(super) use dense::f32_tile;
pub(super) use gemv::gemv_strip;
pub(super) use panel::{unpack, widen};
pub(super) use rounding::quantize;
pub(super) use tile::int_tile;

use std::arch::x86_64::__m256;

use super::isa::Isa;

/// Rows in one vector: half of a strip.
const LANES: usize = 8;

/// Sums of the first eight rows of a strip, and of the last.
type Sums = [__m256; 2];

/// Panics unless the kernels of this folder may run.
fn check() {
    assert!(Isa::Avx2.is_available(), "this processor has no 256-bit vectors with multiply-add");
}
