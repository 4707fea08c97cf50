//! Mixtures whose rows, or whose matrices, have more numbers than 32 bits count: the blocks that have the last of them.

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};

use super::group::MOST_PAIRS;
use super::many::{Products, Units, mix};
use super::*;
use crate::cuda::address::address;
use crate::cuda::edge::{INT, UNSIGNED, all, assert_near, last, put, taken, zeros};
use crate::cuda::gemv::{BlockKind, Weights};
use crate::cuda::launch::Launch;
use crate::cuda::on_host::{self, Block};
use crate::cuda::rows::tests::{numbers, random};

/// Types of matrices.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Dense,
    Blocks,
}

const KINDS: [(Units, Form); 4] = [
    (Units::Plain, Form::Dense),
    (Units::Plain, Form::Blocks),
    (Units::Tensor(64), Form::Dense),
    (Units::Tensor(64), Form::Blocks),
];

/// An expert's matrix.
struct Matrix {
    stored: Tensor,
    form: Form,
}

impl Matrix {
    /// `rows` rows of zeros, of which the last are those of `known`.
    fn ending_in(known: &Tensor, form: Form, rows: usize) -> Self {
        let (count, columns) = known.dims2().unwrap();
        let (all, some, row) = match form {
            Form::Dense => {
                let all = zeros(&[rows, columns], DType::BF16).unwrap();
                (all, known.to_dtype(DType::BF16).unwrap(), columns)
            }
            Form::Blocks => {
                let row = BlockKind::Q8_0.row_bytes(columns);
                let blocks = QTensor::quantize(known, GgmlDType::Q8_0).unwrap();
                let bytes = Tensor::new(&*blocks.data().unwrap(), &Device::Cpu).unwrap();
                (zeros(&[rows * row], DType::U8).unwrap(), bytes, row)
            }
        };
        put(&all, (rows - count) * row, &some);
        Self { stored: all, form }
    }

    /// Random, and as large as its results stay.
    fn random(seed: u64, form: Form, [rows, columns]: [usize; 2]) -> Self {
        let numbers = random(seed, &[rows, columns], 2.0 / (columns as f32).sqrt(), DType::F32, 0);
        Self::ending_in(&numbers, form, rows)
    }

    fn weights(&self) -> Weights<'_> {
        match self.form {
            Form::Dense => Weights::Dense(&self.stored),
            Form::Blocks => {
                Weights::Blocks { address: address(&self.stored).unwrap(), kind: BlockKind::Q8_0 }
            }
        }
    }
}

/// Of one expert: gate, up, down.
fn table(matrices: &[Matrix; 3], hidden: usize, middle: usize) -> Table {
    let [gate, up, down] = matrices.each_ref().map(Matrix::weights);
    Table::new(&[Expert { gate, up, down }], hidden, middle, &Device::Cpu).unwrap()
}

/// Every token to the one expert, with weight 1.
fn routes(tokens: usize) -> Routes {
    let weights = Tensor::ones((tokens, 1), DType::F32, &Device::Cpu).unwrap();
    Routes { experts: Tensor::zeros((tokens, 1), DType::U32, &Device::Cpu).unwrap(), weights }
}

/// All of what groups, the products of the last tile, and the last block of the sum.
fn last_tile(launch: &Launch) -> Vec<Block> {
    let [strips, tiles, _] = launch.grid;
    match launch.kernel.as_str() {
        "experts_group" | "experts_tiles" => all(launch),
        kernel if kernel.starts_with("experts_mix") => last(launch),
        _ => (0..strips).map(|strip| [strip, tiles - 1, 0]).collect(),
    }
}

/// The last token of so many that rows of the wider side end beyond 2³² numbers.
fn check_last_token([hidden, middle]: [usize; 2]) {
    for (units, form) in KINDS {
        let tokens = UNSIGNED / hidden.max(middle) + 1;
        let rising = |seed| Matrix::random(seed, form, [middle, hidden]);
        let matrices = [rising(1), rising(2), Matrix::random(3, form, [hidden, middle])];
        let table = table(&matrices, hidden, middle);
        let (x, row) =
            (zeros(&[tokens, hidden], DType::BF16).unwrap(), random(7, &[1, hidden], 1.0, DType::BF16, 0));
        put(&x, (tokens - 1) * hidden, &row);
        let got = on_host::only_blocks(last_tile, || mix(&x, &table, &routes(tokens), units)).unwrap();
        let near = numbers(&on_host::with(|| mix(&row, &table, &routes(1), units)).unwrap());
        // A block of the sum takes 2,048 numbers.
        let count = hidden.min(2048);
        assert_near(&taken(&got, tokens * hidden - count, count), &near[hidden - count..], 1e-6);
    }
}

#[test]
fn rows_beyond_two_to_the_thirty_second_number_go_through_their_expert() {
    check_last_token([16_384, 64]);
}

#[test]
fn middles_beyond_two_to_the_thirty_second_number_are_kept_between_the_products() {
    check_last_token([64, 16_384]);
}

/// Rows of 4,096 that end beyond 2³² numbers, and how many of the last are not zeros.
const ROWS: usize = UNSIGNED / 4096 + KNOWN;
const KNOWN: usize = 64;

/// The two last strips of rows, of all tiles; all of what groups.
fn last_strips(launch: &Launch) -> Vec<Block> {
    let [strips, tiles, _] = launch.grid;
    match launch.kernel.as_str() {
        "experts_group" | "experts_tiles" => all(launch),
        _ => (strips.saturating_sub(2)..strips)
            .flat_map(|strip| (0..tiles).map(move |tile| [strip, tile, 0]))
            .collect(),
    }
}

