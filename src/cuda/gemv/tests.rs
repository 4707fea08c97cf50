//! Products on the processor, against sums in f64 of the same numbers.

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};

use super::*;
use crate::cuda::address::address;
use crate::cuda::on_host;

const TYPES: [DType; 3] = [DType::F32, DType::F16, DType::BF16];

pub(super) const KINDS: [GgmlDType; 8] = [
    GgmlDType::Q4_0,
    GgmlDType::Q4_1,
    GgmlDType::Q5_0,
    GgmlDType::Q5_1,
    GgmlDType::Q8_0,
    GgmlDType::Q4K,
    GgmlDType::Q5K,
    GgmlDType::Q6K,
];

/// Numbers from -1 to 1, the same for the same seed.
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

pub(super) fn tensor(seed: u64, shape: &[usize], dtype: DType) -> Tensor {
    let values = numbers(seed, shape.iter().product());
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

fn wide(x: &Tensor) -> Vec<f64> {
    x.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// A sum and the sum of its terms' sizes.
fn dot(w: &[f64], x: &[f64]) -> [f64; 2] {
    w.iter().zip(x).fold([0.0; 2], |[sum, size], (w, x)| [sum + w * x, size + (w * x).abs()])
}

/// How far a number may be from the true one by its own type.
fn rounding(dtype: DType) -> f64 {
    match dtype {
        DType::F32 => 6e-8,
        DType::F16 => 4.9e-4,
        _ => 4e-3,
    }
}

/// A quantized matrix: its bytes where a kernel finds them, and what they say.
struct Blocks {
    bytes: Tensor,
    kind: BlockKind,
    values: Vec<f64>,
    rows: usize,
}

impl Blocks {
    fn new(seed: u64, dtype: GgmlDType, rows: usize, columns: usize) -> Self {
        let matrix = QTensor::quantize(&tensor(seed, &[rows, columns], DType::F32), dtype).unwrap();
        let stored = matrix.data().unwrap().into_owned();
        let kind = BlockKind::of(dtype).unwrap();
        assert_eq!(stored.len(), rows * kind.row_bytes(columns));
        let bytes = Tensor::from_vec(stored.clone(), stored.len(), &Device::Cpu).unwrap();
        Self { bytes, kind, values: wide(&matrix.dequantize(&Device::Cpu).unwrap()), rows }
    }

    fn factor<'a>(&self, bias: Option<&'a Tensor>) -> Factor<'a> {
        let weights = Weights::Blocks { address: address(&self.bytes).unwrap(), kind: self.kind };
        Factor { weights, rows: self.rows, bias }
    }
}

/// What the levels of a row say, and their scales.
fn said(levels: &Levels) -> (Vec<i8>, Vec<[f32; 2]>) {
    let words: Vec<f32> = levels.data().to_vec1().unwrap();
    let (levels, groups) = words.split_at(levels.rows() * levels.columns() / 4);
    let levels = levels.iter().flat_map(|word| word.to_bits().to_le_bytes().map(|byte| byte as i8));
    (levels.collect(), groups.chunks_exact(2).map(|group| [group[0], group[1]]).collect())
}

fn check(out: &Tensor, weights: &[f64], x: &[f64], bias: Option<&Tensor>, tolerance: f64, what: &str) {
    let bias = bias.map(wide);
    assert_eq!(out.dims(), [1, weights.len() / x.len()], "{what}");
    for (row, (got, weights)) in wide(out).into_iter().zip(weights.chunks_exact(x.len())).enumerate() {
        let [sum, size] = dot(weights, x);
        let sum = sum + bias.as_ref().map_or(0.0, |bias| bias[row]);
        let near = (got - sum).abs() <= tolerance * size + rounding(out.dtype()) * sum.abs() + 1e-7;
        assert!(near, "{what}, row {row}: {got} instead of {sum}, terms of {size}");
    }
}

