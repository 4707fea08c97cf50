//! The delta net against the specification, transcribed in double precision, one token at a time.

use candle_core::Device;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::*;
use crate::model::linear::Matrix;

const HIDDEN: usize = 24;

/// Numbers and the shape they stand in, once in f64 and once as the tensor that a layer gets.
struct Weights {
    heads: DeltaHeads,
    qkv: Vec<f64>,
    gate: Vec<f64>,
    beta: Vec<f64>,
    decay: Vec<f64>,
    conv: Vec<f64>,
    rate: Vec<f64>,
    bias: Vec<f64>,
    norm: Vec<f64>,
    output: Vec<f64>,
}

/// Seeded numbers in `range`, each an f32.
fn numbers(rng: &mut Xoshiro256PlusPlus, count: usize, range: std::ops::Range<f32>) -> Vec<f64> {
    (0..count).map(|_| f64::from(rng.random_range(range.clone()))).collect()
}

fn tensor(values: &[f64], rows: usize) -> Tensor {
    let values: Vec<f32> = values.iter().map(|v| *v as f32).collect();
    Tensor::from_vec(values, (rows, ()), &Device::Cpu).expect("rows are full")
}

fn heads(key_heads: usize, group: usize) -> DeltaHeads {
    DeltaHeads { key_heads, value_heads: key_heads * group, key_dim: 16, value_dim: 12, conv_width: 4 }
}

impl Weights {
    fn new(heads: DeltaHeads, seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let rng = &mut rng;
        let of_value_heads = heads.value_heads;
        Self {
            heads,
            qkv: numbers(rng, heads.conv_channels() * HIDDEN, -0.5..0.5),
            gate: numbers(rng, heads.value_channels() * HIDDEN, -0.5..0.5),
            beta: numbers(rng, of_value_heads * HIDDEN, -0.5..0.5),
            decay: numbers(rng, of_value_heads * HIDDEN, -0.5..0.5),
            conv: numbers(rng, heads.conv_width * heads.conv_channels(), -0.7..0.7),
            rate: numbers(rng, of_value_heads, -2.0..-0.01),
            bias: numbers(rng, of_value_heads, -4.0..1.0),
            norm: numbers(rng, heads.value_dim, 0.5..1.5),
            output: numbers(rng, HIDDEN * heads.value_channels(), -0.3..0.3),
        }
    }

    fn layer(&self, order: ValueHeadOrder) -> DeltaNet {
        let linear = |values: &[f64], rows: usize| {
            Linear::new(Matrix::Dense(tensor(values, rows)), None).expect("a matrix is a matrix")
        };
        let row = |values: &[f64]| tensor(values, 1).squeeze(0).expect("one row");
        DeltaNet {
            qkv: linear(&self.qkv, self.heads.conv_channels()),
            gate: linear(&self.gate, self.heads.value_channels()),
            beta: linear(&self.beta, self.heads.value_heads),
            decay: linear(&self.decay, self.heads.value_heads),
            conv: tensor(&self.conv, self.heads.conv_width),
            decay_rate: row(&self.rate),
            decay_bias: row(&self.bias),
            norm: row(&self.norm),
            output: linear(&self.output, HIDDEN),
            heads: self.heads,
            order,
            eps: 1e-6,
        }
    }

