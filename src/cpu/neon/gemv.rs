//! One row times a strip: 16 numbers, reading the weights once in the form in which they lie.

use std::arch::aarch64::*;

use super::super::activations::{LevelRow, Vector};
use super::super::block::{BlockType, GROUP, STRIP};
use super::super::packed::scales_at;
use super::gemv_dense::{bf16s, f16s, f32s};
use super::levels::{
    BYTES, FIVE_BITS, NIBBLES, SIX_BITS, add_dots, bytes_of, halves, levels, signed, unsigned,
};
use super::{LANES, Rows};

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
                by_form(quantized, strip.as_ptr(), strip.as_ptr().add(at), groups, row)
            }
            (_, None) => unreachable!("quantized weights are multiplied with levels"),
        }
    };
    for (out, sum) in out.chunks_exact_mut(LANES).zip(sums) {
        // SAFETY: the chunk has as many numbers as the vector.
        unsafe { vst1q_f32(out.as_mut_ptr(), sum) };
    }
    out
}

/// # Safety
/// `groups` groups of levels and their scales can be read, and `x` has as many; the processor has dot products.
#[target_feature(enable = "neon,dotprod")]
unsafe fn by_form(
    kind: BlockType,
    levels: *const u8,
    scales: *const u8,
    groups: usize,
    x: LevelRow<'_>,
) -> Rows {
    // SAFETY: the contract is the same.
    unsafe {
        match kind {
            BlockType::Q4_0 => plain::<NIBBLES, 3>(levels, scales, groups, x),
            BlockType::Q5_0 => plain::<FIVE_BITS, 4>(levels, scales, groups, x),
            // Bytes lose their offset when they are loaded.
            BlockType::Q8_0 => plain::<BYTES, 0>(levels, scales, groups, x),
            BlockType::Q4_1 => with_min::<NIBBLES>(levels, scales, groups, x),
            BlockType::Q5_1 => with_min::<FIVE_BITS>(levels, scales, groups, x),
            BlockType::Q4K => super_with_min::<NIBBLES>(levels, scales, groups / 8, x),
            BlockType::Q5K => super_with_min::<FIVE_BITS>(levels, scales, groups / 8, x),
            _ => super_of_halves(levels, scales, groups / 8, x),
        }
    }
}

/// Levels of a row that meet the two halves of `group`.
///
/// # Safety
/// `group` is one of the groups of `x`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn both_halves(x: &LevelRow<'_>, group: usize) -> [int8x16_t; 2] {
    let at = x.levels.as_ptr().wrapping_add(group * GROUP);
    // SAFETY: by the contract.
    unsafe { [vld1q_s8(at), vld1q_s8(at.add(GROUP / 2))] }
}

/// Integer dot products of `group`, begun at `first`, in f32.
///
/// # Safety
/// As [`by_form`]; `group` is one of the groups.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn whole<const FORM: u8>(at: *const u8, x: &LevelRow<'_>, group: usize, first: i32) -> Rows {
    let mut out = [vdupq_n_f32(0.0); 4];
    // SAFETY: by the contract; the fourth four rows end with the group.
    unsafe {
        let [x_low, x_high] = both_halves(x, group);
        for (four, out) in out.iter_mut().enumerate() {
            let [low, high] = levels::<FORM>(at.add(group * bytes_of(FORM) + 16 * four));
            let sum = add_dots(vdupq_n_s32(first), &low, x_low);
            *out = vcvtq_f32_s32(add_dots(sum, &high, x_high));
        }
    }
    out
}

/// Adds `numbers · factor`.
#[inline]
#[target_feature(enable = "neon")]
fn add(sums: &mut Rows, numbers: Rows, factor: f32) {
    for (sum, number) in sums.iter_mut().zip(numbers) {
        *sum = vfmaq_n_f32(*sum, number, factor);
    }
}

/// Adds `dots · scales · of_row`.
#[inline]
#[target_feature(enable = "neon")]
fn add_scaled(sums: &mut Rows, dots: Rows, scales: Rows, of_row: f32) {
    for (sum, (dot, scale)) in sums.iter_mut().zip(dots.into_iter().zip(scales)) {
        *sum = vfmaq_f32(*sum, dot, vmulq_n_f32(scale, of_row));
    }
}

