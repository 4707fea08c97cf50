//! A small document with made-up numbers, for golden files. It is no measurement, and its names say so.
//!
//! Holds one of everything a renderer must cope with: two models, two weight types, short and RAG
//! at three contexts, a decode case, a case without rates, a failed case, a failed sample.

use std::collections::BTreeMap;

use ctxbench::environment::{Environment, Tool};
use ctxbench::model::shape::ModelShape;
use ctxbench::report::definitions::definitions;
use ctxbench::report::document::{
    Case, Document, FileRecord, Fit, LeftOut, ModelRecord, RatioAt, SCHEMA_VERSION, Summary, WeightsOrigin,
};
use ctxbench::report::experiment::Experiment;
use ctxbench::report::roof::Roof;
use ctxbench::report::theory::{Counts, Theory};
use ctxbench::sample::Sample;
use ctxbench::stats::estimate::{Estimate, Interval};
use ctxbench::stats::fit::{Law, LawKind};
use ctxbench::verdict::validity::{Reason, Status, Validity};

/// Its name.
pub const HUB_MODEL: &str = "synthetic-0.6b";
const RANDOM_MODEL: &str = "synthetic-7b";

/// How a made-up engine behaves: TTFT = a + b·n + c·n², TPOT = d + e·n, in ms.
struct Speed {
    quantization: &'static str,
    a: f64,
    b: f64,
    c: f64,
    d: f64,
    e: f64,
    weights_bytes: u64,
}

const Q8: Speed = Speed {
    quantization: "q8_0",
    a: 6.0,
    b: 1.9,
    c: 0.00022,
    d: 31.0,
    e: 0.0016,
    weights_bytes: 633_602_048,
};
const Q4: Speed =
    Speed { quantization: "q4_k", a: 5.0, b: 2.4, c: 0.0, d: 24.0, e: 0.0016, weights_bytes: 335_544_320 };
const BIG: Speed = Speed {
    quantization: "q8_0",
    a: 9.0,
    b: 21.0,
    c: 0.0009,
    d: 410.0,
    e: 0.004,
    weights_bytes: 8_095_000_000,
};

/// The document of `two_models.json`.
pub fn document() -> Document {
    let mut cases = Vec::new();
    for speed in [&Q8, &Q4] {
        cases.push(case(HUB_MODEL, speed, "short", 64, 8));
        cases.extend([512, 1024, 2048].map(|n| case(HUB_MODEL, speed, "rag", n, 8)));
    }
    cases.push(decode_case());
    cases.push(one_token_case());
    cases.push(failed_case());
    for (order, sample) in cases.iter_mut().flat_map(|case| &mut case.samples).enumerate() {
        sample.order = order as u32;
    }
    Document {
        experiment: Experiment::default(),
        schema_version: SCHEMA_VERSION,
        tool: tool(),
        started_at: "2026-01-02T03:04:05Z".into(),
        command: ["ctxbench", "run", HUB_MODEL, RANDOM_MODEL, "--quant", "q8_0,q4_k"].map(String::from).to_vec(),
        environment: environment(),
        definitions: definitions(),
        seed: 42,
        models: vec![hub_model(), random_model()],
        fits: vec![
            Fit { theory: Some(theory(&cases[..4])), roof: Some(roof()), ..fit(&Q8, LawKind::Quadratic) },
            fit(&Q4, LawKind::Linear),
            no_fit(),
        ],
        cases,
        left_out: vec![LeftOut {
            what: format!("{HUB_MODEL}/q8_0/rag/8192"),
            why: "it would take about 40 s of the 3m that the run had; ask for it with --context 8k --max-time 10m"
                .into(),
        }],
        longest_contexts: Vec::new(),
        start_up: None,
        interrupted: false,
        validity: stamp(&[
            reason("random_weights", "In 1 of 11 cases; one of them: Weights are random: speed is valid."),
            reason("load_high", "The load average was 0.25 before the run began; stop what else runs."),
        ]),
    }
}

