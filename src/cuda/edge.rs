//! For tests: tensors of more numbers than 32 bits count, of which a few pages are touched, and the blocks of a launch
//! that touch them.
//!
//! The memory is asked for as zeros, which the system gives page by page as they are written; a system that lends no more
//! than it has refuses them.

use candle_core::{DType, Device, Result, Tensor};
use half::vec::HalfBitsVecExt as _;
use half::{bf16, f16};

use super::launch::Launch;
use super::on_host::Block;
use super::rows::tests::numbers;

/// Numbers that an `int` does not count.
pub const INT: usize = 1 << 31;
/// Numbers that an `unsigned` does not count.
pub const UNSIGNED: usize = 1 << 32;

/// Zeros that take memory only where something is written.
pub fn zeros(shape: &[usize], dtype: DType) -> Result<Tensor> {
    let bits = || vec![0u16; shape.iter().product()];
    match dtype {
        // candle's own would be written one by one.
        DType::BF16 => Tensor::from_vec::<_, bf16>(bits().reinterpret_into(), shape, &Device::Cpu),
        DType::F16 => Tensor::from_vec::<_, f16>(bits().reinterpret_into(), shape, &Device::Cpu),
        dtype => Tensor::zeros(shape, dtype, &Device::Cpu),
    }
}

/// Writes `some` to `all`, from its number `at` on.
pub fn put(all: &Tensor, at: usize, some: &Tensor) {
    all.flatten_all().unwrap().slice_set(&some.flatten_all().unwrap(), 0, at).unwrap();
}

/// `count` numbers of `all` from `at` on, in f32.
pub fn taken(all: &Tensor, at: usize, count: usize) -> Vec<f32> {
    numbers(&all.flatten_all().unwrap().narrow(0, at, count).unwrap())
}

/// Every block.
pub fn all(launch: &Launch) -> Vec<Block> {
    let [x, y, z] = launch.grid;
    (0..z).flat_map(|z| (0..y).flat_map(move |y| (0..x).map(move |x| [x, y, z]))).collect()
}

/// The last block alone.
pub fn last(launch: &Launch) -> Vec<Block> {
    vec![launch.grid.map(|blocks| blocks - 1)]
}

/// Fails unless numbers are near what is expected of them, by `tolerance` of the largest, which is not 0.
pub fn assert_near(got: &[f32], expected: &[f32], tolerance: f32) {
    let largest = expected.iter().fold(0f32, |most, x| most.max(x.abs()));
    assert!(got.len() == expected.len() && largest > 0.0, "{} numbers of up to {largest}", got.len());
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!((got - expected).abs() <= tolerance * largest, "{i}: {got} instead of {expected}");
    }
}
