//! RMS norms of rows, alone and together with the addition before them.

#![expect(unsafe_code, reason = "two slices are written to in the same chunks")]

use super::PIECE;
use crate::cpu::isa::Isa;
use crate::cpu::lanes::{Kernel, LANES, Lanes, run};
use crate::cpu::pool::{self, Shared};

/// Each row of `x` over the root of its mean square, times `weight`: `x / sqrt(mean(x²) + eps) · weight`, to `out`.
///
/// # Panics
/// If `x` and `out` differ in length, or are no rows as long as `weight`.
pub fn norm(isa: Isa, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    assert!(x.len() == out.len() && is_rows(x, weight), "rows of {} numbers", weight.len());
    pool::run_chunks(out, step(weight), |chunk, out| {
        let start = chunk * step(weight);
        run(isa, Norm { x: &x[start..start + out.len()], weight, eps, out });
    });
}

/// `stream += y`, then `y` becomes the norm of `stream`: a residual and the norm after it in one pass.
///
/// # Panics
/// If `stream` and `y` differ in length, or are no rows as long as `weight`.
pub fn add_norm(isa: Isa, stream: &mut [f32], y: &mut [f32], weight: &[f32], eps: f32) {
    assert!(stream.len() == y.len() && is_rows(y, weight), "rows of {} numbers", weight.len());
    let streams = Shared::new(stream);
    pool::run_chunks(y, step(weight), |chunk, y| {
        let start = chunk * step(weight);
        // SAFETY: one part for each chunk of `y`, at its place, and chunks do not overlap.
        let stream = unsafe { streams.part(start..start + y.len()) };
        run(isa, AddNorm { stream, weight, eps, y });
    });
}

fn is_rows(x: &[f32], weight: &[f32]) -> bool {
    x.is_empty() || !weight.is_empty() && x.len().is_multiple_of(weight.len())
}

/// Whole rows, about a piece of them.
fn step(weight: &[f32]) -> usize {
    weight.len() * PIECE.div_ceil(weight.len().max(1))
}

struct Norm<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    eps: f32,
    out: &'a mut [f32],
}

impl Kernel for Norm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let dim = self.weight.len().max(1);
        for (x, out) in self.x.chunks_exact(dim).zip(self.out.chunks_exact_mut(dim)) {
            let (blocks, rest) = x.as_chunks::<LANES>();
            let (fours, single) = blocks.as_chunks::<4>();
            let mut sums = [l.splat(0.0); 4];
            for four in fours {
                for (sum, block) in sums.iter_mut().zip(four) {
                    let v = l.load(block);
                    *sum = l.mul_add(v, v, *sum);
                }
            }
            for block in single {
                let v = l.load(block);
                sums[0] = l.mul_add(v, v, sums[0]);
            }
            let v = l.load_some(rest);
            sums[0] = l.mul_add(v, v, sums[0]);
            scale(l, x, self.weight, of_squares(l, sums, dim, self.eps), out);
        }
    }
}

struct AddNorm<'a> {
    stream: &'a mut [f32],
    weight: &'a [f32],
    eps: f32,
    y: &'a mut [f32],
}

impl Kernel for AddNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let dim = self.weight.len().max(1);
        for (x, y) in self.stream.chunks_exact_mut(dim).zip(self.y.chunks_exact_mut(dim)) {
            let ((blocks, rest), (more, more_rest)) = (x.as_chunks_mut::<LANES>(), y.as_chunks::<LANES>());
            let ((fours, single), (more, more_single)) = (blocks.as_chunks_mut::<4>(), more.as_chunks::<4>());
            let mut sums = [l.splat(0.0); 4];
            for (four, more) in fours.iter_mut().zip(more) {
                for ((sum, block), more) in sums.iter_mut().zip(four).zip(more) {
                    let v = l.add(l.load(block), l.load(more));
                    l.store(v, block);
                    *sum = l.mul_add(v, v, *sum);
                }
            }
            for (block, more) in single.iter_mut().zip(more_single) {
                let v = l.add(l.load(block), l.load(more));
                l.store(v, block);
                sums[0] = l.mul_add(v, v, sums[0]);
            }
            let v = l.add(l.load_some(rest), l.load_some(more_rest));
            l.store_some(v, rest);
            sums[0] = l.mul_add(v, v, sums[0]);
            scale(l, x, self.weight, of_squares(l, sums, dim, self.eps), y);
        }
    }
}