    /// The same layer with its value heads tiled: new head j stands where head `from(j)` stood.
    fn tiled(&self) -> Self {
        let (heads, group) = (self.heads, self.heads.group());
        let from = |j: usize| j % heads.key_heads * group + j / heads.key_heads;
        let rows = |values: &[f64], width: usize| -> Vec<f64> {
            (0..heads.value_heads).flat_map(|j| values[from(j) * width..][..width].to_vec()).collect()
        };
        let values_of = |row: &[f64], width: usize| {
            let (keyed, values) = row.split_at(2 * heads.key_channels() * width);
            [keyed.to_vec(), rows(values, heads.value_dim * width)].concat()
        };
        let conv = self.conv.chunks(heads.conv_channels()).flat_map(|row| values_of(row, 1)).collect();
        let output = self.output.chunks(heads.value_channels()).flat_map(|row| rows(row, heads.value_dim));
        Self {
            heads,
            qkv: values_of(&self.qkv, HIDDEN),
            gate: rows(&self.gate, heads.value_dim * HIDDEN),
            beta: rows(&self.beta, HIDDEN),
            decay: rows(&self.decay, HIDDEN),
            conv,
            rate: rows(&self.rate, 1),
            bias: rows(&self.bias, 1),
            norm: self.norm.clone(),
            output: output.collect(),
        }
    }
}

/// The specification: grouped value heads, one token after the other, f64.
struct Reference<'a> {
    weights: &'a Weights,
    conv: Vec<Vec<f64>>,
    /// (value_heads, key_dim, value_dim)
    memory: Vec<f64>,
}

fn times(matrix: &[f64], x: &[f64]) -> Vec<f64> {
    matrix.chunks(x.len()).map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum()).collect()
}

fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

fn unit_length(x: &[f64]) -> Vec<f64> {
    let length = (x.iter().map(|x| x * x).sum::<f64>() + 1e-6).sqrt();
    x.iter().map(|x| x / length).collect()
}

impl<'a> Reference<'a> {
    fn new(weights: &'a Weights) -> Self {
        let heads = weights.heads;
        let conv = vec![vec![0.0; heads.conv_channels()]; heads.conv_width];
        Self { weights, conv, memory: vec![0.0; heads.value_channels() * heads.key_dim] }
    }

    fn convolved(&mut self, x: &[f64]) -> Vec<f64> {
        let (w, channels) = (self.weights, self.weights.heads.conv_channels());
        self.conv.remove(0);
        self.conv.push(times(&w.qkv, x));
        let rows = || self.conv.iter().zip(w.conv.chunks(channels));
        (0..channels).map(|c| silu(rows().map(|(row, weight)| row[c] * weight[c]).sum())).collect()
    }

    fn token(&mut self, x: &[f64]) -> Vec<f64> {
        let (w, heads) = (self.weights, self.weights.heads);
        let m = self.convolved(x);
        let (queries, rest) = m.split_at(heads.key_channels());
        let (keys, values) = rest.split_at(heads.key_channels());
        let (z, b, a) = (times(&w.gate, x), times(&w.beta, x), times(&w.decay, x));
        let mut mixed = Vec::new();
        for head in 0..heads.value_heads {
            let key_head = head / heads.group();
            let of = |all: &[f64]| unit_length(&all[key_head * heads.key_dim..][..heads.key_dim]);
            let beta = 1.0 / (1.0 + (-b[head]).exp());
            let decay = (w.rate[head] * (a[head] + w.bias[head]).exp().ln_1p()).exp();
            let value = &values[head * heads.value_dim..][..heads.value_dim];
            let answer = self.step(head, &of(queries), &of(keys), value, decay, beta);
            let square = answer.iter().map(|o| o * o).sum::<f64>() / heads.value_dim as f64;
            let scale = 1.0 / (square + 1e-6).sqrt();
            let gates = z[head * heads.value_dim..].iter().map(|z| silu(*z));
            mixed.extend(answer.iter().zip(&w.norm).zip(gates).map(|((o, n), gate)| o * scale * n * gate));
        }
        times(&w.output, &mixed)
    }

