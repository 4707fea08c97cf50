//! Attention of one token over caches, rows and partial results of more numbers than 32 bits count.

use candle_core::Device;

use super::tests::{at, plain};
use super::*;
use crate::cuda::edge::{INT, assert_near, last, put, taken, zeros};
use crate::cuda::on_host;
use crate::cuda::rows::tests::{numbers, random};

const UNITS: [Unit; 2] = [Unit::TensorCores, Unit::Plain];

/// A cache of `dims` in bf16 that is zeros but for the first `rows` positions of each head.
pub(in crate::cuda) fn large_cache([heads, capacity, dim]: [usize; 3], rows: usize) -> Tensor {
    let cache = zeros(&[heads, capacity, dim], DType::BF16).unwrap();
    for head in 0..heads {
        let some = random(5 + head as u64, &[rows, dim], 1.0, DType::BF16, 0);
        put(&cache, head * capacity * dim, &some);
    }
    cache
}

#[test]
fn heads_beyond_two_to_the_thirty_second_number_are_read_where_they_are() {
    // The last head begins at number 2^32.
    let cache = large_cache([9, 1 << 23, 64], 40);
    let q = random(6, &[1, 9 * 64], 1.0, DType::BF16, 0);
    let expected = plain(&q, &cache, &cache, 39, 9);
    for unit in UNITS {
        let got = on_host::with(|| attend_one_on(unit, &q, [&cache, &cache], &at(39), 9)).unwrap();
        assert_near(&numbers(&got), &expected, 0.01);
    }
}

/// Queries, results and partial results of the last head of as many as there may be.
#[test]
fn the_last_of_as_many_heads_as_a_row_has_room_for_is_attended() {
    let (dim, visible) = (64, 40);
    let heads = i32::MAX as usize / dim;
    assert!(heads * (dim + 4) > INT);
    let cache = large_cache([1, visible, dim], visible);
    let (q, row) =
        (zeros(&[1, heads * dim], DType::BF16).unwrap(), random(6, &[1, dim], 2.0, DType::BF16, 0));
    put(&q, (heads - 1) * dim, &row);
    let expected = plain(&row, &cache, &cache, visible - 1, 1);
    for unit in UNITS {
        let attend = || attend_one_on(unit, &q, [&cache, &cache], &at(visible - 1), heads);
        let got = on_host::only_blocks(last, attend).unwrap();
        assert_near(&taken(&got, (heads - 1) * dim, dim), &expected, 0.01);
    }
}

#[test]
fn rows_and_caches_that_kernels_cannot_count_are_refused() {
    // One number, seen as many.
    let one = Tensor::zeros((1, 1, 1), DType::BF16, &Device::Cpu).unwrap();
    let refusal = |heads: usize, capacity: usize| {
        let q = one.squeeze(0).unwrap().broadcast_as((1, heads * 64)).unwrap();
        let cache = one.broadcast_as((1, capacity, 64)).unwrap();
        attend_one(&q, &cache, &cache, &at(0), heads).unwrap_err().to_string()
    };
    assert!(refusal(INT / 64, 8).contains("rows of 2147483648 numbers over heads of 8 positions"));
    assert!(refusal(1, INT / 64).contains("over heads of 33554432 positions by 64"));
}