/// The program as no one built it.
pub fn tool() -> Tool {
    Tool {
        version: "0.0.0-synthetic".into(),
        git_commit: Some("0123456789abcdef".into()),
        profile: "release".into(),
        features: vec!["cuda".into()],
    }
}

/// A box that is nowhere.
pub fn environment() -> Environment {
    Environment {
        os: Some("Example Linux 1".into()),
        cpu: Some("Synthetic CPU @ 1.00GHz".into()),
        cpu_features: ["avx2", "fma", "avx512_vnni"].map(String::from).to_vec(),
        cpu_isa: Some("avx512-vnni".into()),
        physical_cores: Some(2),
        logical_cores: Some(4),
        threads: Some(2),
        memory_bytes: Some(16 << 30),
        accelerators: vec!["Synthetic GPU".into()],
        memory_bandwidth_bytes_per_s: Some(2.05e10),
        matmul_flops_per_s: [("int8", 1e12), ("f32", 2.5e11)].map(|(name, rate)| (name.into(), rate)).into(),
        rates_are_of_a_card: false,
        load_average: Some(0.25),
        versions: BTreeMap::from([("candle".into(), "0.0.0-synthetic".into())]),
        card: None,
    }
}

/// A model that is nowhere.
pub fn hub_model() -> ModelRecord {
    ModelRecord {
        id: HUB_MODEL.into(),
        repo: Some("example/Synthetic-0.6B".into()),
        revision: Some("0000000000000000000000000000000000000001".into()),
        files: vec![
            FileRecord { name: "config.json".into(), bytes: 726, sha256: None },
            FileRecord {
                name: "model.safetensors".into(),
                bytes: 1_503_300_328,
                sha256: Some("ab".repeat(32)),
            },
        ],
        weights: WeightsOrigin::Hub,
        parameters: 596_049_920,
        architecture: "qwen3".into(),
        max_positions: 40_960,
        kv_bytes_per_token: 229_376,
        tokenizer: "tokenizer.json".into(),
        license: Some("apache-2.0".into()),
    }
}

fn random_model() -> ModelRecord {
    ModelRecord {
        id: RANDOM_MODEL.into(),
        repo: None,
        revision: None,
        files: Vec::new(),
        weights: WeightsOrigin::Random,
        parameters: 7_615_616_512,
        architecture: "qwen2".into(),
        max_positions: 32_768,
        kv_bytes_per_token: 114_688,
        tokenizer: "stand-in".into(),
        license: None,
    }
}

fn case(model: &str, speed: &Speed, scenario: &str, tokens: u32, output_tokens: u32) -> Case {
    let samples: Vec<Sample> = (0..5).map(|i| sample(speed, tokens, output_tokens, i)).collect();
    Case {
        id: format!("{model}/{}/{scenario}/{tokens}", speed.quantization),
        model: model.into(),
        quantization: speed.quantization.into(),
        dtype: "f32".into(),
        device: "cpu".into(),
        attention_path: "blocked-matmul".into(),
        scenario: scenario.into(),
        context_tokens: tokens,
        prompt_tokens: tokens,
        output_tokens,
        depth_tokens: None,
        peak_memory_bytes: Some(speed.weights_bytes + 500_000_000 + 229_376 * u64::from(tokens)),
        weights_bytes: Some(speed.weights_bytes),
        summary: summarise(&samples),
        samples,
        warmups: 2,
        validity: Validity::default(),
        error: None,
        out_of_memory: false,
        card: None,
    }
}

/// Made-up noise of one percent, the same in every run.
pub fn wobble(seed: u32) -> f64 {
    f64::from(seed.wrapping_mul(2_654_435_761) >> 16) / 65_536.0 * 0.02 + 0.99
}