    fn step(&mut self, head: usize, q: &[f64], k: &[f64], v: &[f64], decay: f64, beta: f64) -> Vec<f64> {
        let (dim, size) = (v.len(), k.len() * v.len());
        let s = &mut self.memory[head * size..][..size];
        s.iter_mut().for_each(|s| *s *= decay);
        for column in 0..dim {
            let said: f64 = k.iter().enumerate().map(|(row, k)| k * s[row * dim + column]).sum();
            let correction = beta * (v[column] - said);
            k.iter().enumerate().for_each(|(row, k)| s[row * dim + column] += k * correction);
        }
        let scale = 1.0 / (q.len() as f64).sqrt();
        let asked = |column: usize| q.iter().enumerate().map(move |(row, q)| (row * dim + column, q));
        (0..dim).map(|column| asked(column).map(|(at, q)| q * scale * s[at]).sum()).collect()
    }

    fn run(&mut self, x: &[f64]) -> Vec<f64> {
        x.chunks(HIDDEN).flat_map(|token| self.token(token)).collect()
    }
}

fn state(heads: DeltaHeads) -> DeltaState {
    DeltaState::new(heads, DType::F32, &Device::Cpu).expect("memory")
}

/// A way through the layer.
type Forward<'a> = &'a dyn Fn(&DeltaNet, &Tensor, &mut DeltaState) -> Result<Tensor>;

/// Candle's operations, on whichever device.
fn plain(layer: &DeltaNet, x: &Tensor, state: &mut DeltaState) -> Result<Tensor> {
    layer.output.forward(&layer.plain(layer.project(x)?, state)?)
}

fn in_pieces(layer: &DeltaNet, x: &Tensor, pieces: &[usize], state: &mut DeltaState) -> Tensor {
    pieces_through(&DeltaNet::forward, layer, x, pieces, state)
}

/// Runs `x` (tokens, HIDDEN) in pieces of the lengths given, the last as long as it takes.
fn pieces_through(
    forward: Forward,
    layer: &DeltaNet,
    x: &Tensor,
    pieces: &[usize],
    state: &mut DeltaState,
) -> Tensor {
    let (tokens, mut start, mut out) = (x.dim(0).expect("rows"), 0, Vec::new());
    for length in pieces.iter().copied().chain(std::iter::repeat(usize::MAX)) {
        let length = length.min(tokens - start);
        if length == 0 {
            break;
        }
        let piece = x.narrow(0, start, length).expect("in range");
        out.push(forward(layer, &piece, state).expect("shapes fit"));
        start += length;
    }
    Tensor::cat(&out, 0).expect("rows of one width")
}

fn flat(x: &Tensor) -> Vec<f32> {
    x.flatten_all().expect("a tensor").to_vec1().expect("f32")
}

/// Largest difference, in units of the largest number expected.
fn difference(got: &Tensor, expected: &[f64]) -> f64 {
    let largest = expected.iter().fold(1e-3f64, |most, e| most.max(e.abs()));
    let got = flat(got);
    assert_eq!(got.len(), expected.len());
    assert!(got.iter().all(|g| g.is_finite()), "not finite");
    got.iter().zip(expected).map(|(g, e)| (f64::from(*g) - e).abs()).fold(0.0, f64::max) / largest
}

fn inputs(tokens: usize, seed: u64) -> Vec<f64> {
    numbers(&mut Xoshiro256PlusPlus::seed_from_u64(seed), tokens * HIDDEN, -2.0..2.0)
}

fn same(a: &DeltaState, b: &DeltaState) -> bool {
    let parts = |s: &DeltaState| [flat(&s.recurrent().expect("a view")), flat(&s.conv().expect("a view"))];
    parts(a) == parts(b)
}

/// Rounding in f32, and no more: a wrong formula is off by tenths.
const TOLERANCE: f64 = 2e-5;

