//! The kernels, run on the processor, against candle's operations in f32 and f64.

use super::*;
use crate::cuda::launch::Argument;
use crate::cuda::on_host;
use candle_core::Device;
use proptest::prelude::*;

const TYPES: [DType; 3] = [DType::F32, DType::BF16, DType::F16];

/// Reproducible numbers, about normal with deviation `spread`, lying `shift` numbers behind the start of
/// their memory.
pub(in crate::cuda) fn random(seed: u64, dims: &[usize], spread: f32, dtype: DType, shift: usize) -> Tensor {
    let count: usize = dims.iter().product();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 24) as f32 - 0.5
    };
    let numbers: Vec<f32> =
        (0..count + shift).map(|_| (0..12).map(|_| uniform()).sum::<f32>() * spread).collect();
    let all = Tensor::from_vec(numbers, count + shift, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
    all.narrow(0, shift, count).unwrap().reshape(dims).unwrap()
}

/// All numbers, in f32.
pub(in crate::cuda) fn numbers(x: &Tensor) -> Vec<f32> {
    x.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// What rounding to the nearest of `dtype` may change, relative to the number: half a unit of the last place; of f32,
/// what sums in another order may.
pub(in crate::cuda) fn rounding(dtype: DType) -> f32 {
    match dtype {
        DType::BF16 => 1.0 / 256.0 + 3e-6,
        DType::F16 => 1.0 / 2048.0 + 3e-6,
        _ => 3e-6,
    }
}

#[test]
fn what_rounding_may_change_is_half_a_unit_of_the_last_place_and_no_more() {
    for (dtype, unit) in [(DType::BF16, 1.0 / 128.0), (DType::F16, 1.0 / 1024.0)] {
        // Halfway between 1 and the next number, where rounding errs most.
        let halfway = 1.0 + unit / 2.0;
        let x = Tensor::new(&[halfway], &Device::Cpu).unwrap();
        let error = (numbers(&x.to_dtype(dtype).unwrap())[0] - halfway).abs() / halfway;
        let allowed = rounding(dtype);
        assert!(error <= allowed && error > 0.98 * allowed, "{dtype:?}: {error} of {allowed}");
    }
}

fn close(got: &Tensor, expected: &Tensor) -> std::result::Result<(), TestCaseError> {
    prop_assert_eq!(got.dims(), expected.dims());
    for (i, (got_i, expected_i)) in numbers(got).into_iter().zip(numbers(expected)).enumerate() {
        let allowed = rounding(got.dtype()) * expected_i.abs() + 1e-7;
        prop_assert!((got_i - expected_i).abs() <= allowed, "{i}: {got_i} instead of {expected_i}");
    }
    Ok(())
}

fn wide(x: &Tensor) -> Tensor {
    x.to_dtype(DType::F32).unwrap()
}

fn copy(x: &Tensor) -> Tensor {
    x.copy().unwrap()
}

/// In f64, since candle adds a row's squares one after the other, in f32 less exactly than the kernel.
fn plain_norm(x: &Tensor, weight: &Tensor, eps: f32) -> Tensor {
    let wide = |x: &Tensor| x.to_dtype(DType::F64).unwrap();
    let mean = wide(x).sqr().unwrap().mean_keepdim(1).unwrap();
    let root = (mean + f64::from(eps)).unwrap().sqrt().unwrap();
    let normed = wide(x).broadcast_div(&root).unwrap().broadcast_mul(&wide(weight)).unwrap();
    normed.to_dtype(DType::F32).unwrap()
}

/// Rows, their length, and where they begin; lengths with and without whole packs, short, held and longer
/// than held.
fn shapes() -> impl Strategy<Value = (usize, usize, usize)> {
    let dims = prop_oneof![
        1usize..80,
        Just(128),
        250usize..262,
        Just(1024),
        2000usize..2300,
        Just(9000),
        Just(17_000)
    ];
    (1usize..5, dims, prop_oneof![Just(0usize), Just(1), Just(8)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn norms_are_those_of_candle((rows, dim, shift) in shapes(), seed in 1u64.., spread in 0.01f32..50.0) {
        for dtype in TYPES {
            for kind in [dtype, DType::F32] {
                let x = random(seed, &[rows, dim], spread, dtype, shift);
                let weight = random(seed ^ 7, &[dim], 1.0, kind, 0);
                let got = on_host::with(|| rms_norm(&x, &weight, 0.3)).unwrap();
                close(&got, &plain_norm(&x, &weight, 0.3))?;
            }
        }
    }

    #[test]
    fn the_residual_is_added_and_rounded_first(
        (rows, dim, shift) in shapes(), seed in 1u64.., spread in 0.01f32..50.0,
    ) {
        for dtype in TYPES {
            for kind in [dtype, DType::F32] {
                let stream = random(seed, &[rows, dim], spread, dtype, 0);
                let y = random(seed ^ 9, &[rows, dim], spread, dtype, shift);
                let weight = random(seed ^ 7, &[dim], 1.0, kind, 0);
                let sum = (&stream + &y).unwrap();
                on_host::with(|| add_rms_norm(&stream, &y, &weight, 0.01)).unwrap();
                prop_assert_eq!(numbers(&stream), numbers(&sum));
                close(&y, &plain_norm(&sum, &weight, 0.01))?;
            }
        }
    }

    #[test]
    fn gates_and_sums_are_those_of_candle(
        count in prop_oneof![1usize..40, 1000usize..5000], shift in 0usize..9, seed in 1u64..,
        spread in 0.1f32..40.0,
    ) {
        let sigmoid = |x: &Tensor| candle_nn::ops::sigmoid(&wide(x)).unwrap();
        for dtype in TYPES {
            let x = random(seed, &[count], spread, dtype, shift);
            let y = random(seed ^ 3, &[count], spread, dtype, 0);
            let [gate, scaled, sum] = [copy(&x), copy(&x), copy(&x)];
            on_host::with(|| silu_mul(&gate, &y)).unwrap();
            close(&gate, &(wide(&x).silu().unwrap() * wide(&y)).unwrap())?;
            on_host::with(|| sigmoid_mul(&scaled, &y)).unwrap();
            close(&scaled, &(wide(&x) * sigmoid(&y)).unwrap())?;
            on_host::with(|| add(&sum, &y)).unwrap();
            prop_assert_eq!(numbers(&sum), numbers(&(&x + &y).unwrap()));
            // In place, at any address.
            on_host::with(|| silu_mul(&x, &y)).unwrap();
            prop_assert_eq!(numbers(&x), numbers(&gate));
        }
    }
}

#[test]
fn nothing_beside_the_numbers_is_changed() {
    let all = random(1, &[300], 1.0, DType::BF16, 0);
    let before = numbers(&all);
    let [x, y] = [all.narrow(0, 17, 77).unwrap(), all.narrow(0, 150, 77).unwrap()];
    let weight = random(2, &[77], 1.0, DType::BF16, 0);
    on_host::with(|| silu_mul(&x, &y)).unwrap();
    let after = numbers(&all);
    assert!(before[..17] == after[..17] && before[94..] == after[94..] && before != after);
    on_host::with(|| add_rms_norm(&x, &y, &weight, 0.3)).unwrap();
    let after = numbers(&all);
    assert!(
        before[..17] == after[..17] && before[94..150] == after[94..150] && before[227..] == after[227..]
    );
}

#[test]
fn gates_that_overflow_the_exponential_are_closed() {
    let gate = Tensor::new(&[-200f32, -1e30, 200.0, 0.0], &Device::Cpu).unwrap();
    let up = Tensor::new(&[3f32, 3.0, 3.0, 3.0], &Device::Cpu).unwrap();
    let x = copy(&up);
    on_host::with(|| sigmoid_mul(&x, &gate)).unwrap();
    assert_eq!(numbers(&x), [0.0, 0.0, 3.0, 1.5]);
    on_host::with(|| silu_mul(&gate, &up)).unwrap();
    assert_eq!(numbers(&gate), [0.0, 0.0, 600.0, 0.0]);
}

/// Where each launch begins and how many numbers it takes, from two places that are 1 TiB apart.
fn taken(launches: &[Launch]) -> Vec<(u64, i32)> {
    let piece = |launch: &Launch| match launch.arguments.as_slice() {
        [Argument::Address(x), Argument::Address(y), Argument::Int(count)] => {
            assert_eq!(y - x, 1 << 40);
            (*x, *count)
        }
        other => panic!("{other:?}"),
    };
    launches.iter().map(piece).collect()
}

#[test]
fn more_numbers_than_an_integer_counts_are_split() {
    for count in [1, (1 << 30) + 1, (1 << 31) - 1, 1 << 31, 1 << 32, (1usize << 32) + 5] {
        let launches =
            pairwise_launches("add", [1 << 41, (1 << 41) + (1 << 40)], count, DType::BF16).unwrap();
        let mut end = 0;
        for (address, numbers) in taken(&launches) {
            assert_eq!(address, (1 << 41) + 2 * end as u64);
            end += numbers as usize;
        }
        assert_eq!(end, count);
        // Between the first thread of a round and the last of the next, a counter stays below 2³¹.
        let threads = |launch: &Launch| launch.grid[0] * launch.block[0];
        assert!(launches.iter().all(|launch| threads(launch) <= 1 << 21 && threads(launch) > 0));
    }
}

#[test]
fn more_rows_than_an_integer_counts_numbers_of_are_split() {
    for dim in [128, 4096, 5000] {
        let rows = (1usize << 32) / dim + 3;
        let types = "bf16_f32".to_string();
        let norm = Norm { operation: "rms_norm", types, dtype: DType::BF16, rows, dim, eps: 0.0 };
        let (mut blocks, mut next) = (0, 1 << 40);
        for launch in norm.launches([1 << 40, 64, 1 << 50]).unwrap() {
            let of_launch = launch.grid[0] as usize * if dim <= SHORT { SHORT_ROWS } else { 1 };
            assert_eq!(launch.arguments[0], Argument::Address(next));
            assert_eq!(launch.arguments[2], Argument::Address(next - (1 << 40) + (1 << 50)));
            (blocks, next) = (blocks + of_launch, next + (2 * of_launch * dim) as u64);
        }
        assert!((rows..rows + SHORT_ROWS).contains(&blocks), "{blocks} for {rows}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let x = random(1, &[2, 8], 1.0, DType::BF16, 0);
    let narrower = random(1, &[7], 1.0, DType::BF16, 0);
    let half = random(1, &[8], 1.0, DType::F16, 0);
    let sentence = |result: Result<Tensor>| result.unwrap_err().to_string();
    assert!(sentence(rms_norm(&x, &narrower, 0.0)).contains("a weight of its last dimension"));
    assert!(sentence(rms_norm(&x, &half, 0.0)).contains("not of F16"));
    assert!(
        sentence(rms_norm(&x.t().unwrap(), &random(1, &[2], 1.0, DType::BF16, 0), 0.0))
            .contains("contiguous")
    );
    assert!(add(&x, &x.reshape((8, 2)).unwrap()).unwrap_err().to_string().contains("unlike"));
    // No rows need no launch.
    assert!(rms_norm(&x.narrow(0, 0, 0).unwrap(), &random(1, &[8], 1.0, DType::F32, 0), 0.0).is_ok());
}
