//! The mixtures of the kernels against the same sums in double precision, rounded where the kernels say they round.

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Result, Tensor};
use half::{bf16, f16};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::many::{Units, mix};
use super::*;
use crate::cuda::address::address;
use crate::cuda::gemv::{BlockKind, Weights, levels};
use crate::cuda::on_host;

/// What experts are made of.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Made {
    Dense(DType),
    Blocks(GgmlDType, GgmlDType),
}

/// A matrix as the kernels get it, and its numbers.
struct Matrix {
    stored: Tensor,
    kind: Option<BlockKind>,
    numbers: Vec<Vec<f64>>,
}

/// Experts, rows and routes, with the numbers behind them.
struct Case {
    experts: Vec<[Matrix; 3]>,
    table: Table,
    x: Tensor,
    routes: Routes,
}

fn random(rng: &mut Xoshiro256PlusPlus, rows: usize, columns: usize) -> Tensor {
    let values: Vec<f32> = (0..rows * columns).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_vec(values, (rows, columns), &Device::Cpu).expect("a matrix")
}

fn numbers(x: &Tensor) -> Vec<Vec<f64>> {
    x.to_dtype(DType::F64).and_then(|x| x.to_vec2()).expect("a matrix")
}

impl Matrix {
    fn dense(stored: Tensor) -> Self {
        Self { numbers: numbers(&stored), stored, kind: None }
    }

    fn blocks(values: &Tensor, dtype: GgmlDType) -> Self {
        let blocks = QTensor::quantize(values, dtype).expect("whole blocks");
        let bytes = blocks.data().expect("in memory").into_owned();
        let stored = Tensor::new(bytes, &Device::Cpu).expect("bytes");
        let numbers = numbers(&blocks.dequantize(&Device::Cpu).expect("numbers"));
        Self { stored, kind: Some(BlockKind::of(dtype).expect("a kind")), numbers }
    }

    fn weights(&self) -> Weights<'_> {
        match self.kind {
            Some(kind) => Weights::Blocks { address: address(&self.stored).expect("an address"), kind },
            None => Weights::Dense(&self.stored),
        }
    }
}