fn sample(speed: &Speed, tokens: u32, output_tokens: u32, i: u32) -> Sample {
    let n = f64::from(tokens);
    let noise = wobble(i + tokens);
    let ttft = rounded((speed.a + speed.b * n + speed.c * n * n) * noise);
    let tokenize = rounded(0.4 + 0.001 * n);
    let mut ready = vec![ttft];
    for token in 1..output_tokens {
        let gap = (speed.d + speed.e * (n + f64::from(token))) * wobble(i + 31 * token + tokens);
        ready.push(rounded(ready[ready.len() - 1] + gap));
    }
    Sample {
        order: 0,
        prompt_tokens: tokens,
        tokenize_ms: Some(tokenize),
        prefill_ms: Some(rounded(ttft - tokenize - 1.0)),
        ttft_ms: Some(ttft),
        token_ready_ms: ready,
        ..Sample::default()
    }
}

/// To a thousandth.
pub fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn summarise(samples: &[Sample]) -> Summary {
    let of = |metric: fn(&Sample) -> Option<f64>| {
        estimate(samples.iter().filter(|s| s.is_complete()).filter_map(metric).collect())
    };
    Summary {
        rag_ttft_ms: None,
        tokenize_ms: of(|s| s.tokenize_ms),
        prefill_ms: of(|s| s.prefill_ms),
        ttft_ms: of(|s| s.ttft_ms),
        ttft_ids_ms: of(Sample::ttft_ids_ms),
        tpot_ms: of(Sample::tpot_ms),
        itl_ms: estimate(samples.iter().flat_map(Sample::itl_ms).collect()),
        e2e_ms: of(Sample::e2e_ms),
        decode_tokens_per_s: of(Sample::decode_tokens_per_s),
        prefill_tokens_per_s: of(Sample::prefill_tokens_per_s),
        mbu: of(|s| s.decode_tokens_per_s().map(|rate| rate * 0.024)),
        mfu: of(|s| s.prefill_tokens_per_s().map(|rate| rate * 0.0011)),
        prefill_of_limit: of(|s| Some(roof().prefill_ms?.at(s.prompt_tokens.into()) / s.prefill_ms?)),
    }
}

/// The interval of the fixture is simply its extremes, as it is for 3 to 5 real samples.
fn estimate(mut values: Vec<f64>) -> Option<Estimate> {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    let (min, max) = (*values.first()?, *values.last()?);
    let mean = values.iter().sum::<f64>() / n as f64;
    let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
    Some(Estimate {
        n: n as u32,
        median: rounded((values[(n - 1) / 2] + values[n / 2]) / 2.0),
        ci_low: (n >= 3).then_some(rounded(min)),
        ci_high: (n >= 3).then_some(rounded(max)),
        ci_level: (n >= 3).then_some(1.0 - 0.5f64.powi(n.min(6) as i32 - 1)),
        mean: rounded(mean),
        sd: (n >= 2).then(|| rounded((squares / (n as f64 - 1.0)).sqrt())),
        min: rounded(min),
        max: rounded(max),
    })
}

fn decode_case() -> Case {
    let mut case = case(HUB_MODEL, &Q8, "decode", 1024, 8);
    case.depth_tokens = Some(1024);
    for sample in &mut case.samples {
        let first = sample.token_ready_ms[0] - 30.0;
        sample.token_ready_ms.iter_mut().for_each(|ready| *ready = rounded(*ready - first));
        (sample.tokenize_ms, sample.prefill_ms, sample.ttft_ms) = (None, None, None);
    }
    case.samples[4].error = Some("the device returned no token within 30 s".into());
    case.samples[4].token_ready_ms.clear();
    case.summary = summarise(&case.samples);
    case.validity = stamp(&[reason("sample_failed", "1 of 5 samples failed; its error is in the report.")]);
    case
}

/// Two samples of one token: a TTFT without an interval, and no rate of decoding.
fn one_token_case() -> Case {
    let mut case = case(RANDOM_MODEL, &BIG, "short", 64, 1);
    case.samples.truncate(2);
    case.summary = summarise(&case.samples);
    case.peak_memory_bytes = None;
    case.validity = stamp(&[
        reason("random_weights", "Weights are random: speed is valid, text and quality mean nothing."),
        reason("too_few_samples", "2 samples support no interval; ask for more with --runs 5 or --max-time."),
    ]);
    case
}

