//! A few rows of 8-bit levels times two strips: up to 6 × 32 numbers grow in registers.
//!
//! For each group of 32 weights 96 dot products of 64 pairs each, and 12 × 3 instructions that bring the sums to
//! f32 and scale them: four fifths of the peak at most.

use std::arch::x86_64::*;

use super::super::activations::LevelRow;
use super::super::block::{GROUP, STRIP};
use super::super::panel::{Form, Ready};

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
    for row in x {
        assert!(row.levels.len() >= groups * GROUP && row.scales.len() >= groups);
        assert!(row.negative_sums.len() >= 2 * groups && row.scaled_sums.len() >= groups);
    }
    let parts = if matches!(form, Form::Halves(_)) { 2 * groups } else { groups };
    for strip in strips {
        assert!(strip.levels.len() >= groups * 512 && strip.scales.len() >= parts * STRIP);
        assert!(form != Form::Added || strip.added.len() >= groups * STRIP);
    }
    assert!(out.len() >= x.len());
    // SAFETY: lengths and the processor were checked.
    unsafe {
        match form {
            Form::Offset(bits) => by_size::<OFFSET>(x, bits, strips, out),
            Form::Added => by_size::<ADDED>(x, 0, strips, out),
            Form::Halves(bits) => by_size::<HALVES>(x, bits, strips, out),
        }
    }
}

