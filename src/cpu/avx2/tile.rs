//! A few rows of 8-bit levels times strips that are ready: up to 4 × 8 numbers grow in registers.

use std::arch::x86_64::*;

use super::super::activations::LevelRow;
use super::super::block::{GROUP, STRIP};
use super::super::panel::{Form, Ready};
use super::LANES;
use super::levels::{BYTES, FIVE_BITS, Half, SIX_BITS, dot};

/// Rows whose sums fit into registers.
const ROWS: usize = 4;

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
        assert!(form != Form::Added || strip.added.len() >= groups * STRIP);
    }
    assert!(out.len() >= x.len() && strips.len() <= 2);
    // Five or six rows are better parted in the middle.
    let together = if x.len() > ROWS { ROWS - 1 } else { ROWS };
    for (index, strip) in strips.iter().enumerate() {
        for lane in [0, LANES] {
            for (x, out) in x.chunks(together).zip(out.chunks_mut(together)) {
                // SAFETY: lengths and the processor were checked.
                unsafe { by_form(x, form, strip, index * STRIP + lane, out) };
            }
        }
    }
}

/// # Safety
/// The lengths are as [`int_tile`] checks them, there are 1 to 4 rows, and `column` is a multiple of 8 below 32;
/// the processor has AVX2 and FMA.
unsafe fn by_form(x: &[LevelRow<'_>], form: Form, strip: &Ready<'_>, column: usize, out: &mut [[f32; 32]]) {
    // SAFETY: the contract is the same.
    unsafe {
        match form {
            // Whole bytes: the product itself takes the offset off.
            Form::Offset(7) => by_size::<BYTES, false>(x, 0, strip, column, out),
            Form::Offset(bits) => by_size::<FIVE_BITS, false>(x, bits, strip, column, out),
            Form::Added => by_size::<FIVE_BITS, true>(x, 0, strip, column, out),
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
            _ => tile::<FORM, ADDED, ROWS>(x, bits, strip, column, out),
        }
    }
}

/// # Safety
/// As [`by_form`], with `R` rows.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tile<const FORM: u8, const ADDED: bool, const R: usize>(
    x: &[LevelRow<'_>],
    bits: u32,
    strip: &Ready<'_>,
    column: usize,
    out: &mut [[f32; 32]],
) {
    let rows: [LevelRow<'_>; R] = std::array::from_fn(|row| x[row]);
    let lane = column % STRIP;
    let scales = strip.scales.as_ptr().wrapping_add(lane);
    let mut sums = [_mm256_setzero_ps(); R];
    for group in 0..rows[0].scales.len() {
        // SAFETY: `group` is one of the groups, by the contract.
        unsafe {
            let [first, second] = [2 * group, 2 * group + 1];
            let mut dots = dots_of::<FORM, R>(&rows, bits, strip, first, lane);
            if FORM == SIX_BITS {
                scale(&rows, group, scales.add(first * STRIP), &dots, &mut sums);
                dots = dots_of::<FORM, R>(&rows, bits, strip, second, lane);
                scale(&rows, group, scales.add(second * STRIP), &dots, &mut sums);
            } else {
                let others = dots_of::<FORM, R>(&rows, bits, strip, second, lane);
                for (dot, other) in dots.iter_mut().zip(others) {
                    *dot = _mm256_add_epi32(*dot, other);
                }
                scale(&rows, group, scales.add(group * STRIP), &dots, &mut sums);
            }
            if ADDED {
                let added = _mm256_loadu_ps(strip.added.as_ptr().add(group * STRIP + lane));
                for (row, sum) in rows.iter().zip(&mut sums) {
                    *sum = _mm256_fmadd_ps(added, _mm256_set1_ps(*row.scaled_sums.as_ptr().add(group)), *sum);
                }
            }
        }
    }
    for (out, sum) in out.iter_mut().zip(sums) {
        // SAFETY: the slice is cut to as many numbers as the vector has.
        unsafe { _mm256_storeu_ps(out[column..][..LANES].as_mut_ptr(), sum) };
    }
}

/// Integer dot products of half a group, less what `bits` says that levels are offset by, if it says so.
///
/// # Safety
/// As [`by_form`]; `half` is half of one of the groups, `lane` is 0 or 8.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn dots_of<const FORM: u8, const R: usize>(
    rows: &[LevelRow<'_>; R],
    bits: u32,
    strip: &Ready<'_>,
    half: usize,
    lane: usize,
) -> [__m256i; R] {
    let mut dots = [_mm256_setzero_si256(); R];
    // SAFETY: by the contract.
    unsafe {
        let weights = half_of(strip, half, lane);
        for (row, dots) in rows.iter().zip(&mut dots) {
            *dots = dot::<FORM>(&weights, row.levels.as_ptr().add(16 * half));
            if bits > 0 {
                let offset = *row.negative_sums.as_ptr().add(half) << bits;
                *dots = _mm256_add_epi32(*dots, _mm256_set1_epi32(offset));
            }
        }
    }
    dots
}

/// Adds dot products, scaled, to the sums.
///
/// # Safety
/// Eight numbers can be read at `scales`, and each row has a scale for `group`; the processor has AVX2 and FMA.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn scale<const R: usize>(
    rows: &[LevelRow<'_>; R],
    group: usize,
    scales: *const f32,
    dots: &[__m256i; R],
    sums: &mut [__m256; R],
) {
    // SAFETY: by the contract.
    unsafe {
        let scales = _mm256_loadu_ps(scales);
        for (row, (dots, sum)) in rows.iter().zip(dots.iter().zip(sums)) {
            let scale = _mm256_mul_ps(scales, _mm256_set1_ps(*row.scales.as_ptr().add(group)));
            *sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(*dots), scale, *sum);
        }
    }
}

/// # Safety
/// `half` is half of one of the groups of the strip, `lane` is 0 or 8; the processor has AVX2.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn half_of(strip: &Ready<'_>, half: usize, lane: usize) -> Half {
    let at = strip.levels.as_ptr().wrapping_add(256 * half + 4 * lane);
    // SAFETY: half a group is four times 64 bytes.
    let load = |q: usize| unsafe { _mm256_loadu_si256(at.add(64 * q).cast()) };
    [load(0), load(1), load(2), load(3)]
}
