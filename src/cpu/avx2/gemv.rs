//! One row times a strip: 16 numbers, reading the weights once in the form in which they lie.

use std::arch::x86_64::*;

use super::super::activations::{LevelRow, Vector};
use super::super::block::{BlockType, GROUP, STRIP};
use super::super::packed::scales_at;
use super::ahead::{AHEAD, SOON_USED, ask, ask_for_scales};
use super::gemv_dense::{bf16s, f16s, f32s};
use super::levels::{BYTES, FIVE_BITS, NIBBLES, SIX_BITS, bytes_of, dots, halves, levels, signed, unsigned};
use super::{LANES, Sums};

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
                f32s(strip, x.numbers)
            }
            (BlockType::F16, _) => {
                assert!(strip.len() >= columns * 2 * STRIP);
                f16s(strip, x.numbers)
            }
            (BlockType::BF16, _) => {
                assert!(strip.len() >= columns.next_multiple_of(2) * 2 * STRIP);
                bf16s(strip, x.numbers)
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
    for (out, sum) in out.chunks_exact_mut(LANES).zip(sums) {
        // SAFETY: the chunk has as many numbers as the vector.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), sum) };
    }
    out
}

/// # Safety
/// `groups` groups of levels and their scales can be read, and `x` has as many; the processor has AVX2, FMA
/// and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn by_form(
    kind: BlockType,
    levels: *const u8,
    scales: *const u8,
    groups: usize,
    x: LevelRow<'_>,
    stride: usize,
) -> Sums {
    // SAFETY: the contract is the same.
    unsafe {
        match kind {
            BlockType::Q4_0 => plain::<NIBBLES, 3>(levels, scales, groups, x, stride),
            BlockType::Q5_0 => plain::<FIVE_BITS, 4>(levels, scales, groups, x, stride),
            // The product itself takes the offset off.
            BlockType::Q8_0 => plain::<BYTES, 0>(levels, scales, groups, x, stride),
            BlockType::Q4_1 => with_min::<NIBBLES>(levels, scales, groups, x, stride),
            BlockType::Q5_1 => with_min::<FIVE_BITS>(levels, scales, groups, x, stride),
            BlockType::Q4K => super_with_min::<NIBBLES>(levels, scales, groups / 8, x, stride),
            BlockType::Q5K => super_with_min::<FIVE_BITS>(levels, scales, groups / 8, x, stride),
            _ => super_of_halves(levels, scales, groups / 8, x, stride),
        }
    }
}

/// Integer dot products of `group`, in f32 and begun at `first`: of the first eight rows, and of the last.
///
/// # Safety
/// As [`by_form`]; `group` is one of the groups.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn whole<const FORM: u8>(at: *const u8, x: &LevelRow<'_>, group: usize, first: i32) -> Sums {
    // SAFETY: the contract is the same.
    let [a, b] = unsafe { halves_of_group::<FORM>(at, x, group) };
    let first = _mm256_set1_epi32(first);
    let of = |side: usize| _mm256_add_epi32(_mm256_add_epi32(a[side], b[side]), first);
    [_mm256_cvtepi32_ps(of(0)), _mm256_cvtepi32_ps(of(1))]
}

/// Integer dot products of the halves of `group`, each of the first eight rows and of the last.
///
/// # Safety
/// As [`whole`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn halves_of_group<const FORM: u8>(
    at: *const u8,
    x: &LevelRow<'_>,
    group: usize,
) -> [[__m256i; 2]; 2] {
    // SAFETY: by the contract.
    unsafe {
        let here = at.add(group * bytes_of(FORM));
        ask(here, bytes_of(FORM), if FORM == BYTES { SOON_USED } else { AHEAD });
        let (left, right) = (levels::<FORM>(here), levels::<FORM>(here.add(4 * LANES)));
        let x = x.levels.as_ptr().add(group * GROUP);
        [dots::<FORM>([&left[0], &right[0]], x), dots::<FORM>([&left[1], &right[1]], x.add(GROUP / 2))]
    }
}

/// # Safety
/// As [`by_form`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn plain<const FORM: u8, const OFFSET_BITS: u32>(
    at: *const u8,
    scales: *const u8,
    groups: usize,
    x: LevelRow<'_>,
    stride: usize,
) -> Sums {
    let mut sums = [_mm256_setzero_ps(); 2];
    for group in 0..groups {
        let negative = match OFFSET_BITS {
            0 => 0,
            bits => (x.negative_sums[2 * group] + x.negative_sums[2 * group + 1]) << bits,
        };
        let of_row = _mm256_set1_ps(x.scales[group]);
        if group % 2 == 0 {
            ask_for_scales(scales.wrapping_add(group * 2 * STRIP), stride, 4 * STRIP);
        }
        // SAFETY: `group` is one of the groups.
        let dots = unsafe { whole::<FORM>(at, &x, group, negative) };
        for side in 0..2 {
            // SAFETY: as above.
            let scale = unsafe { halves(scales.add(2 * (group * STRIP + side * LANES))) };
            sums[side] = _mm256_fmadd_ps(dots[side], _mm256_mul_ps(scale, of_row), sums[side]);
        }
    }
    sums
}

