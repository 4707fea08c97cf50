//! One row times a strip: 16 numbers, reading the weights once in the form in which they lie. What bounds it is
//! memory; the arithmetic takes less than half of the time in every form.

use std::arch::x86_64::*;

use super::super::activations::{LevelRow, Vector};
use super::super::block::{BlockType, GROUP, STRIP};
use super::super::packed::scales_at;
use super::gemv_dense;
use super::levels::{BYTES, FIVE_BITS, NIBBLES, SIX_BITS, bytes_of, halves, levels, signed, unsigned};

/// Bytes ahead of the present ones that are asked for, into the first cache: beyond what the processor fetches by
/// itself.
const NEAR: usize = 4096;

/// Bytes ahead that are asked for beforehand, since the first cache can wait for a few lines only.
const FAR: usize = 8192;

/// The products of `x` with the 16 rows of `strip`.
///
/// # Panics
/// If the strip is not one of `kind` with as many columns as `x` has numbers.
pub(in super::super) fn gemv_strip(kind: BlockType, strip: &[u8], x: Vector<'_>) -> [f32; STRIP] {
    super::check();
    let columns = x.numbers.len();
    let mut out = [0f32; STRIP];
    // SAFETY: the processor was checked here; the lengths are checked below before the addresses are used.
    let sums = unsafe {
        match (kind, x.levels) {
            (BlockType::F32, _) => {
                assert!(strip.len() >= columns * 4 * STRIP);
                gemv_dense::f32s(strip, x.numbers)
            }
            (BlockType::F16, _) => {
                assert!(strip.len() >= columns * 2 * STRIP);
                gemv_dense::f16s(strip, x.numbers)
            }
            (BlockType::BF16, _) => {
                assert!(strip.len() >= columns.next_multiple_of(2) * 2 * STRIP);
                gemv_dense::bf16s(strip, x.numbers)
            }
            (quantized, Some(row)) => {
                let (groups, record) = (columns / GROUP, quantized.scales().record());
                let at = scales_at(quantized, columns);
                assert!(strip.len() >= at + groups / record.groups * record.bytes);
                assert!(row.levels.len() >= groups * GROUP && row.scales.len() >= groups);
                assert!(row.negative_sums.len() >= 2 * groups && row.scaled_sums.len() >= groups);
                let (levels, scales) = (strip.as_ptr(), strip.as_ptr().add(at));
                by_form(quantized, levels, scales, groups, row, strip.len())
            }
            (_, None) => unreachable!("quantized weights are multiplied with levels"),
        }
    };
    // SAFETY: 16 numbers fit.
    unsafe { _mm512_storeu_ps(out.as_mut_ptr(), sums) };
    out
}

/// # Safety
/// `groups` groups of levels and their scales can be read; the processor has AVX-512 with VNNI.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn by_form(
    kind: BlockType,
    levels: *const u8,
    scales: *const u8,
    groups: usize,
    x: LevelRow<'_>,
    stride: usize,
) -> __m512 {
    // SAFETY: the contract is the same.
    unsafe {
        match kind {
            BlockType::Q4_0 => plain::<NIBBLES, 3>(levels, scales, groups, x, stride),
            BlockType::Q5_0 => plain::<FIVE_BITS, 4>(levels, scales, groups, x, stride),
            BlockType::Q8_0 => plain::<BYTES, 7>(levels, scales, groups, x, stride),
            BlockType::Q4_1 => with_min::<NIBBLES>(levels, scales, groups, x, stride),
            BlockType::Q5_1 => with_min::<FIVE_BITS>(levels, scales, groups, x, stride),
            BlockType::Q4K => super_with_min::<NIBBLES>(levels, scales, groups / 8, x, stride),
            BlockType::Q5K => super_with_min::<FIVE_BITS>(levels, scales, groups / 8, x, stride),
            _ => super_of_halves(levels, scales, groups / 8, x, stride),
        }
    }
}

/// Sum of products of the levels of one group, begun at `first` and zero.
///
/// # Safety
/// 32 levels can be read at `x`; the processor has VNNI.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn dot(weights: &[__m512i; 8], x: *const i8, first: __m512i) -> [__m512i; 2] {
    let (mut a, mut b) = (first, _mm512_setzero_si512());
    for q in 0..4 {
        // SAFETY: 4q + 4 and 16 + 4q + 4 are at most 32.
        let (low, high) = unsafe {
            (x.add(4 * q).cast::<i32>().read_unaligned(), x.add(16 + 4 * q).cast::<i32>().read_unaligned())
        };
        a = _mm512_dpbusd_epi32(a, weights[q], _mm512_set1_epi32(low));
        b = _mm512_dpbusd_epi32(b, weights[q + 4], _mm512_set1_epi32(high));
    }
    [a, b]
}

/// # Safety
/// As [`by_form`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn plain<const FORM: u8, const OFFSET_BITS: u32>(
    at: *const u8,
    scales: *const u8,
    groups: usize,
    x: LevelRow<'_>,
    stride: usize,
) -> __m512 {
    let mut sum = _mm512_setzero_ps();
    for group in 0..groups {
        // SAFETY: `group` is one of the groups.
        unsafe {
            let here = at.add(group * bytes_of(FORM));
            prefetch(here, bytes_of(FORM));
            if group % 2 == 0 {
                prefetch_scales(scales.add(group * 2 * STRIP), stride, 4 * STRIP);
            }
            let negative =
                x.negative_sums.get_unchecked(2 * group) + x.negative_sums.get_unchecked(2 * group + 1);
            let first = _mm512_slli_epi32::<OFFSET_BITS>(_mm512_set1_epi32(negative));
            let [a, b] = dot(&levels::<FORM>(here), x.levels.as_ptr().add(group * GROUP), first);
            let scale = _mm512_mul_ps(
                halves(scales.add(group * 2 * STRIP)),
                _mm512_set1_ps(*x.scales.get_unchecked(group)),
            );
            sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_add_epi32(a, b)), scale, sum);
        }
    }
    sum
}

