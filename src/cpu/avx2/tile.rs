//! A few rows of 8-bit levels times strips that are ready: up to 6 × 16 dot products grow in registers.
//!
//! Products of unsigned with signed bytes go into sums of 16 bits, which are widened before they could overflow: after
//! eight products of bytes of 4 bits, four of 5, two of 6. Whole bytes are words here ([`Form::is_wide`]): to multiply
//! bytes that both have a sign takes three instructions of the two units that multiply, where words take two.

use std::arch::x86_64::*;
use std::hint::black_box;

use super::super::activations::LevelRow;
use super::super::block::{GROUP, STRIP};
use super::super::isa::Isa;
use super::super::panel::{Form, Ready};
use super::{LANES, Sums};

/// What dot products of the 16 rows of a strip grow in.
type Dots = [__m256i; 2];

/// How dot products are made: of bytes of so many bits, or of words.
const NIBBLES: u8 = 4;
const FIVE_BITS: u8 = 5;
const SIX_BITS: u8 = 6;
const WORDS: u8 = 16;

/// Bytes of a level.
const fn size(form: u8) -> usize {
    if form == WORDS { 2 } else { 1 }
}

/// Products of up to 6 rows `x` with one or two strips; `out` receives 32 numbers for each row.
///
/// # Panics
/// If a row or a strip is shorter than the first row says, there is no room for a row, or there are too many.
pub(in super::super) fn int_tile(
    x: &[LevelRow<'_>],
    form: Form,
    strips: &[Ready<'_>],
    out: &mut [[f32; 32]],
) {
    super::check();
    let groups = x[0].scales.len();
    let parts = if matches!(form, Form::Halves(_)) { 2 * groups } else { groups };
    for row in x {
        assert!(row.levels.len() >= groups * GROUP && row.scales.len() >= groups);
        assert!(row.scaled_sums.len() >= groups);
        match form.is_wide(Isa::Avx2) {
            true => assert!(row.words.len() >= groups * GROUP),
            false => assert!(form.is_added() || row.starts.len() >= parts),
        }
    }
    let bytes = if form.is_wide(Isa::Avx2) { 1024 } else { 512 };
    for strip in strips {
        assert!(strip.levels.len() >= groups * bytes && strip.scales.len() >= parts * STRIP);
        assert!(!form.is_added() || strip.added.len() >= groups * STRIP);
    }
    assert!(out.len() >= x.len() && strips.len() <= 2);
    for (index, strip) in strips.iter().enumerate() {
        // SAFETY: lengths and the processor were checked.
        unsafe { by_form(x, form, strip, index * STRIP, out) };
    }
}

/// # Safety
/// The lengths are as [`int_tile`] checks them, and `column` is 0 or 16; the processor has AVX2 and FMA.
unsafe fn by_form(x: &[LevelRow<'_>], form: Form, strip: &Ready<'_>, column: usize, out: &mut [[f32; 32]]) {
    // Where there are two kinds of sums at once, those of three rows fit into registers.
    let together = match form {
        Form::Offset(4) | Form::Added(1..) | Form::Halves(_) => 3,
        _ => 6,
    };
    for (x, out) in x.chunks(together).zip(out.chunks_mut(together)) {
        // SAFETY: the contract is the same.
        unsafe {
            match form {
                wide if wide.is_wide(Isa::Avx2) => by_size::<WORDS, false>(x, strip, column, out),
                Form::Offset(3) => by_size::<NIBBLES, false>(x, strip, column, out),
                Form::Offset(_) => by_size::<FIVE_BITS, false>(x, strip, column, out),
                Form::Added(0) => by_size::<NIBBLES, true>(x, strip, column, out),
                Form::Added(_) => by_size::<FIVE_BITS, true>(x, strip, column, out),
                Form::Halves(_) => by_size::<SIX_BITS, false>(x, strip, column, out),
            }
        }
    }
}

/// # Safety
/// As [`by_form`].
unsafe fn by_size<const FORM: u8, const ADDED: bool>(
    x: &[LevelRow<'_>],
    strip: &Ready<'_>,
    column: usize,
    out: &mut [[f32; 32]],
) {
    // SAFETY: the contract is the same.
    unsafe {
        match x.len() {
            1 => tile::<FORM, ADDED, 1>(x, strip, column, out),
            2 => tile::<FORM, ADDED, 2>(x, strip, column, out),
            3 => tile::<FORM, ADDED, 3>(x, strip, column, out),
            4 => tile::<FORM, ADDED, 4>(x, strip, column, out),
            5 => tile::<FORM, ADDED, 5>(x, strip, column, out),
            6 => tile::<FORM, ADDED, 6>(x, strip, column, out),
            rows => unreachable!("a tile of {rows} rows"),
        }
    }
}

/// # Safety
/// As [`by_form`], with `R` rows.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tile<const FORM: u8, const ADDED: bool, const R: usize>(
    x: &[LevelRow<'_>],
    strip: &Ready<'_>,
    column: usize,
    out: &mut [[f32; 32]],
) {
    let rows: [&LevelRow<'_>; R] = std::array::from_fn(|row| &x[row]);
    let levels: [*const u8; R] = rows.map(|row| match FORM {
        WORDS => row.words.as_ptr().cast(),
        _ => row.levels.as_ptr().cast(),
    });
    // Not known to the compiler, which would add up each sum by itself, and keep all weights in memory meanwhile.
    let (steps, folds) = match FORM {
        WORDS => (black_box(16), 1),
        NIBBLES => (black_box(8), 1),
        FIVE_BITS => (black_box(4), 2),
        _ => (2, black_box(2)),
    };
    let mut sums = [[_mm256_setzero_ps(); 2]; R];
    for group in 0..x[0].scales.len() {
        // SAFETY: `group` is one of the groups, by the contract; half of one is 256 levels of a strip and 16 of a row.
        unsafe {
            let weights = strip.levels.as_ptr().add(512 * size(FORM) * group);
            let at = GROUP * size(FORM) * group;
            if FORM == SIX_BITS {
                for half in 0..2 {
                    let weights = weights.add(256 * half);
                    let dots = dots_of::<FORM, R>(weights, &levels, at + 16 * half, steps, folds);
                    scale::<true, R>(&rows, group, 2 * group + half, strip, &dots, &mut sums);
                }
                continue;
            }
            let dots = dots_of::<FORM, R>(weights, &levels, at, steps, folds);
            if FORM == WORDS || ADDED {
                scale::<false, R>(&rows, group, group, strip, &dots, &mut sums);
            } else {
                scale::<true, R>(&rows, group, group, strip, &dots, &mut sums);
            }
            if ADDED {
                add(&rows, group, strip, &mut sums);
            }
        }
    }
    for (out, sums) in out.iter_mut().zip(sums) {
        for (numbers, sum) in out[column..][..STRIP].chunks_exact_mut(LANES).zip(sums) {
            // SAFETY: the chunk has as many numbers as the vector.
            unsafe { _mm256_storeu_ps(numbers.as_mut_ptr(), sum) };
        }
    }
}

/// Dot products of `folds` · `steps` times 16 rows of weights with each row, one step after the other; what bytes are
/// offset by is in them.
///
/// # Safety
/// For each step 64 bytes can be read at `weights`, and 4 bytes from byte `at` on of each row, whose levels are from
/// -127 to 127; the steps of a fold do not overflow 16 bits; the processor has AVX2.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn dots_of<const FORM: u8, const R: usize>(
    weights: *const u8,
    rows: &[*const u8; R],
    at: usize,
    steps: usize,
    folds: usize,
) -> [Dots; R] {
    let mut dots = [[_mm256_setzero_si256(); 2]; R];
    for fold in 0..folds {
        let mut pairs = [[_mm256_setzero_si256(); 2]; R];
        for step in fold * steps..(fold + 1) * steps {
            // SAFETY: by the contract.
            unsafe {
                let weights = weights.add(64 * step);
                let weights = [0, 32].map(|side| _mm256_loadu_si256(weights.add(side).cast()));
                for row in 0..R {
                    let x = rows[row].add(at + 4 * step).cast::<i32>();
                    let x = _mm256_set1_epi32(x.read_unaligned());
                    for side in 0..2 {
                        if FORM == WORDS {
                            let products = _mm256_madd_epi16(weights[side], x);
                            dots[row][side] = _mm256_add_epi32(dots[row][side], products);
                        } else {
                            let products = _mm256_maddubs_epi16(weights[side], x);
                            pairs[row][side] = _mm256_add_epi16(pairs[row][side], products);
                        }
                    }
                }
            }
        }
        if FORM != WORDS {
            widen(&pairs, &mut dots);
        }
    }
    dots
}

/// Moves sums of 16 bits to those of 32.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn widen<const R: usize>(pairs: &[Dots; R], dots: &mut [Dots; R]) {
    let ones = _mm256_set1_epi16(1);
    for (dots, pairs) in dots.as_flattened_mut().iter_mut().zip(pairs.as_flattened()) {
        *dots = _mm256_add_epi32(*dots, _mm256_madd_epi16(*pairs, ones));
    }
}

/// Adds dot products to the sums, scaled; where they begin elsewhere than at zero (`STARTS`), that is added first.
///
/// # Safety
/// `part` is a part of `group` of the strip and of each row; the processor has AVX2 and FMA.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn scale<const STARTS: bool, const R: usize>(
    rows: &[&LevelRow<'_>; R],
    group: usize,
    part: usize,
    strip: &Ready<'_>,
    dots: &[Dots; R],
    sums: &mut [Sums; R],
) {
    // SAFETY: by the contract.
    unsafe {
        let scales = [0, LANES].map(|lane| _mm256_loadu_ps(strip.scales.as_ptr().add(part * STRIP + lane)));
        for ((row, dots), sums) in rows.iter().zip(dots).zip(sums) {
            let of_row = _mm256_set1_ps(*row.scales.as_ptr().add(group));
            let start = if STARTS { *row.starts.as_ptr().add(part) } else { 0 };
            for side in 0..2 {
                let dot = match STARTS {
                    true => _mm256_add_epi32(dots[side], _mm256_set1_epi32(start)),
                    false => dots[side],
                };
                let scale = _mm256_mul_ps(scales[side], of_row);
                sums[side] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), scale, sums[side]);
            }
        }
    }
}

/// Adds what is added to each weight of `group`.
///
/// # Safety
/// `group` is one of the groups of the strip and of each row; the processor has AVX2 and FMA.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn add<const R: usize>(
    rows: &[&LevelRow<'_>; R],
    group: usize,
    strip: &Ready<'_>,
    sums: &mut [Sums; R],
) {
    // SAFETY: by the contract.
    unsafe {
        let added = [0, LANES].map(|lane| _mm256_loadu_ps(strip.added.as_ptr().add(group * STRIP + lane)));
        for (row, sums) in rows.iter().zip(sums) {
            let sum = _mm256_set1_ps(*row.scaled_sums.as_ptr().add(group));
            for side in 0..2 {
                sums[side] = _mm256_fmadd_ps(added[side], sum, sums[side]);
            }
        }
    }
}
