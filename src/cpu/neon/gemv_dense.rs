//! One row times a strip of dense weights: two sums of 16 numbers grow side by side.

use std::arch::aarch64::*;

use super::super::block::STRIP;
use super::Rows;
use super::levels::halves;
use super::panel::pairs;

/// Adds `weights · x` to sums.
#[inline]
#[target_feature(enable = "neon")]
fn add(sums: &mut Rows, weights: Rows, x: f32) {
    for (sum, weights) in sums.iter_mut().zip(weights) {
        *sum = vfmaq_n_f32(*sum, weights, x);
    }
}

/// One sum of two that grew side by side.
#[inline]
#[target_feature(enable = "neon")]
fn total(sums: [Rows; 2]) -> Rows {
    let [mut sum, other] = sums;
    for (sum, other) in sum.iter_mut().zip(other) {
        *sum = vaddq_f32(*sum, other);
    }
    sum
}

/// # Safety
/// `x.len()` columns of 16 numbers can be read.
#[target_feature(enable = "neon")]
pub(super) unsafe fn f32s(strip: &[u8], x: &[f32]) -> Rows {
    let mut sums = [[vdupq_n_f32(0.0); 4]; 2];
    for (column, x) in x.iter().enumerate() {
        let at = strip.as_ptr().wrapping_add(column * 4 * STRIP).cast::<f32>();
        // SAFETY: by the contract.
        let load = |four: usize| unsafe { vld1q_f32(at.add(4 * four)) };
        add(&mut sums[column % 2], [load(0), load(1), load(2), load(3)], *x);
    }
    total(sums)
}

/// # Safety
/// As [`f32s`], in f16.
#[target_feature(enable = "neon")]
pub(super) unsafe fn f16s(strip: &[u8], x: &[f32]) -> Rows {
    let mut sums = [[vdupq_n_f32(0.0); 4]; 2];
    for (column, x) in x.iter().enumerate() {
        // SAFETY: by the contract.
        let weights = unsafe { halves(strip.as_ptr().add(column * 2 * STRIP)) };
        add(&mut sums[column % 2], weights, *x);
    }
    total(sums)
}

/// # Safety
/// As [`f32s`], in pairs of bf16, the last of which may be half.
#[target_feature(enable = "neon")]
pub(super) unsafe fn bf16s(strip: &[u8], x: &[f32]) -> Rows {
    let mut sums = [[vdupq_n_f32(0.0); 4]; 2];
    for (pair, x) in x.chunks(2).enumerate() {
        // SAFETY: by the contract.
        let [first, second] = unsafe { pairs(strip.as_ptr().add(pair * 4 * STRIP)) };
        add(&mut sums[0], first, x[0]);
        add(&mut sums[1], second, x.get(1).copied().unwrap_or(0.0));
    }
    total(sums)
}
