//! A layer of few heads as the last ones of a layer of so many that 32 bits do not count its numbers.

use candle_core::{DType, Tensor};

use super::recurrence::{Case, Decay, shape};
use super::*;
use crate::cuda::edge::{INT, assert_near, last, put, taken, zeros};
use crate::cuda::on_host;
use crate::cuda::rows::tests::numbers;

/// As a [`Case`], all zeros but for the last heads, which are the case's.
pub(in crate::cuda) struct Far {
    pub shape: DeltaShape,
    qkv: Tensor,
    gate: Tensor,
    beta: Tensor,
    decay: Tensor,
    conv: Tensor,
    rate: Tensor,
    bias: Tensor,
    norm: Tensor,
    pub rows: Tensor,
    pub memory: Tensor,
    arrivals: Tensor,
    eps: f32,
}

/// Rows of parts [small, large]: each small part of a row of `x` at the end of its large one, which begins with zeros.
fn at_ends(x: &Tensor, parts: &[[usize; 2]]) -> Tensor {
    let width = |side: usize| parts.iter().map(|part| part[side]).sum::<usize>();
    let rows = x.elem_count() / width(0);
    let (all, x) = (zeros(&[rows, width(1)], x.dtype()).unwrap(), x.flatten_all().unwrap());
    let (mut from, mut end) = (0, 0);
    for [small, large] in (0..rows).flat_map(|_| parts) {
        end += large;
        put(&all, end - small, &x.narrow(0, from, *small).unwrap());
        from += small;
    }
    all
}

impl Far {
    /// `case` has one key head; its value heads are the last of `value_heads`, in groups, over `key_heads`.
    pub fn new(case: &Case, [key_heads, value_heads]: [usize; 2]) -> Self {
        let (near, projected) = (case.shape, case.input.projected());
        let (weights, state) = (case.weights(), case.state());
        let shape = DeltaShape { key_heads, value_heads, ..near };
        let keys = [near.key_dim, key_heads * near.key_dim];
        let values = [near.value_channels(), shape.value_channels()];
        let channels = [keys, keys, values];
        let heads = [[near.value_heads, value_heads]];
        let matrix = (near.key_dim + 1) * near.value_dim;
        let memory = at_ends(state.memory, &[[near.value_heads * matrix, value_heads * matrix]]);
        let flat = |x: &Tensor| at_ends(x, &heads).flatten_all().unwrap();
        Self {
            shape,
            qkv: at_ends(projected.qkv, &channels),
            gate: at_ends(projected.gate, &[values]),
            beta: at_ends(projected.beta, &heads),
            decay: at_ends(projected.decay, &heads),
            conv: at_ends(weights.conv, &channels),
            rate: flat(weights.decay_rate),
            bias: flat(weights.decay_bias),
            norm: weights.norm.clone(),
            rows: at_ends(state.conv, &channels),
            memory: memory.reshape((value_heads, near.key_dim + 1, near.value_dim)).unwrap(),
            arrivals: zeros(&[key_heads], DType::U32).unwrap(),
            eps: weights.eps,
        }
    }

    pub fn projected(&self) -> Projected<'_> {
        Projected { qkv: &self.qkv, gate: &self.gate, beta: &self.beta, decay: &self.decay }
    }

    pub fn weights(&self) -> DeltaWeights<'_> {
        let Self { conv, rate, bias, norm, eps, .. } = self;
        DeltaWeights { conv, decay_rate: rate, decay_bias: bias, norm, eps: *eps }
    }

    pub fn state(&self) -> DeltaMemory<'_> {
        DeltaMemory { conv: &self.rows, memory: &self.memory, arrivals: &self.arrivals }
    }
}

/// Holds the last `count` numbers of `far` to those of `near`.
pub(in crate::cuda) fn assert_ends_alike(far: &Tensor, near: &Tensor, count: usize) {
    let end = |x: &Tensor| taken(x, x.elem_count() - count, count);
    assert_near(&end(far), &end(near), 1e-6);
}

#[test]
fn memories_beyond_two_to_the_thirty_first_number_move_on() {
    // One column at a time, and four.
    for (value_dim, heads) in [(1, 1 << 23), (4, (1 << 21) + 64)] {
        let near =
            Case::new(shape([1, 1], [256, value_dim], 4, Order::Grouped), 1, DType::BF16, Decay::Weak, 3);
        let far = Far::new(&near, [1, heads]);
        assert!(far.memory.elem_count() > INT);
        let got =
            on_host::only_blocks(last, || step(&far.projected(), &far.weights(), &far.state(), &far.shape))
                .unwrap();
        let expected = on_host::with(|| {
            step(&near.input.projected(), &near.weights(), &near.state(), &near.shape).unwrap()
        });
        assert_ends_alike(&got, &expected, numbers(&expected).len());
        assert_ends_alike(&far.memory, &near.memory, 257 * value_dim);
        assert_ends_alike(&far.rows, &near.rows, value_dim);
    }
}

#[test]
fn more_channels_than_kernels_count_are_refused() {
    let many = shape([1, 1 << 24], [8, 1], 4, Order::Grouped);
    let case = Case::new(shape([1, 1], [8, 1], 4, Order::Grouped), 1, DType::F32, Decay::Weak, 1);
    let error = step(&case.input.projected(), &case.weights(), &case.state(), &many).unwrap_err().to_string();
    assert!(error.contains("no kernel for a delta net"), "{error}");
}
