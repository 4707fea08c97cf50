//! Sixteen numbers in four registers of 128 bits.

#![expect(unsafe_code, reason = "vector instructions; the type proves that the processor has them")]

use std::arch::aarch64::*;

use super::{EXP2, EXP2_LOW, HALF_MAX, Kernel, LANES, Lanes};
use crate::cpu::isa::Isa;
use crate::cpu::neon::instructions::prefetch;

/// Made only where the processor has NEON.
#[derive(Clone, Copy)]
pub struct Neon(());

impl Neon {
    /// `None` where the processor lacks it.
    pub fn new() -> Option<Self> {
        Isa::Neon.is_available().then_some(Self(()))
    }
}

type V = [float32x4_t; 4];

#[target_feature(enable = "neon")]
fn call<K: Kernel>(lanes: Neon, kernel: K) -> K::Output {
    kernel.run(lanes)
}

// SAFETY, for each `unsafe` below: the instruction is one of NEON, and `self` exists only where the processor
// has that; what is read or written is a whole array of 16, in quarters.
impl Lanes for Neon {
    type V = V;

    const WIDE: bool = false;

    #[inline(always)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        unsafe { call(self, kernel) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> V {
        unsafe { [vdupq_n_f32(x); 4] }
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> V {
        let at = from.as_ptr();
        unsafe { [vld1q_f32(at), vld1q_f32(at.add(4)), vld1q_f32(at.add(8)), vld1q_f32(at.add(12))] }
    }

    #[inline(always)]
    fn load_half(self, from: &[u16; LANES]) -> V {
        let at = from.as_ptr();
        let four = |from: usize| unsafe { vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(at.add(from)))) };
        [four(0), four(4), four(8), four(12)]
    }

    #[inline(always)]
    fn store(self, v: V, to: &mut [f32; LANES]) {
        for (to, v) in to.as_chunks_mut::<4>().0.iter_mut().zip(v) {
            unsafe { vst1q_f32(to.as_mut_ptr(), v) };
        }
    }

    #[inline(always)]
    fn store_half(self, v: V, to: &mut [u16; LANES]) {
        for (to, v) in to.as_chunks_mut::<4>().0.iter_mut().zip(v) {
            unsafe {
                // These two keep what is no number.
                let inside = vminq_f32(vdupq_n_f32(HALF_MAX), vmaxq_f32(vdupq_n_f32(-HALF_MAX), v));
                vst1_u16(to.as_mut_ptr(), vreinterpret_u16_f16(vcvt_f16_f32(inside)));
            }
        }
    }

    #[inline(always)]
    fn mul(self, a: V, b: V) -> V {
        each(a, b, |a, b| unsafe { vmulq_f32(a, b) })
    }

    #[inline(always)]
    fn add(self, a: V, b: V) -> V {
        each(a, b, |a, b| unsafe { vaddq_f32(a, b) })
    }

    #[inline(always)]
    fn sub(self, a: V, b: V) -> V {
        each(a, b, |a, b| unsafe { vsubq_f32(a, b) })
    }

    #[inline(always)]
    fn div(self, a: V, b: V) -> V {
        each(a, b, |a, b| unsafe { vdivq_f32(a, b) })
    }

    #[inline(always)]
    fn min(self, a: V, b: V) -> V {
        each(a, b, |a, b| unsafe { vbslq_f32(vcltq_f32(a, b), a, b) })
    }

    #[inline(always)]
    fn two_to_the(self, n: V) -> V {
        n.map(two_to_the)
    }

    #[inline(always)]
    fn mul_add(self, a: V, b: V, c: V) -> V {
        unsafe {
            [
                vfmaq_f32(c[0], a[0], b[0]),
                vfmaq_f32(c[1], a[1], b[1]),
                vfmaq_f32(c[2], a[2], b[2]),
                vfmaq_f32(c[3], a[3], b[3]),
            ]
        }
    }

    #[inline(always)]
    fn max(self, a: V, b: V) -> V {
        each(a, b, max)
    }

    #[inline(always)]
    fn keep_first(self, v: V, count: usize, rest: f32) -> V {
        const PLACES: [f32; LANES] =
            [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0];
        unsafe {
            let (count, rest) = (vdupq_n_f32(count as f32), vdupq_n_f32(rest));
            each(v, self.load(&PLACES), |v, place| vbslq_f32(vcltq_f32(place, count), v, rest))
        }
    }

    #[inline(always)]
    fn exp2(self, x: V) -> V {
        x.map(exp2)
    }

    #[inline(always)]
    fn reduce_max(self, v: V) -> f32 {
        unsafe { vmaxnmvq_f32(vmaxnmq_f32(vmaxnmq_f32(v[0], v[1]), vmaxnmq_f32(v[2], v[3]))) }
    }

    #[inline(always)]
    fn reduce_sum(self, v: V) -> f32 {
        unsafe { vaddvq_f32(vaddq_f32(vaddq_f32(v[0], v[1]), vaddq_f32(v[2], v[3]))) }
    }

    #[inline(always)]
    fn prefetch<T>(self, at: *const T) {
        prefetch(at);
    }
}

#[inline(always)]
fn each(a: V, b: V, f: impl Fn(float32x4_t, float32x4_t) -> float32x4_t) -> V {
    [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])]
}

// Called with a value of `Neon` at hand, as above.

/// The larger of each pair; where one is no number, `b`, as the other sets have it.
#[inline(always)]
fn max(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) }
}

#[inline(always)]
fn exp2(x: float32x4_t) -> float32x4_t {
    unsafe {
        let x = max(vdupq_n_f32(EXP2_LOW), x);
        let n = vrndnq_f32(x);
        let f = vsubq_f32(x, n);
        let mut p = vdupq_n_f32(EXP2[0]);
        for c in &EXP2[1..] {
            p = vfmaq_f32(vdupq_n_f32(*c), p, f);
        }
        vmulq_f32(p, two_to_the(n))
    }
}

#[inline(always)]
fn two_to_the(n: float32x4_t) -> float32x4_t {
    unsafe {
        let biased = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
        vreinterpretq_f32_s32(vshlq_n_s32::<23>(biased))
    }
}
