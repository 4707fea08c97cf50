//! Loops that keep the 256-bit multipliers busy, and a reader with 256-bit loads. Plain twin: [`crate::cpu::peak`].

#![expect(unsafe_code, reason = "instructions that the caller knows the processor has")]

use std::arch::x86_64::*;
use std::hint::black_box;

use crate::cpu::peak::{self, Loop, Operand};

/// Sums that grow side by side; with an operand and a product they fill the 16 registers.
const SUMS: usize = 12;

const INT8: Loop = Loop {
    products: (SUMS * 32) as u64,
    // SAFETY: taken for a set of 256-bit vectors, after asking the processor.
    turns: |turns| unsafe { int8(turns) },
};

const F32: Loop = Loop {
    products: (SUMS * 8) as u64,
    // SAFETY: taken for a set of 256-bit vectors with multiply-add, after asking the processor.
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

/// Pairs of products go into 16-bit sums: fewer instructions than any kernel that must not overflow.
#[target_feature(enable = "avx2")]
fn int8(turns: u32) -> u64 {
    let (a, b) = (_mm256_set1_epi8(1), [_mm256_set1_epi8(1); SUMS]);
    let mut sums = [_mm256_setzero_si256(); SUMS];
    for _ in 0..turns {
        // Looked at anew in each turn: the products must not be taken out of the loop.
        let (a, b) = (black_box(a), black_box(&b));
        for (sum, b) in sums.iter_mut().zip(b) {
            *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(a, *b));
        }
    }
    let ones = _mm256_set1_epi16(1);
    let words = sums
        .iter()
        .map(|sum| _mm256_madd_epi16(*sum, ones))
        .fold(_mm256_setzero_si256(), |all, sum| _mm256_add_epi32(all, sum));
    total(words)
}

#[target_feature(enable = "avx2")]
fn total(words: __m256i) -> u64 {
    let halves = _mm_add_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
    let pairs = _mm_add_epi32(halves, _mm_shuffle_epi32::<0b01_00_11_10>(halves));
    _mm_cvtsi128_si32(_mm_add_epi32(pairs, _mm_shuffle_epi32::<0b00_00_00_01>(pairs))) as u64
}

#[target_feature(enable = "avx2,fma")]
fn f32(turns: u32) -> u64 {
    let (a, b) = (black_box(_mm256_set1_ps(1.0)), black_box(_mm256_set1_ps(1.0)));
    let mut sums = black_box([_mm256_setzero_ps(); SUMS]);
    for _ in 0..turns {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(a, b, *sum);
        }
    }
    sums.iter().map(|sum| total(_mm256_cvttps_epi32(*sum))).sum()
}

/// As [`peak::sum`], read in `streams` places at once. To be called where the processor has 256-bit vectors.
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

#[target_feature(enable = "avx2")]
fn sum_streams<const STREAMS: usize>(bytes: &[u8]) -> u64 {
    let share = bytes.len() / STREAMS / STEP * STEP;
    let mut sums = [[_mm256_setzero_si256(); STEP / 32]; STREAMS];
    for at in (0..share).step_by(STEP) {
        for (stream, sums) in sums.iter_mut().enumerate() {
            for (vector, sum) in sums.iter_mut().enumerate() {
                let from = bytes.as_ptr().wrapping_add(stream * share + at + vector * 32);
                // SAFETY: `at` is a step inside the stream's share, and the shares lie inside `bytes`.
                *sum = _mm256_add_epi64(*sum, unsafe { _mm256_loadu_si256(from.cast()) });
            }
        }
    }
    let mut words = [0_u64; 4];
    for sum in sums.as_flattened() {
        let mut four = [0_u64; 4];
        // SAFETY: 32 bytes that are there.
        unsafe { _mm256_storeu_si256(four.as_mut_ptr().cast(), *sum) };
        words = std::array::from_fn(|at| words[at].wrapping_add(four[at]));
    }
    words.into_iter().fold(peak::sum(&bytes[STREAMS * share..]), u64::wrapping_add)
}
