//! A few rows of f32 or bf16 times two strips: up to 12 × 32 numbers grow in registers.

use std::arch::x86_64::*;

use half::bf16;

use super::super::block::STRIP;
use super::super::isa::Isa;

/// Products of up to 12 rows `x`, all of one length, with one or two strips of `[column][16]` numbers; `out`
/// receives 32 numbers for each row.
///
/// # Panics
/// If there are more rows or strips, or one of them is shorter than the first row says.
pub(in super::super) fn f32_tile(x: &[&[f32]], strips: &[&[f32]], out: &mut [[f32; 32]]) {
    super::check();
    let columns = x[0].len();
    assert!(x.iter().all(|row| row.len() == columns) && out.len() >= x.len());
    assert!(strips.iter().all(|strip| strip.len() >= columns * STRIP));
    let strips: Vec<*const f32> = strips.iter().map(|strip| strip.as_ptr()).collect();
    let rows: Vec<*const f32> = x.iter().map(|row| row.as_ptr()).collect();
    // SAFETY: lengths and the processor were checked.
    unsafe { by_size::<false>(&rows, columns, &strips, out) }
}

/// As [`f32_tile`], of bf16 in strips of `[pair][16][2]`: rows have an even length.
///
/// # Panics
/// As [`f32_tile`], or if the processor has no bf16 arithmetic.
pub(in super::super) fn bf16_tile(x: &[&[bf16]], strips: &[&[bf16]], out: &mut [[f32; 32]]) {
    assert!(Isa::Avx512Bf16.is_available(), "this processor has no bf16 arithmetic");
    let columns = x[0].len();
    assert!(x.iter().all(|row| row.len() == columns) && columns.is_multiple_of(2) && out.len() >= x.len());
    assert!(strips.iter().all(|strip| strip.len() >= columns * STRIP));
    // A pair takes the place of one f32.
    let strips: Vec<*const f32> = strips.iter().map(|strip| strip.as_ptr().cast()).collect();
    let rows: Vec<*const f32> = x.iter().map(|row| row.as_ptr().cast()).collect();
    // SAFETY: lengths and the processor were checked.
    unsafe { by_size::<true>(&rows, columns / 2, &strips, out) }
}

/// # Safety
/// Rows hold `steps` words of 32 bits, strips 16 times as many, and the processor has what is asked for.
unsafe fn by_size<const PAIRS: bool>(
    x: &[*const f32],
    steps: usize,
    strips: &[*const f32],
    out: &mut [[f32; 32]],
) {
    macro_rules! sizes {
        ($($rows:literal),*) => {
            match (x.len(), strips.len(), PAIRS) {
                $(
                    // SAFETY: the contract is the same.
                    ($rows, 1, true) => unsafe { pairs::<$rows, 1>(x, steps, strips, out) },
                    // SAFETY: the contract is the same.
                    ($rows, 2, true) => unsafe { pairs::<$rows, 2>(x, steps, strips, out) },
                    // SAFETY: the contract is the same.
                    ($rows, 1, false) => unsafe { singles::<$rows, 1>(x, steps, strips, out) },
                    // SAFETY: the contract is the same.
                    ($rows, 2, false) => unsafe { singles::<$rows, 2>(x, steps, strips, out) },
                )*
                other => unreachable!("a tile of {other:?} rows and strips"),
            }
        };
    }
    sizes!(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
}

/// # Safety
/// As [`by_size`]; the processor has AVX-512.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn singles<const R: usize, const S: usize>(
    x: &[*const f32],
    steps: usize,
    strips: &[*const f32],
    out: &mut [[f32; 32]],
) {
    let rows: [*const f32; R] = std::array::from_fn(|row| x[row]);
    let strips: [*const f32; S] = std::array::from_fn(|strip| strips[strip]);
    let mut sums = [[_mm512_setzero_ps(); S]; R];
    for step in 0..steps {
        // SAFETY: `step` is one of the steps, by the contract.
        unsafe {
            let weights: [__m512; S] =
                std::array::from_fn(|strip| _mm512_loadu_ps(strips[strip].add(step * STRIP)));
            for (row, sums) in rows.iter().zip(&mut sums) {
                let number = _mm512_set1_ps(*row.add(step));
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = _mm512_fmadd_ps(weights, number, *sum);
                }
            }
        }
    }
    store(&sums, out);
}

/// # Safety
/// As [`by_size`]; the processor has AVX512BF16.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn pairs<const R: usize, const S: usize>(
    x: &[*const f32],
    steps: usize,
    strips: &[*const f32],
    out: &mut [[f32; 32]],
) {
    let rows: [*const f32; R] = std::array::from_fn(|row| x[row]);
    let strips: [*const f32; S] = std::array::from_fn(|strip| strips[strip]);
    let mut sums = [[_mm512_setzero_ps(); S]; R];
    for step in 0..steps {
        // SAFETY: `step` is one of the steps, by the contract.
        unsafe {
            let weights: [__m512i; S] =
                std::array::from_fn(|strip| _mm512_loadu_si512(strips[strip].add(step * STRIP).cast()));
            for (row, sums) in rows.iter().zip(&mut sums) {
                let pair = _mm512_set1_epi32(row.add(step).cast::<i32>().read_unaligned());
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = _mm512_dpbf16_ps(*sum, bf16s(weights), bf16s(pair));
                }
            }
        }
    }
    store(&sums, out);
}

#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn bf16s(bits: __m512i) -> __m512bh {
    // SAFETY: both are 512 bits without meaning of their own.
    unsafe { std::mem::transmute::<__m512i, __m512bh>(bits) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store<const R: usize, const S: usize>(sums: &[[__m512; S]; R], out: &mut [[f32; 32]]) {
    for (out, sums) in out.iter_mut().zip(sums) {
        for (strip, sum) in sums.iter().enumerate() {
            // SAFETY: 32 numbers, and S is at most 2.
            unsafe { _mm512_storeu_ps(out.as_mut_ptr().add(strip * STRIP), *sum) };
        }
    }
}
