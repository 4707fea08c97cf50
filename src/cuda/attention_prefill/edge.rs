//! Attention of many tokens over caches, and of queries, of more numbers than 32 bits count.

use candle_core::DType;

use super::*;
use crate::cuda::attention_decode::edge::large_cache;
use crate::cuda::attention_decode::tests::{at, plain};
use crate::cuda::edge::{INT, UNSIGNED, assert_near, put, taken, zeros};
use crate::cuda::on_host;
use crate::cuda::rows::tests::{numbers, random};

const UNITS: [Unit; 2] = [Unit::TensorCores, Unit::Plain];

#[test]
fn heads_beyond_two_to_the_thirty_second_number_are_read_where_they_are() {
    // The last head begins at number 2^32.
    let cache = large_cache([9, 1 << 23, 64], 40);
    let q = random(6, &[3, 9 * 64], 1.0, DType::BF16, 0);
    let expected = plain(&q, &cache, &cache, 37, 9);
    for unit in UNITS {
        let got = on_host::with(|| attend_many_on(unit, &q, [&cache, &cache], &at(37), 9)).unwrap();
        assert_near(&numbers(&got), &expected, 0.01);
    }
}

/// The last head's last token, of `tokens` with `heads` heads of 256, in the one block that has it.
fn check_last_token(unit: Unit, tokens: usize, heads: usize) {
    let (dim, width) = (256, heads * 256);
    let cache = large_cache([1, tokens, dim], tokens);
    let q = zeros(&[tokens, width], DType::BF16).unwrap();
    let row = random(6, &[1, dim], 2.0, DType::BF16, 0);
    put(&q, tokens * width - dim, &row);
    let attend = || attend_many_on(unit, &q, [&cache, &cache], &at(0), heads);
    // The tiles with most keys come first.
    let got = on_host::only_blocks(move |launch| vec![[launch.grid[0] - 1, 0, 0]], attend).unwrap();
    let expected = plain(&row, &cache, &cache, tokens - 1, 1);
    assert_near(&taken(&got, tokens * width - dim, dim), &expected, 0.01);
}

#[test]
fn tiles_of_queries_beyond_two_to_the_thirty_second_number_are_attended() {
    for unit in UNITS {
        // One token more than whole tiles of any size, the last behind 64 others.
        let heads = (1 << 18) + 1;
        assert!(64 * heads * 256 > UNSIGNED);
        check_last_token(unit, 65, heads);
    }
}

#[test]
fn rows_of_a_tile_lie_beyond_two_to_the_thirty_first_number_of_each_other() {
    for unit in UNITS {
        let heads = (1 << 22) + 1;
        assert!(2 * heads * 256 > INT);
        check_last_token(unit, 3, heads);
    }
}

#[test]
fn more_tokens_than_a_grid_has_tiles_are_refused() {
    let tokens = 65_535 * 16 + 1;
    let q = zeros(&[tokens, 64], DType::F32).unwrap();
    let cache = zeros(&[1, tokens, 64], DType::F32).unwrap();
    let attend = || attend_many(&q, &cache, &cache, &at(0), 1);
    let error = on_host::only_blocks(|_| vec![], attend).unwrap_err().to_string();
    assert!(error.contains("take fewer tokens at a time"), "{error}");
}
