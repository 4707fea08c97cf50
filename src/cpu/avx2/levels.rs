//! The levels of one group of eight rows, unpacked, and their products with the levels of a row.

use std::arch::x86_64::*;

/// How levels are stored.
pub(super) const BYTES: u8 = 8;
pub(super) const NIBBLES: u8 = 4;
pub(super) const FIVE_BITS: u8 = 5;
pub(super) const SIX_BITS: u8 = 6;

/// Half a group of eight rows: vector q holds weights 4q..4q+4, unsigned.
pub(super) type Half = [__m256i; 4];

/// Bytes of a group of a strip.
pub(super) const fn bytes_of(form: u8) -> usize {
    match form {
        BYTES => 512,
        NIBBLES => 256,
        FIVE_BITS => 320,
        _ => 384,
    }
}

/// Both halves of the group at `at`, which is 32 bytes further for the strip's last eight rows.
///
/// # Safety
/// The processor has AVX2, and a group of `FORM` can be read at `at`, up to the end of these rows.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn levels<const FORM: u8>(at: *const u8) -> [Half; 2] {
    // SAFETY: inside the group, by the contract.
    let load = |vector: usize| unsafe { _mm256_loadu_si256(at.add(64 * vector).cast()) };
    let stored = [load(0), load(1), load(2), load(3)];
    if FORM == BYTES {
        return [stored, [load(4), load(5), load(6), load(7)]];
    }
    let low = _mm256_set1_epi8(15);
    let mut out = [stored; 2];
    out[0].iter_mut().for_each(|v| *v = _mm256_and_si256(*v, low));
    out[1].iter_mut().for_each(|v| *v = _mm256_and_si256(_mm256_srli_epi16::<4>(*v), low));
    let placed = match FORM {
        FIVE_BITS => fifth_bits(load(4)),
        SIX_BITS => [upper_bits(load(4)), upper_bits(load(5))],
        _ => return out,
    };
    for (out, placed) in out.as_flattened_mut().iter_mut().zip(placed.as_flattened()) {
        *out = _mm256_or_si256(*out, *placed);
    }
    out
}

/// Bit q of each byte as the fifth bit of weights 4q..4q+4.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn fifth_bits(high: __m256i) -> [Half; 2] {
    let bit = _mm256_set1_epi8(16);
    [
        [
            _mm256_and_si256(_mm256_slli_epi16::<4>(high), bit),
            _mm256_and_si256(_mm256_slli_epi16::<3>(high), bit),
            _mm256_and_si256(_mm256_slli_epi16::<2>(high), bit),
            _mm256_and_si256(_mm256_slli_epi16::<1>(high), bit),
        ],
        [
            _mm256_and_si256(high, bit),
            _mm256_and_si256(_mm256_srli_epi16::<1>(high), bit),
            _mm256_and_si256(_mm256_srli_epi16::<2>(high), bit),
            _mm256_and_si256(_mm256_srli_epi16::<3>(high), bit),
        ],
    ]
}

/// Bits 2q, 2q+1 of each byte as the upper bits of weights 4q..4q+4.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn upper_bits(high: __m256i) -> Half {
    let bits = _mm256_set1_epi8(48);
    [
        _mm256_and_si256(_mm256_slli_epi16::<4>(high), bits),
        _mm256_and_si256(_mm256_slli_epi16::<2>(high), bits),
        _mm256_and_si256(high, bits),
        _mm256_and_si256(_mm256_srli_epi16::<2>(high), bits),
    ]
}

/// Sums of products of half a group of weights, of the first eight rows and of the last, with 16 levels of a row: in each
/// lane those of one row of weights. From weights of whole bytes 128 is subtracted first; no other offset is.
///
/// Sums of 16 bits are widened before they could overflow: four products of 6 bits with levels up to 127 reach
/// 32004, eight of 5 bits 31496, and two of bytes down to -128 reach 32512.
///
/// # Safety
/// 16 levels from -127 to 127 can be read at `x`; the processor has AVX2.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn dots<const FORM: u8>(weights: [&Half; 2], x: *const i8) -> [__m256i; 2] {
    let ones = _mm256_set1_epi16(1);
    let (mut sums, mut pairs) = ([_mm256_setzero_si256(); 2], [_mm256_setzero_si256(); 2]);
    for (q, (left, right)) in weights[0].iter().zip(weights[1]).enumerate() {
        // SAFETY: 4q + 4 is at most 16.
        let four = _mm256_set1_epi32(unsafe { x.add(4 * q).cast::<i32>().read_unaligned() });
        for (side, weights) in [left, right].into_iter().enumerate() {
            let products = products::<FORM>(*weights, four);
            let fresh = q == 0 || FORM == BYTES || FORM == SIX_BITS && q == 2;
            pairs[side] = if fresh { products } else { _mm256_add_epi16(pairs[side], products) };
            if q == 3 || FORM == BYTES || FORM == SIX_BITS && q == 1 {
                sums[side] = _mm256_add_epi32(sums[side], _mm256_madd_epi16(pairs[side], ones));
            }
        }
    }
    sums
}

/// Products of four levels in each lane, added in pairs.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn products<const FORM: u8>(weights: __m256i, x: __m256i) -> __m256i {
    if FORM == BYTES {
        let signed = _mm256_xor_si256(weights, _mm256_set1_epi8(i8::MIN));
        return _mm256_maddubs_epi16(_mm256_abs_epi8(signed), _mm256_sign_epi8(x, signed));
    }
    _mm256_maddubs_epi16(weights, x)
}

/// 8 numbers of f16 in f32.
///
/// # Safety
/// The processor has F16C, and 16 bytes can be read at `at`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn halves(at: *const u8) -> __m256 {
    // SAFETY: by the contract.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(at.cast()) })
}

/// 8 unsigned bytes in f32.
///
/// # Safety
/// The processor has AVX2, and 8 bytes can be read at `at`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn unsigned(at: *const u8) -> __m256 {
    // SAFETY: by the contract.
    _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(unsafe { _mm_loadl_epi64(at.cast()) }))
}

/// 8 signed bytes in f32.
///
/// # Safety
/// The processor has AVX2, and 8 bytes can be read at `at`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn signed(at: *const u8) -> __m256 {
    // SAFETY: by the contract.
    _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(unsafe { _mm_loadl_epi64(at.cast()) }))
}
