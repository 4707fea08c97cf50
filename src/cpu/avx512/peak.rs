//! Loops that keep the 512-bit multipliers busy, and a reader with 512-bit loads. Plain twin: [`crate::cpu::peak`].

#![expect(unsafe_code, reason = "instructions that the caller knows the processor has")]

use std::arch::x86_64::*;
use std::hint::black_box;

use crate::cpu::peak::{self, Loop, Operand};

/// Sums that grow side by side: more than the latency of a product times the products begun in one cycle.
///
/// They begin as numbers that the compiler cannot know, so that it does not take them for one and the same.
const SUMS: usize = 16;

/// Products of pairs of bf16.
pub(in crate::cpu) const BF16: Loop = Loop {
    products: (SUMS * 32) as u64,
    // SAFETY: taken for a set that has bf16 products, after asking the processor.
    turns: |turns| unsafe { bf16(turns) },
};

const INT8: Loop = Loop {
    products: (SUMS * 64) as u64,
    // SAFETY: taken for a set that has integer dot products, after asking the processor.
    turns: |turns| unsafe { int8(turns) },
};

const F32: Loop = Loop {
    products: (SUMS * 16) as u64,
    // SAFETY: taken for a set of 512-bit vectors, after asking the processor.
    turns: |turns| unsafe { f32(turns) },
};

/// The loop for such numbers, where all sets of 512 bits have one.
pub(in crate::cpu) fn of(operand: Operand) -> Option<Loop> {
    match operand {
        Operand::Int8 => Some(INT8),
        Operand::Bf16 => None,
        Operand::F32 => Some(F32),
    }
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn int8(turns: u32) -> u64 {
    let (a, b) = (black_box(_mm512_set1_epi8(1)), black_box(_mm512_set1_epi8(1)));
    let mut sums = black_box([_mm512_setzero_si512(); SUMS]);
    for _ in 0..turns {
        for sum in &mut sums {
            *sum = _mm512_dpbusd_epi32(*sum, a, b);
        }
    }
    sums.iter().map(|sum| _mm512_reduce_add_epi32(*sum) as u64).fold(0, u64::wrapping_add)
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn bf16(turns: u32) -> u64 {
    let ones = black_box(_mm512_set1_ps(1.0));
    let (a, b) = (_mm512_cvtne2ps_pbh(ones, ones), _mm512_cvtne2ps_pbh(ones, black_box(ones)));
    let mut sums = black_box([_mm512_setzero_ps(); SUMS]);
    for _ in 0..turns {
        for sum in &mut sums {
            *sum = _mm512_dpbf16_ps(*sum, a, b);
        }
    }
    sums.iter().map(|sum| _mm512_reduce_add_ps(*sum) as u64).sum()
}

#[target_feature(enable = "avx512f")]
fn f32(turns: u32) -> u64 {
    let (a, b) = (black_box(_mm512_set1_ps(1.0)), black_box(_mm512_set1_ps(1.0)));
    let mut sums = black_box([_mm512_setzero_ps(); SUMS]);
    for _ in 0..turns {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(a, b, *sum);
        }
    }
    sums.iter().map(|sum| _mm512_reduce_add_ps(*sum) as u64).sum()
}

/// As [`peak::sum`], read in `streams` places at once. To be called where the processor has 512-bit vectors.
pub(in crate::cpu) fn sum(bytes: &[u8], streams: usize) -> u64 {
    // SAFETY: the caller has asked the processor.
    unsafe {
        match streams {
            4.. => sum_streams::<4>(bytes),
            2..=3 => sum_streams::<2>(bytes),
            _ => sum_streams::<1>(bytes),
        }
    }
}

/// Bytes that a stream is ahead by in one step.
const STEP: usize = 256;

#[target_feature(enable = "avx512f")]
fn sum_streams<const STREAMS: usize>(bytes: &[u8]) -> u64 {
    let share = bytes.len() / STREAMS / STEP * STEP;
    let mut sums = [[_mm512_setzero_si512(); STEP / 64]; STREAMS];
    for at in (0..share).step_by(STEP) {
        for (stream, sums) in sums.iter_mut().enumerate() {
            for (vector, sum) in sums.iter_mut().enumerate() {
                let from = bytes.as_ptr().wrapping_add(stream * share + at + vector * 64);
                // SAFETY: `at` is a step inside the stream's share, and the shares lie inside `bytes`.
                *sum = _mm512_add_epi64(*sum, unsafe { _mm512_loadu_si512(from.cast()) });
            }
        }
    }
    let sums = sums.as_flattened().iter().map(|sum| _mm512_reduce_add_epi64(*sum) as u64);
    sums.fold(peak::sum(&bytes[STREAMS * share..]), u64::wrapping_add)
}
