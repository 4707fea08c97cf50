//! A paired experiment put together by the program itself from made-up samples. It is no measurement.
//!
//! One length, twelve blocks: too few for a p95, so that what the counts do not support is missing.

use ctxbench::report::assemble::{ArmRecord, RunRecord, assemble};
use ctxbench::report::definitions::with_experiment;
use ctxbench::report::document::Document;
use ctxbench::report::evidence::of_cases;
use ctxbench::report::experiment::{
    AnswerRecord, AtCorpusSize, Crossing, Experiment, Mix, RetrievalAlone, RetrievalRecord, RouterRecord,
};
use ctxbench::report::pairs::pairs;
use ctxbench::sample::case::{CaseProgress, CaseSpec, Kind, Wish};
use ctxbench::sample::{Sample, Stages};
use ctxbench::stats::estimate::Estimate;
use ctxbench::stats::percentile::supported_percentile;
use ctxbench::stats::percentile_interval::percentile_interval;
use ctxbench::stats::proportion::wilson;
use ctxbench::verdict::claims::{Evidence, Rules, Score, SizePoint};
use ctxbench::verdict::judge::RunFacts;

use super::pair::attention_shape;
use super::synthetic::{HUB_MODEL, environment, hub_model, rounded, tool, wobble};

const BLOCKS: u32 = 12;
const OUTPUT_TOKENS: u32 = 4;
/// Prompt tokens of the question alone, and with its passages.
const SHORT: u32 = 62;
const LONG: u32 = 1913;
/// Requests of retrieval alone.
const ALONE: u32 = 700;

/// The document of `rag.json`.
pub fn document() -> Document {
    let shape = attention_shape();
    let cases: Vec<CaseProgress> =
        [Kind::Short, Kind::Padded, Kind::Rag, Kind::RagWarmPrefix, Kind::RagWarmDocument, Kind::Hybrid]
            .map(case)
            .to_vec();
    let arm = ArmRecord {
        model: HUB_MODEL,
        quantization: "q8_0",
        dtype: "f32",
        device: "cpu",
        shape: &shape,
        attention_path: Some("blocked-matmul"),
        decode_weight_bytes: Some(633_602_048),
        weights_bytes: Some(633_602_048),
        kv_bytes_per_token: shape.kv_bytes_per_token(4),
        error: None,
        cases: &cases,
    };
    let record = RunRecord {
        tool: tool(),
        started_at: "2026-01-02T03:04:05Z".into(),
        command: ["ctxbench", "rag", HUB_MODEL].map(String::from).to_vec(),
        environment: environment(),
        seed: 42,
        models: vec![hub_model()],
        target_half_width: None,
        facts: RunFacts { single_stream: true, ..RunFacts::default() },
    };
    let document = assemble(&record, &[arm], Vec::new());
    let experiment = experiment(&document);
    Document { definitions: with_experiment(), experiment, ..document }
}

fn case(kind: Kind) -> CaseProgress {
    let tokens = if kind == Kind::Short { SHORT } else { LONG };
    let spec = CaseSpec { kind, tokens, output_tokens: OUTPUT_TOKENS, asked_for: Wish::User };
    let samples = (0..BLOCKS).map(|block| sample(kind, block)).collect();
    CaseProgress { samples, settled: Some(true), ..CaseProgress::new(spec) }
}

/// 2.1 ms per token that no cache holds, 20 ms per token behind a short prompt and 21.4 behind a long one.
fn sample(kind: Kind, block: u32) -> Sample {
    let routed = (kind == Kind::Hybrid).then_some(block.is_multiple_of(2));
    let retrieves = !matches!(kind, Kind::Short | Kind::Padded) && routed != Some(false);
    let long = kind == Kind::Padded || retrieves;
    let cached = match kind {
        Kind::RagWarmPrefix => 60,
        Kind::RagWarmDocument => 460,
        _ => 0,
    };
    let prompt_tokens = if long { LONG } else { SHORT };
    let noise = wobble((block + 1) * (kind as u32 + 3) * 7919);
    let ms = |ms: f64| Some(rounded(ms * noise));
    let found = |value: f64| ms(value).filter(|_| retrieves);
    let stages = Stages {
        route: ms(640.0).filter(|_| routed.is_some()),
        tokenize_query: found(0.12),
        embed: found(21.0),
        search: found(0.9),
        fetch: found(0.06),
        rerank: None,
        assemble: found(0.15),
        tokenize: ms(0.0011 * f64::from(prompt_tokens)),
        // The pass that decided is the answer's own where nothing was looked up.
        prefill: ms(2.1 * f64::from(prompt_tokens - cached)).filter(|_| routed != Some(false)),
        first_token: ms(0.4),
    };
    let rag_ttft_ms = rounded(1.0005 * stages.sum());
    let before =
        [stages.route, stages.tokenize_query, stages.embed, stages.search, stages.fetch, stages.assemble];
    let ttft_ms = rounded(rag_ttft_ms - before.into_iter().flatten().sum::<f64>());
    let step = if long { 21.4 } else { 20.0 } * wobble((block + 2) * (kind as u32 + 5) * 104_729);
    Sample {
        order: block * 6 + kind as u32,
        prompt_tokens,
        tokenize_ms: stages.tokenize,
        prefill_ms: stages.prefill,
        ttft_ms: Some(ttft_ms),
        token_ready_ms: (0..OUTPUT_TOKENS).map(|t| rounded(ttft_ms + step * f64::from(t))).collect(),
        error: None,
        question_id: Some(format!("question-{}", block % 5)),
        stages_ms: Some(stages),
        rag_ttft_ms: Some(rag_ttft_ms),
        routed,
    }
}

