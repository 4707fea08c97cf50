//! Caches and tables of more numbers than 32 bits count: their last rows.

use candle_core::Device;

use super::tests::{Case, Layer};
use super::*;
use crate::cuda::edge::{INT, UNSIGNED, put, taken, zeros};
use crate::cuda::rows::tests::{numbers, random};

/// One token of `kv_heads` heads of 256 at the last of `capacity` positions, tables turning `2 · half`.
fn at_the_end(kv_heads: usize, capacity: usize, half: usize) -> Layer {
    let heads = Heads { heads: 1, kv_heads, dim: 256 };
    let case = Case { heads, tokens: 1, capacity: 1, half: 0, position: 0, shift: 0 };
    let mut layer = case.layer(11, DType::BF16, None);
    layer.caches = [0, 1].map(|_| zeros(&[kv_heads, capacity, 256], DType::BF16).unwrap());
    layer.tables = [0, 1].map(|_| zeros(&[capacity, half], DType::F32).unwrap());
    layer.position = Tensor::full(capacity as u32 - 1, 1, &Device::Cpu).unwrap();
    layer
}

/// Holds the last row of each head's cache, and the rows around it.
fn check(cache: &Tensor, expected: &[f32], what: &str) {
    let capacity = cache.dim(1).unwrap();
    for (head, expected) in expected.chunks(256).enumerate() {
        let row = |at: usize| taken(cache, (head * capacity + at) * 256, 256);
        assert_eq!(row(capacity - 1), expected, "{what} of head {head}");
        assert!(row(0).iter().chain(&row(capacity - 2)).all(|x| *x == 0.0), "{what} beside head {head}");
    }
}

#[test]
fn rows_beyond_two_to_the_thirty_second_number_are_reached() {
    let layer = at_the_end(2, (1 << 23) + 8, 0);
    assert!(layer.caches[0].elem_count() > UNSIGNED);
    layer.prepare().unwrap();
    check(&layer.caches[0], &numbers(&layer.k), "keys");
    check(&layer.caches[1], &numbers(&layer.v), "values");
}

#[test]
fn angles_beyond_two_to_the_thirty_first_number_turn_the_last_position() {
    let (capacity, half) = ((1 << 24) + 8, 128);
    let layer = at_the_end(1, capacity, half);
    assert!(layer.tables[0].elem_count() > INT);
    let angle = random(7, &[1, half], 3.0, DType::F32, 0);
    let turns = [angle.cos().unwrap(), angle.sin().unwrap()];
    for (table, turn) in layer.tables.iter().zip(&turns) {
        put(table, (capacity - 1) * half, turn);
    }
    let near = Layer { tables: turns, ..at_the_end(1, 1, 0) };
    near.prepare().unwrap();
    layer.prepare().unwrap();
    assert_eq!(numbers(&layer.q), numbers(&near.q));
    check(&layer.caches[0], &numbers(&near.caches[0]), "keys");
    check(&layer.caches[1], &numbers(&near.caches[1]), "values");
}

#[test]
fn more_queries_than_an_integer_counts_are_refused() {
    let (tokens, dim) = (1 << 23, 256);
    let heads = Heads { heads: 1, kv_heads: 1, dim };
    let wide = |count| zeros(&[count, dim], DType::BF16).unwrap();
    let (q, k) = (wide(tokens), wide(tokens));
    let (cache, table) = (k.reshape((1, tokens, dim)).unwrap(), zeros(&[tokens, 0], DType::F32).unwrap());
    let position = Tensor::zeros(1, DType::U32, &Device::Cpu).unwrap();
    let prepare = Prepare {
        q: &q,
        k: &k,
        v: &k,
        norms: None,
        cos: &table,
        sin: &table,
        position: &position,
        keys: &cache,
        values: &cache,
    };
    assert!(prepare.run(heads).unwrap_err().to_string().contains("tokens at once are too many"));
}
