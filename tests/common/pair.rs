//! A hybrid beside a model of attention alone, put together by the program itself from made-up samples.
//!
//! The shapes are those of Qwen3-0.6B and Qwen3.5-0.8B, so that the counts are real; the times are not,
//! and the names say so.

use ctxbench::catalog::Catalog;
use ctxbench::model::shape::ModelShape;
use ctxbench::report::assemble::{ArmRecord, RunRecord, assemble};
use ctxbench::report::document::{Document, ModelRecord, WeightsOrigin};
use ctxbench::sample::Sample;
use ctxbench::sample::case::{CaseProgress, CaseSpec, Kind, Wish};
use ctxbench::verdict::judge::RunFacts;

use super::synthetic::{environment, rounded, tool, wobble};

/// Name of the hybrid.
pub const HYBRID: &str = "synthetic-hybrid-0.8b";
/// Name of the other one.
pub const ATTENTION: &str = "synthetic-attention-0.6b";

/// Bytes of a key or value in the made-up cache: f32.
const BYTES_PER_VALUE: u64 = 4;

/// A made-up engine: what it reaches, and how many times slower it is at what grows with context.
#[derive(Clone, Copy)]
pub struct Engine {
    /// FLOP/s of matrices.
    pub flops_per_s: f64,
    /// Bytes/s of a decode step.
    pub bytes_per_s: f64,
    /// Factor on the time of the quadratic term of prefill.
    pub attention: f64,
    /// Factor on the time of keys and values in decode.
    pub cache: f64,
    /// Factor on the deviations of the samples.
    pub noise: f64,
    /// Samples of each case.
    pub samples: u32,
}

/// Half as fast at attention as at matrices, and two thirds as fast at keys and values as at weights.
pub const PLAIN: Engine =
    Engine { flops_per_s: 1e11, bytes_per_s: 1e10, attention: 2.0, cache: 1.5, noise: 1.0, samples: 6 };

/// Qwen3-0.6B: attention in all of 28 layers.
pub fn attention_shape() -> ModelShape {
    shipped("qwen3-0.6b")
}

/// Qwen3.5-0.8B: attention in 6 of 24 layers.
pub fn hybrid_shape() -> ModelShape {
    shipped("qwen3.5-0.8b")
}

fn shipped(id: &str) -> ModelShape {
    let catalog = Catalog::load(None).expect("the shipped catalog is whole");
    catalog.find(id).expect("the shipped catalog has it").shape.clone()
}

/// The document of `hybrid_pair.json`.
pub fn document() -> Document {
    measured([PLAIN; 2], [&[512, 1024, 2048, 4096]; 2])
}

/// A run of both on made-up engines: hybrid first, each with its own lengths of context and of depth.
pub fn measured(engines: [Engine; 2], lengths: [&[u32]; 2]) -> Document {
    let shapes = [hybrid_shape(), attention_shape()];
    let cases: Vec<Vec<CaseProgress>> =
        (0..2).map(|at| cases(&shapes[at], engines[at], lengths[at])).collect();
    let arms: Vec<ArmRecord<'_>> = (0..2)
        .map(|at| ArmRecord {
            model: [HYBRID, ATTENTION][at],
            quantization: "q8_0",
            dtype: "f32",
            device: "cpu",
            shape: &shapes[at],
            attention_path: Some("blocked-matmul"),
            decode_weight_bytes: Some(weight_bytes(&shapes[at])),
            weights_bytes: Some(weight_bytes(&shapes[at])),
            kv_bytes_per_token: shapes[at].kv_bytes_per_token(BYTES_PER_VALUE),
            error: None,
            cases: &cases[at],
        })
        .collect();
    let record = RunRecord {
        tool: tool(),
        started_at: "2026-01-02T03:04:05Z".into(),
        command: ["ctxbench", "run", HYBRID, ATTENTION, "--quant", "q8_0"].map(String::from).to_vec(),
        environment: environment(),
        seed: 42,
        models: (0..2).map(|at| model([HYBRID, ATTENTION][at], &shapes[at])).collect(),
        target_half_width: None,
        facts: RunFacts { single_stream: true, ..RunFacts::default() },
    };
    assemble(&record, &arms, Vec::new())
}

/// Matrices at one byte a weight and a sixteenth more for the scales, as in Q8_0.
fn weight_bytes(shape: &ModelShape) -> u64 {
    (shape.matrix_parameters_per_token() + shape.head_parameters()) * 17 / 16
}

fn cases(shape: &ModelShape, engine: Engine, lengths: &[u32]) -> Vec<CaseProgress> {
    let rag = lengths.iter().map(|&tokens| case(shape, engine, Kind::Rag, tokens));
    let depths = [0].iter().chain(lengths).map(|&tokens| case(shape, engine, Kind::Decode, tokens));
    rag.chain(depths).collect()
}

fn case(shape: &ModelShape, engine: Engine, kind: Kind, tokens: u32) -> CaseProgress {
    let spec = CaseSpec { kind, tokens, output_tokens: 8, asked_for: Wish::User };
    let samples = (0..engine.samples).map(|i| sample(shape, engine, &spec, i)).collect();
    CaseProgress { samples, settled: Some(true), ..CaseProgress::new(spec) }
}

fn sample(shape: &ModelShape, engine: Engine, spec: &CaseSpec, i: u32) -> Sample {
    let noise = |seed: u32| 1.0 + engine.noise * (wobble(seed) - 1.0);
    let (prefill, decode) =
        (shape.prefill_growth(), shape.decode_growth(weight_bytes(shape), BYTES_PER_VALUE));
    let n = f64::from(spec.tokens);
    let flops =
        prefill.constant + prefill.per_token * n + engine.attention * prefill.per_token_squared * n * n;
    let prefill_ms = rounded(1000.0 * flops / engine.flops_per_s * noise(7 * i + spec.tokens));
    let mut first = rounded(decode.constant / engine.bytes_per_s * 1000.0);
    let timed = spec.kind != Kind::Decode;
    if timed {
        first = prefill_ms + 1.0;
    }
    let step = (decode.constant + engine.cache * decode.per_token * (n + 4.0)) / engine.bytes_per_s * 1000.0;
    let step = step * noise(31 * i + 5 * spec.tokens + 1);
    Sample {
        order: i,
        prompt_tokens: spec.tokens,
        tokenize_ms: timed.then_some(0.5),
        prefill_ms: timed.then_some(prefill_ms),
        ttft_ms: timed.then_some(first),
        token_ready_ms: (0..spec.output_tokens).map(|t| rounded(first + step * f64::from(t))).collect(),
        ..Sample::default()
    }
}

fn model(id: &str, shape: &ModelShape) -> ModelRecord {
    ModelRecord {
        id: id.into(),
        repo: None,
        revision: None,
        files: Vec::new(),
        weights: WeightsOrigin::Random,
        parameters: shape.parameters(),
        architecture: shape.architecture.name().into(),
        max_positions: shape.max_positions as u64,
        kv_bytes_per_token: shape.kv_bytes_per_token(BYTES_PER_VALUE),
        tokenizer: "stand-in".into(),
        license: None,
    }
}
