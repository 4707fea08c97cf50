//! A few rows of f32 times strips of f32: up to 4 × 16 numbers grow in registers.

use std::arch::aarch64::*;

use super::super::block::STRIP;
use super::{LANES, Rows};

/// Rows whose sums fit into registers, with four numbers of each row and a column of weights.
const ROWS: usize = 4;

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
/// it from `first` on.
unsafe fn by_size(x: &[&[f32]], strip: &[f32], first: usize, out: &mut [[f32; 32]]) {
    // SAFETY: the contract is the same.
    unsafe {
        match x.len() {
            1 => tile::<1>(x, strip, first, out),
            2 => tile::<2>(x, strip, first, out),
            3 => tile::<3>(x, strip, first, out),
            _ => tile::<ROWS>(x, strip, first, out),
        }
    }
}

/// # Safety
/// As [`by_size`], with `R` rows.
#[target_feature(enable = "neon")]
unsafe fn tile<const R: usize>(x: &[&[f32]], strip: &[f32], first: usize, out: &mut [[f32; 32]]) {
    let rows: [*const f32; R] = std::array::from_fn(|row| x[row].as_ptr());
    let columns = x[0].len();
    let whole = columns - columns % LANES;
    let mut sums = [[vdupq_n_f32(0.0); 4]; R];
    // SAFETY: each `column` is one of the columns, and so are three more below `whole`, by the contract.
    unsafe {
        for column in (0..whole).step_by(LANES) {
            let four: [float32x4_t; R] = std::array::from_fn(|row| vld1q_f32(rows[row].add(column)));
            let at = strip.as_ptr().add(column * STRIP);
            add::<R, 0>(at, &four, &mut sums);
            add::<R, 1>(at.add(STRIP), &four, &mut sums);
            add::<R, 2>(at.add(2 * STRIP), &four, &mut sums);
            add::<R, 3>(at.add(3 * STRIP), &four, &mut sums);
        }
        for column in whole..columns {
            let one: [float32x4_t; R] = std::array::from_fn(|row| vdupq_n_f32(*rows[row].add(column)));
            add::<R, 0>(strip.as_ptr().add(column * STRIP), &one, &mut sums);
        }
    }
    for (out, sums) in out.iter_mut().zip(sums) {
        for (numbers, sum) in out[first..][..STRIP].chunks_exact_mut(LANES).zip(sums) {
            // SAFETY: the chunk has as many numbers as the vector.
            unsafe { vst1q_f32(numbers.as_mut_ptr(), sum) };
        }
    }
}

/// Adds a column of weights times lane `LANE` of each row's numbers.
///
/// # Safety
/// 16 numbers can be read at `at`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn add<const R: usize, const LANE: i32>(at: *const f32, x: &[float32x4_t; R], sums: &mut [Rows; R]) {
    // SAFETY: by the contract.
    let load = |four: usize| unsafe { vld1q_f32(at.add(LANES * four)) };
    let weights = [load(0), load(1), load(2), load(3)];
    for (x, sums) in x.iter().zip(sums) {
        for (sum, weights) in sums.iter_mut().zip(weights) {
            *sum = vfmaq_laneq_f32::<LANE>(*sum, weights, *x);
        }
    }
}