/// # Safety
/// As [`by_form`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn with_min<const FORM: u8>(
    at: *const u8,
    scales: *const u8,
    groups: usize,
    x: LevelRow<'_>,
    stride: usize,
) -> Sums {
    let mut sums = [_mm256_setzero_ps(); 2];
    for group in 0..groups {
        let of_row = _mm256_set1_ps(x.scales[group]);
        let row_sum = _mm256_set1_ps(x.scaled_sums[group]);
        ask_for_scales(scales.wrapping_add(group * 4 * STRIP), stride, 4 * STRIP);
        // SAFETY: `group` is one of the groups.
        let dots = unsafe { whole::<FORM>(at, &x, group, 0) };
        for side in 0..2 {
            // SAFETY: as above.
            unsafe {
                let record = scales.add(group * 4 * STRIP + 2 * side * LANES);
                let scale = _mm256_mul_ps(halves(record), of_row);
                sums[side] = _mm256_fmadd_ps(dots[side], scale, sums[side]);
                sums[side] = _mm256_fmadd_ps(halves(record.add(2 * STRIP)), row_sum, sums[side]);
            }
        }
    }
    sums
}

/// # Safety
/// As [`by_form`], with `blocks` of 8 groups.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn super_with_min<const FORM: u8>(
    at: *const u8,
    scales: *const u8,
    blocks: usize,
    x: LevelRow<'_>,
    stride: usize,
) -> Sums {
    let mut sums = [_mm256_setzero_ps(); 2];
    for block in 0..blocks {
        let record = scales.wrapping_add(block * 20 * STRIP);
        ask_for_scales(record, stride, 20 * STRIP);
        let (mut scaled, mut minima) = ([_mm256_setzero_ps(); 2], [_mm256_setzero_ps(); 2]);
        for part in 0..8 {
            let group = 8 * block + part;
            let of_row = _mm256_set1_ps(x.scales[group]);
            let row_sum = _mm256_set1_ps(x.scaled_sums[group]);
            // SAFETY: `block` is one of the blocks, and has 8 groups.
            let dots = unsafe { whole::<FORM>(at, &x, group, 0) };
            for side in 0..2 {
                // SAFETY: as above.
                unsafe {
                    let lane = side * LANES;
                    let scale = _mm256_mul_ps(unsigned(record.add((4 + part) * STRIP + lane)), of_row);
                    scaled[side] = _mm256_fmadd_ps(dots[side], scale, scaled[side]);
                    let least = unsigned(record.add((12 + part) * STRIP + lane));
                    minima[side] = _mm256_fmadd_ps(least, row_sum, minima[side]);
                }
            }
        }
        for (side, sum) in sums.iter_mut().enumerate() {
            // SAFETY: `block` is one of the blocks, which begins with 2 × 16 numbers of two bytes.
            unsafe {
                let factors = record.add(2 * LANES * side);
                *sum = _mm256_fmadd_ps(scaled[side], halves(factors), *sum);
                *sum = _mm256_fnmadd_ps(minima[side], halves(factors.add(2 * STRIP)), *sum);
            }
        }
    }
    sums
}

/// # Safety
/// As [`by_form`], with `blocks` of 8 groups.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn super_of_halves(
    at: *const u8,
    scales: *const u8,
    blocks: usize,
    x: LevelRow<'_>,
    stride: usize,
) -> Sums {
    let mut sums = [_mm256_setzero_ps(); 2];
    for block in 0..blocks {
        let record = scales.wrapping_add(block * 18 * STRIP);
        ask_for_scales(record, stride, 18 * STRIP);
        let mut scaled = [_mm256_setzero_ps(); 2];
        for part in 0..8 {
            let group = 8 * block + part;
            let of_row = _mm256_set1_ps(x.scales[group]);
            // SAFETY: `block` is one of the blocks, and has 8 groups.
            let both = unsafe { halves_of_group::<SIX_BITS>(at, &x, group) };
            for (half, dots) in both.iter().enumerate() {
                let negative = _mm256_set1_epi32(x.negative_sums[2 * group + half] << 5);
                for side in 0..2 {
                    let dot = _mm256_cvtepi32_ps(_mm256_add_epi32(dots[side], negative));
                    // SAFETY: `block` is one of the blocks, which has 16 scales for each row.
                    let scale = unsafe { signed(record.add((2 + 2 * part + half) * STRIP + side * LANES)) };
                    scaled[side] = _mm256_fmadd_ps(dot, _mm256_mul_ps(scale, of_row), scaled[side]);
                }
            }
        }
        for (side, sum) in sums.iter_mut().enumerate() {
            // SAFETY: `block` is one of the blocks, which begins with 16 numbers of two bytes.
            *sum = _mm256_fmadd_ps(scaled[side], unsafe { halves(record.add(2 * LANES * side)) }, *sum);
        }
    }
    sums
}