/// # Safety
/// As [`by_form`].
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn plain<const FORM: u8, const OFFSET_BITS: u32>(
    at: *const u8,
    scales: *const u8,
    groups: usize,
    x: LevelRow<'_>,
) -> Rows {
    let mut sums = [vdupq_n_f32(0.0); 4];
    for group in 0..groups {
        let negative = match OFFSET_BITS {
            0 => 0,
            bits => (x.negative_sums[2 * group] + x.negative_sums[2 * group + 1]) << bits,
        };
        // SAFETY: `group` is one of the groups.
        unsafe {
            let dots = whole::<FORM>(at, &x, group, negative);
            add_scaled(&mut sums, dots, halves(scales.add(group * 2 * STRIP)), x.scales[group]);
        }
    }
    sums
}

/// # Safety
/// As [`by_form`].
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn with_min<const FORM: u8>(at: *const u8, scales: *const u8, groups: usize, x: LevelRow<'_>) -> Rows {
    let mut sums = [vdupq_n_f32(0.0); 4];
    for group in 0..groups {
        // SAFETY: `group` is one of the groups.
        unsafe {
            let record = scales.add(group * 4 * STRIP);
            add_scaled(&mut sums, whole::<FORM>(at, &x, group, 0), halves(record), x.scales[group]);
            add(&mut sums, halves(record.add(2 * STRIP)), x.scaled_sums[group]);
        }
    }
    sums
}

/// # Safety
/// As [`by_form`], with `blocks` of 8 groups.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn super_with_min<const FORM: u8>(
    at: *const u8,
    scales: *const u8,
    blocks: usize,
    x: LevelRow<'_>,
) -> Rows {
    let mut sums = [vdupq_n_f32(0.0); 4];
    for block in 0..blocks {
        let (mut scaled, mut minima) = ([vdupq_n_f32(0.0); 4], [vdupq_n_f32(0.0); 4]);
        // SAFETY: `block` is one of the blocks, and has 8 groups.
        unsafe {
            let record = scales.add(block * 20 * STRIP);
            for part in 0..8 {
                let group = 8 * block + part;
                let dots = whole::<FORM>(at, &x, group, 0);
                add_scaled(&mut scaled, dots, unsigned(record.add((4 + part) * STRIP)), x.scales[group]);
                add(&mut minima, unsigned(record.add((12 + part) * STRIP)), x.scaled_sums[group]);
            }
            let (factors, least) = (halves(record), halves(record.add(2 * STRIP)));
            for (four, sum) in sums.iter_mut().enumerate() {
                *sum = vfmaq_f32(*sum, scaled[four], factors[four]);
                *sum = vfmsq_f32(*sum, minima[four], least[four]);
            }
        }
    }
    sums
}

/// # Safety
/// As [`by_form`], with `blocks` of 8 groups.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn super_of_halves(at: *const u8, scales: *const u8, blocks: usize, x: LevelRow<'_>) -> Rows {
    let mut sums = [vdupq_n_f32(0.0); 4];
    for block in 0..blocks {
        let mut scaled = [vdupq_n_f32(0.0); 4];
        // SAFETY: `block` is one of the blocks, and has 8 groups with 16 scales for each row.
        unsafe {
            let record = scales.add(block * 18 * STRIP);
            for part in 0..8 {
                let group = 8 * block + part;
                for (half, dots) in by_halves(at, &x, group).into_iter().enumerate() {
                    let scales = signed(record.add((2 + 2 * part + half) * STRIP));
                    add_scaled(&mut scaled, dots, scales, x.scales[group]);
                }
            }
            for (sum, (scaled, factor)) in sums.iter_mut().zip(scaled.into_iter().zip(halves(record))) {
                *sum = vfmaq_f32(*sum, scaled, factor);
            }
        }
    }
    sums
}

/// Integer dot products of each half of a group of six bits, less their offset, in f32.
///
/// # Safety
/// As [`by_form`]; `group` is one of the groups.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn by_halves(at: *const u8, x: &LevelRow<'_>, group: usize) -> [Rows; 2] {
    let [first, second] = [0, 1].map(|half| vdupq_n_s32(x.negative_sums[2 * group + half] << 5));
    let mut out = [[vdupq_n_f32(0.0); 4]; 2];
    let [lows, highs] = &mut out;
    // SAFETY: by the contract; the fourth four rows end with the group.
    unsafe {
        let [x_low, x_high] = both_halves(x, group);
        for (four, (low, high)) in lows.iter_mut().zip(highs).enumerate() {
            let weights = levels::<SIX_BITS>(at.add(group * bytes_of(SIX_BITS) + 16 * four));
            *low = vcvtq_f32_s32(add_dots(first, &weights[0], x_low));
            *high = vcvtq_f32_s32(add_dots(second, &weights[1], x_high));
        }
    }
    out
}
