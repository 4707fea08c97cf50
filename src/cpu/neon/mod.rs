//! Kernels for 128-bit vectors with integer dot products: Arm.
//!
//! A strip of 16 rows is four vectors of four lanes; a lane holds a row, as in the wider kernels. A vector of
//! levels is four neighbouring weights of each of these rows, as the dot product takes them. It is signed on
//! both sides: levels of up to six bits are used as they lie, and only whole bytes lose their offset first.
//! The functions here are safe: each checks that the processor has the instructions.

#![expect(unsafe_code, reason = "instructions beyond the baseline, and loads from computed addresses")]

mod dense;
mod gemv;
mod gemv_dense;
pub(super) mod instructions;
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

use std::arch::aarch64::float32x4_t;

use super::isa::Isa;

/// Rows in one vector: a quarter of a strip.
const LANES: usize = 4;

/// A number for each of the 16 rows of a strip.
type Rows = [float32x4_t; 4];

/// Panics unless the kernels of this folder may run.
fn check() {
    assert!(Isa::Neon.is_available(), "this processor has no 128-bit vectors with dot products");
}