#[test]
fn dense_matrices_of_any_types_and_shapes_give_the_sums_of_their_products() {
    for (at, [rows, columns]) in
        [[1, 1], [5, 3], [7, 512], [37, 64], [66, 264], [9, 1003], [6, 4104]].into_iter().enumerate()
    {
        for x_type in TYPES {
            let x = tensor(at as u64, &[1, columns], x_type);
            let shapes = [rows, 1, rows + 2, 3, 2];
            let types = [DType::F32, DType::BF16, DType::F16, DType::BF16, x_type];
            let seeded = |(seed, (rows, dtype))| tensor(50 + seed as u64, &[rows, columns], dtype);
            let weights: Vec<Tensor> = shapes.into_iter().zip(types).enumerate().map(seeded).collect();
            let bias = [
                Some(tensor(90, &[rows], x_type)),
                None,
                Some(tensor(91, &[rows + 2], DType::F32)),
                None,
                None,
            ];
            let factors: Vec<Factor<'_>> = weights
                .iter()
                .zip(&bias)
                .map(|(w, bias)| Factor {
                    weights: Weights::Dense(w),
                    rows: w.dims()[0],
                    bias: bias.as_ref(),
                })
                .collect();
            let out = on_host::with(|| multiply(&x, &factors)).unwrap();
            for ((out, w), bias) in out.iter().zip(&weights).zip(&bias) {
                assert_eq!(out.dtype(), x_type);
                let what = format!("{:?} {:?} by {x_type:?}", w.shape(), w.dtype());
                check(out, &wide(w), &wide(&x), bias.as_ref(), 3e-7, &what);
            }
        }
    }
}

#[test]
fn matrices_and_rows_of_a_larger_tensor_are_read_where_they_lie() {
    let (all, x) = (tensor(1, &[9, 130], DType::BF16), tensor(2, &[3, 130], DType::BF16));
    let (some, x) = (all.narrow(0, 3, 5).unwrap(), x.narrow(0, 1, 1).unwrap());
    let factor = Factor { weights: Weights::Dense(&some), rows: 5, bias: None };
    let out = on_host::with(|| multiply(&x, &[factor])).unwrap();
    check(&out[0], &wide(&some), &wide(&x), None, 3e-7, "in the middle");
}

#[test]
fn blocks_of_every_kind_multiply_the_rounded_row_and_stay_near_the_row_itself() {
    for columns in [32usize, 64, 96, 256, 768, 1280, 4352] {
        for (at, dtype) in KINDS.into_iter().enumerate() {
            let kind = BlockKind::of(dtype).unwrap();
            if !columns.is_multiple_of(kind.block_len()) {
                continue;
            }
            let rows = if columns > 1000 { 6 } else { 35 };
            let matrix = Blocks::new(at as u64, dtype, rows, columns);
            let x_type = TYPES[(at + columns / 32) % 3];
            let (x, bias) = (tensor(7, &[1, columns], x_type), tensor(8, &[rows], x_type));
            let (out, rounded) = on_host::with(|| {
                (multiply(&x, &[matrix.factor(Some(&bias))]).unwrap().remove(0), levels(&x).unwrap())
            });
            let (levels, groups) = said(&rounded);
            let seen = |(at, level): (usize, &i8)| f64::from(*level) * f64::from(groups[at / 32][0]);
            let seen: Vec<f64> = levels.iter().enumerate().map(seen).collect();
            let what = format!("{kind:?} {rows} x {columns} by {x_type:?}");
            check(&out, &matrix.values, &seen, Some(&bias), 1e-6, &what);
            // Half a level of 127 from each number.
            for (row, got) in wide(&out).into_iter().enumerate() {
                let weights = &matrix.values[row * columns..][..columns];
                let [sum, _] = dot(weights, &wide(&x));
                let off: f64 = weights.iter().map(|w| w.abs() * 0.5 / 127.0).sum::<f64>() * 1.01;
                let sum = sum + wide(&bias)[row];
                let near = (got - sum).abs() <= off + rounding(x_type) * sum.abs();
                assert!(near, "{what}, row {row}: {got}, {sum} without rounding");
            }
        }
    }
}

#[test]
fn matrices_of_different_kinds_give_together_what_each_gives_alone() {
    for (columns, kinds) in [(768, &KINDS[..]), (96, &KINDS[..5])] {
        let x = tensor(3, &[1, columns], DType::BF16);
        let shape = |at: usize| [1, 33, 6, 2, 17, 5, 9, 3][at];
        let blocks: Vec<Blocks> = kinds
            .iter()
            .enumerate()
            .map(|(at, kind)| Blocks::new(at as u64, *kind, shape(at), columns))
            .collect();
        let dense = tensor(4, &[11, columns], DType::BF16);
        let mut factors: Vec<Factor<'_>> = blocks.iter().map(|blocks| blocks.factor(None)).collect();
        factors.insert(1, Factor { weights: Weights::Dense(&dense), rows: 11, bias: None });
        let together = on_host::with(|| multiply(&x, &factors)).unwrap();
        let rounded = on_host::with(|| levels(&x)).unwrap();
        assert_eq!(together.len(), factors.len());
        for (factor, out) in factors.iter().zip(together) {
            let alone = on_host::with(|| multiply_rounded(&x, &rounded, &[*factor])).unwrap().remove(0);
            // Fewer rows may be shared by more warps.
            let [out, alone] = [wide(&out), wide(&alone)];
            assert!(out.iter().any(|y| *y != 0.0) && out.iter().all(|y| y.is_finite()));
            assert!(
                out.iter().zip(&alone).all(|(a, b)| (a - b).abs() <= 0.008 * a.abs() + 1e-4),
                "{factor:?}"
            );
        }
    }
}

