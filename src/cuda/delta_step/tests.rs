//! Steps against the definition in f64.

use candle_core::{DType, Tensor};

use super::recurrence::{Case, Decay, error, rounding, shape, wide};
use super::*;
use crate::cuda::on_host;

const DECAYS: [Decay; 4] = [Decay::Weak, Decay::Strong, Decay::Mixed, Decay::Alike];

/// All tokens one by one.
fn run(case: &Case) -> Vec<f64> {
    let step = |token: usize| {
        let part = case.part(token, 1);
        let answer = step(&part.projected(), &case.weights(), &case.state(), &case.shape);
        answer.unwrap_or_else(|e| panic!("{:?}: {e}", case.shape))
    };
    let answers: Vec<Tensor> = on_host::with(|| (0..case.tokens).map(step).collect());
    answers.iter().flat_map(wide).collect()
}

fn hold_to_definition(shape: DeltaShape, dtype: DType, decay: Decay, seed: u64) {
    let case = Case::new(shape, 5, dtype, decay, seed);
    let expected = case.expected();
    let answers = error(&run(&case), &expected.answers);
    let memory = error(&case.matrices(), &expected.memory);
    let told = format!("{shape:?} {dtype:?} {decay:?}: answers {answers:e}, memory {memory:e}");
    assert!(answers < 4e-6 + rounding(dtype) && memory < 1e-6, "{told}");
    assert_eq!(wide(&case.rows), expected.rows, "{told}");
    assert_eq!(case.arrivals.to_vec1::<u32>().unwrap(), vec![0; shape.key_heads], "{told}");
}

#[test]
fn every_order_and_ratio_of_heads_follows_the_definition() {
    for (seed, heads) in [[1, 1], [2, 2], [1, 3], [2, 4], [3, 9]].into_iter().enumerate() {
        for order in [Order::Grouped, Order::Tiled] {
            hold_to_definition(shape(heads, [16, 32], 4, order), DType::F32, DECAYS[seed % 4], seed as u64);
        }
    }
}

#[test]
fn every_width_and_dimension_and_type_follows_the_definition() {
    let dims = [[128, 128], [64, 64], [2, 3], [17, 5], [16, 20], [32, 127], [1, 1], [64, 256]];
    for (seed, dims) in dims.into_iter().enumerate() {
        let dtype = [DType::F32, DType::BF16, DType::F16][seed % 3];
        hold_to_definition(shape([1, 2], dims, 1 + seed % 5, Order::Tiled), dtype, DECAYS[seed % 4], 7);
        hold_to_definition(shape([2, 2], dims, 4, Order::Grouped), DType::BF16, DECAYS[3 - seed % 4], 8);
    }
}

#[test]
fn every_strength_of_decay_follows_the_definition() {
    for decay in DECAYS {
        for dtype in [DType::F32, DType::BF16, DType::F16] {
            hold_to_definition(shape([2, 6], [32, 16], 4, Order::Grouped), dtype, decay, 3);
        }
    }
}

#[test]
fn what_a_kernel_cannot_do_is_refused_before_it_starts() {
    let refused = |shape: DeltaShape, tokens: usize| {
        let case = Case::new(shape, tokens, DType::F32, Decay::Weak, 1);
        let result = on_host::with(|| step(&case.input.projected(), &case.weights(), &case.state(), &shape));
        result.unwrap_err().to_string()
    };
    assert!(refused(shape([1, 1], [8, 8], 4, Order::Tiled), 2).contains("a step takes one token, not 2"));
    assert!(refused(shape([1, 1], [128, 256], 4, Order::Tiled), 1).contains("cannot hold a head's memory"));
    assert!(refused(shape([1, 1], [300, 8], 4, Order::Tiled), 1).contains("256 dimensions at most"));
    let case = Case::new(shape([1, 2], [8, 8], 4, Order::Tiled), 1, DType::F32, Decay::Weak, 1);
    let other = shape([1, 2], [8, 8], 3, Order::Tiled);
    let result = step(&case.input.projected(), &case.weights(), &case.state(), &other);
    assert!(result.unwrap_err().to_string().contains("the convolution of a delta net must be [3, 32] F32"));
}