/// # Safety
/// As [`by_form`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn with_min<const FORM: u8>(
    at: *const u8,
    scales: *const u8,
    groups: usize,
    x: LevelRow<'_>,
    stride: usize,
) -> __m512 {
    let mut sum = _mm512_setzero_ps();
    for group in 0..groups {
        // SAFETY: `group` is one of the groups.
        unsafe {
            let here = at.add(group * bytes_of(FORM));
            prefetch(here, bytes_of(FORM));
            let x_levels = x.levels.as_ptr().add(group * GROUP);
            prefetch_scales(scales.add(group * 4 * STRIP), stride, 4 * STRIP);
            let [a, b] = dot(&levels::<FORM>(here), x_levels, _mm512_setzero_si512());
            let record = scales.add(group * 4 * STRIP);
            let scale = _mm512_mul_ps(halves(record), _mm512_set1_ps(*x.scales.get_unchecked(group)));
            sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_add_epi32(a, b)), scale, sum);
            let added = halves(record.add(2 * STRIP));
            sum = _mm512_fmadd_ps(added, _mm512_set1_ps(*x.scaled_sums.get_unchecked(group)), sum);
        }
    }
    sum
}

/// # Safety
/// As [`by_form`], with `blocks` of 8 groups.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn super_with_min<const FORM: u8>(
    at: *const u8,
    scales: *const u8,
    blocks: usize,
    x: LevelRow<'_>,
    stride: usize,
) -> __m512 {
    let mut sum = _mm512_setzero_ps();
    for block in 0..blocks {
        // SAFETY: `block` is one of the blocks, and has 8 groups.
        unsafe {
            let record = scales.add(block * 20 * STRIP);
            prefetch_scales(record, stride, 20 * STRIP);
            let (mut scaled, mut minima) = (_mm512_setzero_ps(), _mm512_setzero_ps());
            for part in 0..8 {
                let group = 8 * block + part;
                let here = at.add(group * bytes_of(FORM));
                prefetch(here, bytes_of(FORM));
                let x_levels = x.levels.as_ptr().add(group * GROUP);
                let [a, b] = dot(&levels::<FORM>(here), x_levels, _mm512_setzero_si512());
                let scale = unsigned(record.add((4 + part) * STRIP));
                let scale = _mm512_mul_ps(scale, _mm512_set1_ps(*x.scales.get_unchecked(group)));
                scaled = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_add_epi32(a, b)), scale, scaled);
                let least = unsigned(record.add((12 + part) * STRIP));
                minima = _mm512_fmadd_ps(least, _mm512_set1_ps(*x.scaled_sums.get_unchecked(group)), minima);
            }
            sum = _mm512_fmadd_ps(scaled, halves(record), sum);
            sum = _mm512_fnmadd_ps(minima, halves(record.add(2 * STRIP)), sum);
        }
    }
    sum
}

/// # Safety
/// As [`by_form`], with `blocks` of 8 groups.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn super_of_halves(
    at: *const u8,
    scales: *const u8,
    blocks: usize,
    x: LevelRow<'_>,
    stride: usize,
) -> __m512 {
    let mut sum = _mm512_setzero_ps();
    for block in 0..blocks {
        // SAFETY: `block` is one of the blocks, and has 8 groups of two halves.
        unsafe {
            let record = scales.add(block * 18 * STRIP);
            prefetch_scales(record, stride, 18 * STRIP);
            let mut scaled = _mm512_setzero_ps();
            for part in 0..8 {
                let group = 8 * block + part;
                let here = at.add(group * bytes_of(SIX_BITS));
                prefetch(here, bytes_of(SIX_BITS));
                let weights = levels::<SIX_BITS>(here);
                let x_scale = _mm512_set1_ps(*x.scales.get_unchecked(group));
                for half in 0..2 {
                    let negative = _mm512_set1_epi32(*x.negative_sums.get_unchecked(2 * group + half));
                    let mut dot = _mm512_slli_epi32::<5>(negative);
                    for (q, weights) in weights.iter().enumerate().skip(4 * half).take(4) {
                        let four =
                            x.levels.as_ptr().add(group * GROUP + 4 * q).cast::<i32>().read_unaligned();
                        dot = _mm512_dpbusd_epi32(dot, *weights, _mm512_set1_epi32(four));
                    }
                    let scale = signed(record.add((2 + 2 * part + half) * STRIP));
                    scaled = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_mul_ps(scale, x_scale), scaled);
                }
            }
            sum = _mm512_fmadd_ps(scaled, halves(record), sum);
        }
    }
    sum
}

/// Asks for what will be read some groups later; addresses beyond the weights are harmless.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn prefetch(here: *const u8, bytes: usize) {
    for line in (0..bytes).step_by(64) {
        _mm_prefetch::<_MM_HINT_NTA>(here.wrapping_add(FAR + line).cast());
        _mm_prefetch::<_MM_HINT_T0>(here.wrapping_add(NEAR + line).cast());
    }
}

/// Asks for the scales of the next strip, `stride` bytes from those `here`: each strip has its own, behind its
/// levels, and the processor finds them too late by itself.
#[inline]
#[target_feature(enable = "avx512f")]
fn prefetch_scales(here: *const u8, stride: usize, bytes: usize) {
    for line in (0..bytes).step_by(64) {
        _mm_prefetch::<_MM_HINT_T0>(here.wrapping_add(stride + line).cast());
    }
}
