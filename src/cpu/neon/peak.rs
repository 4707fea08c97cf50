//! Loops that keep the 128-bit multipliers busy, and a reader with 128-bit loads. Plain twin: [`crate::cpu::peak`].

#![expect(unsafe_code, reason = "instructions that the caller knows the processor has")]

use std::arch::aarch64::*;
use std::hint::black_box;

use super::instructions::dot;
use crate::cpu::peak::{self, Loop, Operand};

/// Sums that grow side by side: enough for four multipliers, and with their operands within the 32 registers.
const SUMS: usize = 24;

const INT8: Loop = Loop {
    products: (SUMS * 16) as u64,
    // SAFETY: taken for a set with dot products, after asking the processor.
    turns: |turns| unsafe { int8(turns) },
};

const F32: Loop = Loop {
    products: (SUMS * 4) as u64,
    // SAFETY: taken for a set of 128-bit vectors, after asking the processor.
    turns: |turns| unsafe { f32(turns) },
};

/// The loop for such numbers.
pub(in crate::cpu) fn of(operand: Operand) -> Option<Loop> {
    match operand {
        Operand::Int8 => Some(INT8),
        Operand::Bf16 => None,
        Operand::F32 => Some(F32),
    }
}

#[target_feature(enable = "neon,dotprod")]
fn int8(turns: u32) -> u64 {
    let (a, b) = (black_box(vdupq_n_s8(1)), black_box(vdupq_n_s8(1)));
    // Looked at, so that the compiler cannot see that all sums are alike, and make one of them.
    let mut sums = black_box([vdupq_n_s32(0); SUMS]);
    for _ in 0..turns {
        for sum in &mut sums {
            *sum = dot::<0>(*sum, a, b);
        }
    }
    sums.iter().map(|sum| vaddvq_s32(*sum) as u64).sum()
}

#[target_feature(enable = "neon")]
fn f32(turns: u32) -> u64 {
    let (a, b) = (black_box(vdupq_n_f32(1.0)), black_box(vdupq_n_f32(1.0)));
    let mut sums = black_box([vdupq_n_f32(0.0); SUMS]);
    for _ in 0..turns {
        for sum in &mut sums {
            *sum = vfmaq_f32(*sum, a, b);
        }
    }
    sums.iter().map(|sum| u64::from(vaddvq_u32(vcvtq_u32_f32(*sum)))).sum()
}

/// As [`peak::sum`], read in `streams` places at once. To be called where the processor has 128-bit vectors.
pub(in crate::cpu) fn sum(bytes: &[u8], streams: usize) -> u64 {
    // SAFETY: the caller has asked the processor.
    unsafe {
        match streams {
            2.. => sum_streams::<2>(bytes),
            _ => sum_streams::<1>(bytes),
        }
    }
}

/// Bytes that a stream is ahead by in one step.
const STEP: usize = 128;

#[target_feature(enable = "neon")]
fn sum_streams<const STREAMS: usize>(bytes: &[u8]) -> u64 {
    let share = bytes.len() / STREAMS / STEP * STEP;
    let mut sums = [[vdupq_n_u64(0); STEP / 16]; STREAMS];
    for at in (0..share).step_by(STEP) {
        for (stream, sums) in sums.iter_mut().enumerate() {
            for (vector, sum) in sums.iter_mut().enumerate() {
                let from = bytes.as_ptr().wrapping_add(stream * share + at + vector * 16);
                // SAFETY: `at` is a step inside the stream's share, and the shares lie inside `bytes`.
                *sum = vaddq_u64(*sum, vreinterpretq_u64_u8(unsafe { vld1q_u8(from) }));
            }
        }
    }
    let vectors = sums.as_flattened().iter();
    let total = vectors.fold(0, |all: u64, sum| all.wrapping_add(vaddvq_u64(*sum)));
    total.wrapping_add(peak::sum(&bytes[STREAMS * share..]))
}
