//! Functions of one number, or of the numbers at one place of two slices, written over the first.

use super::PIECE;
use crate::cpu::isa::Isa;
use crate::cpu::lanes::{Kernel, LANES, Lanes, functions, run};
use crate::cpu::pool;

/// What becomes of a number `x` and the number `y` at its place.
trait Map: Copy + Sync {
    fn of<L: Lanes>(self, l: L, x: L::V, y: L::V) -> L::V;
}

#[derive(Clone, Copy)]
struct SiluMul;
#[derive(Clone, Copy)]
struct SigmoidMul;
#[derive(Clone, Copy)]
struct Add;
#[derive(Clone, Copy)]
struct ScaleAdd(f32);
#[derive(Clone, Copy)]
struct Gelu;

impl Map for SiluMul {
    #[inline(always)]
    fn of<L: Lanes>(self, l: L, x: L::V, y: L::V) -> L::V {
        l.mul(functions::silu(l, x), y)
    }
}

impl Map for SigmoidMul {
    #[inline(always)]
    fn of<L: Lanes>(self, l: L, x: L::V, y: L::V) -> L::V {
        l.mul(x, functions::sigmoid(l, y))
    }
}

impl Map for Add {
    #[inline(always)]
    fn of<L: Lanes>(self, l: L, x: L::V, y: L::V) -> L::V {
        l.add(x, y)
    }
}

impl Map for ScaleAdd {
    #[inline(always)]
    fn of<L: Lanes>(self, l: L, x: L::V, y: L::V) -> L::V {
        l.mul_add(l.splat(self.0), y, x)
    }
}

impl Map for Gelu {
    #[inline(always)]
    fn of<L: Lanes>(self, l: L, x: L::V, _: L::V) -> L::V {
        let erf = functions::erf(l, l.mul(x, l.splat(std::f32::consts::FRAC_1_SQRT_2)));
        l.mul(x, l.mul_add(l.splat(0.5), erf, l.splat(0.5)))
    }
}

/// `gate = silu(gate) · up`
///
/// # Panics
/// If the lengths differ.
pub fn silu_mul(isa: Isa, gate: &mut [f32], up: &[f32]) {
    map(isa, SiluMul, gate, up);
}

/// `x = x · sigmoid(gate)`
///
/// # Panics
/// If the lengths differ.
pub fn sigmoid_mul(isa: Isa, x: &mut [f32], gate: &[f32]) {
    map(isa, SigmoidMul, x, gate);
}

/// `x = x + y`
///
/// # Panics
/// If the lengths differ.
pub fn add(isa: Isa, x: &mut [f32], y: &[f32]) {
    map(isa, Add, x, y);
}

/// `x = x + factor · y`
///
/// # Panics
/// If the lengths differ.
pub fn scale_add(isa: Isa, x: &mut [f32], factor: f32, y: &[f32]) {
    map(isa, ScaleAdd(factor), x, y);
}

/// `x = x · (1 + erf(x / √2)) / 2`
pub fn gelu(isa: Isa, x: &mut [f32]) {
    pool::run_chunks(x, PIECE, |_, x| run(isa, One { map: Gelu, x }));
}

fn map(isa: Isa, map: impl Map, x: &mut [f32], y: &[f32]) {
    assert_eq!(x.len(), y.len(), "one number for each");
    pool::run_chunks(x, PIECE, |chunk, x| {
        let y = &y[chunk * PIECE..][..x.len()];
        run(isa, Two { map, x, y });
    });
}

struct Two<'a, M> {
    map: M,
    x: &'a mut [f32],
    y: &'a [f32],
}

impl<M: Map> Kernel for Two<'_, M> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let ((x, x_rest), (y, y_rest)) = (self.x.as_chunks_mut::<LANES>(), self.y.as_chunks::<LANES>());
        for (x, y) in x.iter_mut().zip(y) {
            l.store(self.map.of(l, l.load(x), l.load(y)), x);
        }
        l.store_some(self.map.of(l, l.load_some(x_rest), l.load_some(y_rest)), x_rest);
    }
}

