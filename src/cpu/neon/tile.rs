//! A few rows of 8-bit levels times strips that are ready: up to 6 × 8 numbers grow in registers.
//!
//! Each 16 weights of eight rows are loaded once for six rows of levels, and each 16 levels once: 14 loads for
//! 48 dot products.

use std::arch::aarch64::*;

use super::super::activations::LevelRow;
use super::super::block::{GROUP, STRIP};
use super::super::panel::{Form, Ready};
use super::LANES;
use super::instructions::dot;
use super::levels::{BYTES, FIVE_BITS, SIX_BITS, less_128};

/// Rows whose sums fit into registers.
const ROWS: usize = 6;

/// Rows of weights that are taken at a time.
const WIDTH: usize = 2 * LANES;

/// Numbers of eight rows of weights.
type Dots = [int32x4_t; 2];
type Sums = [float32x4_t; 2];

/// Products of rows `x` with one or two strips; `out` receives 32 numbers for each row.
///
/// # Panics
/// If a row or a strip is shorter than the first row says, or there is no room for a row.
pub(in super::super) fn int_tile(
    x: &[LevelRow<'_>],
    form: Form,
    strips: &[Ready<'_>],
    out: &mut [[f32; 32]],
) {
    super::check();
    let groups = x[0].scales.len();
    for row in x {
        assert!(row.levels.len() >= groups * GROUP && row.scales.len() >= groups);
        assert!(row.negative_sums.len() >= 2 * groups && row.scaled_sums.len() >= groups);
    }
    let parts = if matches!(form, Form::Halves(_)) { 2 * groups } else { groups };
    for strip in strips {
        assert!(strip.levels.len() >= groups * 512 && strip.scales.len() >= parts * STRIP);
        assert!(!form.is_added() || strip.added.len() >= groups * STRIP);
    }
    assert!(out.len() >= x.len() && strips.len() <= 2);
    for (index, strip) in strips.iter().enumerate() {
        for lane in [0, WIDTH] {
            for (x, out) in x.chunks(ROWS).zip(out.chunks_mut(ROWS)) {
                // SAFETY: lengths and the processor were checked.
                unsafe { by_form(x, form, strip, index * STRIP + lane, out) };
            }
        }
    }
}

/// # Safety
/// The lengths are as [`int_tile`] checks them, there are 1 to 6 rows, and `column` is a multiple of 8 below 32;
/// the processor has dot products.
unsafe fn by_form(x: &[LevelRow<'_>], form: Form, strip: &Ready<'_>, column: usize, out: &mut [[f32; 32]]) {
    // SAFETY: the contract is the same.
    unsafe {
        match form {
            // Whole bytes lose their offset when they are loaded.
            Form::Offset(7) => by_size::<BYTES, false>(x, 0, strip, column, out),
            Form::Offset(bits) => by_size::<FIVE_BITS, false>(x, bits, strip, column, out),
            Form::Added(_) => by_size::<FIVE_BITS, true>(x, 0, strip, column, out),
            Form::Halves(bits) => by_size::<SIX_BITS, false>(x, bits, strip, column, out),
        }
    }
}

/// # Safety
/// As [`by_form`].
unsafe fn by_size<const FORM: u8, const ADDED: bool>(
    x: &[LevelRow<'_>],
    bits: u32,
    strip: &Ready<'_>,
    column: usize,
    out: &mut [[f32; 32]],
) {
    // SAFETY: the contract is the same.
    unsafe {
        match x.len() {
            1 => tile::<FORM, ADDED, 1>(x, bits, strip, column, out),
            2 => tile::<FORM, ADDED, 2>(x, bits, strip, column, out),
            3 => tile::<FORM, ADDED, 3>(x, bits, strip, column, out),
            4 => tile::<FORM, ADDED, 4>(x, bits, strip, column, out),
            5 => tile::<FORM, ADDED, 5>(x, bits, strip, column, out),
            _ => tile::<FORM, ADDED, ROWS>(x, bits, strip, column, out),
        }
    }
}

/// # Safety
/// As [`by_form`], with `R` rows.
#[target_feature(enable = "neon,dotprod")]
unsafe fn tile<const FORM: u8, const ADDED: bool, const R: usize>(
    x: &[LevelRow<'_>],
    bits: u32,
    strip: &Ready<'_>,
    column: usize,
    out: &mut [[f32; 32]],
) {
    let rows: [LevelRow<'_>; R] = std::array::from_fn(|row| x[row]);
    let lane = column % STRIP;
    let levels = strip.levels.as_ptr().wrapping_add(4 * lane);
    let scales = strip.scales.as_ptr().wrapping_add(lane);
    let mut sums = [[vdupq_n_f32(0.0); 2]; R];
    for group in 0..rows[0].scales.len() {
        let [first, second] = [2 * group, 2 * group + 1];
        // SAFETY: `group` is one of the groups, by the contract.
        unsafe {
            if FORM == SIX_BITS {
                for half in [first, second] {
                    let mut dots = begun::<R>(&rows, bits, [half, half]);
                    add_half::<FORM, R>(&rows, levels, half, &mut dots);
                    scale::<R>(&rows, group, scales.add(half * STRIP), &dots, &mut sums);
                }
            } else {
                let mut dots = begun::<R>(&rows, bits, [first, second]);
                for half in [first, second] {
                    add_half::<FORM, R>(&rows, levels, half, &mut dots);
                }
                scale::<R>(&rows, group, scales.add(group * STRIP), &dots, &mut sums);
            }
            if ADDED {
                add::<R>(&rows, group, strip.added.as_ptr().add(group * STRIP + lane), &mut sums);
            }
        }
    }
    for (out, sums) in out.iter_mut().zip(sums) {
        for (numbers, sum) in out[column..][..WIDTH].chunks_exact_mut(LANES).zip(sums) {
            // SAFETY: the chunk has as many numbers as the vector.
            unsafe { vst1q_f32(numbers.as_mut_ptr(), sum) };
        }
    }
}

/// What dot products of these halves (or this half, named twice) begin at: less what `bits` says that levels
/// are offset by, if it says so.
///
/// # Safety
/// As [`by_form`]; `halves` are halves of groups.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn begun<const R: usize>(rows: &[LevelRow<'_>; R], bits: u32, halves: [usize; 2]) -> [Dots; R] {
    let mut dots = [[vdupq_n_s32(0); 2]; R];
    if bits > 0 {
        let [first, last] = halves;
        for (row, dots) in rows.iter().zip(&mut dots) {
            let sums = row.negative_sums.as_ptr();
            // SAFETY: by the contract.
            let negative =
                unsafe { if first == last { *sums.add(first) } else { *sums.add(first) + *sums.add(last) } };
            *dots = [vdupq_n_s32(negative << bits); 2];
        }
    }
    dots
}

/// Adds the products of half a group of weights with that of each row.
///
/// # Safety
/// As [`by_form`]; `half` is half of one of the groups, whose levels lie in lines of 64 bytes from `levels` on.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn add_half<const FORM: u8, const R: usize>(
    rows: &[LevelRow<'_>; R],
    levels: *const u8,
    half: usize,
    dots: &mut [Dots; R],
) {
    // SAFETY: by the contract; half a group is four lines.
    unsafe {
        let x: [int8x16_t; R] = std::array::from_fn(|row| vld1q_s8(rows[row].levels.as_ptr().add(16 * half)));
        let line = levels.add(256 * half);
        add_line::<FORM, R, 0>(line, &x, dots);
        add_line::<FORM, R, 1>(line.add(64), &x, dots);
        add_line::<FORM, R, 2>(line.add(128), &x, dots);
        add_line::<FORM, R, 3>(line.add(192), &x, dots);
    }
}

/// Adds the products of four weights of eight rows with lane `LANE` of each of `x`.
///
/// # Safety
/// 32 bytes can be read at `at`; the processor has dot products.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn add_line<const FORM: u8, const R: usize, const LANE: usize>(
    at: *const u8,
    x: &[int8x16_t; R],
    dots: &mut [Dots; R],
) {
    // SAFETY: by the contract.
    let stored = unsafe { [vld1q_u8(at), vld1q_u8(at.add(16))] };
    let weights = match FORM {
        BYTES => [less_128(stored[0]), less_128(stored[1])],
        _ => [vreinterpretq_s8_u8(stored[0]), vreinterpretq_s8_u8(stored[1])],
    };
    for (x, dots) in x.iter().zip(dots) {
        *dots = [dot::<LANE>(dots[0], weights[0], *x), dot::<LANE>(dots[1], weights[1], *x)];
    }
}

/// Adds dot products, scaled, to the sums.
///
/// # Safety
/// Eight numbers can be read at `scales`, and each row has a scale for `group`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn scale<const R: usize>(
    rows: &[LevelRow<'_>; R],
    group: usize,
    scales: *const f32,
    dots: &[Dots; R],
    sums: &mut [Sums; R],
) {
    // SAFETY: by the contract.
    unsafe {
        let scales = [vld1q_f32(scales), vld1q_f32(scales.add(LANES))];
        for (row, (dots, sums)) in rows.iter().zip(dots.iter().zip(sums)) {
            let of_row = *row.scales.as_ptr().add(group);
            for (sum, (dot, scale)) in sums.iter_mut().zip(dots.iter().zip(scales)) {
                *sum = vfmaq_f32(*sum, vcvtq_f32_s32(*dot), vmulq_n_f32(scale, of_row));
            }
        }
    }
}

/// Adds what is added to each weight of a group, times the sum of the row's numbers there.
///
/// # Safety
/// Eight numbers can be read at `added`, and each row has a sum for `group`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn add<const R: usize>(
    rows: &[LevelRow<'_>; R],
    group: usize,
    added: *const f32,
    sums: &mut [Sums; R],
) {
    // SAFETY: by the contract.
    unsafe {
        let added = [vld1q_f32(added), vld1q_f32(added.add(LANES))];
        for (row, sums) in rows.iter().zip(sums) {
            let of_row = *row.scaled_sums.as_ptr().add(group);
            for (sum, added) in sums.iter_mut().zip(added) {
                *sum = vfmaq_n_f32(*sum, added, of_row);
            }
        }
    }
}
