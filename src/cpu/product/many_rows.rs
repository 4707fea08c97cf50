//! Many rows times matrices: two strips of weights at a time are made ready in a core's own cache, and then meet all
//! rows, a few at a time.

use std::cell::RefCell;
use std::ops::Range;

use half::bf16;

use super::super::activations::{Halves, LevelRow, Levels, Starts};
use super::super::block::{BlockType, STRIP};
use super::super::isa::Isa;
use super::super::packed::Packed;
use super::super::panel::{Form, Scratch};
use super::super::{pool, tile};
use super::{Target, places};

/// As [`super::multiply`], for more than one row.
pub(super) fn multiply(x: &[f32], columns: usize, targets: &[Target<'_>], isa: Isa) {
    let rounded = Rounded::of(x, columns, targets, isa);
    let rows = Rows::of(x, columns, &rounded);
    let count = x.len() / columns;
    let pairs: usize = targets.iter().map(|target| pairs_of(target.factor.matrix)).sum();
    // Where matrices are too small to go round, rows are parted too, and their weights made ready more than once.
    let parts = (4 * pool::threads()).div_ceil(pairs.max(1)).min(count.div_ceil(24));
    let step = count.div_ceil(parts.max(1));
    pool::run(pairs * parts.max(1), |piece| {
        let (pair, part) = (piece % pairs, piece / pairs);
        let some = (part * step).min(count)..((part + 1) * step).min(count);
        SCRATCH.with_borrow_mut(|scratch| {
            for (target, pair) in places(targets, pair..pair + 1, pairs_of) {
                pair_of_strips(&rows, some.clone(), target, 2 * pair, scratch, isa);
            }
        });
    });
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

fn pairs_of(matrix: &Packed) -> usize {
    matrix.strips().div_ceil(2)
}

/// The rows as they were rounded, in every type that one of the matrices is multiplied in.
struct Rounded {
    levels: Option<Levels>,
    /// For each form that one of the matrices has.
    starts: Vec<Starts>,
    halves: Option<Halves>,
}

impl Rounded {
    fn of(x: &[f32], columns: usize, targets: &[Target<'_>], isa: Isa) -> Self {
        let kinds = || targets.iter().map(|target| target.factor.matrix.kind());
        let mut forms: Vec<Form> = kinds().filter(|kind| kind.is_quantized()).map(Form::of).collect();
        forms.dedup();
        let levels = (!forms.is_empty()).then(|| Levels::of(x, columns, isa));
        let starts =
            levels.iter().flat_map(|levels| forms.iter().map(|form| levels.starts(*form, isa))).collect();
        let bf16 = isa == Isa::Avx512Bf16 && kinds().any(|kind| kind == BlockType::BF16);
        Self { levels, starts, halves: bf16.then(|| Halves::of(x, columns, isa)) }
    }
}

/// Each row, in every form. They are looked up for every few rows of every two strips: what was only just put
/// together there would be read before it has reached memory, and that takes longer than a tile.
struct Rows<'a> {
    levels: Vec<(Form, Vec<LevelRow<'a>>)>,
    halves: Option<Vec<&'a [bf16]>>,
    numbers: Vec<&'a [f32]>,
}

impl<'a> Rows<'a> {
    fn of(x: &'a [f32], columns: usize, rounded: &'a Rounded) -> Self {
        let levels = |levels: &'a Levels| {
            rounded.starts.iter().map(|starts| (starts.form, levels.rows(starts))).collect()
        };
        Self {
            levels: rounded.levels.as_ref().map(levels).unwrap_or_default(),
            halves: rounded
                .halves
                .as_ref()
                .map(|halves| halves.numbers.chunks_exact(halves.stride).collect()),
            numbers: x.chunks_exact(columns).collect(),
        }
    }

    fn levels(&self, form: Form) -> &[LevelRow<'a>] {
        self.levels.iter().find(|(of, _)| *of == form).map_or(&[], |(_, rows)| rows)
    }
}

/// `some` of the rows times the strips `strip` and, if there is one, `strip + 1`.
fn pair_of_strips(
    rows: &Rows<'_>,
    some: Range<usize>,
    target: &Target<'_>,
    strip: usize,
    scratch: &mut Scratch,
    isa: Isa,
) {
    let matrix = target.factor.matrix;
    let out = Place { target, strip, strips: (matrix.strips() - strip).min(2) };
    match &rows.halves {
        _ if matrix.kind().is_quantized() => {
            let (ready, strips) = scratch.ready(matrix, strip, isa);
            let form = Form::of(matrix.kind());
            out.fill::<_, { tile::INT_ROWS }>(rows.levels(form), some, |x, out| {
                tile::int_tile(x, form, &ready[..strips], out, isa);
            });
        }
        Some(halves) if matrix.kind() == BlockType::BF16 => {
            let strips = scratch.pairs(matrix, strip, isa);
            out.fill::<_, { tile::DENSE_ROWS }>(halves, some, |x, out| tile::bf16_tile(x, &strips, out));
        }
        _ => {
            let strips = scratch.widened(matrix, strip, isa);
            out.fill::<_, { tile::DENSE_ROWS }>(&rows.numbers, some, |x, out| {
                tile::f32_tile(x, &strips, out, isa);
            });
        }
    }
}

/// Where the products with one or two strips go.
struct Place<'a, 'b> {
    target: &'a Target<'b>,
    strip: usize,
    strips: usize,
}

/// Numbers that fill whole cache lines, which a kernel may add to where they lie.
#[repr(align(64))]
struct Aligned<const ROWS: usize>([[f32; 2 * STRIP]; ROWS]);

impl Place<'_, '_> {
    /// Calls `tile` for up to `ROWS` of the rows at a time, and writes what it gives.
    fn fill<X, const ROWS: usize>(
        &self,
        rows: &[X],
        some: Range<usize>,
        tile: impl Fn(&[X], &mut [[f32; 2 * STRIP]]),
    ) {
        for first in some.clone().step_by(ROWS) {
            let x = &rows[first..some.end.min(first + ROWS)];
            let mut out = Aligned([[0.0; 2 * STRIP]; ROWS]);
            tile(x, &mut out.0);
            for (row, numbers) in out.0[..x.len()].iter().enumerate() {
                self.target.write(first + row, self.strip, &numbers[..self.strips * STRIP]);
            }
        }
    }
}
