//! Arrays of 16 numbers, which the compiler turns into whatever vectors its target has.

use super::{EXP2, EXP2_LOW, HALF_MAX, Kernel, LANES, Lanes};

/// Needs nothing of the processor.
#[derive(Clone, Copy)]
pub struct Portable;

/// Adding it rounds to an integer, which then stands in the low bits: 1.5 · 2²³.
const ROUND: f32 = 12_582_912.0;

impl Lanes for Portable {
    type V = [f32; LANES];

    const WIDE: bool = false;

    #[inline(always)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        [x; LANES]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::V {
        *from
    }

    #[inline(always)]
    fn load_half(self, from: &[u16; LANES]) -> Self::V {
        from.map(widen)
    }

    #[inline(always)]
    fn store(self, v: Self::V, to: &mut [f32; LANES]) {
        *to = v;
    }

    #[inline(always)]
    fn store_half(self, v: Self::V, to: &mut [u16; LANES]) {
        *to = v.map(|x| half::f16::from_f32(x.clamp(-HALF_MAX, HALF_MAX)).to_bits());
    }

    #[inline(always)]
    fn mul(self, mut a: Self::V, b: Self::V) -> Self::V {
        for (a, b) in a.iter_mut().zip(b) {
            *a *= b;
        }
        a
    }

    #[inline(always)]
    fn add(self, mut a: Self::V, b: Self::V) -> Self::V {
        for (a, b) in a.iter_mut().zip(b) {
            *a += b;
        }
        a
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        each(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        each(a, b, |a, b| a / b)
    }

    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        each(a, b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn two_to_the(self, n: Self::V) -> Self::V {
        // 1.5 · 2²³ more, and the number stands in the low bits.
        n.map(|n| f32::from_bits(((n + 12_582_912.0).to_bits() << 23).wrapping_add(0x3f80_0000)))
    }

    #[inline(always)]
    fn mul_add(self, a: Self::V, b: Self::V, mut c: Self::V) -> Self::V {
        for ((c, a), b) in c.iter_mut().zip(a).zip(b) {
            *c += a * b;
        }
        c
    }

    #[inline(always)]
    fn max(self, a: Self::V, mut b: Self::V) -> Self::V {
        for (b, a) in b.iter_mut().zip(a) {
            *b = if a > *b { a } else { *b };
        }
        b
    }

    #[inline(always)]
    fn keep_first(self, mut v: Self::V, count: usize, rest: f32) -> Self::V {
        for (lane, v) in v.iter_mut().enumerate() {
            *v = if lane < count { *v } else { rest };
        }
        v
    }

    #[inline(always)]
    fn exp2(self, x: Self::V) -> Self::V {
        x.map(exp2)
    }

    #[inline(always)]
    fn reduce_max(self, v: Self::V) -> f32 {
        v.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }

    #[inline(always)]
    fn reduce_sum(self, v: Self::V) -> f32 {
        v.into_iter().sum()
    }

    #[inline(always)]
    fn prefetch<T>(self, _at: *const T) {}
}

/// Exact for every f16. Its bits, moved to their place in an f32, are the number over 2¹¹²; infinities and NaN,
/// which have the largest exponent, get that of f32.
#[inline(always)]
fn widen(half: u16) -> f32 {
    let magnitude = u32::from(half & 0x7fff) << 13;
    let finite = (f32::from_bits(magnitude) * f32::from_bits((127 + 112) << 23)).to_bits();
    let whole = if magnitude >= 0x7c00 << 13 { magnitude | 0x7f80_0000 } else { finite };
    f32::from_bits(whole | (u32::from(half & 0x8000) << 16))
}

#[inline(always)]
fn exp2(x: f32) -> f32 {
    let x = if x < EXP2_LOW { EXP2_LOW } else { x };
    let shifted = x + ROUND;
    let f = x - (shifted - ROUND);
    let mut p = EXP2[0];
    for c in &EXP2[1..] {
        p = p * f + c;
    }
    p * f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000))
}

#[inline(always)]
fn each(a: [f32; LANES], b: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    let mut out = a;
    for (o, b) in out.iter_mut().zip(b) {
        *o = f(*o, b);
    }
    out
}