fn failed_case() -> Case {
    let mut case = case(RANDOM_MODEL, &BIG, "rag", 2048, 8);
    case.samples.clear();
    case.summary = Summary::default();
    case.warmups = 0;
    case.peak_memory_bytes = None;
    case.error =
        Some("the cache needs 224 MiB more than is free; the longest context that fits is 1,024".into());
    case.validity.add(Reason {
        code: "no_result".into(),
        status: Status::Invalid,
        text: "The case failed and has no result.".into(),
    });
    case
}

fn reason(code: &str, text: &str) -> Reason {
    Reason { code: code.into(), status: Status::Caveat, text: text.into() }
}

fn stamp(reasons: &[Reason]) -> Validity {
    let mut validity = Validity::default();
    reasons.iter().for_each(|reason| validity.add(reason.clone()));
    validity
}

fn around(value: f64, share: f64) -> Interval {
    Interval { value, low: value - share * value.abs(), high: value + share * value.abs(), level: 0.95 }
}

fn fit(speed: &Speed, kind: LawKind) -> Fit {
    let mean_slope = match kind {
        LawKind::Linear => speed.b,
        LawKind::Quadratic => speed.b + speed.c * (64.0 + 2048.0),
    };
    let mut coefficients = vec![around(speed.a, 0.2), around(speed.b, 0.02)];
    if kind == LawKind::Quadratic {
        coefficients.push(around(speed.c, 0.1));
    }
    let reason = "A made-up law of a made-up engine.";
    let law = |kind, coefficients| Law {
        kind,
        coefficients,
        range_tokens: [64, 2048],
        points: 4,
        r_squared: 0.998,
        reason: reason.into(),
    };
    let ttft = |n: f64| speed.a + speed.b * n + speed.c * n * n;
    let ratio = |n: u32| RatioAt {
        context_tokens: n,
        short_tokens: 64,
        ratio: around(rounded(ttft(n.into()) / ttft(64.0)), 0.02),
    };
    Fit {
        model: HUB_MODEL.into(),
        quantization: speed.quantization.into(),
        device: "cpu".into(),
        ttft: Some(law(kind, coefficients)),
        tpot: Some(law(LawKind::Linear, vec![around(speed.d, 0.01), around(speed.e, 0.3)])),
        ttft_ms_per_1000_tokens: Some(around(rounded(1000.0 * mean_slope), 0.02)),
        tpot_ms_per_1000_tokens: Some(around(
            rounded(1000.0 * speed.e),
            if kind == LawKind::Linear { 1.5 } else { 0.3 },
        )),
        rag_over_short_ttft: [512, 1024, 2048].map(ratio).to_vec(),
        theory: None,
        roof: None,
    }
}

/// Counted for the shape of Qwen3-0.6B.
fn theory(cases: &[Case]) -> Theory {
    let shape = super::pair::attention_shape();
    Theory::of(&counts(&shape), &cases.iter().collect::<Vec<_>>())
}

/// The same counts over the made-up rates of the box.
fn roof() -> Roof {
    Roof::of(&counts(&super::pair::attention_shape()), "int8", &environment())
}

fn counts(shape: &ModelShape) -> Counts<'_> {
    Counts {
        shape,
        decode_weight_bytes: Some(Q8.weights_bytes),
        kv_bytes_per_token: shape.kv_bytes_per_token(4),
    }
}

fn no_fit() -> Fit {
    Fit {
        model: RANDOM_MODEL.into(),
        quantization: BIG.quantization.into(),
        device: "cpu".into(),
        ttft: None,
        tpot: None,
        ttft_ms_per_1000_tokens: None,
        tpot_ms_per_1000_tokens: None,
        rag_over_short_ttft: Vec::new(),
        theory: None,
        roof: None,
    }
}
