//! Products of small matrices of f32 that lie in a core's caches, on the calling thread.
//!
//! Nothing is packed: the right factor is read in rows, the left one a number at a time, so it may lie transposed.

use super::lanes::{LANES, Lanes};

/// A matrix of which number (row, column) stands at `row · row_step + column · column_step`.
#[derive(Clone, Copy)]
pub struct Left<'a> {
    /// Where it lies.
    pub numbers: &'a [f32],
    /// From one row to the next.
    pub row_step: usize,
    /// From one column to the next.
    pub column_step: usize,
    /// Rows of the product.
    pub rows: usize,
    /// Columns, each of which meets one row of the right factor.
    pub depth: usize,
}

impl Left<'_> {
    /// The same matrix from `row` on.
    #[inline(always)]
    fn after_rows(self, row: usize) -> Self {
        let numbers = &self.numbers[row * self.row_step..];
        Self { numbers, rows: self.rows - row, ..self }
    }
}

/// `out = scale · out + left · right`, where `right` and `out` have rows of `stride` numbers, a multiple of
/// [`LANES`]. Where `scale` is 0, `out` is not read.
///
/// # Panics
/// If a matrix is shorter than its shape says.
#[inline(always)]
pub fn product<L: Lanes>(l: L, left: Left, right: &[f32], stride: usize, scale: f32, out: &mut [f32]) {
    let vectors = stride / LANES;
    let (right, out) = (right.as_chunks::<LANES>().0, out.as_chunks_mut::<LANES>().0);
    let (right, out) = (&right[..left.depth * vectors], &mut out[..left.rows * vectors]);
    if left.depth == 0 {
        out.as_flattened_mut().iter_mut().for_each(|y| *y = if scale == 0.0 { 0.0 } else { scale * *y });
    } else if left.rows == 0 {
        // Nothing comes of no rows.
    } else if L::WIDE {
        panels::<L, 8, 2>(l, left, right, vectors, scale, out);
    } else {
        panels::<L, 4, 1>(l, left, right, vectors, scale, out);
    }
}

/// Panels of `N` vectors, which stay in the first cache while all rows pass, then of one.
#[inline(always)]
fn panels<L: Lanes, const R: usize, const N: usize>(
    l: L,
    left: Left,
    right: &[[f32; LANES]],
    vectors: usize,
    scale: f32,
    out: &mut [[f32; LANES]],
) {
    let whole = vectors - vectors % N;
    for first in (0..whole).step_by(N) {
        panel::<L, R, N>(l, left, &right[first..], vectors, scale, &mut out[first..]);
    }
    for first in whole..vectors {
        panel::<L, R, 1>(l, left, &right[first..], vectors, scale, &mut out[first..]);
    }
}

#[inline(always)]
fn panel<L: Lanes, const R: usize, const N: usize>(
    l: L,
    left: Left,
    right: &[[f32; LANES]],
    vectors: usize,
    scale: f32,
    out: &mut [[f32; LANES]],
) {
    let whole = left.rows - left.rows % R;
    for row in (0..whole).step_by(R) {
        tile::<L, R, N>(l, left.after_rows(row), right, vectors, scale, &mut out[row * vectors..]);
    }
    for row in whole..left.rows {
        tile::<L, 1, N>(l, left.after_rows(row), right, vectors, scale, &mut out[row * vectors..]);
    }
}

/// `R` rows by `N` vectors: the sums stay in registers.
#[inline(always)]
fn tile<L: Lanes, const R: usize, const N: usize>(
    l: L,
    left: Left,
    right: &[[f32; LANES]],
    vectors: usize,
    scale: f32,
    out: &mut [[f32; LANES]],
) {
    let mut sums = [[l.splat(0.0); N]; R];
    if scale != 0.0 {
        for (row, sums) in sums.iter_mut().enumerate() {
            for (vector, sum) in sums.iter_mut().enumerate() {
                *sum = l.mul(l.splat(scale), l.load(&out[row * vectors + vector]));
            }
        }
    }
    for k in 0..left.depth {
        let from = &right[k * vectors..][..N];
        let mut row = [l.splat(0.0); N];
        for (v, from) in row.iter_mut().zip(from) {
            *v = l.load(from);
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            let a = l.splat(left.numbers[r * left.row_step + k * left.column_step]);
            for (sum, b) in sums.iter_mut().zip(&row) {
                *sum = l.mul_add(a, *b, *sum);
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        for (vector, sum) in sums.iter().enumerate() {
            l.store(*sum, &mut out[row * vectors + vector]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cpu::isa::Isa;
    use crate::cpu::lanes::{Kernel, run};

    struct Product<'a>(Left<'a>, &'a [f32], usize, f32, Vec<f32>);

    impl Kernel for Product<'_> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn run<L: Lanes>(mut self, l: L) -> Vec<f32> {
            product(l, self.0, self.1, self.2, self.3, &mut self.4);
            self.4
        }
    }

    fn plain(left: Left, right: &[f32], stride: usize, scale: f32, out: &[f32]) -> Vec<f32> {
        let sum = |row: usize, column: usize| -> f32 {
            let at = |k: usize| left.numbers[row * left.row_step + k * left.column_step];
            (0..left.depth).map(|k| at(k) * right[k * stride + column]).sum()
        };
        let kept = |at: usize| if scale == 0.0 { 0.0 } else { scale * out[at] };
        (0..left.rows * stride).map(|at| kept(at) + sum(at / stride, at % stride)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 40 }))]
        #[test]
        fn each_set_agrees_with_the_sums_written_out(
            rows in 0usize..20, depth in 0usize..40, vectors in 0usize..6, transposed in any::<bool>(),
            scale in prop::sample::select(vec![0.0f32, 1.0, -0.5]), seed in any::<u32>(),
        ) {
            let mut state = seed | 1;
            let mut number = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            };
            let mut numbers = |count: usize| -> Vec<f32> { (0..count).map(|_| number()).collect() };
            let stride = vectors * LANES;
            let (a, b) = (numbers(rows * depth), numbers(depth * stride));
            // What is not to be read may be anything.
            let out = if scale == 0.0 { vec![f32::NAN; rows * stride] } else { numbers(rows * stride) };
            let (row_step, column_step) = if transposed { (1, rows) } else { (depth, 1) };
            let left = Left { numbers: &a, row_step, column_step, rows, depth };
            let expected = plain(left, &b, stride, scale, &out);
            for isa in Isa::available() {
                let got = run(isa, Product(left, &b, stride, scale, out.clone()));
                let worst = got.iter().zip(&expected).map(|(g, e)| (g - e).abs()).fold(0.0, f32::max);
                prop_assert!(got.len() == expected.len() && worst < 1e-5, "{worst} on {}", isa.name());
                prop_assert!(got.iter().all(|g| g.is_finite()));
            }
        }
    }
}
