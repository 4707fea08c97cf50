//! Rows of f32 to 8 bits.

use std::arch::aarch64::*;

use super::super::activations::{LevelsMut, inverse_scale};
use super::super::block::GROUP;
use super::LANES;

/// As [`super::super::activations::quantize_plainly`].
pub(in super::super) fn quantize(x: &[f32], to: &mut LevelsMut<'_>) {
    super::check();
    for (group, x) in x.as_chunks::<GROUP>().0.iter().enumerate() {
        let levels = &mut to.levels[group * GROUP..][..GROUP];
        // SAFETY: the processor was checked, and the slice is cut to one group.
        let (scale, sums) = unsafe { quantize_group(x, levels.as_mut_ptr()) };
        to.scales[group] = scale;
        to.negative_sums[2 * group] = -sums[0];
        to.negative_sums[2 * group + 1] = -sums[1];
        to.scaled_sums[group] = scale * (sums[0] + sums[1]) as f32;
    }
}

/// Writes the levels of a group, -127 to 127; returns their scale, and the sums of its halves.
///
/// # Safety
/// 32 levels can be written at `to`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn quantize_group(x: &[f32; GROUP], to: *mut i8) -> (f32, [i32; 2]) {
    let mut numbers = [vdupq_n_f32(0.0); GROUP / LANES];
    for (vector, x) in numbers.iter_mut().zip(x.as_chunks::<LANES>().0) {
        // SAFETY: an array as long as the vector.
        *vector = unsafe { vld1q_f32(x.as_ptr()) };
    }
    // What is no number is the largest of all, and becomes level 0.
    let mut most = vdupq_n_f32(0.0);
    for x in numbers {
        most = vmaxq_f32(most, vabsq_f32(x));
    }
    let largest = vmaxvq_f32(most);
    let inverse = inverse_scale(largest);
    let rounded = numbers.map(|x| vcvtnq_s32_f32(vmulq_n_f32(x, inverse)));
    let mut sums = [0; 2];
    for (half, sum) in sums.iter_mut().enumerate() {
        let [a, b] = [0, 2].map(|at| {
            let (left, right) = (rounded[4 * half + at], rounded[4 * half + at + 1]);
            vqmovn_high_s32(vqmovn_s32(left), right)
        });
        let levels = vqmovn_high_s16(vqmovn_s16(a), b);
        // SAFETY: by the contract.
        unsafe { vst1q_s8(to.add(half * GROUP / 2), levels) };
        *sum = i32::from(vaddlvq_s8(levels));
    }
    (largest / 127.0, sums)
}
