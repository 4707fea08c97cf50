//! Sixteen numbers in two registers of 256 bits.

#![expect(unsafe_code, reason = "vector instructions; the type proves that the processor has them")]

use std::arch::x86_64::*;

use super::{EXP2, EXP2_LOW, HALF_MAX, Kernel, LANES, Lanes};
use crate::cpu::isa::Isa;

/// Made only where the processor has AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub struct Avx2(());

impl Avx2 {
    /// `None` where the processor lacks it.
    pub fn new() -> Option<Self> {
        Isa::Avx2.is_available().then_some(Self(()))
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn call<K: Kernel>(lanes: Avx2, kernel: K) -> K::Output {
    kernel.run(lanes)
}

// SAFETY, for each `unsafe` below: the instruction is one of AVX, AVX2, FMA or F16C, and `self` exists only
// where the processor has those; what is read or written is a whole array of 16, in halves.
impl Lanes for Avx2 {
    type V = [__m256; 2];

    const WIDE: bool = false;

    #[inline(always)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        unsafe { call(self, kernel) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        unsafe { [_mm256_set1_ps(x); 2] }
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::V {
        unsafe { [_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))] }
    }

    #[inline(always)]
    fn load_half(self, from: &[u16; LANES]) -> Self::V {
        unsafe {
            let (low, high) = (from.as_ptr().cast(), from.as_ptr().add(8).cast());
            [_mm256_cvtph_ps(_mm_loadu_si128(low)), _mm256_cvtph_ps(_mm_loadu_si128(high))]
        }
    }

    #[inline(always)]
    fn store(self, v: Self::V, to: &mut [f32; LANES]) {
        unsafe {
            _mm256_storeu_ps(to.as_mut_ptr(), v[0]);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), v[1]);
        }
    }

    #[inline(always)]
    fn store_half(self, v: Self::V, to: &mut [u16; LANES]) {
        unsafe {
            _mm_storeu_si128(to.as_mut_ptr().cast(), halves(v[0]));
            _mm_storeu_si128(to.as_mut_ptr().add(8).cast(), halves(v[1]));
        }
    }

    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn sub(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        unsafe { [_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn div(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        unsafe { [_mm256_div_ps(a[0], b[0]), _mm256_div_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn min(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        unsafe { [_mm256_min_ps(a[0], b[0]), _mm256_min_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn two_to_the(self, n: [__m256; 2]) -> [__m256; 2] {
        [two_to_the(n[0]), two_to_the(n[1])]
    }

    #[inline(always)]
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        unsafe { [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])] }
    }

    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { [_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn keep_first(self, v: Self::V, count: usize, rest: f32) -> Self::V {
        unsafe {
            let (count, rest) = (_mm256_set1_ps(count as f32), _mm256_set1_ps(rest));
            let low = _mm256_setr_ps(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0);
            let high = _mm256_add_ps(low, _mm256_set1_ps(8.0));
            [
                _mm256_blendv_ps(rest, v[0], _mm256_cmp_ps::<_CMP_LT_OQ>(low, count)),
                _mm256_blendv_ps(rest, v[1], _mm256_cmp_ps::<_CMP_LT_OQ>(high, count)),
            ]
        }
    }

    #[inline(always)]
    fn exp2(self, x: Self::V) -> Self::V {
        unsafe { [exp2(x[0]), exp2(x[1])] }
    }

    #[inline(always)]
    fn reduce_max(self, v: Self::V) -> f32 {
        unsafe {
            let both = _mm256_max_ps(v[0], v[1]);
            let four = _mm_max_ps(_mm256_castps256_ps128(both), _mm256_extractf128_ps::<1>(both));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    fn reduce_sum(self, v: Self::V) -> f32 {
        unsafe {
            let both = _mm256_add_ps(v[0], v[1]);
            let four = _mm_add_ps(_mm256_castps256_ps128(both), _mm256_extractf128_ps::<1>(both));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    fn prefetch<T>(self, at: *const T) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }

    /// Into the second cache. A first cache of 32 KiB loses such lines before they are read: attention of one token
    /// behind 4,096 read at 0.63 of a plain read then, and at 0.85 so (Zen 4).
    #[inline(always)]
    fn prefetch_far<T>(self, at: *const T) {
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn halves(v: __m256) -> __m128i {
    let low = _mm256_max_ps(_mm256_set1_ps(-HALF_MAX), v);
    _mm256_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT }>(_mm256_min_ps(_mm256_set1_ps(HALF_MAX), low))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn exp2(x: __m256) -> __m256 {
    let x = _mm256_max_ps(_mm256_set1_ps(EXP2_LOW), x);
    let n = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x);
    let f = _mm256_sub_ps(x, n);
    let mut p = _mm256_set1_ps(EXP2[0]);
    for c in &EXP2[1..] {
        p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(*c));
    }
    let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent)))
}

#[inline(always)]
fn two_to_the(n: __m256) -> __m256 {
    // Called with a value of `Avx2` at hand, as above.
    unsafe {
        let biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
        _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
    }
}