impl Case {
    /// `dtype` of x; of `count` experts the last is nobody's choice, and no number.
    fn new(
        made: Made,
        dtype: DType,
        [count, used]: [usize; 2],
        [tokens, hidden, middle]: [usize; 3],
    ) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64((count * 1000 + used * 100 + tokens) as u64);
        let mut matrix = |rows: usize, columns: usize, last: bool, down: bool| {
            let values =
                (random(&mut rng, rows, columns) * (2.0 / (columns as f64).sqrt())).expect("numbers");
            let values = if last { (values * f64::NAN).expect("numbers") } else { values };
            match made {
                Made::Dense(dtype) => Matrix::dense(values.to_dtype(dtype).expect("a cast")),
                Made::Blocks(_, kind) if down => Matrix::blocks(&values, kind),
                Made::Blocks(kind, _) => Matrix::blocks(&values, kind),
            }
        };
        let mut expert = |last| {
            [
                matrix(middle, hidden, last, false),
                matrix(middle, hidden, last, false),
                matrix(hidden, middle, last, true),
            ]
        };
        let experts: Vec<_> =
            (0..count).map(|index| expert(index + 1 == count && made_of_numbers(made))).collect();
        let all: Vec<Expert<'_>> = experts.iter().map(of_three).collect();
        let table = Table::new(&all, hidden, middle, &Device::Cpu).expect("a table");
        let x = random(&mut rng, tokens, hidden).to_dtype(dtype).expect("a cast");
        let scores = (random(&mut rng, tokens, count) * 3.0).expect("scores");
        let low = Tensor::full(-90f32, (tokens, 1), &Device::Cpu).expect("scores");
        let scores = Tensor::cat(&[scores.narrow(1, 0, count - 1).expect("scores"), low], 1).expect("scores");
        let routes = on_host::with(|| route(&scores, used, Scaling::Renormalised)).expect("routes");
        Self { experts, table, x, routes }
    }

    /// Rows of the result; `rounds` as the kernels do.
    fn expected(&self, rounds: Rounds) -> Vec<Vec<f64>> {
        let picks: Vec<Vec<u32>> = self.routes.experts.to_vec2().expect("u32");
        let weights: Vec<Vec<f32>> = self.routes.weights.to_vec2().expect("f32");
        let rows = numbers(&self.x).into_iter().zip(picks.iter().zip(&weights));
        rows.map(|(mut x, (picks, weights))| {
            let mut sum = vec![0.0; x.len()];
            rounds.levels(&mut x);
            for (pick, weight) in picks.iter().zip(weights) {
                let [gate, up, down] = &self.experts[*pick as usize];
                let gates = product(&gate.numbers, &x).into_iter().zip(product(&up.numbers, &x));
                let mut middle: Vec<f64> = gates.map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect();
                rounds.middle(&mut middle);
                let weight = rounds.number(f64::from(*weight));
                for (sum, made) in sum.iter_mut().zip(product(&down.numbers, &middle)) {
                    *sum += weight * rounds.made(made);
                }
            }
            sum
        })
        .collect()
    }

    fn assert_agrees(&self, got: Result<Tensor>, rounds: Rounds, what: &str) {
        let got = got.expect("it runs");
        assert_eq!((got.dims(), got.dtype()), (self.x.dims(), rounds.dtype), "{what}");
        let expected = self.expected(rounds);
        let size = expected.iter().flatten().fold(0f64, |size, x| size.max(x.abs()));
        // A number that is rounded on the way may fall to the other side.
        let tolerance = match rounds.dtype {
            _ if rounds.to_levels => 3e-3,
            DType::F32 => 1.5e-6,
            DType::F16 => 6e-4,
            _ => 5e-3,
        };
        for (got, expected) in numbers(&got).iter().flatten().zip(expected.iter().flatten()) {
            let worst = tolerance * (size / 2.0 + expected.abs());
            assert!((got - expected).abs() <= worst, "{what}: {got} {expected}, of up to {size}");
        }
    }
}

fn of_three([gate, up, down]: &[Matrix; 3]) -> Expert<'_> {
    Expert { gate: gate.weights(), up: up.weights(), down: down.weights() }
}

/// Blocks of candle's cannot hold what is no number.
fn made_of_numbers(made: Made) -> bool {
    matches!(made, Made::Dense(_))
}

fn product(matrix: &[Vec<f64>], x: &[f64]) -> Vec<f64> {
    matrix.iter().map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum()).collect()
}

/// Where a kernel rounds.
#[derive(Clone, Copy)]
struct Rounds {
    dtype: DType,
    to_levels: bool,
    /// What an expert makes, before it is weighted.
    made: bool,
}

impl Rounds {
    fn number(self, x: f64) -> f64 {
        match self.dtype {
            DType::BF16 => bf16::from_f64(x).to_f64(),
            DType::F16 => f16::from_f64(x).to_f64(),
            _ => x,
        }
    }

    fn made(self, x: f64) -> f64 {
        if self.made { self.number(x) } else { x }
    }

    fn middle(self, x: &mut [f64]) {
        match self.to_levels {
            true => self.levels(x),
            false => x.iter_mut().for_each(|x| *x = self.number(*x)),
        }
    }

    fn levels(self, x: &mut [f64]) {
        for group in x.chunks_mut(32).filter(|_| self.to_levels) {
            let scale = group.iter().fold(0f64, |most, x| most.max(x.abs())) / 127.0;
            group.iter_mut().for_each(|x| *x = (*x / scale).round_ties_even() * scale);
        }
    }
}