fn experiment(document: &Document) -> Experiment {
    let rules = Rules::shipped().expect("the rules are whole");
    let experiment = Experiment {
        retrieval: Some(retrieval()),
        pairs: pairs(&document.cases),
        router: Some(router()),
        answers: vec![answers("short", 11), answers("rag", 34), answers("hybrid", 31)],
        ..Experiment::default()
    };
    experiment.with_verdicts(&evidence(document), &rules)
}

fn evidence(document: &Document) -> Evidence {
    let at = |chunks: u64, block: u32| SizePoint { chunks, ttft_ms: 130.0 * wobble(block + chunks as u32) };
    Evidence {
        short_by_size: (0..BLOCKS).map(|block| [100, 1_000, 10_000].map(|n| at(n, block)).to_vec()).collect(),
        embed_search_ms: alone_ms(),
        closed_book: Some(Score { correct: 11, n: 40 }),
        rag_answers: Some(Score { correct: 34, n: 40 }),
        hybrid_answers: Some(Score { correct: 31, n: 40 }),
        ..of_cases(&document.cases)
    }
}

fn alone_ms() -> Vec<f64> {
    (0..ALONE).map(|i| rounded(22.0 * wobble(i) + if i % 60 == 0 { 4.0 } else { 0.0 })).collect()
}

fn estimate(middle: f64) -> Option<Estimate> {
    Estimate::of(&(0..BLOCKS).map(|i| rounded(middle * wobble(i))).collect::<Vec<_>>())
}

fn retrieval() -> RetrievalRecord {
    let alone = alone_ms();
    let at = |p| supported_percentile(&alone, p).map(rounded);
    let size = |chunks: u64, search: f64| AtCorpusSize {
        chunks,
        short_ttft_ms: estimate(130.0),
        search_ms: estimate(search),
    };
    RetrievalRecord {
        embedder: "synthetic-embedder".into(),
        stand_in_embedder: false,
        reranker: None,
        store: "embedded".into(),
        documents: 120,
        chunks: 1_000,
        perturbed_vectors: 0,
        dimensions: 384,
        chunk_tokens: 256,
        chunk_overlap: 32,
        top_k: 7,
        index_build_ms: Some(41_200.0),
        index_reused: false,
        index_bytes: Some(2_411_724),
        recall_at_10: Some(0.994),
        gold_in_hits: Some(0.925),
        embed_tokens_per_s: Some(5_230.0),
        alone: Some(RetrievalAlone {
            embed_ms: estimate(21.1),
            search_ms: estimate(0.9),
            embed_search_ms: Estimate::of(&alone),
            p50_ms: at(50.0),
            p95_ms: at(95.0),
            p99_ms: at(99.0),
            p99_ci: percentile_interval(&alone, 99.0).map(|i| [i.low, i.high]),
        }),
        by_size: vec![size(100, 0.3), size(1_000, 0.9), size(10_000, 1.7)],
    }
}

fn router() -> RouterRecord {
    let mix = |r: f64| Mix {
        r,
        ttft_ms_mean: Some(rounded(640.0 + r * 4_050.0)),
        ttft_ms_p50: Some(if r < 0.5 { 641.0 } else { 4_690.0 }),
        ttft_ms_p95: None,
        prompt_tokens_mean: Some(rounded(62.0 + r * 1_851.0)),
        box_seconds_per_1k: Some(rounded(700.0 + r * 4_100.0)),
    };
    RouterRecord {
        malformed_calls: 0,
        kind: "tool_call".into(),
        precision: Some(0.9),
        recall: Some(0.75),
        threshold: None,
        judged: 24,
        routed_samples: 6,
        unrouted_samples: 6,
        mix: (0..=10).map(|i| mix(rounded(f64::from(i) / 10.0))).collect(),
        crossings: vec![
            Crossing {
                metric: "ttft_ms_mean".into(),
                plain_rag: 4_060.0,
                r: Some(0.844),
                below_at_zero: true,
            },
            Crossing { metric: "ttft_ms_p50".into(), plain_rag: 4_061.0, r: Some(0.5), below_at_zero: true },
            Crossing {
                metric: "box_seconds_per_1k".into(),
                plain_rag: 4_125.0,
                r: None,
                below_at_zero: true,
            },
        ],
    }
}

fn answers(scenario: &str, correct: u32) -> AnswerRecord {
    let i = wilson(correct, 40);
    AnswerRecord {
        scenario: scenario.into(),
        n: 40,
        exact: correct / 2,
        correct,
        accuracy: i.map(|i| rounded(i.value)),
        ci_low: i.map(|i| rounded(i.low)),
        ci_high: i.map(|i| rounded(i.high)),
    }
}
