//! Weights in 12 bits: see [`super::super::narrow`]. Six instructions bring 16 of them to f32.

use std::arch::x86_64::*;

use half::bf16;

use super::super::block::STRIP;
use super::super::narrow::{BLOCK, BLOCK_BYTES, Exception, Narrow};
use super::gemv::prefetch;

/// The exponent of f32 from which four bits count up, so that the weight with the largest of a row lies in 1..2.
const FROM: i32 = 127 - 15;

/// The products of `x` with the 16 rows of the strip.
///
/// # Panics
/// If the strip has other columns than `x` has numbers.
pub(in super::super) fn gemv_narrow(strip: &Narrow<'_>, x: &[f32]) -> [f32; STRIP] {
    super::check();
    assert!(strip.columns == x.len() && strip.blocks.len() == x.len() / BLOCK * BLOCK_BYTES);
    let mut out = [0f32; STRIP];
    // SAFETY: the processor and the lengths were checked, and 16 numbers fit.
    unsafe { _mm512_storeu_ps(out.as_mut_ptr(), gemv(strip, x)) };
    for Exception { row, column, weight } in strip.exceptions() {
        // In its place stood the least weight that four bits can say in its row.
        let scale = f32::from_bits(u32::from(strip.tops[row]) << 23);
        out[row] += (weight.to_f32() - scale * f32::from_bits((FROM as u32) << 23)) * x[column];
    }
    out
}

/// The products, with what stands in the places of exceptions.
///
/// # Safety
/// The strip has a block for each 8 numbers of `x`; the processor has AVX-512.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn gemv(strip: &Narrow<'_>, x: &[f32]) -> __m512 {
    let mut sums = [_mm512_setzero_ps(); 4];
    for (block, x) in x.as_chunks::<BLOCK>().0.iter().enumerate() {
        let at = strip.blocks.as_ptr().wrapping_add(block * BLOCK_BYTES);
        prefetch(at, BLOCK_BYTES);
        // SAFETY: `block` is one of the blocks, by the contract.
        let weights = unsafe { weights(at) };
        for lane in 0..4 {
            let weight = _mm512_castsi512_ps(weights[lane]);
            sums[lane] = _mm512_fmadd_ps(weight, _mm512_set1_ps(x[lane]), sums[lane]);
        }
        for lane in 0..4 {
            let weight = _mm512_castsi512_ps(weights[4 + lane]);
            sums[lane] = _mm512_fmadd_ps(weight, _mm512_set1_ps(x[4 + lane]), sums[lane]);
        }
    }
    let sum = _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3]));
    _mm512_mul_ps(sum, _mm512_castsi512_ps(_mm512_slli_epi32::<23>(tops(strip))))
}

/// The largest exponent of each row.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn tops(strip: &Narrow<'_>) -> __m512i {
    // SAFETY: they are 16 bytes.
    _mm512_cvtepu8_epi32(unsafe { _mm_loadu_si128(strip.tops.as_ptr().cast()) })
}

/// The weights of 8 columns as f32, whose exponents are as if the largest of each row were that of 1.
///
/// # Safety
/// A block can be read; the processor has AVX-512.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn weights(at: *const u8) -> [__m512i; BLOCK] {
    // SAFETY: a block is three vectors.
    let [first, second, four_bits] =
        [0, 64, 128].map(|byte| unsafe { _mm512_loadu_si512(at.add(byte).cast()) });
    // Sign at the top, fraction below the exponent; what lies between and below is masked out.
    let signed = |bytes: __m512i| {
        [
            _mm512_srai_epi32::<8>(_mm512_slli_epi32::<24>(bytes)),
            _mm512_srai_epi32::<8>(_mm512_slli_epi32::<16>(bytes)),
            _mm512_srai_epi32::<8>(_mm512_slli_epi32::<8>(bytes)),
            _mm512_srai_epi32::<8>(bytes),
        ]
    };
    let ([a, b, c, d], [e, f, g, h]) = (signed(first), signed(second));
    // The four bits of each column at the low end of the exponent.
    let placed = [
        _mm512_slli_epi32::<23>(four_bits),
        _mm512_slli_epi32::<19>(four_bits),
        _mm512_slli_epi32::<15>(four_bits),
        _mm512_slli_epi32::<11>(four_bits),
        _mm512_slli_epi32::<7>(four_bits),
        _mm512_slli_epi32::<3>(four_bits),
        _mm512_srli_epi32::<1>(four_bits),
        _mm512_srli_epi32::<5>(four_bits),
    ];
    let rest = _mm512_set1_epi32(0x807f_0000_u32 as i32);
    let (from, counted) = (_mm512_set1_epi32(FROM << 23), _mm512_set1_epi32(15 << 23));
    let mut out = [a, b, c, d, e, f, g, h];
    for (weight, placed) in out.iter_mut().zip(placed) {
        // a & b | c, then a | b & c
        let with_base = _mm512_ternarylogic_epi32::<0xea>(*weight, rest, from);
        *weight = _mm512_ternarylogic_epi32::<0xf8>(with_base, placed, counted);
    }
    out
}

/// All weights in 16 bits, `[pair][row][2]`; what stands in an exception's place has no meaning.
///
/// # Panics
/// If `out` is not as long as the strip has weights.
pub(in super::super) fn widen_pairs(strip: &Narrow<'_>, out: &mut [bf16]) {
    super::check();
    assert!(out.len() == strip.columns * STRIP && strip.blocks.len() == strip.columns / BLOCK * BLOCK_BYTES);
    // SAFETY: the processor and the lengths were checked.
    unsafe { pairs(strip, out) }
}

/// # Safety
/// `out` has room for 8 × 16 weights for each block of the strip; the processor has AVX-512.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn pairs(strip: &Narrow<'_>, out: &mut [bf16]) {
    let tops = tops(strip);
    let up = _mm512_slli_epi32::<23>(_mm512_sub_epi32(tops, _mm512_set1_epi32(127)));
    let some = _mm512_test_epi32_mask(tops, tops);
    for (block, out) in out.chunks_exact_mut(BLOCK * STRIP).enumerate() {
        // SAFETY: one block of weights is read, and four vectors fit into 8 × 16 numbers of 16 bits.
        unsafe {
            let weights = weights(strip.blocks.as_ptr().add(block * BLOCK_BYTES));
            for pair in 0..BLOCK / 2 {
                let even = _mm512_add_epi32(weights[2 * pair], up);
                let odd = _mm512_add_epi32(weights[2 * pair + 1], up);
                let both = _mm512_or_si512(_mm512_srli_epi32::<16>(even), odd);
                let to = out.as_mut_ptr().add(pair * 2 * STRIP);
                _mm512_storeu_si512(to.cast(), _mm512_maskz_mov_epi32(some, both));
            }
        }
    }
}
