//! Many tokens of so many heads that 32 bits do not count what is between the kernels: the last heads of them.

use super::*;
use crate::cuda::delta_step::Order;
use crate::cuda::delta_step::edge::{Far, assert_ends_alike};
use crate::cuda::delta_step::recurrence::{Case, Decay, shape};
use crate::cuda::edge::{INT, assert_near, last, taken};
use crate::cuda::on_host::{self, Block};
use crate::cuda::rows::tests::numbers;

const TOKENS: usize = 320;
const HEADS: usize = 52_430;
const DIMS: [usize; 2] = [16, 128];

/// The blocks that work for the last of the heads, key and value alike.
fn of_last_head(launch: &Launch) -> Vec<Block> {
    let [x, y, _] = launch.grid;
    let with = |x: u32, rows: &[usize]| {
        let rows: Vec<u32> = rows.iter().map(|row| *row as u32).collect();
        (0..x).flat_map(move |x| rows.clone().into_iter().map(move |y| [x, y, 0])).collect()
    };
    let is = |part: &str| launch.kernel.starts_with(&format!("delta_{part}_"));
    if is("convolve") {
        // Queries, keys and values, a warp each.
        with(x, &[HEADS - 1, 2 * HEADS - 1, 3 * HEADS - 1].map(|head| head / WARPS))
    } else if is("prepare") {
        with(x, &[HEADS - 1])
    } else if is("chunks") {
        (0..y).map(|y| [x - 1, y, 0]).collect()
    } else if is("finish") {
        (1..=TOKENS).map(|token| [((token * HEADS - 1) / WARPS) as u32, 0, 0]).collect()
    } else {
        last(launch)
    }
}

#[test]
fn what_lies_between_the_kernels_beyond_two_to_the_thirty_first_number_is_found_again() {
    let [_, value_dim] = DIMS;
    // Of queries, keys, values and what is read of the memory; of the output and its gate.
    assert!(HEADS * TOKENS * MOST_DIM > INT && HEADS * TOKENS * value_dim > INT);
    for (products, dtype) in [(Products::Split, DType::BF16), (Products::Exact, DType::F16)] {
        let near = Case::new(shape([1, 1], DIMS, 4, Order::Grouped), TOKENS, dtype, Decay::Weak, 3);
        let far = Far::new(&near, [HEADS, HEADS]);
        let got = on_host::only_blocks(of_last_head, || {
            mix(&far.projected(), &far.weights(), &far.state(), &far.shape, products)
        });
        let expected = on_host::with(|| {
            mix(&near.input.projected(), &near.weights(), &near.state(), &near.shape, products)
        });
        let (got, expected) = (got.unwrap(), expected.unwrap());
        for (token, expected) in numbers(&expected).chunks(value_dim).enumerate() {
            let of_token = taken(&got, (token + 1) * HEADS * value_dim - value_dim, value_dim);
            assert_near(&of_token, expected, 1e-6);
        }
        assert_ends_alike(&far.memory, &near.memory, 17 * value_dim);
        assert_ends_alike(&far.rows, &near.rows, value_dim);
    }
}

#[test]
fn more_heads_than_a_grid_has_rows_or_than_scores_are_counted_for_are_refused() {
    let refusal = |tokens: usize, heads: usize| {
        let near = Case::new(shape([1, 1], [1, 1], 4, Order::Grouped), tokens, DType::BF16, Decay::Weak, 3);
        let far = Far::new(&near, [heads, heads]);
        let mix = || mix(&far.projected(), &far.weights(), &far.state(), &far.shape, Products::Split);
        on_host::only_blocks(|_| vec![], mix).unwrap_err().to_string()
    };
    assert!(refusal(1, 65_536).contains("no card has so many"));
    assert!(refusal(513, 65_535).contains("65535 heads of a delta net are too many for 513 tokens"));
}
