//! One row times a strip of dense weights: four sums of 16 numbers grow side by side.

use std::arch::x86_64::*;

use super::super::block::STRIP;
use super::ahead::{AHEAD, ask};
use super::levels::halves;
use super::panel::pairs;
use super::{LANES, Sums};

/// Adds `weights · x` to sums.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add(sums: &mut Sums, weights: Sums, x: f32) {
    let x = _mm256_set1_ps(x);
    *sums = [_mm256_fmadd_ps(weights[0], x, sums[0]), _mm256_fmadd_ps(weights[1], x, sums[1])];
}

/// One sum of four that grew side by side.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn total(sums: [Sums; 4]) -> Sums {
    let [a, b, c, d] = sums;
    let of = |side: usize| _mm256_add_ps(_mm256_add_ps(a[side], b[side]), _mm256_add_ps(c[side], d[side]));
    [of(0), of(1)]
}

/// The sum of weights times `x`, four columns at a time, of which `four` gives the weights, or `one` for those that
/// are left. Each of the four sums has a place known to the compiler: then it is in registers, and else in memory.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn by_fours(x: &[f32], four: impl Fn(usize) -> [Sums; 4], one: impl Fn(usize) -> Sums) -> Sums {
    let (fours, rest) = x.as_chunks::<4>();
    let mut sums = [[_mm256_setzero_ps(); 2]; 4];
    for (index, x) in fours.iter().enumerate() {
        let weights = four(4 * index);
        for lane in 0..4 {
            add(&mut sums[lane], weights[lane], x[lane]);
        }
    }
    for (index, x) in rest.iter().enumerate() {
        add(&mut sums[0], one(4 * fours.len() + index), *x);
    }
    total(sums)
}

/// # Safety
/// `x.len()` columns of 16 numbers can be read; the processor has AVX2, FMA and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn f32s(strip: &[u8], x: &[f32]) -> Sums {
    let at = |column: usize| strip.as_ptr().wrapping_add(column * 4 * STRIP);
    // SAFETY: by the contract.
    let load = |at: *const u8| unsafe { _mm256_loadu_ps(at.cast()) };
    let one = |column: usize| [load(at(column)), load(at(column).wrapping_add(4 * LANES))];
    let four = |column: usize| {
        ask(at(column), 16 * STRIP, AHEAD);
        [one(column), one(column + 1), one(column + 2), one(column + 3)]
    };
    by_fours(x, four, one)
}

/// # Safety
/// As [`f32s`], in f16.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn f16s(strip: &[u8], x: &[f32]) -> Sums {
    let at = |column: usize| strip.as_ptr().wrapping_add(column * 2 * STRIP);
    // SAFETY: by the contract.
    let one = |column: usize| unsafe { [halves(at(column)), halves(at(column).wrapping_add(2 * LANES))] };
    let four = |column: usize| {
        ask(at(column), 8 * STRIP, AHEAD);
        [one(column), one(column + 1), one(column + 2), one(column + 3)]
    };
    by_fours(x, four, one)
}

/// # Safety
/// As [`f32s`], in pairs of bf16, the last of which may be half.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn bf16s(strip: &[u8], x: &[f32]) -> Sums {
    let at = |column: usize| strip.as_ptr().wrapping_add(column / 2 * 4 * STRIP);
    let pair = |column: usize| {
        // SAFETY: by the contract.
        let [left, right] = unsafe { [pairs(at(column)), pairs(at(column).wrapping_add(4 * LANES))] };
        [[left[0], right[0]], [left[1], right[1]]]
    };
    let four = |column: usize| {
        ask(at(column), 8 * STRIP, AHEAD);
        let ([a, b], [c, d]) = (pair(column), pair(column + 2));
        [a, b, c, d]
    };
    by_fours(x, four, |column| pair(column)[column % 2])
}
