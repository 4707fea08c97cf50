//! A few rows of 8-bit levels times two strips: up to 6 × 32 numbers grow in registers.
//!
//! For each group of 32 weights 96 dot products of 64 pairs each, which two of the processor's units do, and 12 × 2
//! products in f32 on the same units (12 × 3 where halves have scales): 0.80 or 0.73 of the peak at most. What else is
//! done runs beside them, but that a shift for each row did not, and is done once for all ([`LevelRow::starts`]).

use std::arch::x86_64::*;
use std::sync::atomic::{Ordering, compiler_fence};

use super::super::activations::LevelRow;
use super::super::block::{GROUP, STRIP};
use super::super::panel::{Form, Ready};

/// Where a row's numbers lie.
struct Row {
    levels: *const i8,
    scales: *const f32,
    starts: *const i32,
    scaled_sums: *const f32,
}

impl Row {
    fn of(row: &LevelRow<'_>) -> Self {
        Self {
            levels: row.levels.as_ptr(),
            scales: row.scales.as_ptr(),
            starts: row.starts.as_ptr(),
            scaled_sums: row.scaled_sums.as_ptr(),
        }
    }
}

/// Where a strip's numbers lie.
struct Strip {
    levels: *const u8,
    scales: *const f32,
    added: *const f32,
}

impl Strip {
    fn of(strip: &Ready<'_>) -> Self {
        Self { levels: strip.levels.as_ptr(), scales: strip.scales.as_ptr(), added: strip.added.as_ptr() }
    }
}

const OFFSET: u8 = 0;
const ADDED: u8 = 1;
const HALVES: u8 = 2;

/// Products of up to 6 rows `x` with one or two strips; `out` receives 32 numbers for each row.
///
/// # Panics
/// If there are more rows or strips, or one of them is shorter than the first row says.
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
        assert!(form.is_added() || row.starts.len() >= parts);
    }
    for strip in strips {
        assert!(strip.levels.len() >= groups * 512 && strip.scales.len() >= parts * STRIP);
        assert!(!form.is_added() || strip.added.len() >= groups * STRIP);
    }
    assert!(out.len() >= x.len());
    // SAFETY: lengths and the processor were checked.
    unsafe {
        match form {
            Form::Offset(_) => by_size::<OFFSET>(x, strips, out),
            Form::Added(_) => by_size::<ADDED>(x, strips, out),
            Form::Halves(_) => by_size::<HALVES>(x, strips, out),
        }
    }
}

/// # Safety
/// The lengths are as [`int_tile`] checks them; the processor has AVX-512 with VNNI.
unsafe fn by_size<const FORM: u8>(x: &[LevelRow<'_>], strips: &[Ready<'_>], out: &mut [[f32; 32]]) {
    macro_rules! sizes {
        ($($rows:literal),*) => {
            match (x.len(), strips.len()) {
                $(
                    // SAFETY: the contract is the same.
                    ($rows, 1) => unsafe { tile::<FORM, $rows, 1>(x, strips, out) },
                    // SAFETY: the contract is the same.
                    ($rows, 2) => unsafe { tile::<FORM, $rows, 2>(x, strips, out) },
                )*
                other => unreachable!("a tile of {other:?} rows and strips"),
            }
        };
    }
    sizes!(1, 2, 3, 4, 5, 6)
}

/// # Safety
/// As [`by_size`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn tile<const FORM: u8, const R: usize, const S: usize>(
    x: &[LevelRow<'_>],
    strips: &[Ready<'_>],
    out: &mut [[f32; 32]],
) {
    // Taken apart, not copied: what was just written in words cannot be read back in vectors without a wait.
    let rows: [Row; R] = std::array::from_fn(|row| Row::of(&x[row]));
    let strips: [Strip; S] = std::array::from_fn(|strip| Strip::of(&strips[strip]));
    let mut sums = [[_mm512_setzero_ps(); S]; R];
    let groups = x[0].scales.len();
    if FORM == HALVES {
        out[..R].fill([0.0; 32]);
        for group in 0..groups {
            // SAFETY: `group` is one of the groups, by the contract, which also says that `out` has R rows.
            unsafe { both_halves::<R, S>(&rows, &strips, group, out) };
        }
        return;
    }
    for group in 0..groups {
        // SAFETY: `group` is one of the groups, by the contract.
        unsafe { whole_group::<FORM, R, S>(&rows, &strips, group, &mut sums) };
    }
    for (out, sums) in out.iter_mut().zip(&sums) {
        for (strip, sum) in sums.iter().enumerate() {
            // SAFETY: 32 numbers, and S is at most 2.
            unsafe { _mm512_storeu_ps(out.as_mut_ptr().add(strip * STRIP), *sum) };
        }
    }
}

/// # Safety
/// As [`by_size`]; `group` is one of the groups.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn whole_group<const FORM: u8, const R: usize, const S: usize>(
    rows: &[Row; R],
    strips: &[Strip; S],
    group: usize,
    sums: &mut [[__m512; S]; R],
) {
    // SAFETY: by the contract.
    unsafe {
        let mut dots: [[__m512i; S]; R] = std::array::from_fn(|row| match FORM {
            ADDED => [_mm512_setzero_si512(); S],
            _ => [_mm512_set1_epi32(*rows[row].starts.add(group)); S],
        });
        for q in 0..8 {
            dot_quarter::<R, S>(rows, strips, 8 * group + q, &mut dots);
        }
        scale::<R, S>(rows, strips, dots, group, group, sums);
        if FORM == ADDED {
            add::<R, S>(rows, strips, group, sums);
        }
    }
}

