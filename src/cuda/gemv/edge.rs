//! Products with matrices, and rounded rows, of more numbers and bytes than 32 bits count: their last rows.

use candle_core::quantized::QTensor;
use candle_core::{DType, Device, Tensor};

use super::tests::{KINDS, tensor};
use super::*;
use crate::cuda::edge::{INT, UNSIGNED, assert_near, last, put, taken, zeros};
use crate::cuda::on_host;
use crate::cuda::rows::tests::numbers;

const COLUMNS: usize = 4096;
/// Rows of a matrix whose last ones lie beyond 2³² numbers, and in blocks beyond 2³¹ bytes.
const ROWS: usize = UNSIGNED / COLUMNS + 4;

/// The last of [`ROWS`] numbers that come of `x`.
fn last_number(x: &Tensor, weights: Weights<'_>) -> Vec<f32> {
    let factor = Factor { weights, rows: ROWS, bias: None };
    let rounded = on_host::with(|| levels(x)).unwrap();
    let out = on_host::only_blocks(last, || multiply_rounded(x, &rounded, &[factor])).unwrap();
    taken(&out[0], ROWS - 1, 1)
}

#[test]
fn dense_rows_beyond_two_to_the_thirty_second_number_are_multiplied() {
    let x = tensor(1, &[1, COLUMNS], DType::BF16);
    let row = tensor(2, &[1, COLUMNS], DType::BF16);
    let near = Factor { weights: Weights::Dense(&row), rows: 1, bias: None };
    let expected = on_host::with(|| multiply(&x, &[near])).unwrap();
    let matrix = zeros(&[ROWS, COLUMNS], DType::BF16).unwrap();
    put(&matrix, (ROWS - 1) * COLUMNS, &row);
    assert_near(&last_number(&x, Weights::Dense(&matrix)), &numbers(&expected[0]), 0.01);
}

#[test]
fn blocks_beyond_two_to_the_thirty_first_byte_are_multiplied() {
    let x = tensor(1, &[1, COLUMNS], DType::BF16);
    for dtype in KINDS {
        let kind = BlockKind::of(dtype).unwrap();
        let row = QTensor::quantize(&tensor(2, &[1, COLUMNS], DType::F32), dtype).unwrap();
        let stored = Tensor::new(&*row.data().unwrap(), &Device::Cpu).unwrap();
        let blocks = |bytes: &Tensor| Weights::Blocks { address: address(bytes).unwrap(), kind };
        let near = Factor { weights: blocks(&stored), rows: 1, bias: None };
        let expected = on_host::with(|| multiply(&x, &[near])).unwrap();
        let matrix = zeros(&[ROWS * kind.row_bytes(COLUMNS)], DType::U8).unwrap();
        assert!(matrix.elem_count() > INT);
        put(&matrix, (ROWS - 1) * kind.row_bytes(COLUMNS), &stored);
        assert_near(&last_number(&x, blocks(&matrix)), &numbers(&expected[0]), 0.01);
    }
}

#[test]
fn rows_beyond_two_to_the_thirty_second_number_are_rounded() {
    let x = zeros(&[ROWS, COLUMNS], DType::BF16).unwrap();
    let row = tensor(1, &[1, 512], DType::BF16);
    put(&x, ROWS * COLUMNS - 512, &row);
    let rounded = on_host::only_blocks(last, || levels(&x)).unwrap();
    let near = on_host::with(|| levels(&row)).unwrap();
    let words = |of: &Tensor, at: usize, count: usize| {
        let bits = |x: &f32| x.to_bits();
        taken(of, at, count).iter().map(bits).collect::<Vec<u32>>()
    };
    // Four levels a word, then two words for each group of 32.
    let (levels, groups) = (ROWS * COLUMNS / 4, ROWS * COLUMNS / 16);
    assert_eq!(words(rounded.data(), levels - 128, 128), words(near.data(), 0, 128));
    assert_eq!(words(rounded.data(), levels + groups - 32, 32), words(near.data(), 128, 32));
}

#[test]
fn rows_and_columns_that_kernels_cannot_count_are_refused() {
    let refusal = |x: &Tensor, rows: usize| {
        let factor =
            Factor { weights: Weights::Blocks { address: 16, kind: BlockKind::Q8_0 }, rows, bias: None };
        on_host::only_blocks(|_| vec![], || multiply(x, &[factor])).unwrap_err().to_string()
    };
    let short = tensor(1, &[1, 32], DType::BF16);
    assert!(refusal(&short, INT).contains("more than 2^31 rows at once"));
    assert!(
        refusal(&zeros(&[1, (1 << 30) + 32], DType::BF16).unwrap(), 1).contains("of 2^30 numbers at most")
    );
}
