//! One row times a strip of dense weights: four sums of 16 numbers grow side by side.

use std::arch::x86_64::*;

use super::super::block::STRIP;
use super::gemv::prefetch;
use super::levels::halves;

/// The sum of weights times `x`, four columns at a time, of which `four` gives the weights, or `one` for those that
/// are left. Each of the four sums has a place known to the compiler: then it is a register, and else memory, which
/// made this loop four times slower.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn by_fours(x: &[f32], four: impl Fn(usize) -> [__m512; 4], one: impl Fn(usize) -> __m512) -> __m512 {
    let (fours, rest) = x.as_chunks::<4>();
    let mut sums = [_mm512_setzero_ps(); 4];
    for (index, x) in fours.iter().enumerate() {
        let weights = four(4 * index);
        for lane in 0..4 {
            sums[lane] = _mm512_fmadd_ps(weights[lane], _mm512_set1_ps(x[lane]), sums[lane]);
        }
    }
    for (index, x) in rest.iter().enumerate() {
        sums[0] = _mm512_fmadd_ps(one(4 * fours.len() + index), _mm512_set1_ps(*x), sums[0]);
    }
    _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3]))
}

/// # Safety
/// `x.len()` columns of 16 numbers can be read; the processor has AVX-512.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn f32s(strip: &[u8], x: &[f32]) -> __m512 {
    let at = |column: usize| strip.as_ptr().wrapping_add(column * 4 * STRIP);
    // SAFETY: by the contract.
    let one = |column: usize| unsafe { _mm512_loadu_ps(at(column).cast()) };
    let four = |column: usize| {
        prefetch(at(column), 16 * STRIP);
        [one(column), one(column + 1), one(column + 2), one(column + 3)]
    };
    by_fours(x, four, one)
}

/// # Safety
/// As [`f32s`], in f16.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn f16s(strip: &[u8], x: &[f32]) -> __m512 {
    let at = |column: usize| strip.as_ptr().wrapping_add(column * 2 * STRIP);
    // SAFETY: by the contract.
    let one = |column: usize| unsafe { halves(at(column)) };
    let four = |column: usize| {
        prefetch(at(column), 8 * STRIP);
        [one(column), one(column + 1), one(column + 2), one(column + 3)]
    };
    by_fours(x, four, one)
}

/// # Safety
/// As [`f32s`], in pairs of bf16, the last of which may be half.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn bf16s(strip: &[u8], x: &[f32]) -> __m512 {
    let at = |column: usize| strip.as_ptr().wrapping_add(column / 2 * 4 * STRIP);
    // SAFETY: by the contract.
    let pair = |column: usize| unsafe { pair(at(column)) };
    let four = |column: usize| {
        prefetch(at(column), 8 * STRIP);
        let ([a, b], [c, d]) = (pair(column), pair(column + 2));
        [a, b, c, d]
    };
    by_fours(x, four, |column| pair(column)[column % 2])
}

/// The numbers of two columns, in f32.
///
/// # Safety
/// 64 bytes can be read; the processor has AVX-512.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn pair(at: *const u8) -> [__m512; 2] {
    // SAFETY: by the contract.
    let both = unsafe { _mm512_loadu_si512(at.cast()) };
    let upper = _mm512_set1_epi32(0xffff_0000_u32 as i32);
    [_mm512_castsi512_ps(_mm512_slli_epi32::<16>(both)), _mm512_castsi512_ps(_mm512_and_si512(both, upper))]
}
