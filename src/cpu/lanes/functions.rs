//! Functions of vectors that several kernels share: exponential, sigmoid, SiLU, error function.

use super::Lanes;

/// Adding it to a small number rounds that to a whole one: 1.5 · 2²³.
const ROUND: f32 = 12_582_912.0;

/// e^x for x in [-87, 88]; below, a number near 0 (2⁻¹²⁶); above, a large finite number.
///
/// Splits x = n·ln 2 + r with |r| ≤ ln 2 / 2 and takes a degree-6 polynomial of r. Relative error below 3e-7.
#[inline(always)]
pub fn exp<L: Lanes>(l: L, x: L::V) -> L::V {
    // In this order what is no number stays none.
    let x = l.min(l.splat(88.0), l.max(l.splat(-87.0), x));
    let round = l.splat(ROUND);
    let n = l.sub(l.mul_add(x, l.splat(std::f32::consts::LOG2_E), round), round);
    // ln 2 in two parts, so that n·ln 2 loses nothing.
    let r = l.mul_add(n, l.splat(-0.693_359_4), x);
    let r = l.mul_add(n, l.splat(2.121_944_4e-4), r);
    let mut p = l.splat(1.0 / 720.0);
    for coefficient in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = l.mul_add(p, r, l.splat(coefficient));
    }
    l.mul(p, l.two_to_the(n))
}

/// x / (1 + e^−x)
#[inline(always)]
pub fn silu<L: Lanes>(l: L, x: L::V) -> L::V {
    let minus = l.sub(l.splat(0.0), x);
    l.div(x, l.add(l.splat(1.0), exp(l, minus)))
}

/// 1 / (1 + e^−x)
#[inline(always)]
pub fn sigmoid<L: Lanes>(l: L, x: L::V) -> L::V {
    let minus = l.sub(l.splat(0.0), x);
    l.div(l.splat(1.0), l.add(l.splat(1.0), exp(l, minus)))
}

/// erf(x), off by less than 5e-7: a rational function of x, with the coefficients that XLA and Eigen use for f32.
#[inline(always)]
pub fn erf<L: Lanes>(l: L, x: L::V) -> L::V {
    const ABOVE: [f32; 6] =
        [2.770_681_4e-8, -2.101_024e-6, -5.692_506_4e-5, -7.349_906_3e-4, -2.954_6e-3, -1.609_603_3e-2];
    const BELOW: [f32; 4] = [-2.133_740_6e-4, -1.682_826_9e-3, -7.373_329_2e-3, -1.426_473_9e-2];
    let x = l.min(l.splat(4.0), l.max(l.splat(-4.0), x));
    let y = l.mul(x, x);
    let (mut p, mut q) = (l.splat(-2.726_142_3e-10), l.splat(-1.456_607_2e-5));
    for coefficient in ABOVE {
        p = l.mul_add(p, y, l.splat(coefficient));
    }
    for coefficient in BELOW {
        q = l.mul_add(q, y, l.splat(coefficient));
    }
    l.div(l.mul(x, p), q)
}

#[cfg(test)]
mod tests {
    use super::super::{Kernel, LANES, run};
    use super::*;
    use crate::cpu::isa::Isa;

    /// All functions of one vector.
    struct All([f32; LANES]);

    impl Kernel for All {
        type Output = [[f32; LANES]; 4];

        #[inline(always)]
        fn run<L: Lanes>(self, l: L) -> Self::Output {
            let x = l.load(&self.0);
            let mut out = [[0f32; LANES]; 4];
            for (v, out) in [exp(l, x), silu(l, x), sigmoid(l, x), erf(l, x)].into_iter().zip(&mut out) {
                l.store(v, out);
            }
            out
        }
    }

    #[test]
    fn each_set_agrees_with_double_precision() {
        for isa in Isa::available() {
            for first in (-870_000..880_000).step_by(if cfg!(miri) { 16 * 7 * 500 } else { 16 * 7 }) {
                let x = std::array::from_fn(|lane| (first + 7 * lane as i32) as f32 * 1e-4);
                let [exps, silus, sigmoids, _] = run(isa, All(x));
                for (lane, x) in x.iter().enumerate() {
                    let x = f64::from(*x);
                    let close =
                        |got: f32, exact: f64| (f64::from(got) - exact).abs() / exact.abs().max(1e-37);
                    assert!(close(exps[lane], x.exp()) < 3e-7, "exp({x}) on {}", isa.name());
                    let sigmoid = 1.0 / (1.0 + (-x).exp());
                    assert!(close(sigmoids[lane], sigmoid) < 6e-7, "sigmoid({x}) on {}", isa.name());
                    let error = (f64::from(silus[lane]) - x * sigmoid).abs();
                    assert!(error <= 6e-7 * (x * sigmoid).abs() + 1e-36, "silu({x}) on {}", isa.name());
                }
            }
        }
    }

    #[test]
    fn extremes_stay_finite_and_ordered() {
        for isa in Isa::available() {
            let mut x = [0f32; LANES];
            x[1..6].copy_from_slice(&[f32::NEG_INFINITY, -1000.0, 1000.0, f32::INFINITY, 1e30]);
            let [exps, silus, sigmoids, erfs] = run(isa, All(x));
            assert_eq!((exps[0], silus[0], sigmoids[0], erfs[0]), (1.0, 0.0, 0.5, 0.0));
            assert!(exps[1] < 1e-37 && exps[2] >= 0.0 && exps[3].is_finite() && exps[4].is_finite());
            assert!(silus[2].abs() < 1e-30 && silus[3] == 1000.0 && silus[5] == 1e30);
            assert!(sigmoids[2] < 1e-30 && sigmoids[3] == 1.0);
            assert!((erfs[2] + 1.0).abs() < 1e-6 && (erfs[3] - 1.0).abs() < 1e-6);
            assert!(
                run(isa, All([f32::NAN; LANES])).as_flattened().iter().all(|y| y.is_nan()),
                "{}",
                isa.name()
            );
        }
    }

    #[test]
    fn loads_and_stores_of_some_numbers_touch_no_others() {
        struct Some([f32; LANES], usize);
        impl Kernel for Some {
            type Output = [f32; LANES];
            #[inline(always)]
            fn run<L: Lanes>(self, l: L) -> Self::Output {
                let v = l.load_some(&self.0[..self.1]);
                let mut out = [-1.0; LANES];
                l.store_some(l.add(v, l.splat(1.0)), &mut out[..self.1]);
                out[LANES - 1] = l.reduce_sum(v);
                out
            }
        }
        for isa in Isa::available() {
            for length in 0..LANES {
                let got = run(isa, Some(std::array::from_fn(|lane| lane as f32), length));
                assert!(got[..length].iter().enumerate().all(|(lane, x)| *x == lane as f32 + 1.0));
                assert!(got[length..LANES - 1].iter().all(|x| *x == -1.0));
                assert_eq!(got[LANES - 1], (0..length).sum::<usize>() as f32, "{}", isa.name());
            }
        }
    }
}
