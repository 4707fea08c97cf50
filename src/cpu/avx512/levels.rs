//! The levels of one group of a strip, as eight vectors of unsigned bytes: vector q holds weights 4q..4q+4.

use std::arch::x86_64::*;

/// How levels are stored.
pub(super) const BYTES: u8 = 8;
pub(super) const NIBBLES: u8 = 4;
pub(super) const FIVE_BITS: u8 = 5;
pub(super) const SIX_BITS: u8 = 6;

/// Bytes of a group.
pub(super) const fn bytes_of(form: u8) -> usize {
    match form {
        BYTES => 512,
        NIBBLES => 256,
        FIVE_BITS => 320,
        _ => 384,
    }
}

/// # Safety
/// The processor has AVX512BW, and `bytes_of(FORM)` bytes can be read at `at`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn levels<const FORM: u8>(at: *const u8) -> [__m512i; 8] {
    // SAFETY: inside the group, by the contract.
    let load = |vector: usize| unsafe { _mm512_loadu_si512(at.add(64 * vector).cast()) };
    if FORM == BYTES {
        return std::array::from_fn(load);
    }
    let low = _mm512_set1_epi8(15);
    let packed: [__m512i; 4] = std::array::from_fn(load);
    let mut out: [__m512i; 8] = std::array::from_fn(|q| match q {
        0..4 => _mm512_and_si512(packed[q], low),
        _ => _mm512_and_si512(_mm512_srli_epi16::<4>(packed[q - 4]), low),
    });
    if FORM == FIVE_BITS {
        let (high, bit) = (load(4), _mm512_set1_epi8(16));
        let placed = [
            _mm512_slli_epi16::<4>(high),
            _mm512_slli_epi16::<3>(high),
            _mm512_slli_epi16::<2>(high),
            _mm512_slli_epi16::<1>(high),
            high,
            _mm512_srli_epi16::<1>(high),
            _mm512_srli_epi16::<2>(high),
            _mm512_srli_epi16::<3>(high),
        ];
        // a | (b & c)
        out = std::array::from_fn(|q| _mm512_ternarylogic_epi32::<0xf8>(out[q], placed[q], bit));
    }
    if FORM == SIX_BITS {
        let bits = _mm512_set1_epi8(48);
        for half in 0..2 {
            let high = load(4 + half);
            let placed = [
                _mm512_slli_epi16::<4>(high),
                _mm512_slli_epi16::<2>(high),
                high,
                _mm512_srli_epi16::<2>(high),
            ];
            for (q, placed) in placed.into_iter().enumerate() {
                let q = 4 * half + q;
                out[q] = _mm512_ternarylogic_epi32::<0xf8>(out[q], placed, bits);
            }
        }
    }
    out
}

/// 16 numbers of f16 in f32.
///
/// # Safety
/// The processor has AVX512F, and 32 bytes can be read at `at`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn halves(at: *const u8) -> __m512 {
    // SAFETY: by the contract.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(at.cast()) })
}

/// 16 unsigned bytes in f32.
///
/// # Safety
/// The processor has AVX512F, and 16 bytes can be read at `at`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn unsigned(at: *const u8) -> __m512 {
    // SAFETY: by the contract.
    _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(unsafe { _mm_loadu_si128(at.cast()) }))
}

/// 16 signed bytes in f32.
///
/// # Safety
/// The processor has AVX512F, and 16 bytes can be read at `at`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn signed(at: *const u8) -> __m512 {
    // SAFETY: by the contract.
    _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(unsafe { _mm_loadu_si128(at.cast()) }))
}
