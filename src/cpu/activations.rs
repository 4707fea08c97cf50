//! The rows that are multiplied with weights, in the form that a kind of product reads.
//!
//! For quantized weights a row becomes 8-bit levels with one f32 scale for each group of 32, finer than the
//! blocks of 256 that other engines use for K-quants. For bf16 weights many rows become bf16; one row stays
//! f32, as do all rows for f16 and f32 weights.

#![expect(unsafe_code, reason = "several arrays are written by all threads, each its own rows")]

use half::bf16;

use super::block::GROUP;
use super::isa::Isa;
use super::panel::Form;
use super::pool::{self, Shared};

/// Rows in 8 bits. All arrays are row after row.
#[derive(Debug, Default)]
pub(super) struct Levels {
    columns: usize,
    /// (rows, columns)
    pub(super) levels: Vec<i8>,
    /// (rows, groups): a number is scale · level.
    pub(super) scales: Vec<f32>,
    /// (rows, 2 · groups): the negated sum of the levels of each half of a group.
    pub(super) negative_sums: Vec<i32>,
    /// (rows, groups): scale · sum of the levels of the group.
    pub(super) scaled_sums: Vec<f32>,
}

/// What dot products of all rows begin with, for one [`Form`] of weights: see [`Levels::starts`].
#[derive(Debug)]
pub(super) struct Starts {
    pub(super) form: Form,
    /// (rows, parts)
    numbers: Vec<i32>,
    /// (rows, columns): the levels as words, where weights are ([`Form::is_wide`]).
    words: Vec<i16>,
}

/// One row of [`Levels`].
#[derive(Clone, Copy)]
pub(super) struct LevelRow<'a> {
    pub(super) levels: &'a [i8],
    pub(super) scales: &'a [f32],
    pub(super) negative_sums: &'a [i32],
    pub(super) scaled_sums: &'a [f32],
    /// (parts,): what the dot products of a part begin with; empty for weights without an offset, and for a row by itself.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "512-bit kernels alone begin with them")
    )]
    pub(super) starts: &'a [i32],
    /// The levels as words, where weights are; else empty.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "256-bit kernels alone read them"))]
    pub(super) words: &'a [i16],
}

/// A row in the forms that products read; the one that the weights need is there.
#[derive(Clone, Copy)]
pub(super) struct Vector<'a> {
    pub(super) levels: Option<LevelRow<'a>>,
    pub(super) numbers: &'a [f32],
}

impl Levels {
    /// Rounds `x` (rows, columns); columns are a multiple of 32.
    pub(super) fn of(x: &[f32], columns: usize, isa: Isa) -> Self {
        let (rows, groups) = (x.len() / columns.max(1), x.len() / GROUP);
        let mut this = Self {
            columns,
            levels: vec![0; x.len()],
            scales: vec![0.0; groups],
            negative_sums: vec![0; 2 * groups],
            scaled_sums: vec![0.0; groups],
        };
        let per_row = columns / GROUP;
        let (levels, scales) = (Shared::new(&mut this.levels), Shared::new(&mut this.scales));
        let (sums, scaled) = (Shared::new(&mut this.negative_sums), Shared::new(&mut this.scaled_sums));
        // Some thousand numbers a piece.
        pool::run_ranges(rows, (8192 / columns.max(1)).max(1), |range| {
            let group = range.start * per_row..range.end * per_row;
            // SAFETY: ranges of rows do not overlap, and the vectors are borrowed until `run_ranges` returns.
            let mut to = unsafe {
                LevelsMut {
                    levels: levels.part(range.start * columns..range.end * columns),
                    scales: scales.part(group.clone()),
                    negative_sums: sums.part(2 * group.start..2 * group.end),
                    scaled_sums: scaled.part(group),
                }
            };
            quantize(&x[range.start * columns..range.end * columns], &mut to, isa);
        });
        this
    }

    pub(super) fn row(&self, row: usize) -> LevelRow<'_> {
        let groups = self.columns / GROUP;
        LevelRow {
            levels: &self.levels[row * self.columns..][..self.columns],
            scales: &self.scales[row * groups..][..groups],
            negative_sums: &self.negative_sums[2 * row * groups..][..2 * groups],
            scaled_sums: &self.scaled_sums[row * groups..][..groups],
            starts: &[],
            words: &[],
        }
    }

    /// The negated sum of the levels of each part, times the offset of such weights: worked out once, since every
    /// few rows of every two strips begin with it.
    pub(super) fn starts(&self, form: Form, isa: Isa) -> Starts {
        if form.is_wide(isa) {
            return Starts { form, numbers: Vec::new(), words: self.words() };
        }
        let numbers = match form {
            Form::Added(_) => Vec::new(),
            Form::Halves(bits) => self.negative_sums.iter().map(|sum| sum << bits).collect(),
            Form::Offset(bits) => {
                self.negative_sums.as_chunks().0.iter().map(|[a, b]| (a + b) << bits).collect()
            }
        };
        Starts { form, numbers, words: Vec::new() }
    }

    fn words(&self) -> Vec<i16> {
        let mut words = vec![0; self.levels.len()];
        // Enough numbers a piece to be worth handing out.
        const PIECE: usize = 1 << 15;
        pool::run_chunks(&mut words, PIECE, |piece, words| {
            let levels = &self.levels[piece * PIECE..];
            words.iter_mut().zip(levels).for_each(|(word, level)| *word = i16::from(*level));
        });
        words
    }

    /// All rows, for weights of such a form.
    pub(super) fn rows<'a>(&'a self, starts: &'a Starts) -> Vec<LevelRow<'a>> {
        let rows = self.levels.len() / self.columns.max(1);
        let (parts, words) = (starts.numbers.len() / rows.max(1), starts.words.len() / rows.max(1));
        let of = |row: usize| LevelRow {
            starts: &starts.numbers[row * parts..][..parts],
            words: &starts.words[row * words..][..words],
            ..self.row(row)
        };
        (0..rows).map(of).collect()
    }
}

