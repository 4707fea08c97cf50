//! One row times a strip of dense weights: four sums of 16 numbers grow side by side.

use std::arch::x86_64::*;

use super::super::block::STRIP;
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

/// # Safety
/// `x.len()` columns of 16 numbers can be read; the processor has AVX2, FMA and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn f32s(strip: &[u8], x: &[f32]) -> Sums {
    let mut sums = [[_mm256_setzero_ps(); 2]; 4];
    for (column, x) in x.iter().enumerate() {
        let at = strip.as_ptr().wrapping_add(column * 4 * STRIP);
        // SAFETY: by the contract.
        let weights = unsafe { [_mm256_loadu_ps(at.cast()), _mm256_loadu_ps(at.add(4 * LANES).cast())] };
        add(&mut sums[column % 4], weights, *x);
    }
    total(sums)
}

/// # Safety
/// As [`f32s`], in f16.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn f16s(strip: &[u8], x: &[f32]) -> Sums {
    let mut sums = [[_mm256_setzero_ps(); 2]; 4];
    for (column, x) in x.iter().enumerate() {
        let at = strip.as_ptr().wrapping_add(column * 2 * STRIP);
        // SAFETY: by the contract.
        let weights = unsafe { [halves(at), halves(at.add(2 * LANES))] };
        add(&mut sums[column % 4], weights, *x);
    }
    total(sums)
}

/// # Safety
/// As [`f32s`], in pairs of bf16, the last of which may be half.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn bf16s(strip: &[u8], x: &[f32]) -> Sums {
    let mut sums = [[_mm256_setzero_ps(); 2]; 4];
    for (pair, x) in x.chunks(2).enumerate() {
        let at = strip.as_ptr().wrapping_add(pair * 4 * STRIP);
        // SAFETY: by the contract.
        let [left, right] = unsafe { [pairs(at), pairs(at.add(4 * LANES))] };
        let even = 2 * (pair % 2);
        add(&mut sums[even], [left[0], right[0]], x[0]);
        add(&mut sums[even + 1], [left[1], right[1]], x.get(1).copied().unwrap_or(0.0));
    }
    total(sums)
}
