//! How fast this processor multiplies and reads when nothing holds it up: the roof over every kernel.
//!
//! An instruction set comes in, work of a known size is done on all threads of [`super::pool`], and a checksum
//! goes out, which the caller must use so that the work is not optimised away. The caller times it; clocks are
//! not here. Products stay in registers: no real product can be faster.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use super::isa::Isa;
#[cfg(target_arch = "aarch64")]
use super::neon;
use super::pool;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};

/// Bytes that one thread reads at a time.
const PIECE: usize = 4 << 20;

/// Type of the numbers that are multiplied; sums are 32 bits wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// Bytes of which one side is signed: quantized weights.
    Int8,
    /// The upper half of an f32.
    Bf16,
    /// Single precision.
    F32,
}

impl Operand {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Int8, Self::Bf16, Self::F32];

    /// As in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
        }
    }
}

/// A loop of products: every multiply-add adds one to a sum, so that the sums tell how many were done.
#[derive(Clone, Copy)]
pub(super) struct Loop {
    /// Multiply-adds of one turn.
    pub products: u64,
    /// Does so many turns; returns the sum of all sums, exact for at most 2^14 turns.
    pub turns: fn(u32) -> u64,
}

/// Work that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Operations: 2 per multiply-add.
    pub operations: u64,
    /// To be used by the caller.
    pub checksum: u64,
}

/// Multiplies in registers, `turns` times round a loop on each thread at once; `None` if `isa` has no instruction
/// for products of such numbers, or the processor has not that set.
pub fn multiply(isa: Isa, operand: Operand, turns: u32) -> Option<Done> {
    let work = loop_of(isa, operand)?;
    let (threads, checksum) = (pool::threads(), AtomicU64::new(0));
    pool::run(threads, |_| {
        checksum.fetch_add((work.turns)(turns), Ordering::Relaxed);
    });
    let products = work.products * u64::from(turns) * threads as u64;
    Some(Done { operations: 2 * products, checksum: checksum.into_inner() })
}

fn loop_of(isa: Isa, operand: Operand) -> Option<Loop> {
    if !isa.is_available() {
        return None;
    }
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512Bf16 if operand == Operand::Bf16 => Some(avx512::peak::BF16),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512Bf16 | Isa::Avx512Vnni => avx512::peak::of(operand),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::peak::of(operand),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => neon::peak::of(operand),
        _ => portable(operand),
    }
}

/// Reads all of `bytes` with all threads, each in `streams` places at once (1, 2 or 4); returns the sum of its
/// 64-bit words, of its last few bytes as well.
pub fn read(isa: Isa, bytes: &[u8], streams: usize) -> u64 {
    let total = AtomicU64::new(0);
    let available = isa.is_available();
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = (available, streams);
    pool::run_ranges(bytes.len(), PIECE, |range| {
        let piece = &bytes[range];
        let sum = match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 | Isa::Avx512Vnni if available => avx512::peak::sum(piece, streams),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 if available => avx2::peak::sum(piece, streams),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon if available => neon::peak::sum(piece, streams),
            _ => sum(piece),
        };
        total.fetch_add(sum, Ordering::Relaxed);
    });
    total.into_inner()
}

/// Sum of all words, little-endian; what is left at the end is a word with zeros above.
///
/// 32 lanes, so that the compiler uses vectors and no add waits for another.
pub(super) fn sum(bytes: &[u8]) -> u64 {
    let mut lanes = [0_u64; 32];
    let (chunks, rest) = bytes.as_chunks::<{ 32 * 8 }>();
    for chunk in chunks {
        for (lane, word) in lanes.iter_mut().zip(chunk.as_chunks::<8>().0) {
            *lane = lane.wrapping_add(u64::from_le_bytes(*word));
        }
    }
    let (words, tail) = rest.as_chunks::<8>();
    let mut last = [0; 8];
    last[..tail.len()].copy_from_slice(tail);
    let words = words.iter().chain([&last]).map(|word| u64::from_le_bytes(*word));
    lanes.into_iter().chain(words).fold(0, u64::wrapping_add)
}

/// Numbers of a row in the portable loop for bytes: they stay in the first cache.
const ROW: usize = 1024;

/// Sums of the portable loop in single precision.
const LANES: usize = 64;

fn portable(operand: Operand) -> Option<Loop> {
    match operand {
        Operand::Int8 => Some(Loop { products: ROW as u64, turns: portable_int8 }),
        Operand::Bf16 => None,
        Operand::F32 => Some(Loop { products: LANES as u64, turns: portable_f32 }),
    }
}

fn portable_int8(turns: u32) -> u64 {
    let (left, right) = ([1_i8; ROW], [1_i8; ROW]);
    let mut sums = [0_i32; 16];
    for _ in 0..turns {
        let rows = black_box(&left).as_chunks::<16>().0.iter().zip(black_box(&right).as_chunks::<16>().0);
        for (a, b) in rows {
            for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
                *sum = sum.wrapping_add(i32::from(*a) * i32::from(*b));
            }
        }
    }
    sums.iter().map(|sum| *sum as u64).fold(0, u64::wrapping_add)
}

fn portable_f32(turns: u32) -> u64 {
    let (left, right) = (black_box([1.0_f32; 16]), black_box([1.0_f32; 16]));
    let mut sums = black_box([[0.0_f32; 16]; LANES / 16]);
    for _ in 0..turns {
        for sums in &mut sums {
            for ((sum, a), b) in sums.iter_mut().zip(&left).zip(&right) {
                *sum += a * b;
            }
        }
    }
    sums.as_flattened().iter().map(|sum| *sum as u64).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_operation_that_is_counted_was_done() {
        for isa in Isa::available() {
            for operand in Operand::ALL {
                let Some(done) = multiply(isa, operand, 1000) else { continue };
                assert_eq!(done.checksum * 2, done.operations, "{isa:?} {operand:?}");
            }
        }
    }

    #[test]
    fn only_sets_with_an_instruction_for_it_multiply_bf16() {
        let has = |isa: &Isa| multiply(*isa, Operand::Bf16, 1).is_some();
        let with: Vec<Isa> = Isa::ALL.into_iter().filter(has).collect();
        assert_eq!(with.is_empty(), !Isa::Avx512Bf16.is_available(), "{with:?}");
        assert!(multiply(Isa::Portable, Operand::Int8, 1).is_some());
    }

    #[test]
    fn pieces_of_all_threads_are_summed() {
        let bytes: Vec<u8> = (0..2 * PIECE + 12_345).map(|i| (i % 253) as u8).collect();
        for isa in Isa::available() {
            assert_eq!(read(isa, &bytes, 2), sum(&bytes), "{isa:?}");
        }
    }

    proptest! {
        #[test]
        fn every_set_reads_every_byte(
            bytes in prop::collection::vec(any::<u8>(), 0..5000), from in 0_usize..70, streams in 0_usize..6,
        ) {
            let bytes = &bytes[from.min(bytes.len())..];
            let mut words = bytes.to_vec();
            words.resize(bytes.len().next_multiple_of(8), 0);
            let words = words.chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()));
            let expected = words.fold(0, u64::wrapping_add);
            for isa in Isa::available() {
                prop_assert_eq!(read(isa, bytes, streams), expected, "{:?}", isa);
            }
        }
    }
}
