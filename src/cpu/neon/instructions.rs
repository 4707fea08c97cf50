//! The two instructions for which the standard library has no stable function, written out. `vdotq_laneq_s32`
//! and `_prefetch` will take their place.

use std::arch::aarch64::{int8x16_t, int32x4_t};
use std::arch::asm;

/// `sum` plus, in each lane, the products of the four weights there with the four numbers in lane `LANE` of `x`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(super) fn dot<const LANE: usize>(sum: int32x4_t, weights: int8x16_t, x: int8x16_t) -> int32x4_t {
    const { assert!(LANE < 4, "a vector has four lanes") };
    let mut sum = sum;
    // SAFETY: the processor has the instruction, by the attribute; it reads and writes these registers only.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {weights:v}.16b, {x:v}.4b[{lane}]",
            sum = inout(vreg) sum,
            weights = in(vreg) weights,
            x = in(vreg) x,
            lane = const LANE,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// Asks for the cache line of `at`, which will be read soon; any address is harmless.
#[inline(always)]
pub(in crate::cpu) fn prefetch<T>(at: *const T) {
    // SAFETY: a hint of the base instruction set, which never faults and changes nothing.
    unsafe { asm!("prfm pldl1keep, [{at}]", at = in(reg) at, options(readonly, nostack, preserves_flags)) };
}