/// Where the numbers of some groups go.
pub(super) struct LevelsMut<'a> {
    pub(super) levels: &'a mut [i8],
    pub(super) scales: &'a mut [f32],
    pub(super) negative_sums: &'a mut [i32],
    pub(super) scaled_sums: &'a mut [f32],
}

fn quantize(x: &[f32], to: &mut LevelsMut<'_>, isa: Isa) {
    #[cfg(target_arch = "x86_64")]
    if isa.is_avx512() {
        return super::avx512::quantize(x, to);
    }
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Avx2 {
        return super::avx2::quantize(x, to);
    }
    #[cfg(target_arch = "aarch64")]
    if isa == Isa::Neon {
        return super::neon::quantize(x, to);
    }
    let _ = isa;
    quantize_plainly(x, to);
}

/// What turns numbers into levels; 0 where all are zero, or so small that their levels could not be told apart.
pub(super) fn inverse_scale(largest: f32) -> f32 {
    let inverse = 127.0 / largest;
    if inverse.is_finite() { inverse } else { 0.0 }
}

/// The plain twin. What is no number makes the scale of its group none.
pub(super) fn quantize_plainly(x: &[f32], to: &mut LevelsMut<'_>) {
    for (group, x) in x.chunks_exact(GROUP).enumerate() {
        let largest = match x.iter().any(|x| x.is_nan()) {
            true => f32::NAN,
            false => x.iter().fold(0f32, |most, x| most.max(x.abs())),
        };
        let scale = largest / 127.0;
        let inverse = inverse_scale(largest);
        let levels = &mut to.levels[group * GROUP..][..GROUP];
        for (level, x) in levels.iter_mut().zip(x) {
            *level = (x * inverse).round_ties_even() as i8;
        }
        let sum = |levels: &[i8]| levels.iter().map(|level| i32::from(*level)).sum::<i32>();
        let halves = [sum(&levels[..GROUP / 2]), sum(&levels[GROUP / 2..])];
        to.negative_sums[2 * group..][..2].copy_from_slice(&halves.map(|sum| -sum));
        to.scales[group] = scale;
        to.scaled_sums[group] = scale * (halves[0] + halves[1]) as f32;
    }
}

/// Rows in bf16, rounded to nearest; an odd column is followed by a zero.
#[derive(Debug, Default)]
pub(super) struct Halves {
    /// Numbers from one row to the next.
    pub(super) stride: usize,
    pub(super) numbers: Vec<bf16>,
}

impl Halves {
    pub(super) fn of(x: &[f32], columns: usize, isa: Isa) -> Self {
        let (rows, stride) = (x.len() / columns.max(1), columns.next_multiple_of(2));
        let mut numbers = vec![bf16::ZERO; rows * stride];
        let rows_together = (8192 / columns.max(1)).max(1);
        pool::run_chunks(&mut numbers, rows_together * stride, |chunk, to| {
            let x = &x[chunk * rows_together * columns..];
            for (to, x) in to.chunks_exact_mut(stride).zip(x.chunks_exact(columns)) {
                round(x, to, isa);
            }
        });
        Self { stride, numbers }
    }
}

fn round(x: &[f32], to: &mut [bf16], isa: Isa) {
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Avx512Bf16 {
        return super::avx512::round(x, to);
    }
    let _ = isa;
    to.iter_mut().zip(x).for_each(|(to, x)| *to = bf16::from_f32(*x));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_shows_in_its_group_alone_and_sums_are_those_of_the_levels() {
        let sound: [f32; 2 * GROUP] = std::array::from_fn(|at| at as f32 / 32.0 - 1.0);
        for isa in Isa::available() {
            let wrong = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
            for (wrong, at) in wrong.into_iter().flat_map(|x| (0..GROUP).map(move |at| (x, at))) {
                let mut x = sound;
                (x[at], x[GROUP / 2]) = (wrong, wrong);
                let levels = Levels::of(&x, x.len(), isa);
                assert!(!levels.scales[0].is_finite(), "{wrong} at {at} is hidden: {isa:?}");
                assert_eq!(levels.scales[1], Levels::of(&sound, sound.len(), isa).scales[1], "{isa:?}");
                let halves = levels.levels.chunks_exact(GROUP / 2).zip(&levels.negative_sums);
                for (half, negative) in halves {
                    assert_eq!(half.iter().map(|level| i32::from(*level)).sum::<i32>(), -negative, "{isa:?}");
                    assert!(half.iter().all(|level| *level >= -127), "{isa:?}");
                }
            }
        }
    }
}
