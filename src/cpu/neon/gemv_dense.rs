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

/// The sum of weights times `x`, two columns at a time, or one where that is left; `pair` and `one` give the weights.
/// Both sums have a place known to the compiler: then they are in registers, and else in memory.
#[inline]
#[target_feature(enable = "neon")]
fn by_twos(x: &[f32], pair: impl Fn(usize) -> [Rows; 2], one: impl Fn(usize) -> Rows) -> Rows {
    let (twos, rest) = x.as_chunks::<2>();
    let mut sums = [[vdupq_n_f32(0.0); 4]; 2];
    for (index, x) in twos.iter().enumerate() {
        let [first, second] = pair(2 * index);
        add(&mut sums[0], first, x[0]);
        add(&mut sums[1], second, x[1]);
    }
    if let [last] = rest {
        add(&mut sums[0], one(2 * twos.len()), *last);
    }
    total(sums)
}

/// # Safety
/// `x.len()` columns of 16 numbers can be read.
#[target_feature(enable = "neon")]
pub(super) unsafe fn f32s(strip: &[u8], x: &[f32]) -> Rows {
    let one = |column: usize| {
        let at = strip.as_ptr().wrapping_add(column * 4 * STRIP).cast::<f32>();
        // SAFETY: by the contract.
        let load = |four: usize| unsafe { vld1q_f32(at.add(4 * four)) };
        [load(0), load(1), load(2), load(3)]
    };
    by_twos(x, |column| [one(column), one(column + 1)], one)
}

/// # Safety
/// As [`f32s`], in f16.
#[target_feature(enable = "neon")]
pub(super) unsafe fn f16s(strip: &[u8], x: &[f32]) -> Rows {
    // SAFETY: by the contract.
    let one = |column: usize| unsafe { halves(strip.as_ptr().add(column * 2 * STRIP)) };
    by_twos(x, |column| [one(column), one(column + 1)], one)
}

/// # Safety
/// As [`f32s`], in pairs of bf16, the last of which may be half.
#[target_feature(enable = "neon")]
pub(super) unsafe fn bf16s(strip: &[u8], x: &[f32]) -> Rows {
    // SAFETY: by the contract.
    let pair = |column: usize| unsafe { pairs(strip.as_ptr().add(column / 2 * 4 * STRIP)) };
    by_twos(x, pair, |column| pair(column)[0])
}