#[test]
fn rows_of_matrices_beyond_two_to_the_thirty_second_number_are_multiplied_with_many_tokens() {
    let x = random(7, &[1, 4096], 1.0, DType::BF16, 0);
    let small = |form, seed| Matrix::random(seed, form, [KNOWN, 4096]);
    let known = |seed| random(seed, &[KNOWN, 4096], 2.0 / 64.0, DType::F32, 0);
    for (units, form) in KINDS {
        let far = |seed| Matrix::ending_in(&known(seed), form, ROWS);
        // What is not multiplied here is of the right shape, and lies nowhere else.
        let rising = [far(1), far(2), Matrix::ending_in(&zeros_row(ROWS), form, 4096)];
        let near = [small(form, 1), small(form, 2), Matrix::random(3, form, [4096, KNOWN])];
        let made = |matrices: &[Matrix; 3], middle: usize| {
            Products::new(&table(matrices, 4096, middle), &routes(1), units).and_then(|both| both.rising(&x))
        };
        let got = on_host::only_blocks(last_strips, || made(&rising, ROWS)).unwrap();
        let expected = numbers(&on_host::with(|| made(&near, KNOWN)).unwrap());
        assert_near(&taken(&got, ROWS - KNOWN, KNOWN), &expected, 1e-6);

        let across = |middle: usize| Matrix::ending_in(&zeros_row(middle), form, 4096);
        let down = [across(ROWS), across(ROWS), far(3)];
        let near = [across(KNOWN), across(KNOWN), small(form, 3)];
        let made = |matrices: &[Matrix; 3], hidden: usize| {
            Products::new(&table(matrices, hidden, 4096), &routes(1), units).and_then(|both| both.down(&x))
        };
        let got = on_host::only_blocks(last_strips, || made(&down, ROWS)).unwrap();
        let expected = numbers(&on_host::with(|| made(&near, KNOWN)).unwrap());
        assert_near(&taken(&got, ROWS - KNOWN, KNOWN), &expected, 1e-6);
    }
}

/// One row of zeros.
fn zeros_row(columns: usize) -> Tensor {
    Tensor::zeros((1, columns), DType::F32, &Device::Cpu).unwrap()
}

/// The last row of down reads only the last numbers of the middle: those of the last rows of gate and up.
#[test]
fn rows_of_matrices_beyond_two_to_the_thirty_second_number_are_multiplied_with_one_token() {
    let x = random(7, &[1, 4096], 1.0, DType::BF16, 0);
    let known = |seed| random(seed, &[KNOWN, 4096], 2.0 / 64.0, DType::F32, 0);
    let reads = random(3, &[1, KNOWN], 0.2, DType::F32, 0);
    for form in [Form::Dense, Form::Blocks] {
        let expert = |middle: usize, hidden: usize| {
            let wide = zeros_row(middle);
            put(&wide, middle - KNOWN, &reads);
            let [gate, up] = [1, 2].map(|seed| Matrix::ending_in(&known(seed), form, middle));
            [gate, up, Matrix::ending_in(&wide, form, hidden)]
        };
        let [far, near] = [expert(ROWS, 4096), expert(KNOWN, 4096)];
        let mixed =
            |matrices: &[Matrix; 3], middle: usize| mix_one(&x, &table(matrices, 4096, middle), &routes(1));
        let got = on_host::only_blocks(chosen_of_one, || mixed(&far, ROWS)).unwrap();
        let expected = numbers(&on_host::with(|| mixed(&near, KNOWN)).unwrap());
        assert_near(&taken(&got, 4095, 1), &expected[4095..], 1e-2);
    }
}

/// As [`last_strips`], with all of what rounds the row.
fn chosen_of_one(launch: &Launch) -> Vec<Block> {
    if launch.kernel.starts_with("round_levels") { all(launch) } else { last_strips(launch) }
}

#[test]
fn scores_and_routes_beyond_two_to_the_thirty_first_number_are_read_and_written() {
    let (count, tokens) = (128, INT / 128 + 1);
    let row = random(7, &[1, count], 2.0, DType::F32, 0);
    let scores = zeros(&[tokens, count], DType::F32).unwrap();
    put(&scores, (tokens - 1) * count, &row);
    let got = on_host::only_blocks(last, || route(&scores, count, Scaling::AsPicked)).unwrap();
    let near = on_host::with(|| route(&row, count, Scaling::AsPicked)).unwrap();
    assert_eq!(taken(&got.experts, (tokens - 1) * count, count), numbers(&near.experts));
    assert_eq!(taken(&got.weights, (tokens - 1) * count, count), numbers(&near.weights));
}

#[test]
fn more_pairs_or_wider_experts_than_kernels_count_are_refused() {
    let [experts, weights] = [DType::U32, DType::F32].map(|kind| zeros(&[MOST_PAIRS + 1, 1], kind).unwrap());
    let error = group(&Routes { experts, weights }, 1, 64).unwrap_err().to_string();
    assert!(error.contains("16777217 pairs of token and expert are too many"), "{error}");
    let weights = Weights::Blocks { address: 16, kind: BlockKind::Q8_0 };
    let expert = Expert { gate: weights, up: weights, down: weights };
    for [hidden, middle] in [[(1 << 24) + 32, 32], [32, (1 << 24) + 32]] {
        let error = Table::new(&[expert], hidden, middle, &Device::Cpu).unwrap_err().to_string();
        assert!(error.contains("too wide"), "{error}");
    }
}
