//! Rows times matrices: `y = x · Wᵀ + b`, of several matrices that read the same `x`, in one go of the pool.
//!
//! One row reads each weight once where it lies. Many rows take two strips of weights at a time, ready in a
//! core's own cache, a few rows after the other.

#![expect(unsafe_code, reason = "threads fill different columns of one result")]

mod many_rows;

use std::mem::MaybeUninit;
use std::ops::Range;

use super::activations::{Levels, Vector};
use super::block::STRIP;
use super::isa::Isa;
use super::packed::Packed;
use super::pool::{self, Shared};
use super::tile;

/// One matrix of a product.
#[derive(Clone, Copy, Debug)]
pub struct Factor<'a> {
    /// W, (out, in).
    pub matrix: &'a Packed,
    /// b, (out,).
    pub bias: Option<&'a [f32]>,
}

/// Least bytes of weights of a piece in the product of one row.
const PIECE_BYTES: usize = 32 << 10;

/// `x` (rows, in) times each of the matrices: one (rows, out) for each, row after row.
///
/// # Panics
/// If `x` is not whole rows, if matrices have other columns, or if a bias has not one number for each row of its matrix.
pub fn multiply(x: &[f32], columns: usize, factors: &[Factor<'_>], isa: Isa) -> Vec<Vec<f32>> {
    assert!(columns > 0 && x.len().is_multiple_of(columns), "{} numbers in rows of {columns}", x.len());
    let rows = x.len() / columns;
    for Factor { matrix, bias } in factors {
        assert!(matrix.columns() == columns && bias.is_none_or(|bias| bias.len() == matrix.rows()));
    }
    let mut outputs: Vec<Vec<f32>> =
        factors.iter().map(|factor| Vec::with_capacity(rows * factor.matrix.rows())).collect();
    let targets: Vec<Target<'_>> = factors
        .iter()
        .zip(&mut outputs)
        .map(|(factor, out)| Target { factor: *factor, out: Shared::new(out.spare_capacity_mut()), rows })
        .collect();
    match rows {
        0 => {}
        1 => one_row(x, &targets, isa),
        _ => many_rows::multiply(x, columns, &targets, isa),
    }
    for (out, factor) in outputs.iter_mut().zip(factors) {
        // SAFETY: the strips of a matrix are all its rows, and every piece has written all of its own.
        unsafe { out.set_len(rows * factor.matrix.rows()) };
    }
    outputs
}

/// Where one matrix's results go.
struct Target<'a> {
    factor: Factor<'a>,
    /// Does not exist before it is written.
    out: Shared<MaybeUninit<f32>>,
    rows: usize,
}

impl Target<'_> {
    /// Writes the numbers that strips from `strip` on gave for `row`.
    fn write(&self, row: usize, strip: usize, numbers: &[f32]) {
        let matrix = self.factor.matrix;
        let first = strip * STRIP;
        let last = matrix.rows().min(first + numbers.len());
        debug_assert!(row < self.rows);
        let at = row * matrix.rows();
        // SAFETY: each strip of each row is written by one piece, and the output outlives them.
        let out = unsafe { self.out.part(at + first..at + last) };
        match self.factor.bias {
            // A copy of a length that the compiler knows is two instructions.
            None => match (out.as_chunks_mut().0, numbers.as_chunks::<{ 2 * STRIP }>().0) {
                ([out], [numbers]) => *out = numbers.map(MaybeUninit::new),
                _ => {
                    out.write_copy_of_slice(&numbers[..last - first]);
                }
            },
            Some(bias) => {
                for ((y, n), b) in out.iter_mut().zip(numbers).zip(&bias[first..last]) {
                    y.write(n + b);
                }
            }
        }
    }
}

fn one_row(x: &[f32], targets: &[Target<'_>], isa: Isa) {
    let quantized = targets.iter().any(|target| target.factor.matrix.kind().is_quantized());
    let levels = quantized.then(|| Levels::of(x, x.len(), isa));
    let vector = Vector { levels: levels.as_ref().map(|levels| levels.row(0)), numbers: x };
    let bytes: usize = targets.iter().map(|target| target.factor.matrix.memory_bytes()).sum();
    let strips: usize = targets.iter().map(|target| target.factor.matrix.strips()).sum();
    pool::run_tapered(strips, (PIECE_BYTES * strips).div_ceil(bytes.max(1)), |range| {
        for (target, strip) in places(targets, range, Packed::strips) {
            let matrix = target.factor.matrix;
            let numbers = match matrix.narrow(strip) {
                Some(narrow) => narrow.gemv(vector, isa),
                None => tile::gemv_strip(matrix.kind(), matrix.strip(strip), vector, isa),
            };
            target.write(0, strip, &numbers);
        }
    });
}

/// Which part of which matrix the numbers `range` mean, when each matrix has `parts` of them.
fn places<'a, 'b>(
    targets: &'a [Target<'b>],
    range: Range<usize>,
    parts: impl Fn(&Packed) -> usize,
) -> impl Iterator<Item = (&'a Target<'b>, usize)> {
    range.filter_map(move |mut place| {
        targets.iter().find_map(|target| {
            let count = parts(target.factor.matrix);
            if place < count {
                return Some((target, place));
            }
            place -= count;
            None
        })
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::cpu::block::BlockType;

    /// Bytes by their place, save that no number of any type becomes large.
    fn matrix(kind: BlockType, rows: usize, columns: usize) -> Packed {
        Packed::pack(kind, rows, columns, |first, out| {
            let from = first * kind.row_bytes(columns);
            out.iter_mut().enumerate().for_each(|(at, byte)| *byte = ((from + at) * 37 % 61) as u8);
            Ok::<(), Infallible>(())
        })
        .unwrap()
    }

    #[test]
    #[cfg_attr(miri, ignore = "large")]
    fn matrices_that_share_their_rows_give_what_each_gives_alone_and_their_bias() {
        let (columns, bias) = (256, [0.5, -2.0, 3.0, 1.25].repeat(8));
        let of = |(at, kind): (usize, &BlockType)| matrix(*kind, 14 + at, columns);
        let matrices: Vec<Packed> = BlockType::ALL.iter().enumerate().map(of).collect();
        let factors: Vec<Factor<'_>> =
            matrices.iter().map(|matrix| Factor { matrix, bias: Some(&bias[..matrix.rows()]) }).collect();
        for rows in [1, 2, 30, 100] {
            let x: Vec<f32> = (0..rows * columns).map(|at| (at * 31 % 101) as f32 / 50.0 - 1.0).collect();
            for isa in Isa::available() {
                let together = multiply(&x, columns, &factors, isa);
                for (factor, got) in factors.iter().zip(together) {
                    let mut alone = multiply(&x, columns, &[Factor { bias: None, ..*factor }], isa).remove(0);
                    assert!(alone.iter().all(|y| y.is_finite()) && alone.iter().any(|y| *y != alone[0]));
                    for row in alone.chunks_exact_mut(factor.matrix.rows()) {
                        row.iter_mut().zip(&bias).for_each(|(y, bias)| *y += bias);
                    }
                    assert_eq!(got, alone, "{rows} rows, {:?}, {isa:?}", factor.matrix.kind());
                }
            }
        }
    }
}