/// Both orders of heads and several ways to cut `x`, against the specification.
fn holds(weights: &Weights, x: &[f64], cuts: &[&[usize]]) {
    let mut reference = Reference::new(weights);
    let expected = reference.run(x);
    let tiled = weights.tiled();
    let input = tensor(x, x.len() / HIDDEN);
    for cut in cuts {
        let mut after = state(weights.heads);
        let got = in_pieces(&weights.layer(ValueHeadOrder::Grouped), &input, cut, &mut after);
        let context = format!("{:?}, {} tokens cut {cut:?}", weights.heads, x.len() / HIDDEN);
        let off = difference(&got, &expected);
        assert!(off < TOLERANCE, "output off by {off:e}: {context}");
        let off = difference(&after.recurrent().unwrap(), &reference.memory);
        assert!(off < TOLERANCE, "memory off by {off:e}: {context}");
        let off = difference(&after.conv().unwrap(), &reference.conv[1..].concat());
        assert!(off < TOLERANCE, "rows of the convolution off by {off:e}: {context}");
        let got = in_pieces(&tiled.layer(ValueHeadOrder::Tiled), &input, cut, &mut state(weights.heads));
        let off = difference(&got, &expected);
        assert!(off < TOLERANCE, "tiled output off by {off:e}: {context}");
    }
}

#[test]
fn every_length_and_cut_gives_what_the_specification_gives() {
    for (key_heads, group) in [(3, 1), (2, 2), (2, 3)] {
        let weights = Weights::new(heads(key_heads, group), 7 + group as u64);
        for tokens in [1, 2, 3, 4, 5, 63, 64, 65, 150, 200] {
            let each: &[usize] = &vec![1; tokens];
            holds(&weights, &inputs(tokens, tokens as u64), &[&[], each, &[70, 41, 2, 38, 1], &[3, 64, 65]]);
        }
    }
}

#[test]
fn heads_as_large_as_in_released_models_agree_too() {
    let heads = DeltaHeads { key_heads: 1, value_heads: 2, key_dim: 128, value_dim: 128, conv_width: 4 };
    holds(&Weights::new(heads, 3), &inputs(130, 5), &[&[], &[1, 100]]);
}

#[test]
fn a_memory_that_forgets_at_once_and_one_that_never_does_stay_exact() {
    let mut weights = Weights::new(heads(1, 3), 11);
    (weights.rate, weights.bias) = (vec![-1e4, -16.0, -1e-7], vec![30.0, 0.0, -30.0]);
    holds(&weights, &inputs(200, 12), &[&[], &[5, 64, 1, 1, 90]]);
}

#[test]
fn gates_from_nothing_to_all_within_a_chunk_stay_exact() {
    let mut weights = Weights::new(heads(2, 1), 13);
    (weights.rate, weights.bias) = (vec![-40.0; 2], vec![-6.0; 2]);
    weights.decay.iter_mut().for_each(|w| *w *= 8.0);
    holds(&weights, &inputs(200, 14), &[&[], &[100]]);
}

#[test]
fn one_key_corrected_in_full_again_and_again_stays_stable() {
    // Every token has the same key, and β is 1 to seven digits: A is 1 everywhere below the diagonal.
    let mut weights = Weights::new(heads(2, 2), 17);
    let (key, hidden) = (weights.heads.key_channels() * HIDDEN, HIDDEN);
    weights.qkv[key..2 * key]
        .iter_mut()
        .enumerate()
        .for_each(|(i, w)| *w = if i % hidden == 0 { 1.0 } else { 0.0 });
    weights.conv.chunks_mut(weights.heads.conv_channels()).for_each(|row| row[..2 * key / hidden].fill(0.25));
    weights.beta.iter_mut().enumerate().for_each(|(i, w)| *w = if i % hidden == 0 { 8.0 } else { 0.0 });
    (weights.rate, weights.bias) = (vec![-1e-6; 4], vec![0.0; 4]);
    let mut x = inputs(200, 18);
    x.chunks_mut(hidden).for_each(|token| token[0] = 2.0);
    holds(&weights, &x, &[&[], &[1; 200], &[77]]);
}

