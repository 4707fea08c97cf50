//! Lines of weights are asked for before they are read: the processor finds them too late by itself.

use std::arch::x86_64::*;

/// How many bytes ahead of the present ones: into the first cache, and beforehand into the second, since the first can
/// wait for a few lines only.
pub(super) struct Ahead {
    near: usize,
    far: usize,
}

/// Weights that keep the processor busy for long.
pub(super) const AHEAD: Ahead = Ahead { near: 4096, far: 8192 };

/// Whole bytes, of which most are used up in the same time.
pub(super) const SOON_USED: Ahead = Ahead { near: 2048, far: 12_288 };

/// Asks for as many bytes, so far ahead; addresses beyond the weights are harmless.
#[inline]
pub(super) fn ask(here: *const u8, bytes: usize, ahead: Ahead) {
    for line in (0..bytes).step_by(64) {
        // SAFETY: asking for an address never faults, and each processor that runs this can ask.
        unsafe {
            _mm_prefetch::<_MM_HINT_T1>(here.wrapping_add(ahead.far + line).cast());
            _mm_prefetch::<_MM_HINT_T0>(here.wrapping_add(ahead.near + line).cast());
        }
    }
}

/// Asks for the scales of the next strip, `stride` bytes from those `here`: each strip has its own, behind its levels.
/// Into the second cache: a strip is longer than the first.
#[inline]
pub(super) fn ask_for_scales(here: *const u8, stride: usize, bytes: usize) {
    for line in (0..bytes).step_by(64) {
        // SAFETY: as above.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(here.wrapping_add(stride + line).cast()) };
    }
}
