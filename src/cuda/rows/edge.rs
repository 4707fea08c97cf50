//! Rows and pairs of more numbers than 32 bits count: the ends of the launches that they are split into.

use super::tests::{numbers, random};
use super::*;
use crate::cuda::edge::{UNSIGNED, last, put, taken, zeros};
use crate::cuda::on_host;

/// Where random numbers lie among zeros: at the end of the first launch, and of the last.
fn places(width: usize, count: usize) -> [usize; 2] {
    [AT_ONCE - width, count - width]
}

/// `count` numbers, and those at each of the places.
fn far(seed: u64, width: usize, dims: &[usize]) -> (Tensor, [Tensor; 2]) {
    let all = zeros(dims, DType::BF16).unwrap();
    let some = [0, 1].map(|k| random(seed ^ k, &[1, width], 1.0, DType::BF16, 0));
    for (at, some) in places(width, all.elem_count()).into_iter().zip(&some) {
        put(&all, at, some);
    }
    (all, some)
}

#[test]
fn norms_reach_the_ends_of_rows_beyond_two_to_the_thirty_second_number() {
    for dim in [128, 4096] {
        let rows = UNSIGNED / dim + 3;
        let (x, some) = far(1, dim, &[rows, dim]);
        let weight = random(3, &[dim], 1.0, DType::F32, 0);
        let got = on_host::only_blocks(last, || rms_norm(&x, &weight, 0.3)).unwrap();
        for (at, some) in places(dim, rows * dim).into_iter().zip(&some) {
            let expected = on_host::with(|| rms_norm(some, &weight, 0.3)).unwrap();
            assert_eq!(taken(&got, at, dim), numbers(&expected), "rows of {dim}, at {at}");
        }
    }
}

#[test]
fn sums_with_norms_reach_the_ends_of_rows_beyond_two_to_the_thirty_second_number() {
    let dim = 4096;
    let rows = UNSIGNED / dim + 3;
    let ((stream, some), (y, others)) = (far(1, dim, &[rows, dim]), far(5, dim, &[rows, dim]));
    let weight = random(3, &[dim], 1.0, DType::F32, 0);
    on_host::only_blocks(last, || add_rms_norm(&stream, &y, &weight, 0.3)).unwrap();
    for (at, (some, other)) in places(dim, rows * dim).into_iter().zip(some.iter().zip(&others)) {
        on_host::with(|| add_rms_norm(some, other, &weight, 0.3)).unwrap();
        assert_eq!(taken(&stream, at, dim), numbers(some), "the sum at {at}");
        assert_eq!(taken(&y, at, dim), numbers(other), "the norm at {at}");
    }
}

#[test]
fn gates_and_sums_reach_the_ends_of_pairs_beyond_two_to_the_thirty_second_number() {
    for operation in [silu_mul, sigmoid_mul, add] {
        let (width, count) = (5, UNSIGNED + 5);
        let ((x, some), (y, others)) = (far(1, width, &[count]), far(5, width, &[count]));
        on_host::only_blocks(last, || operation(&x, &y)).unwrap();
        for (at, (some, other)) in places(width, count).into_iter().zip(some.iter().zip(&others)) {
            on_host::with(|| operation(some, other)).unwrap();
            assert_eq!(taken(&x, at, width), numbers(some), "at {at}");
        }
    }
}

#[test]
fn rows_that_no_launch_holds_are_refused() {
    let dim = AT_ONCE + 1;
    // One number, seen as many.
    let one = Tensor::zeros(1, DType::F32, &candle_core::Device::Cpu).unwrap();
    let x = one.reshape((1, 1)).unwrap().broadcast_as((1, dim)).unwrap();
    let weight = one.broadcast_as(dim).unwrap();
    let error = rms_norm(&x, &weight, 0.0).unwrap_err().to_string();
    assert!(error.contains("rows of 1073741825 numbers are too long"), "{error}");
    assert!(add_rms_norm(&x, &x, &weight, 0.0).is_err());
}
