//! A few rows of f32 times strips of f32: up to 6 × 16 numbers grow in registers.

use std::arch::x86_64::*;

use super::super::block::STRIP;
use super::LANES;

/// Rows whose sums fit into registers.
const ROWS: usize = 6;

/// Products of rows `x`, all of one length, with one or two strips of `[column][16]` numbers; `out` receives 32
/// numbers for each row.
///
/// # Panics
/// If a row is not as long as the first one, a strip is shorter, or there is no room for a row.
pub(in super::super) fn f32_tile(x: &[&[f32]], strips: &[&[f32]], out: &mut [[f32; 32]]) {
    super::check();
    let columns = x[0].len();
    assert!(x.iter().all(|row| row.len() == columns) && out.len() >= x.len() && strips.len() <= 2);
    assert!(strips.iter().all(|strip| strip.len() >= columns * STRIP));
    for (index, strip) in strips.iter().enumerate() {
        for (x, out) in x.chunks(ROWS).zip(out.chunks_mut(ROWS)) {
            // SAFETY: lengths and the processor were checked.
            unsafe { by_size(x, strip, index * STRIP, out) };
        }
    }
}

/// # Safety
/// Rows are of one length, `strip` has 16 times as many numbers, `out` a place for each row and 16 numbers in
/// it from `first` on; the processor has AVX2 and FMA.
unsafe fn by_size(x: &[&[f32]], strip: &[f32], first: usize, out: &mut [[f32; 32]]) {
    // SAFETY: the contract is the same.
    unsafe {
        match x.len() {
            1 => tile::<1>(x, strip, first, out),
            2 => tile::<2>(x, strip, first, out),
            3 => tile::<3>(x, strip, first, out),
            4 => tile::<4>(x, strip, first, out),
            5 => tile::<5>(x, strip, first, out),
            _ => tile::<ROWS>(x, strip, first, out),
        }
    }
}

/// # Safety
/// As [`by_size`], with `R` rows.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tile<const R: usize>(x: &[&[f32]], strip: &[f32], first: usize, out: &mut [[f32; 32]]) {
    let rows: [*const f32; R] = std::array::from_fn(|row| x[row].as_ptr());
    let mut sums = [[_mm256_setzero_ps(); 2]; R];
    for column in 0..x[0].len() {
        // SAFETY: `column` is one of the columns, by the contract.
        unsafe {
            let at = strip.as_ptr().add(column * STRIP);
            let weights = [_mm256_loadu_ps(at), _mm256_loadu_ps(at.add(LANES))];
            for (row, sums) in rows.iter().zip(&mut sums) {
                let number = _mm256_set1_ps(*row.add(column));
                sums[0] = _mm256_fmadd_ps(weights[0], number, sums[0]);
                sums[1] = _mm256_fmadd_ps(weights[1], number, sums[1]);
            }
        }
    }
    for (out, sums) in out.iter_mut().zip(sums) {
        for (numbers, sum) in out[first..][..STRIP].chunks_exact_mut(LANES).zip(sums) {
            // SAFETY: the chunk has as many numbers as the vector.
            unsafe { _mm256_storeu_ps(numbers.as_mut_ptr(), sum) };
        }
    }
}