struct One<'a, M> {
    map: M,
    x: &'a mut [f32],
}

impl<M: Map> Kernel for One<'_, M> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let (x, rest) = self.x.as_chunks_mut::<LANES>();
        for x in x {
            let v = l.load(x);
            l.store(self.map.of(l, v, v), x);
        }
        let v = l.load_some(rest);
        l.store_some(self.map.of(l, v, v), rest);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sigmoid(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }

    /// Each result within a few roundings of the exact one.
    fn close(got: &[f32], x: &[f32], y: &[f32], exact: impl Fn(f64, f64) -> f64) -> bool {
        let near = |(g, (x, y)): (&f32, (&f32, &f32))| {
            let e = exact(f64::from(*x), f64::from(*y));
            (f64::from(*g) - e).abs() <= 1e-6 * e.abs() + 1e-30
        };
        got.len() == x.len() && got.iter().zip(x.iter().zip(y)).all(near)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 60 }))]
        #[test]
        fn each_set_agrees_with_double_precision(
            pairs in prop::collection::vec((-60.0..60.0f32, -60.0..60.0f32), 0..300), repeats in 0usize..140,
        ) {
            let (x, y): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let (x, y) = (x.repeat(repeats), y.repeat(repeats));
            for isa in Isa::available() {
                let on = |work: &dyn Fn(&mut [f32])| {
                    let mut out = x.clone();
                    work(&mut out);
                    out
                };
                let got = on(&|out| silu_mul(isa, out, &y));
                prop_assert!(close(&got, &x, &y, |x, y| x * sigmoid(x) * y), "silu on {}", isa.name());
                let got = on(&|out| sigmoid_mul(isa, out, &y));
                prop_assert!(close(&got, &x, &y, |x, y| x * sigmoid(y)), "sigmoid on {}", isa.name());
                let got = on(&|out| add(isa, out, &y));
                prop_assert!(got.iter().zip(x.iter().zip(&y)).all(|(g, (x, y))| *g == x + y));
                let got = on(&|out| scale_add(isa, out, 0.25, &y));
                prop_assert!(got.iter().zip(x.iter().zip(&y)).all(|(g, (x, y))| (g - (x + 0.25 * y)).abs() < 1e-5));
            }
        }
    }

    /// erf as the integral of its series, term by term.
    fn erf(x: f64) -> f64 {
        let mut term = x;
        let mut sum = 0.0;
        for n in 0..120 {
            sum += term / f64::from(2 * n + 1);
            term *= -x * x / f64::from(n + 1);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    }

    #[test]
    fn gelu_is_the_one_with_the_error_function_at_any_length() {
        for length in [0, 1, 15, 16, 17, 700] {
            let x: Vec<f32> = (0..length).map(|i| (i * 7 % 97) as f32 / 12.0 - 4.0).collect();
            for isa in Isa::available() {
                let mut got = x.clone();
                gelu(isa, &mut got);
                for (x, g) in x.iter().zip(&got) {
                    let x = f64::from(*x);
                    let exact = x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2)) / 2.0;
                    assert!((f64::from(*g) - exact).abs() < 2e-6, "gelu({x}) = {g} on {}", isa.name());
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_shows_and_extremes_do_not_overflow() {
        for isa in Isa::available() {
            let mut x = [f32::NAN, 1e30, -1e30, 0.0];
            silu_mul(isa, &mut x, &[1.0; 4]);
            assert!(
                x[0].is_nan() && x[1] == 1e30 && x[2].abs() < 1e-7 && x[3] == 0.0,
                "{x:?} on {}",
                isa.name()
            );
            let mut x = [1.0, 1.0, 1.0, 1.0];
            sigmoid_mul(isa, &mut x, &[f32::NAN, 1e30, -1e30, 0.0]);
            assert!(x[0].is_nan() && x[1] == 1.0 && x[2] < 1e-30 && x[3] == 0.5, "{x:?} on {}", isa.name());
        }
    }
}