#[test]
fn what_is_no_number_in_x_is_none_in_every_product() {
    for wrong in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for at in [0, 45, 255] {
            let mut x = numbers(5, 256);
            x[at] = wrong;
            let x = Tensor::from_vec(x, (1, 256), &Device::Cpu).unwrap();
            for kind in KINDS {
                let matrix = Blocks::new(9, kind, 5, 256);
                let out = on_host::with(|| multiply(&x, &[matrix.factor(None)])).unwrap();
                assert!(wide(&out[0]).iter().all(|y| y.is_nan()), "{wrong} at {at} is hidden by {kind:?}");
            }
        }
    }
}

#[test]
fn rows_are_rounded_to_the_nearest_level_ties_to_even_by_groups_of_32() {
    let mut values = numbers(6, 5 * 160);
    values[..32].fill(0.0);
    values[32..64].iter_mut().for_each(|x| *x *= 1e-41);
    values[64..96].iter_mut().enumerate().for_each(|(at, x)| *x = at as f32 + 0.5);
    values[64] = -127.0;
    values[100] = f32::NAN;
    values[130] = f32::INFINITY;
    for dtype in TYPES {
        let x = Tensor::from_slice(&values, (5, 160), &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        let rounded = on_host::with(|| levels(&x)).unwrap();
        assert_eq!((rounded.rows(), rounded.columns()), (5, 160));
        let (levels, groups) = said(&rounded);
        let x: Vec<f32> = x.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        for (group, x) in x.chunks_exact(32).enumerate() {
            let largest =
                x.iter().fold(0f32, |most, x| if x.is_nan() { f32::NAN } else { most.max(x.abs()) });
            let largest = if x.iter().any(|x| x.is_nan()) { f32::NAN } else { largest };
            let inverse = if (127.0 / largest).is_finite() { 127.0 / largest } else { 0.0 };
            let want: Vec<i8> = x.iter().map(|x| (x * inverse).round_ties_even() as i8).collect();
            assert_eq!(levels[group * 32..][..32], want, "group {group}, {dtype:?}");
            let sum = want.iter().map(|level| i32::from(*level)).sum::<i32>() as f32;
            let (scale, bits) = (largest / 127.0, |x: [f32; 2]| x.map(f32::to_bits));
            match scale.is_finite() {
                true => {
                    assert_eq!(bits(groups[group]), bits([scale, scale * sum]), "group {group}, {dtype:?}")
                }
                false => assert!(groups[group].iter().all(|x| !x.is_finite()), "group {group}, {dtype:?}"),
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_by_a_sentence() {
    let (x, w) = (tensor(1, &[1, 64], DType::F32), tensor(2, &[3, 64], DType::F32));
    let factor = |weights, rows| Factor { weights, rows, bias: None };
    let refused = |x: &Tensor, factor| on_host::with(|| multiply(x, &[factor])).unwrap_err().to_string();
    let dense = Weights::Dense(&w);
    assert!(refused(&x, factor(dense, 4)).contains("4 rows of 64"));
    assert!(refused(&tensor(1, &[2, 64], DType::F32), factor(dense, 3)).contains("a row at a time"));
    let blocks = |address, kind| Weights::Blocks { address, kind };
    assert!(refused(&x, factor(blocks(32, BlockKind::Q4K), 1)).contains("no whole blocks of 256"));
    assert!(refused(&x, factor(blocks(8, BlockKind::Q8_0), 1)).contains("alignment"));
    let bias = tensor(3, &[2], DType::F32);
    assert!(refused(&x, Factor { weights: dense, rows: 3, bias: Some(&bias) }).contains("a bias of 3"));
    let rounded = on_host::with(|| levels(&tensor(1, &[1, 32], DType::F32))).unwrap();
    assert!(multiply_rounded(&x, &rounded, &[]).is_err());
    assert!(levels(&tensor(1, &[1, 33], DType::F32)).is_err());
    assert!(BlockKind::of(GgmlDType::Q2K).unwrap_err().to_string().contains("Q2K"));
}
