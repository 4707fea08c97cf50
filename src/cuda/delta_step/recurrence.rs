//! A gated delta net's layer by seed, and its definition, token by token in f64.

use candle_core::{DType, Device, Tensor};

use crate::cuda::delta_step::{DeltaMemory, DeltaShape, DeltaWeights, Order, Projected};

const EPS: f32 = 1e-6;

/// How fast the memory forgets.
#[derive(Clone, Copy, Debug)]
pub enum Decay {
    /// Logarithms about −1e-5 … −6e-3.
    Weak,
    /// About −0.1 … −25.
    Strong,
    /// From head to head and token to token anything between.
    Mixed,
    /// As weak, with keys that are nearly the same for all tokens, and corrected nearly in full.
    Alike,
    /// Runs of 32 tokens that forget everything, then as many that forget next to nothing: sums of logarithms grow
    /// large where small differences count.
    Bursts,
}

/// One layer with its tokens and its state.
pub struct Case {
    pub shape: DeltaShape,
    pub tokens: usize,
    pub input: Input,
    conv: Tensor,
    rate: Tensor,
    bias: Tensor,
    norm: Tensor,
    pub rows: Tensor,
    pub memory: Tensor,
    pub arrivals: Tensor,
}

/// What the projections made.
pub struct Input {
    qkv: Tensor,
    gate: Tensor,
    beta: Tensor,
    decay: Tensor,
}

/// What comes of it.
pub struct Expected {
    pub answers: Vec<f64>,
    pub rows: Vec<f64>,
    /// Without the last row of a head.
    pub memory: Vec<f64>,
}

/// A shape in the order of its fields.
pub fn shape(heads: [usize; 2], dims: [usize; 2], conv_width: usize, order: Order) -> DeltaShape {
    let ([key_heads, value_heads], [key_dim, value_dim]) = (heads, dims);
    DeltaShape { key_heads, value_heads, key_dim, value_dim, conv_width, order }
}

/// Seeded numbers in [-1, 1).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn tensor(&mut self, dims: &[usize], of: impl Fn(f32) -> f32) -> Tensor {
        let numbers = (0..dims.iter().product()).map(|_| of(self.next())).collect::<Vec<f32>>();
        Tensor::from_vec(numbers, dims, &Device::Cpu).unwrap()
    }
}

pub fn wide(x: &Tensor) -> Vec<f64> {
    x.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

impl Input {
    pub fn projected(&self) -> Projected<'_> {
        Projected { qkv: &self.qkv, gate: &self.gate, beta: &self.beta, decay: &self.decay }
    }
}

impl Case {
    pub fn new(shape: DeltaShape, tokens: usize, dtype: DType, decay: Decay, seed: u64) -> Self {
        let mut n = Numbers(seed);
        let (heads, channels) = (shape.value_heads, shape.channels());
        let rate = |x: f32| match decay {
            Decay::Weak | Decay::Alike => -1e-3 * (1.1 + x),
            Decay::Strong | Decay::Bursts => -5.0 * (1.1 + x),
            Decay::Mixed => -10f32.powf(2.0 * x - 1.0),
        };
        let common = n.tensor(&[1, channels], |x| x);
        let own = n.tensor(&[tokens, channels], |x| x);
        let (qkv, beta) = match decay {
            Decay::Alike => ((own * 0.02).unwrap().broadcast_add(&common).unwrap(), 5.0),
            _ => (own, 0.0),
        };
        let pace = |token: usize| match decay {
            Decay::Bursts if (token / 32).is_multiple_of(2) => 4f32,
            Decay::Bursts => -9.0,
            _ => 0.0,
        };
        let paces = Tensor::from_vec((0..tokens).map(pace).collect(), (tokens, 1), &Device::Cpu).unwrap();
        let spread = if matches!(decay, Decay::Bursts) { 0.5 } else { 4.0 };
        let forgets = n.tensor(&[tokens, heads], |x| spread * x).broadcast_add(&paces).unwrap();
        Self {
            shape,
            tokens,
            input: Input {
                qkv: qkv.to_dtype(dtype).unwrap(),
                gate: n.tensor(&[tokens, shape.value_channels()], |x| 2.0 * x).to_dtype(dtype).unwrap(),
                beta: n.tensor(&[tokens, heads], |x| 2.0 * x + beta).to_dtype(dtype).unwrap(),
                decay: forgets.to_dtype(dtype).unwrap(),
            },
            conv: n.tensor(&[shape.conv_width, channels], |x| x),
            rate: n.tensor(&[heads], rate),
            bias: n.tensor(&[heads], |x| x),
            norm: n.tensor(&[shape.value_dim], |x| 1.0 + 0.5 * x),
            rows: n.tensor(&[shape.conv_width - 1, channels], |x| x).to_dtype(dtype).unwrap(),
            memory: n.tensor(&[heads, shape.key_dim + 1, shape.value_dim], |x| x),
            arrivals: Tensor::zeros(shape.key_heads, DType::U32, &Device::Cpu).unwrap(),
        }
    }

