//! Rows of f32 to 8 bits.

use std::arch::x86_64::*;

use super::super::activations::{LevelsMut, inverse_scale};
use super::super::block::GROUP;
use super::LANES;

/// As [`super::super::activations::quantize_plainly`].
pub(in super::super) fn quantize(x: &[f32], to: &mut LevelsMut<'_>) {
    super::check();
    for (group, x) in x.as_chunks::<GROUP>().0.iter().enumerate() {
        let levels = &mut to.levels[group * GROUP..][..GROUP];
        // SAFETY: the processor was checked, and the slice is cut to one group.
        let scale = unsafe { quantize_group(x, levels.as_mut_ptr()) };
        // SAFETY: a group is two times 16 levels, and the processor was checked.
        let sums = unsafe { [sum(levels.as_ptr()), sum(levels.as_ptr().add(GROUP / 2))] };
        to.scales[group] = scale;
        to.negative_sums[2 * group] = -sums[0];
        to.negative_sums[2 * group + 1] = -sums[1];
        to.scaled_sums[group] = scale * (sums[0] + sums[1]) as f32;
    }
}

/// Writes the levels of a group, -127 to 127, and returns their scale.
///
/// # Safety
/// 32 levels can be written at `to`; the processor has AVX2.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn quantize_group(x: &[f32; GROUP], to: *mut i8) -> f32 {
    let mut four = [_mm256_setzero_ps(); 4];
    for (vector, x) in four.iter_mut().zip(x.as_chunks::<LANES>().0) {
        // SAFETY: an array as long as the vector.
        *vector = unsafe { _mm256_loadu_ps(x.as_ptr()) };
    }
    let largest = largest(&four);
    let inverse = _mm256_set1_ps(inverse_scale(largest));
    let rounded = four.map(|x| _mm256_cvtps_epi32(_mm256_mul_ps(x, inverse)));
    // Packing works within halves of a vector: the quarters are put in order afterwards.
    let ordered = |packed: __m256i| _mm256_permute4x64_epi64::<0b11_01_10_00>(packed);
    let first = ordered(_mm256_packs_epi32(rounded[0], rounded[1]));
    let second = ordered(_mm256_packs_epi32(rounded[2], rounded[3]));
    let levels = ordered(_mm256_packs_epi16(first, second));
    // What is no number becomes -128, which has no opposite.
    let levels = _mm256_max_epi8(levels, _mm256_set1_epi8(-127));
    // SAFETY: by the contract.
    unsafe { _mm256_storeu_si256(to.cast(), levels) };
    largest / 127.0
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn largest(x: &[__m256; 4]) -> f32 {
    let sign = _mm256_set1_ps(-0.0);
    let [a, b, c, d] = x.map(|x| _mm256_andnot_ps(sign, x));
    let wrong = _mm256_or_ps(_mm256_cmp_ps::<_CMP_UNORD_Q>(a, b), _mm256_cmp_ps::<_CMP_UNORD_Q>(c, d));
    if _mm256_movemask_ps(wrong) != 0 {
        return f32::NAN;
    }
    let eight = _mm256_max_ps(_mm256_max_ps(a, b), _mm256_max_ps(c, d));
    let four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
    let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps::<1>(two, two)))
}

/// Sum of 16 levels.
///
/// # Safety
/// They can be read at `at`; the processor has AVX2.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn sum(at: *const i8) -> i32 {
    // SAFETY: by the contract.
    let wide = _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(at.cast()) });
    let eight = _mm256_madd_epi16(wide, _mm256_set1_epi16(1));
    let four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256::<1>(eight));
    let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
    _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<1>(two)))
}