const TYPES: [DType; 3] = [DType::F32, DType::F16, DType::BF16];
const BLOCKS: [(GgmlDType, GgmlDType, usize, usize); 8] = [
    (GgmlDType::Q8_0, GgmlDType::Q8_0, 96, 64),
    (GgmlDType::Q4_0, GgmlDType::Q4_1, 64, 96),
    (GgmlDType::Q4_1, GgmlDType::Q4_0, 64, 32),
    (GgmlDType::Q5_0, GgmlDType::Q5_1, 160, 64),
    (GgmlDType::Q5_1, GgmlDType::Q5_0, 64, 64),
    (GgmlDType::Q4K, GgmlDType::Q6K, 256, 512),
    (GgmlDType::Q6K, GgmlDType::Q4K, 512, 256),
    (GgmlDType::Q5K, GgmlDType::Q5K, 256, 256),
];

#[test]
fn one_token_through_dense_experts_agrees_with_double_precision() {
    for dtype in TYPES {
        let sizes =
            [([4, 1], 40, 24), ([16, 4], 37, 21), ([5, 4], 520, 33), ([12, 10], 48, 288), ([2, 1], 3, 1)];
        for (experts, hidden, middle) in sizes {
            let case = Case::new(Made::Dense(dtype), dtype, experts, [1, hidden, middle]);
            let rounds = Rounds { dtype, to_levels: false, made: false };
            let got = on_host::with(|| mix_one(&case.x, &case.table, &case.routes));
            case.assert_agrees(
                got,
                rounds,
                &format!("{dtype:?}, {experts:?} experts, {hidden} and {middle}"),
            );
        }
    }
}

#[test]
fn one_token_through_blocks_agrees_with_double_precision() {
    for (index, (rising, down, hidden, middle)) in BLOCKS.into_iter().enumerate() {
        let dtype = TYPES[index % 3];
        let case = Case::new(Made::Blocks(rising, down), dtype, [6, 3], [1, hidden, middle]);
        let rounds = Rounds { dtype, to_levels: true, made: false };
        let (x, table, routes) = (&case.x, &case.table, &case.routes);
        let got = on_host::with(|| mix_one(x, table, routes));
        let before = on_host::with(|| mix_one_rounded(x, &levels(x)?, table, routes));
        assert_eq!(numbers(&before.expect("it runs")), numbers(got.as_ref().expect("it runs")));
        case.assert_agrees(got, rounds, &format!("{rising:?} and {down:?}"));
    }
}

#[test]
fn many_tokens_through_dense_experts_agree_with_double_precision() {
    for dtype in TYPES {
        // The second has rows of which no 16 bytes are aligned, the third more rows an expert than a tile.
        for (experts, sizes) in [([4, 1], [1, 40, 24]), ([16, 4], [7, 37, 21]), ([4, 2], [150, 72, 40])] {
            let case = Case::new(Made::Dense(dtype), dtype, experts, sizes);
            let rounds = Rounds { dtype, to_levels: false, made: true };
            let got = on_host::with(|| mix(&case.x, &case.table, &case.routes, Units::Plain));
            case.assert_agrees(got, rounds, &format!("{dtype:?}, {experts:?} experts, {sizes:?}"));
            let chosen = on_host::with(|| mix_many(&case.x, &case.table, &case.routes));
            case.assert_agrees(
                chosen,
                rounds,
                &format!("{dtype:?}, {experts:?} experts, {sizes:?}, as chosen"),
            );
        }
    }
}

#[test]
fn tensor_cores_agree_with_double_precision_in_tiles_of_any_size() {
    for dtype in [DType::F16, DType::BF16] {
        for rows in [32, 64, 128] {
            for (experts, sizes) in [([4, 1], [1, 40, 24]), ([9, 4], [40, 136, 72]), ([3, 2], [131, 64, 8])] {
                let case = Case::new(Made::Dense(dtype), dtype, experts, sizes);
                let rounds = Rounds { dtype, to_levels: false, made: true };
                let got = on_host::with(|| mix(&case.x, &case.table, &case.routes, Units::Tensor(rows)));
                case.assert_agrees(
                    got,
                    rounds,
                    &format!("{dtype:?}, {experts:?} experts, {sizes:?}, {rows} rows"),
                );
            }
        }
    }
}

