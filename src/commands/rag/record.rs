//! The document of an experiment at any moment of it: that of a run, and what the experiment adds.

use super::config::RagConfig;
use super::router::Router;
use crate::commands::run::record::Recorder;
use crate::rag::alone::Retrieval;
use crate::rag::blocks::Taken;
use crate::rag::sizes::Size;
use crate::report::definitions::with_experiment;
use crate::report::document::Document;
use crate::report::evidence;
use crate::report::experiment::{AnswerRecord, AtCorpusSize, Experiment, RetrievalAlone, RetrievalRecord};
use crate::report::pairs::pairs;
use crate::runner::campaign::{ArmOutcome, Outcome};
use crate::stats::estimate::Estimate;
use crate::stats::percentile::supported_percentile;
use crate::stats::percentile_interval::percentile_interval;
use crate::verdict::claims::{Evidence, Rules, Score, SizePoint};
use crate::verdict::reasons;

/// What does not change during the blocks.
pub struct Known<'a> {
    /// What was asked for.
    pub config: &'a RagConfig,
    /// The run's part of the document.
    pub recorder: &'a Recorder<'a>,
    /// The pipeline.
    pub retrieval: RetrievalRecord,
    /// Retrieval alone.
    pub alone: Vec<Retrieval>,
    /// Who decides in the hybrid.
    pub router: Router,
    /// Claims and their margins.
    pub rules: Rules,
    /// Attention path of the engine.
    pub attention_path: String,
    /// Bytes of weights that a decode step reads.
    pub decode_weight_bytes: u64,
    /// Why a stand-in embeds although another was wanted.
    pub fallback: Option<String>,
    /// Whether the generator's weights are random.
    pub random_weights: bool,
}

impl Known<'_> {
    /// The document of what there is so far.
    pub fn document(&self, taken: &Taken, sizes: &[Size], answers: &[AnswerRecord]) -> Document {
        let mut document = self.recorder.document(&self.outcome(taken));
        let evidence = self.evidence(&document, sizes, answers);
        document.experiment = Experiment {
            retrieval: Some(self.retrieval(sizes)),
            pairs: pairs(&document.cases),
            router: self.router.record(&document.cases, &evidence, taken),
            answers: answers.to_vec(),
            ..Experiment::default()
        }
        .with_verdicts(&evidence, &self.rules);
        document.definitions.extend(with_experiment());
        self.stamp(&mut document);
        document
    }

    /// The experiment as an outcome of a run: one arm that is loaded once.
    pub fn outcome(&self, taken: &Taken) -> Outcome {
        let samples = taken.cases.iter().map(|case| case.samples.len() as u32).sum();
        let arm = ArmOutcome {
            cases: taken.cases.clone(),
            attention_path: Some(self.attention_path.clone()),
            decode_weight_bytes: Some(self.decode_weight_bytes),
            first_times: None,
            error: None,
        };
        Outcome { arms: vec![arm], samples, interrupted: taken.interrupted, ..Outcome::default() }
    }

    fn evidence(&self, document: &Document, sizes: &[Size], answers: &[AnswerRecord]) -> Evidence {
        let score = |arm: &str| {
            let record = answers.iter().find(|answer| answer.scenario == arm)?;
            Some(Score { correct: record.correct, n: record.n })
        };
        Evidence {
            short_by_size: short_by_size(sizes),
            embed_search_ms: self.alone.iter().map(|one| one.embed_ms + one.search_ms).collect(),
            closed_book: score("short"),
            rag_answers: score("rag"),
            hybrid_answers: score("hybrid"),
            stand_in_embedder: self.retrieval.stand_in_embedder,
            random_weights: self.random_weights,
            adapter: self.config.adapter.is_some(),
            forced_routing: self.router.is_forced(),
            ..evidence::of_cases(&document.cases)
        }
    }

    fn retrieval(&self, sizes: &[Size]) -> RetrievalRecord {
        RetrievalRecord {
            alone: (!self.alone.is_empty()).then(|| alone(&self.alone)),
            by_size: sizes.iter().map(at_size).collect(),
            ..self.retrieval.clone()
        }
    }

    /// Reasons for doubt that only an experiment has.
    fn stamp(&self, document: &mut Document) {
        let retrieval = &self.retrieval;
        if retrieval.stand_in_embedder {
            document.validity.add(reasons::stand_in_embedder(self.fallback.as_deref()));
        }
        if retrieval.perturbed_vectors > 0 {
            document.validity.add(reasons::perturbed_vectors(retrieval.perturbed_vectors, retrieval.chunks));
        }
        if self.config.adapter.is_none() {
            document.validity.add(reasons::base_weights_stand_in());
        }
        if let Some(share) = self.router.forced {
            document.validity.add(reasons::forced_routing(share));
        }
        let empty = self.alone.iter().filter(|one| one.hits.is_empty()).count();
        if empty > 0 {
            document.validity.add(reasons::nothing_retrieved(empty, self.alone.len()));
        }
    }
}

/// Requests of retrieval alone, summed up.
fn alone(taken: &[Retrieval]) -> RetrievalAlone {
    let of = |metric: fn(&Retrieval) -> f64| taken.iter().map(metric).collect::<Vec<f64>>();
    let both = of(|one| one.embed_ms + one.search_ms);
    RetrievalAlone {
        embed_ms: Estimate::of(&of(|one| one.embed_ms)),
        search_ms: Estimate::of(&of(|one| one.search_ms)),
        embed_search_ms: Estimate::of(&both),
        p50_ms: supported_percentile(&both, 50.0),
        p95_ms: supported_percentile(&both, 95.0),
        p99_ms: supported_percentile(&both, 99.0),
        p99_ci: percentile_interval(&both, 99.0).map(|interval| [interval.low, interval.high]),
    }
}

fn at_size(size: &Size) -> AtCorpusSize {
    let short: Vec<f64> = size.short_ttft_ms.iter().flatten().copied().collect();
    AtCorpusSize {
        chunks: size.chunks,
        short_ttft_ms: Estimate::of(&short),
        search_ms: Estimate::of(&size.search_ms),
    }
}

/// Per block, the sizes whose short prompt was measured.
fn short_by_size(sizes: &[Size]) -> Vec<Vec<SizePoint>> {
    let blocks = sizes.iter().map(|size| size.short_ttft_ms.len()).max().unwrap_or(0);
    let point = |size: &Size, block: usize| {
        let ttft_ms = (*size.short_ttft_ms.get(block)?)?;
        Some(SizePoint { chunks: size.chunks, ttft_ms })
    };
    (0..blocks).map(|block| sizes.iter().filter_map(|size| point(size, block)).collect()).collect()
}