/// # Safety
/// The lengths are as [`int_tile`] checks them; the processor has AVX-512 with VNNI.
unsafe fn by_size<const FORM: u8>(
    x: &[LevelRow<'_>],
    bits: u32,
    strips: &[Ready<'_>],
    out: &mut [[f32; 32]],
) {
    macro_rules! sizes {
        ($($rows:literal),*) => {
            match (x.len(), strips.len()) {
                $(
                    // SAFETY: the contract is the same.
                    ($rows, 1) => unsafe { tile::<FORM, $rows, 1>(x, bits, strips, out) },
                    // SAFETY: the contract is the same.
                    ($rows, 2) => unsafe { tile::<FORM, $rows, 2>(x, bits, strips, out) },
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
    bits: u32,
    strips: &[Ready<'_>],
    out: &mut [[f32; 32]],
) {
    let rows: [LevelRow<'_>; R] = std::array::from_fn(|row| x[row]);
    let strips: [Ready<'_>; S] = std::array::from_fn(|strip| strips[strip]);
    let mut sums = [[_mm512_setzero_ps(); S]; R];
    let shift = _mm_cvtsi32_si128(bits as i32);
    for group in 0..rows[0].scales.len() {
        // SAFETY: `group` is one of the groups, by the contract.
        unsafe {
            match FORM {
                HALVES => {
                    half_group::<R, S>(&rows, &strips, 2 * group, shift, &mut sums);
                    half_group::<R, S>(&rows, &strips, 2 * group + 1, shift, &mut sums);
                }
                ADDED => {
                    let dots = dot_group::<R, S>(&rows, &strips, group, [_mm512_setzero_si512(); R]);
                    scale::<R, S>(&rows, &strips, dots, group, group, &mut sums);
                    add::<R, S>(&rows, &strips, group, &mut sums);
                }
                _ => {
                    let first = std::array::from_fn(|row| {
                        let sums = rows[row].negative_sums.as_ptr().add(2 * group);
                        _mm512_sll_epi32(_mm512_set1_epi32(*sums + *sums.add(1)), shift)
                    });
                    let dots = dot_group::<R, S>(&rows, &strips, group, first);
                    scale::<R, S>(&rows, &strips, dots, group, group, &mut sums);
                }
            }
        }
    }
    for (out, sums) in out.iter_mut().zip(&sums) {
        for (strip, sum) in sums.iter().enumerate() {
            // SAFETY: 32 numbers, and S is at most 2.
            unsafe { _mm512_storeu_ps(out.as_mut_ptr().add(strip * STRIP), *sum) };
        }
    }
}

/// Integer dot products of a whole group.
///
/// # Safety
/// As [`by_size`]; `group` is one of the groups.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn dot_group<const R: usize, const S: usize>(
    rows: &[LevelRow<'_>; R],
    strips: &[Ready<'_>; S],
    group: usize,
    first: [__m512i; R],
) -> [[__m512i; S]; R] {
    let mut dots: [[__m512i; S]; R] = std::array::from_fn(|row| [first[row]; S]);
    for q in 0..8 {
        // SAFETY: by the contract.
        unsafe { dot_quarter::<R, S>(rows, strips, 8 * group + q, &mut dots) };
    }
    dots
}

/// Dot products of four weights: vector `at` of the strips.
///
/// # Safety
/// As [`by_size`]; `at` is one of the vectors.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn dot_quarter<const R: usize, const S: usize>(
    rows: &[LevelRow<'_>; R],
    strips: &[Ready<'_>; S],
    at: usize,
    dots: &mut [[__m512i; S]; R],
) {
    // SAFETY: by the contract.
    unsafe {
        let weights: [__m512i; S] = std::array::from_fn(|strip| {
            _mm512_loadu_si512(strips[strip].levels.as_ptr().add(64 * at).cast())
        });
        for (row, dots) in rows.iter().zip(dots) {
            let four = _mm512_set1_epi32(row.levels.as_ptr().add(4 * at).cast::<i32>().read_unaligned());
            for (dot, weights) in dots.iter_mut().zip(weights) {
                *dot = _mm512_dpbusd_epi32(*dot, weights, four);
            }
        }
    }
}

/// # Safety
/// As [`by_size`]; `half` is one of the halves of groups.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn half_group<const R: usize, const S: usize>(
    rows: &[LevelRow<'_>; R],
    strips: &[Ready<'_>; S],
    half: usize,
    shift: __m128i,
    sums: &mut [[__m512; S]; R],
) {
    // SAFETY: by the contract.
    unsafe {
        let mut dots: [[__m512i; S]; R] = std::array::from_fn(|row| {
            let negative = *rows[row].negative_sums.as_ptr().add(half);
            [_mm512_sll_epi32(_mm512_set1_epi32(negative), shift); S]
        });
        for q in 0..4 {
            dot_quarter::<R, S>(rows, strips, 4 * half + q, &mut dots);
        }
        scale::<R, S>(rows, strips, dots, half / 2, half, sums);
    }
}

/// Adds dot products, scaled, to the sums.
///
/// # Safety
/// As [`by_size`]; `group` and `part` are of those that rows and strips have.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn scale<const R: usize, const S: usize>(
    rows: &[LevelRow<'_>; R],
    strips: &[Ready<'_>; S],
    dots: [[__m512i; S]; R],
    group: usize,
    part: usize,
    sums: &mut [[__m512; S]; R],
) {
    // SAFETY: by the contract.
    unsafe {
        let scales: [__m512; S] =
            std::array::from_fn(|strip| _mm512_loadu_ps(strips[strip].scales.as_ptr().add(part * STRIP)));
        for (row, (dots, sums)) in rows.iter().zip(dots.iter().zip(sums)) {
            let of_row = _mm512_set1_ps(*row.scales.as_ptr().add(group));
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
    rows: &[LevelRow<'_>; R],
    strips: &[Ready<'_>; S],
    group: usize,
    sums: &mut [[__m512; S]; R],
) {
    // SAFETY: by the contract.
    unsafe {
        let added: [__m512; S] =
            std::array::from_fn(|strip| _mm512_loadu_ps(strips[strip].added.as_ptr().add(group * STRIP)));
        for (row, sums) in rows.iter().zip(sums) {
            let of_row = _mm512_set1_ps(*row.scaled_sums.as_ptr().add(group));
            for (sum, added) in sums.iter_mut().zip(added) {
                *sum = _mm512_fmadd_ps(added, of_row, *sum);
            }
        }
    }
}