#[test]
fn the_plain_twin_gives_what_the_specification_gives() {
    for (key_heads, group) in [(3, 1), (2, 3)] {
        let weights = Weights::new(heads(key_heads, group), 19);
        let x = inputs(200, 20);
        let mut reference = Reference::new(&weights);
        let expected = reference.run(&x);
        let orders = [(ValueHeadOrder::Grouped, &weights), (ValueHeadOrder::Tiled, &weights.tiled())];
        for (order, weights) in orders {
            for cut in [&[][..], &[70, 41, 2, 38, 1], &[1; 20]] {
                let (layer, mut after) = (weights.layer(order), state(weights.heads));
                let got = pieces_through(&plain, &layer, &tensor(&x, 200), cut, &mut after);
                assert!(difference(&got, &expected) < TOLERANCE, "{order:?} cut {cut:?}");
                if order == ValueHeadOrder::Grouped {
                    assert!(difference(&after.recurrent().unwrap(), &reference.memory) < TOLERANCE);
                    assert!(difference(&after.conv().unwrap(), &reference.conv[1..].concat()) < TOLERANCE);
                }
            }
        }
    }
}

#[test]
fn a_restored_or_reset_state_repeats_what_came_after() {
    let layer = Weights::new(heads(2, 2), 23).layer(ValueHeadOrder::Grouped);
    let x = tensor(&inputs(150, 24), 150);
    let mut state = state(layer.heads);
    let first = in_pieces(&layer, &x, &[], &mut state);
    let snapshot = state.copy().unwrap();
    let more = in_pieces(&layer, &x, &[1, 1], &mut state);
    assert!(!same(&state, &snapshot));
    let end = state.copy().unwrap();
    state.restore(&snapshot).unwrap();
    assert!(same(&state, &snapshot));
    assert_eq!(flat(&in_pieces(&layer, &x, &[1, 1], &mut state)), flat(&more));
    assert!(same(&state, &end));
    state.reset().unwrap();
    assert_eq!(flat(&in_pieces(&layer, &x, &[], &mut state)), flat(&first));
    assert!(same(&state, &snapshot));
}

#[test]
fn activations_of_sixteen_bits_are_mixed_in_f32() {
    // candle has no bf16 product on the CPU; f16 it has.
    let weights = Weights::new(heads(2, 2), 29);
    let mut layer = weights.layer(ValueHeadOrder::Grouped);
    for (linear, values, rows) in [
        (&mut layer.qkv, &weights.qkv, weights.heads.conv_channels()),
        (&mut layer.gate, &weights.gate, weights.heads.value_channels()),
        (&mut layer.beta, &weights.beta, weights.heads.value_heads),
        (&mut layer.decay, &weights.decay, weights.heads.value_heads),
        (&mut layer.output, &weights.output, HIDDEN),
    ] {
        let half = tensor(values, rows).to_dtype(DType::F16).unwrap();
        *linear = Linear::new(Matrix::Dense(half), None).unwrap();
    }
    let x = inputs(100, 30);
    let expected = Reference::new(&weights).run(&x);
    let input = tensor(&x, 100).to_dtype(DType::F16).unwrap();
    let mut state = DeltaState::new(weights.heads, DType::F16, &Device::Cpu).unwrap();
    let got = in_pieces(&layer, &input, &[70, 1], &mut state);
    assert_eq!((got.dtype(), state.conv().unwrap().dtype()), (DType::F16, DType::F16));
    assert_eq!(state.recurrent().unwrap().dtype(), DType::F32);
    assert!(difference(&got.to_dtype(DType::F32).unwrap(), &expected) < 1e-2);
}

#[test]
fn bytes_count_all_that_is_stored() {
    let weights = Weights::new(heads(2, 3), 31);
    let all = [&weights.qkv, &weights.gate, &weights.beta, &weights.decay, &weights.conv, &weights.rate];
    let rest = [&weights.bias, &weights.norm, &weights.output];
    let count: usize = all.into_iter().chain(rest).map(Vec::len).sum();
    assert_eq!(weights.layer(ValueHeadOrder::Grouped).bytes(), 4 * count as u64);
}