/// A group with a scale for each half, added to `out`. The halves are put together before they meet the row's
/// scale, which they share: three instructions a sum where [`scale`] for each would be four.
///
/// # Safety
/// As [`by_size`]; `group` is one of the groups.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn both_halves<const R: usize, const S: usize>(
    rows: &[Row; R],
    strips: &[Strip; S],
    group: usize,
    out: &mut [[f32; 32]],
) {
    let mut both = [[_mm512_setzero_ps(); S]; R];
    for half in 2 * group..2 * group + 2 {
        // SAFETY: by the contract.
        unsafe {
            let mut dots: [[__m512i; S]; R] =
                std::array::from_fn(|row| [_mm512_set1_epi32(*rows[row].starts.add(half)); S]);
            for q in 0..4 {
                dot_quarter::<R, S>(rows, strips, 4 * half + q, &mut dots);
            }
            let scales: [__m512; S] =
                std::array::from_fn(|strip| _mm512_loadu_ps(strips[strip].scales.add(half * STRIP)));
            for (dots, both) in dots.iter().zip(&mut both) {
                for (strip, both) in both.iter_mut().enumerate() {
                    *both = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[strip]), scales[strip], *both);
                }
            }
        }
    }
    // Registers cannot hold `out` as well. The compiler would try, and put them on the stack, across cache lines; this
    // makes it leave them where they are.
    compiler_fence(Ordering::SeqCst);
    for (row, both) in both.iter().enumerate() {
        // SAFETY: by the contract.
        unsafe {
            let of_row = _mm512_set1_ps(*rows[row].scales.add(group));
            for (strip, both) in both.iter().enumerate() {
                let sum = out.as_mut_ptr().cast::<f32>().add((row * 2 + strip) * STRIP);
                _mm512_storeu_ps(sum, _mm512_fmadd_ps(*both, of_row, _mm512_loadu_ps(sum)));
            }
        }
    }
}

/// Dot products of four weights: vector `at` of the strips.
///
/// # Safety
/// As [`by_size`]; `at` is one of the vectors.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn dot_quarter<const R: usize, const S: usize>(
    rows: &[Row; R],
    strips: &[Strip; S],
    at: usize,
    dots: &mut [[__m512i; S]; R],
) {
    // SAFETY: by the contract.
    unsafe {
        let weights: [__m512i; S] =
            std::array::from_fn(|strip| _mm512_loadu_si512(strips[strip].levels.add(64 * at).cast()));
        for (row, dots) in rows.iter().zip(dots) {
            let four = _mm512_set1_epi32(row.levels.add(4 * at).cast::<i32>().read_unaligned());
            for (dot, weights) in dots.iter_mut().zip(weights) {
                *dot = _mm512_dpbusd_epi32(*dot, weights, four);
            }
        }
    }
}

/// Adds dot products, scaled, to the sums.
///
/// # Safety
/// As [`by_size`]; `group` and `part` are of those that rows and strips have.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn scale<const R: usize, const S: usize>(
    rows: &[Row; R],
    strips: &[Strip; S],
    dots: [[__m512i; S]; R],
    group: usize,
    part: usize,
    sums: &mut [[__m512; S]; R],
) {
    // SAFETY: by the contract.
    unsafe {
        let scales: [__m512; S] =
            std::array::from_fn(|strip| _mm512_loadu_ps(strips[strip].scales.add(part * STRIP)));
        for (row, (dots, sums)) in rows.iter().zip(dots.iter().zip(sums)) {
            let of_row = _mm512_set1_ps(*row.scales.add(group));
            for (strip, sum) in sums.iter_mut().enumerate() {
                let scale = _mm512_mul_ps(scales[strip], of_row);
                *sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[strip]), scale, *sum);
            }
        }
    }
}

/// Adds what is added to each weight of a group, times the sum of the row's numbers there.
///
/// # Safety
/// As [`by_size`]; `group` is one of the groups.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn add<const R: usize, const S: usize>(
    rows: &[Row; R],
    strips: &[Strip; S],
    group: usize,
    sums: &mut [[__m512; S]; R],
) {
    // SAFETY: by the contract.
    unsafe {
        let added: [__m512; S] =
            std::array::from_fn(|strip| _mm512_loadu_ps(strips[strip].added.add(group * STRIP)));
        for (row, sums) in rows.iter().zip(sums) {
            let of_row = _mm512_set1_ps(*row.scaled_sums.add(group));
            for (sum, added) in sums.iter_mut().zip(added) {
                *sum = _mm512_fmadd_ps(added, of_row, *sum);
            }
        }
    }
}