    /// Tokens from `first` on.
    pub fn part(&self, first: usize, count: usize) -> Input {
        let of = |x: &Tensor| x.narrow(0, first, count).unwrap();
        let Input { qkv, gate, beta, decay } = &self.input;
        Input { qkv: of(qkv), gate: of(gate), beta: of(beta), decay: of(decay) }
    }

    pub fn weights(&self) -> DeltaWeights<'_> {
        let Self { conv, rate, bias, norm, .. } = self;
        DeltaWeights { conv, decay_rate: rate, decay_bias: bias, norm, eps: EPS }
    }

    pub fn state(&self) -> DeltaMemory<'_> {
        DeltaMemory { conv: &self.rows, memory: &self.memory, arrivals: &self.arrivals }
    }

    /// The memory without the last row of a head.
    pub fn matrices(&self) -> Vec<f64> {
        wide(&self.memory.narrow(1, 0, self.shape.key_dim).unwrap())
    }

    /// The definition.
    pub fn expected(&self) -> Expected {
        let (shape, mut seen) = (self.shape, wide(&self.rows));
        seen.extend(wide(&self.input.qkv));
        let rows = shape.conv_width - 1;
        let mut expected = Expected { answers: vec![], rows: vec![], memory: self.matrices() };
        for token in 0..self.tokens {
            let convolved = self.convolved(&seen[token * shape.channels()..]);
            for head in 0..shape.value_heads {
                let size = shape.key_dim * shape.value_dim;
                let memory = &mut expected.memory[head * size..(head + 1) * size];
                expected.answers.extend(self.answer(token, head, &convolved, memory));
            }
        }
        expected.rows = seen[seen.len() - rows * shape.channels()..].to_vec();
        expected
    }

    /// The channels of one token, `seen` being the rows from the first that its convolution sees.
    fn convolved(&self, seen: &[f64]) -> Vec<f64> {
        let (channels, weight) = (self.shape.channels(), wide(&self.conv));
        let of = |channel: usize| {
            let taps = (0..self.shape.conv_width).map(|tap| tap * channels + channel);
            let sum: f64 = taps.map(|at| seen[at] * weight[at]).sum();
            sum / (1.0 + (-sum).exp())
        };
        (0..channels).map(of).collect()
    }

    fn answer(&self, token: usize, head: usize, convolved: &[f64], memory: &mut [f64]) -> Vec<f64> {
        let DeltaShape { key_heads, value_heads, key_dim, value_dim, order, .. } = self.shape;
        let key_head = match order {
            Order::Grouped => head / (value_heads / key_heads),
            Order::Tiled => head % key_heads,
        };
        let unit = |at: usize| {
            let x = &convolved[at..at + key_dim];
            let length = (x.iter().map(|x| x * x).sum::<f64>() + 1e-6).sqrt();
            x.iter().map(|x| x / length).collect::<Vec<f64>>()
        };
        let (query, key) = (unit(key_head * key_dim), unit((key_heads + key_head) * key_dim));
        let value = &convolved[2 * key_heads * key_dim + head * value_dim..][..value_dim];
        let at = token * value_heads + head;
        let x = wide(&self.input.decay)[at] + wide(&self.bias)[head];
        let decay = (wide(&self.rate)[head] * x.exp().ln_1p()).exp();
        let beta = 1.0 / (1.0 + (-wide(&self.input.beta)[at]).exp());
        memory.iter_mut().for_each(|m| *m *= decay);
        let asked = |by: &[f64], memory: &[f64], column: usize| -> f64 {
            by.iter().enumerate().map(|(row, x)| x * memory[row * value_dim + column]).sum()
        };
        let mut answer = Vec::new();
        for column in 0..value_dim {
            let correction = beta * (value[column] - asked(&key, memory, column));
            for (row, key) in key.iter().enumerate() {
                memory[row * value_dim + column] += key * correction;
            }
            answer.push(asked(&query, memory, column) / (key_dim as f64).sqrt());
        }
        let mean = answer.iter().map(|a| a * a).sum::<f64>() / value_dim as f64;
        let scale = 1.0 / (mean + f64::from(EPS)).sqrt();
        let (norm, gate) = (wide(&self.norm), wide(&self.input.gate));
        let gate = &gate[at * value_dim..];
        let gated = |(i, a): (usize, &f64)| a * scale * norm[i] * gate[i] / (1.0 + (-gate[i]).exp());
        answer.iter().enumerate().map(gated).collect()
    }
}

/// The largest difference, in units of the largest number expected.
pub fn error(got: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let largest = expected.iter().fold(1e-30, |most: f64, x| most.max(x.abs()));
    let worst = |most: f64, (got, expected): (&f64, &f64)| match (got - expected).abs() {
        difference if difference.is_finite() => most.max(difference),
        _ => f64::INFINITY,
    };
    got.iter().zip(expected).fold(0.0, worst) / largest
}

/// What rounding to a type may change of the largest number.
pub fn rounding(dtype: DType) -> f64 {
    match dtype {
        DType::BF16 => 1.0 / 256.0,
        DType::F16 => 1.0 / 2048.0,
        _ => 0.0,
    }
}
