//! Rows of f32 to 8 bits, and to bf16.

use std::arch::x86_64::*;

use half::bf16;

use super::super::activations::{LevelsMut, inverse_scale};
use super::super::block::GROUP;
use super::super::isa::Isa;

/// As [`super::super::activations::quantize_plainly`].
pub(in super::super) fn quantize(x: &[f32], to: &mut LevelsMut<'_>) {
    super::check();
    let groups = x.len() / GROUP;
    assert!(to.levels.len() >= groups * GROUP && to.negative_sums.len() >= 2 * groups);
    for group in 0..groups {
        // SAFETY: the processor was checked, and the slices hold that many groups.
        let (scale, sums) = unsafe {
            quantize_group(x.as_ptr().add(group * GROUP), to.levels.as_mut_ptr().add(group * GROUP))
        };
        to.scales[group] = scale;
        to.negative_sums[2 * group] = -sums[0];
        to.negative_sums[2 * group + 1] = -sums[1];
        to.scaled_sums[group] = scale * (sums[0] + sums[1]) as f32;
    }
}

/// # Safety
/// 32 numbers can be read at `x` and 32 written at `to`; the processor has AVX-512.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn quantize_group(x: *const f32, to: *mut i8) -> (f32, [i32; 2]) {
    // SAFETY: by the contract.
    let (a, b) = unsafe { (_mm512_loadu_ps(x), _mm512_loadu_ps(x.add(16))) };
    let largest = match _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, b) {
        0 => _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(a), _mm512_abs_ps(b))),
        _ => f32::NAN,
    };
    let (inverse, least) = (_mm512_set1_ps(inverse_scale(largest)), _mm512_set1_epi32(-127));
    // What is no number becomes the least of 32 bits, of which no sum may be made.
    let level = |x: __m512| _mm512_max_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(x, inverse)), least);
    let (a, b) = (level(a), level(b));
    // SAFETY: by the contract.
    unsafe {
        _mm_storeu_si128(to.cast(), _mm512_cvtsepi32_epi8(a));
        _mm_storeu_si128(to.add(16).cast(), _mm512_cvtsepi32_epi8(b));
    }
    (largest / 127.0, [_mm512_reduce_add_epi32(a), _mm512_reduce_add_epi32(b)])
}

/// Rounds to nearest, ties to even. What `x` does not reach stays as it is.
pub(in super::super) fn round(x: &[f32], to: &mut [bf16]) {
    assert!(Isa::Avx512Bf16.is_available(), "this processor has no bf16 arithmetic");
    let whole = x.len() / 16 * 16;
    assert!(to.len() >= x.len());
    for at in (0..whole).step_by(16) {
        // SAFETY: 16 numbers from `at` on lie in both slices, and the processor was checked.
        unsafe { round_16(x.as_ptr().add(at), to.as_mut_ptr().add(at)) };
    }
    to[whole..].iter_mut().zip(&x[whole..]).for_each(|(to, x)| *to = bf16::from_f32(*x));
}

/// # Safety
/// 16 numbers can be read at `x` and written at `to`; the processor has AVX512BF16.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn round_16(x: *const f32, to: *mut bf16) {
    // SAFETY: by the contract; both types of 16 x 16 bits have one representation.
    unsafe {
        let rounded: __m256i = std::mem::transmute(_mm512_cvtneps_pbh(_mm512_loadu_ps(x)));
        _mm256_storeu_si256(to.cast(), rounded);
    }
}
