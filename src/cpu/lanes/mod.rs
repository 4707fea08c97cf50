//! Sixteen numbers at a time, on whatever registers the processor has.
//!
//! A [`Kernel`] is written once, over [`Lanes`], in safe Rust; [`run`] compiles it for each instruction set
//! and picks one at run time. In: arrays of 16 numbers. Out: the same. Not here: loops over more than 16.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod functions;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

use super::isa::Isa;

/// Numbers in one [`Lanes::V`].
pub const LANES: usize = 16;

/// The largest number of f16: what lies beyond is stored as this.
pub const HALF_MAX: f32 = 65_504.0;

/// Below this, [`Lanes::exp2`] answers a number near 0 instead of an exact power.
const EXP2_LOW: f32 = -126.0;

/// 2^f for |f| <= 1/2: ln 2 to the power of k, over k!, highest first. Error below 2e-7, relative.
const EXP2: [f32; 7] =
    [1.540_353e-4, 1.333_355_8e-3, 9.618_129e-3, 5.550_411e-2, 0.240_226_5, std::f32::consts::LN_2, 1.0];

/// An instruction set's way with 16 numbers. A value of such a type is the proof that the processor has it.
///
/// Each method is inlined into [`Self::call`], which alone is compiled for the instruction set.
pub trait Lanes: Copy + Send + Sync {
    /// 16 numbers in registers.
    type V: Copy;

    /// Whether 24 sums fit the registers together with what they are made of; else 6.
    const WIDE: bool;

    /// Runs `kernel` compiled for this instruction set.
    fn call<K: Kernel>(self, kernel: K) -> K::Output;

    /// The same number 16 times.
    fn splat(self, x: f32) -> Self::V;

    /// Reads f32.
    fn load(self, from: &[f32; LANES]) -> Self::V;

    /// Reads f16, given as bits.
    fn load_half(self, from: &[u16; LANES]) -> Self::V;

    /// Writes f32.
    fn store(self, v: Self::V, to: &mut [f32; LANES]);

    /// Writes f16 as bits, rounded to nearest, with what lies outside its range at the range's ends. NaN stays NaN.
    fn store_half(self, v: Self::V, to: &mut [u16; LANES]);

    /// a · b.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;

    /// a + b.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;

    /// a − b.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;

    /// a / b.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;

    /// The smaller of each pair; where one is no number, `b`.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;

    /// 2ⁿ of each whole number n in [-126, 127].
    fn two_to_the(self, n: Self::V) -> Self::V;

    /// a · b + c, rounded once or twice.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;

    /// The larger of each pair; where `b` is no number, `b`.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;

    /// The first `count` of `v`, then `rest`.
    fn keep_first(self, v: Self::V, count: usize, rest: f32) -> Self::V;

    /// 2^x for x <= 127: relative error below 1e-6 above -126, a number below 2^-125 beyond that, NaN of NaN.
    fn exp2(self, x: Self::V) -> Self::V;

    /// The largest of the 16.
    fn reduce_max(self, v: Self::V) -> f32;

    /// Their sum.
    fn reduce_sum(self, v: Self::V) -> f32;

    /// Asks for the cache line of `at`, which will be read soon; any address is harmless.
    fn prefetch<T>(self, at: *const T);

    /// As [`Self::prefetch`], for a line that will be read some ten thousand bytes later.
    #[inline(always)]
    fn prefetch_far<T>(self, at: *const T) {
        self.prefetch(at);
    }

    /// Up to 16 numbers, then zeros.
    #[inline(always)]
    fn load_some(self, from: &[f32]) -> Self::V {
        let mut whole = [0f32; LANES];
        whole[..from.len()].copy_from_slice(from);
        self.load(&whole)
    }

    /// The first numbers, as many as `to` takes.
    #[inline(always)]
    fn store_some(self, v: Self::V, to: &mut [f32]) {
        let mut whole = [0f32; LANES];
        self.store(v, &mut whole);
        to.copy_from_slice(&whole[..to.len()]);
    }
}

/// Work that is written over [`Lanes`]; `run` must be `#[inline(always)]`, and so must all it calls.
pub trait Kernel {
    /// What comes of it.
    type Output;

    /// Does the work.
    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}

/// Runs `kernel` with the instructions of `isa`, or with portable ones where the processor lacks them.
pub fn run<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    if isa.is_avx512()
        && let Some(lanes) = avx512::Avx512::new()
    {
        return lanes.call(kernel);
    }
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Avx2
        && let Some(lanes) = avx2::Avx2::new()
    {
        return lanes.call(kernel);
    }
    #[cfg(target_arch = "aarch64")]
    if isa == Isa::Neon
        && let Some(lanes) = neon::Neon::new()
    {
        return lanes.call(kernel);
    }
    let _ = isa;
    portable::Portable.call(kernel)
}

/// Numbers that a cache may hold: f32, and f16 as bits.
pub trait Element: bytemuck::Pod + Send + Sync {
    /// Reads 16.
    fn load<L: Lanes>(lanes: L, from: &[Self; LANES]) -> L::V;

    /// Writes 16.
    fn store<L: Lanes>(lanes: L, v: L::V, to: &mut [Self; LANES]);
}

impl Element for f32 {
    #[inline(always)]
    fn load<L: Lanes>(lanes: L, from: &[Self; LANES]) -> L::V {
        lanes.load(from)
    }

    #[inline(always)]
    fn store<L: Lanes>(lanes: L, v: L::V, to: &mut [Self; LANES]) {
        lanes.store(v, to);
    }
}

impl Element for u16 {
    #[inline(always)]
    fn load<L: Lanes>(lanes: L, from: &[Self; LANES]) -> L::V {
        lanes.load_half(from)
    }

    #[inline(always)]
    fn store<L: Lanes>(lanes: L, v: L::V, to: &mut [Self; LANES]) {
        lanes.store_half(v, to);
    }
}

#[cfg(test)]
mod tests;