/// What a row with these sums of squares is multiplied with. Four, so that no addition waits for the one before.
#[inline(always)]
fn of_squares<L: Lanes>(l: L, sums: [L::V; 4], dim: usize, eps: f32) -> f32 {
    let [a, b, c, d] = sums;
    let sum = l.reduce_sum(l.add(l.add(a, b), l.add(c, d)));
    1.0 / (sum / dim as f32 + eps).sqrt()
}

/// `out = x · scale · weight`
#[inline(always)]
fn scale<L: Lanes>(l: L, x: &[f32], weight: &[f32], scale: f32, out: &mut [f32]) {
    let scale = l.splat(scale);
    let ((x, x_rest), (weight, weight_rest)) = (x.as_chunks::<LANES>(), weight.as_chunks::<LANES>());
    let (out, out_rest) = out.as_chunks_mut::<LANES>();
    for ((x, weight), out) in x.iter().zip(weight).zip(out) {
        l.store(l.mul(l.mul(l.load(x), scale), l.load(weight)), out);
    }
    l.store_some(l.mul(l.mul(l.load_some(x_rest), scale), l.load_some(weight_rest)), out_rest);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(x: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
        let row = |row: &[f32]| {
            let mean = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / row.len() as f64;
            let scale = 1.0 / (mean + f64::from(eps)).sqrt();
            row.iter()
                .zip(weight)
                .map(|(x, w)| (f64::from(*x) * scale * f64::from(*w)) as f32)
                .collect::<Vec<_>>()
        };
        x.chunks(weight.len()).flat_map(row).collect()
    }

    fn close(got: &[f32], expected: &[f32]) -> bool {
        let near = |(g, e): (&f32, &f32)| (g - e).abs() <= 2e-6 * (1.0 + e.abs());
        got.len() == expected.len() && got.iter().zip(expected).all(near)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 60 }))]
        #[test]
        fn each_set_agrees_with_the_definition(
            rows in 0usize..40, weight in prop::collection::vec(-3.0..3.0f32, 1..1100), spread in 1e-6f32..1e6,
            seed in prop::collection::vec(-1.0..1.0f32, 97),
        ) {
            let numbers = |salt: usize| -> Vec<f32> {
                (0..rows * weight.len()).map(|i| spread * seed[(i * salt + i / 97) % 97]).collect()
            };
            let (x, y) = (numbers(5), numbers(11));
            let sum: Vec<f32> = x.iter().zip(&y).map(|(x, y)| x + y).collect();
            for isa in Isa::available() {
                let mut out = vec![f32::NAN; x.len()];
                norm(isa, &x, &weight, 1e-6, &mut out);
                prop_assert!(close(&out, &plain(&x, &weight, 1e-6)), "{}", isa.name());
                let (mut stream, mut normed) = (x.clone(), y.clone());
                add_norm(isa, &mut stream, &mut normed, &weight, 1e-6);
                prop_assert_eq!(&stream, &sum);
                prop_assert!(close(&normed, &plain(&sum, &weight, 1e-6)), "{}", isa.name());
            }
        }
    }

    #[test]
    fn rows_of_small_numbers_are_held_up_by_what_is_added_to_their_square() {
        let x: Vec<f32> = (0..3 * 37).map(|i| ((i * 7 % 37) as f32 - 18.0) * 1e-4).collect();
        let weight: Vec<f32> = (0..37).map(|i| i as f32 - 5.0).collect();
        for isa in Isa::available() {
            for eps in [1e-5, 1e-6] {
                let mut out = vec![0.0; x.len()];
                norm(isa, &x, &weight, eps, &mut out);
                assert!(close(&out, &plain(&x, &weight, eps)), "{}", isa.name());
                let (mut stream, mut normed) = (vec![0.0; x.len()], x.clone());
                add_norm(isa, &mut stream, &mut normed, &weight, eps);
                assert_eq!((&stream, &normed), (&x, &out), "{}", isa.name());
            }
        }
    }

    #[test]
    fn a_row_of_zeros_stays_one_and_infinity_shows() {
        for isa in Isa::available() {
            let mut out = [1.0; 20];
            norm(isa, &[0.0; 20], &[1.0; 20], 1e-6, &mut out);
            assert_eq!(out, [0.0; 20]);
            norm(isa, &[f32::INFINITY; 20], &[1.0; 20], 1e-6, &mut out);
            assert!(out.iter().all(|x| x.is_nan()), "{}", isa.name());
        }
    }
}
