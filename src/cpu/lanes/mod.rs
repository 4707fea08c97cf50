//! Sixteen numbers at a time: one text of a kernel for every instruction set.
//!
//! A [`Kernel`] is written once over [`Lanes`], whose vectors are one register of 512 bits, two of 256, or an
//! array. [`run`] compiles it inside a function that has the instructions, and calls that one. Everything
//! between must be `#[inline(always)]`, closures too: what stays a function of its own has no instructions
//! beyond the baseline, and is right but slow.

#![expect(unsafe_code, reason = "instructions that not every processor has")]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod functions;
mod portable;

use super::isa::Isa;

/// Numbers in a vector, on every instruction set.
pub const WIDTH: usize = 16;

/// The arithmetic of vectors of [`WIDTH`] numbers. Whoever holds a value of such a type may use its instructions.
pub trait Lanes: Copy {
    /// A vector.
    type V: Copy;

    /// Whether there are 32 registers of a whole vector each: then a tile of sums may be four times as large.
    const WIDE: bool;

    /// The same number everywhere.
    fn splat(self, x: f32) -> Self::V;
    /// The numbers in their order.
    fn load(self, from: &[f32; WIDTH]) -> Self::V;
    /// Back to memory.
    fn store(self, v: Self::V, to: &mut [f32; WIDTH]);
    /// a + b
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// a − b
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// a · b
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// a / b
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// a · b + c, rounded once where the processor can.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The smaller one of each pair; `b` where one is no number.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// The larger one of each pair; `b` where one is no number.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// 2ⁿ of each whole number n in [-126, 127].
    fn two_to_the(self, n: Self::V) -> Self::V;
    /// The sum over the lanes.
    fn sum(self, v: Self::V) -> f32;

    /// Asks for memory that will soon be read.
    #[inline(always)]
    fn prefetch(self, from: &[f32]) {
        let _ = from;
    }

    /// Up to [`WIDTH`] numbers, then zeros.
    #[inline(always)]
    fn load_some(self, from: &[f32]) -> Self::V {
        let mut whole = [0f32; WIDTH];
        whole[..from.len()].copy_from_slice(from);
        self.load(&whole)
    }

    /// The first numbers, as many as `to` takes.
    #[inline(always)]
    fn store_some(self, v: Self::V, to: &mut [f32]) {
        let mut whole = [0f32; WIDTH];
        self.store(v, &mut whole);
        to.copy_from_slice(&whole[..to.len()]);
    }
}

/// Work that is the same on every instruction set.
pub trait Kernel {
    /// What comes of it.
    type Output;

    /// Does it. To be marked `#[inline(always)]`.
    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}

/// Runs `kernel` with the instructions of `isa`, or portably if this processor lacks them.
pub fn run<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    if isa.is_available() {
        match isa {
            // SAFETY: the processor has just been seen to have these instructions.
            Isa::Avx512Bf16 | Isa::Avx512Vnni => return unsafe { avx512::run(kernel) },
            // SAFETY: as above.
            Isa::Avx2 => return unsafe { avx2::run(kernel) },
            Isa::Portable => {}
        }
    }
    let _ = isa;
    kernel.run(portable::Portable)
}
