//! Every available instruction set against plain arithmetic.

use super::{EXP2_LOW, HALF_MAX, Kernel, LANES, Lanes, run};
use crate::cpu::isa::Isa;

struct OfArrays<'a, F>(&'a [[f32; LANES]], F);

/// One operation on arrays, whatever the registers.
trait Operation {
    fn on<L: Lanes>(&self, lanes: L, x: &[f32; LANES]) -> [f32; LANES];
}

impl<F: Operation> Kernel for OfArrays<'_, F> {
    type Output = Vec<[f32; LANES]>;

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) -> Self::Output {
        self.0.iter().map(|x| self.1.on(lanes, x)).collect()
    }
}

struct Exp2;

impl Operation for Exp2 {
    fn on<L: Lanes>(&self, lanes: L, x: &[f32; LANES]) -> [f32; LANES] {
        let mut out = [0.0; LANES];
        lanes.store(lanes.exp2(lanes.load(x)), &mut out);
        out
    }
}

struct ThroughHalf;

impl Operation for ThroughHalf {
    fn on<L: Lanes>(&self, lanes: L, x: &[f32; LANES]) -> [f32; LANES] {
        let (mut halves, mut out) = ([0; LANES], [0.0; LANES]);
        lanes.store_half(lanes.load(x), &mut halves);
        lanes.store(lanes.load_half(&halves), &mut out);
        out
    }
}

/// The largest number, the sum, a product with a sum, and the first five.
struct Small;

impl Operation for Small {
    fn on<L: Lanes>(&self, lanes: L, x: &[f32; LANES]) -> [f32; LANES] {
        let v = lanes.load(x);
        let mut out = [0.0; LANES];
        let kept = lanes.keep_first(v, 5, -1.0);
        let more = lanes.mul_add(kept, lanes.splat(2.0), lanes.add(v, lanes.mul(v, v)));
        lanes.store(lanes.max(more, lanes.splat(-3.0)), &mut out);
        out[14] = lanes.reduce_max(v);
        out[15] = lanes.reduce_sum(v);
        out
    }
}

#[test]
fn powers_of_two_are_exact_to_a_millionth() {
    let xs: Vec<[f32; LANES]> = (0..80_000)
        .step_by(if cfg!(miri) { 500 } else { 1 })
        .map(|i| std::array::from_fn(|lane| -(((i * LANES + lane) as f32) * 1e-4) + 2.0))
        .collect();
    for isa in Isa::available() {
        let got = run(isa, OfArrays(&xs, Exp2));
        for (x, y) in xs.as_flattened().iter().zip(got.as_flattened()) {
            let exact = f64::from(*x).exp2();
            match *x > EXP2_LOW {
                true => assert!((f64::from(*y) / exact - 1.0).abs() < 1e-6, "{isa:?}: 2^{x} = {y}"),
                false => assert!((0.0..1e-37).contains(y), "{isa:?}: 2^{x} = {y}"),
            }
        }
        let edge = [f32::NEG_INFINITY, -1e30, 0.0, f32::NAN];
        let got = run(isa, OfArrays(&[std::array::from_fn(|lane| edge[lane % 4])], Exp2))[0];
        assert!(got[0] < 1e-37 && got[1] < 1e-37 && got[2] == 1.0 && got[3].is_nan(), "{isa:?}: {got:?}");
    }
}

#[test]
fn every_half_comes_back_as_it_went_and_what_is_too_large_stays_finite() {
    let all: Vec<f32> = (0..=u16::MAX).map(|bits| half::f16::from_bits(bits).to_f32()).collect();
    let beyond = [65_520.0, -65_520.0, 1e30, -1e30, f32::INFINITY, f32::NEG_INFINITY, 65_504.0, 1e-9];
    for isa in Isa::available() {
        let got = run(isa, OfArrays(all.as_chunks().0, ThroughHalf));
        for (x, y) in all.iter().zip(got.as_flattened()) {
            let expected = x.clamp(-HALF_MAX, HALF_MAX);
            assert!(
                expected.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan()),
                "{isa:?}: {x} became {y}"
            );
        }
        let got = run(isa, OfArrays(&[std::array::from_fn(|lane| beyond[lane % 8])], ThroughHalf))[0];
        let expected = [1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, 0.0].map(|sign| sign * HALF_MAX);
        assert_eq!(got[..8], expected, "{isa:?}");
    }
}

#[test]
fn halves_are_rounded_as_the_plain_conversion_rounds() {
    let xs: Vec<[f32; LANES]> = (0..5_000i32)
        .map(|i| std::array::from_fn(|lane| (i * 16 + lane as i32 - 40_000) as f32 * 1.000_37 / 97.0))
        .collect();
    for isa in Isa::available() {
        let got = run(isa, OfArrays(&xs, ThroughHalf));
        for (x, y) in xs.as_flattened().iter().zip(got.as_flattened()) {
            assert_eq!(half::f16::from_f32(*x).to_f32(), *y, "{isa:?}: {x}");
        }
    }
}

#[test]
fn small_operations_agree() {
    let x: [f32; LANES] = std::array::from_fn(|lane| (lane as f32 * 5.0) % 7.0 - 3.0);
    for isa in Isa::available() {
        let got = run(isa, OfArrays(&[x], Small))[0];
        for lane in 0..14 {
            let kept = if lane < 5 { x[lane] } else { -1.0 };
            assert_eq!(got[lane], (kept * 2.0 + x[lane] + x[lane] * x[lane]).max(-3.0), "{isa:?} {lane}");
        }
        assert_eq!(got[14..], [3.0, x.iter().sum::<f32>()], "{isa:?}");
    }
}
