//! Chunks against the definition in f64, against steps, and against themselves in pieces.

use candle_core::{DType, Device, Tensor};

use super::*;
use crate::cuda::delta_step::recurrence::{Case, Decay, error, rounding, shape, wide};
use crate::cuda::delta_step::{Order, step};
use crate::cuda::on_host;

/// Pieces of these lengths, then the rest.
fn run(case: &Case, pieces: &[usize], products: Products) -> Vec<f64> {
    let (mut done, mut answers) = (0, Vec::new());
    for length in pieces.iter().copied().chain([usize::MAX]) {
        let part = case.part(done, length.min(case.tokens - done));
        done += length.min(case.tokens - done);
        let mixed =
            on_host::with(|| mix(&part.projected(), &case.weights(), &case.state(), &case.shape, products));
        answers.extend(wide(&mixed.unwrap_or_else(|e| panic!("{:?}: {e}", case.shape))));
    }
    answers
}

/// How far products may be off, in units of the largest number.
fn tolerance(products: Products) -> f64 {
    match products {
        Products::Exact => 3e-6,
        Products::Split => 8e-5,
    }
}

fn hold_to_definition(shape: DeltaShape, tokens: usize, dtype: DType, decay: Decay, products: Products) {
    let case = Case::new(shape, tokens, dtype, decay, tokens as u64);
    let expected = case.expected();
    let answers = error(&run(&case, &[], products), &expected.answers);
    let memory = error(&case.matrices(), &expected.memory);
    let told =
        format!("{tokens} tokens, {shape:?} {dtype:?} {decay:?} {products:?}: {answers:e}, {memory:e}");
    let most = tolerance(products);
    assert!(answers < most + rounding(dtype) && memory < most, "{told}");
    assert_eq!(wide(&case.rows), expected.rows, "{told}");
}

const BOTH: [Products; 2] = [Products::Exact, Products::Split];

#[test]
fn every_number_of_tokens_follows_the_definition() {
    for tokens in [1, 2, 5, 63, 64, 65, 150] {
        for products in BOTH {
            hold_to_definition(
                shape([1, 2], [32, 16], 4, Order::Grouped),
                tokens,
                DType::F32,
                Decay::Mixed,
                products,
            );
        }
    }
}

#[test]
fn every_strength_of_decay_follows_the_definition() {
    for decay in [Decay::Weak, Decay::Strong, Decay::Mixed, Decay::Alike, Decay::Bursts] {
        for products in BOTH {
            hold_to_definition(shape([1, 1], [64, 32], 4, Order::Tiled), 150, DType::F32, decay, products);
        }
    }
}

#[test]
fn every_order_and_ratio_of_heads_follows_the_definition() {
    for (heads, width) in [([2, 2], 2), ([2, 4], 3), ([1, 3], 4), ([2, 6], 1)] {
        for order in [Order::Grouped, Order::Tiled] {
            let shape = shape(heads, [16, 16], width, order);
            hold_to_definition(shape, 70, DType::F32, Decay::Mixed, Products::Exact);
            hold_to_definition(shape, 70, DType::BF16, Decay::Weak, Products::Split);
        }
    }
}

#[test]
fn every_dimension_and_type_follows_the_definition() {
    for (dims, dtype) in [
        ([128, 128], DType::BF16),
        ([2, 3], DType::F32),
        ([100, 40], DType::F16),
        ([16, 128], DType::F16),
        ([128, 17], DType::BF16),
    ] {
        for products in BOTH {
            hold_to_definition(shape([1, 1], dims, 4, Order::Tiled), 80, dtype, Decay::Mixed, products);
        }
    }
}

#[test]
fn wide_slices_of_many_heads_follow_the_definition() {
    let many = shape([6, 18], [16, 128], 4, Order::Tiled);
    for products in BOTH {
        hold_to_definition(many, 70, DType::F32, Decay::Mixed, products);
    }
}

#[test]
fn pieces_and_steps_continue_what_a_whole_call_computes() {
    let shape = shape([1, 2], [16, 32], 4, Order::Tiled);
    let new = || Case::new(shape, 150, DType::F32, Decay::Weak, 5);
    let (whole, pieces, stepped) = (new(), new(), new());
    let expected = run(&whole, &[], Products::Exact);
    assert!(error(&run(&pieces, &[1, 2, 64, 70, 1], Products::Exact), &expected) < 4e-6);
    assert!(error(&pieces.matrices(), &whole.matrices()) < 4e-6);
    assert_eq!(wide(&pieces.rows), wide(&whole.rows));
    let mut answers = Vec::new();
    for token in 0..stepped.tokens {
        let part = stepped.part(token, 1);
        let one = on_host::with(|| step(&part.projected(), &stepped.weights(), &stepped.state(), &shape));
        answers.extend(wide(&one.unwrap()));
    }
    assert!(error(&answers, &expected) < 4e-6);
    assert!(error(&stepped.matrices(), &whole.matrices()) < 4e-6);
    assert_eq!(wide(&stepped.rows), wide(&whole.rows));
}

#[test]
fn more_tokens_than_a_segment_go_on_from_one_to_the_next() {
    let shape = shape([1, 1], [4, 4], 3, Order::Tiled);
    hold_to_definition(shape, SEGMENT + 3, DType::F32, Decay::Mixed, Products::Split);
}

#[test]
fn products_of_words_are_those_of_their_numbers() {
    let device = &Device::Cpu;
    let left = Tensor::randn(0f32, 1.0, (16, 16), device).unwrap();
    let right = Tensor::randn(0f32, 1.0, (16, 8), device).unwrap();
    let to = |x: &Tensor| x.to_dtype(DType::F64).unwrap();
    let expected = wide(&to(&left).matmul(&to(&right)).unwrap());
    let product = |kernel: &str| {
        let out = output(&[16, 8], &left, DType::F32).unwrap();
        let launch = Launch::new(kernel, 1, 32).unwrap().address(address(&left).unwrap());
        let launch = launch.address(address(&right).unwrap()).address(address(&out).unwrap());
        launch.run(device).unwrap();
        wide(&out)
    };
    assert!(error(&product("delta_try_exact"), &expected) < 1e-6);
    assert!(error(&product("delta_try_split"), &expected) < 2e-5);
    assert!(error(&product("delta_try_split"), &expected) > 1e-7, "two bf16 are no f32");
    assert_eq!(product("delta_try_shuffled"), product("delta_try_exact"));
}

#[test]
fn what_the_kernels_cannot_do_is_refused() {
    let case = Case::new(shape([1, 1], [129, 16], 4, Order::Tiled), 3, DType::F32, Decay::Weak, 1);
    let result = mix(&case.input.projected(), &case.weights(), &case.state(), &case.shape, Products::Exact);
    assert!(result.unwrap_err().to_string().contains("heads of 128 dimensions at most"));
}