#[test]
fn many_tokens_through_blocks_agree_with_double_precision() {
    for (index, (rising, down, hidden, middle)) in BLOCKS.into_iter().enumerate() {
        for units in [Units::Plain, Units::Tensor([32, 64, 128][index % 3])] {
            // f32 has no tensor cores.
            let dtype = TYPES[if units == Units::Plain { index % 3 } else { 1 + index % 2 }];
            let case = Case::new(Made::Blocks(rising, down), dtype, [4, 2], [13, hidden, middle]);
            let rounds = Rounds { dtype, to_levels: false, made: true };
            let got = on_host::with(|| mix(&case.x, &case.table, &case.routes, units));
            // Weights are rounded as well on tensor cores.
            let tensor = units != Units::Plain;
            let case = if tensor { case.with_rounded_weights(dtype) } else { case };
            case.assert_agrees(got, rounds, &format!("{rising:?} and {down:?}, {units:?}, {dtype:?}"));
        }
    }
}

impl Case {
    fn with_rounded_weights(mut self, dtype: DType) -> Self {
        let rounds = Rounds { dtype, to_levels: false, made: false };
        for number in self.experts.iter_mut().flatten().flat_map(|matrix| matrix.numbers.iter_mut().flatten())
        {
            *number = rounds.number(*number);
        }
        self
    }
}

#[test]
fn the_same_rows_give_the_same_bits_and_a_token_alone_nearly_so() {
    let dtype = DType::BF16;
    let case = Case::new(Made::Dense(dtype), dtype, [6, 3], [33, 40, 24]);
    let (x, table, routes) = (&case.x, &case.table, &case.routes);
    let twice = on_host::with(|| [mix_many(x, table, routes), mix_many(x, table, routes)]);
    let [first, second] = twice.map(|made| numbers(&made.expect("it runs")));
    assert_eq!(first, second);
    let of = |t: &Tensor| t.narrow(0, 20, 1).expect("a row");
    let alone = Routes { experts: of(&routes.experts), weights: of(&routes.weights) };
    let got = numbers(&on_host::with(|| mix_one(&of(x), table, &alone)).expect("it runs"));
    let size = first.iter().flatten().fold(0f64, |size, x| size.max(x.abs()));
    assert!(got[0].iter().zip(&first[20]).all(|(one, many)| (one - many).abs() < 1e-2 * size));
}

#[test]
fn what_does_not_fit_is_refused() {
    let case = Case::new(Made::Dense(DType::F32), DType::F32, [4, 2], [3, 40, 24]);
    let says = |made: Result<Tensor>, what: &str| {
        let error = made.expect_err("a refusal").to_string();
        assert!(error.contains(what), "{error}");
    };
    let (x, table, routes) = (&case.x, &case.table, &case.routes);
    on_host::with(|| {
        says(mix_one(x, table, routes), "use mix_many");
        says(mix_many(&x.narrow(0, 0, 2).expect("rows"), table, routes), "2 tokens, and routes of [3, 2]");
        says(
            mix_many(&random(&mut Xoshiro256PlusPlus::seed_from_u64(1), 3, 41), table, routes),
            "experts that take 40",
        );
        says(mix_many(&x.to_dtype(DType::BF16).expect("a cast"), table, routes), "convert them");
    });
    let [gate, up, down] = &case.experts[0];
    let mixed = Matrix::blocks(&random(&mut Xoshiro256PlusPlus::seed_from_u64(1), 32, 32), GgmlDType::Q8_0);
    let refused = |gate, up, down, what: &str| {
        let error = Table::new(&[Expert { gate, up, down }], 40, 24, &Device::Cpu)
            .expect_err("a refusal")
            .to_string();
        assert!(error.contains(what), "{error}");
    };
    refused(gate.weights(), mixed.weights(), down.weights(), "use another quantization");
    refused(gate.weights(), down.weights(), down.weights(), "[40, 24] where 24 rows of 40");
    refused(mixed.weights(), mixed.weights(), mixed.weights(), "no whole blocks");
    assert!(up.kind.is_none() && Table::new(&[], 40, 24, &Device::Cpu).is_err());
}
