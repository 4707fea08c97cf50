//! Reports held side by side: which cases pair up, what differs between the pairs, and the ratios.
//!
//! Comes in: two documents. Goes out: rows, serialisable as they are. Not here: the statistics
//! ([`crate::stats::compare`]) and how rows look ([`super::comparison_table`]).

use serde::Serialize;

use super::document::{Case, Document, WeightsOrigin};
use crate::sample::Sample;
use crate::stats::compare::{Comparison, Difference, Direction};
use crate::stats::estimate::{Estimate, Interval};
use crate::verdict::validity::Status;

/// How `--format json` of `ctxbench compare` looks; raised when a key changes its meaning.
pub const COMPARISON_SCHEMA_VERSION: u32 = 1;

/// One report, by the name under which it is shown.
#[derive(Clone, Debug)]
pub struct NamedReport {
    /// The path as typed.
    pub name: String,
    /// What it holds.
    pub document: Document,
}

/// A baseline and every report that is held against it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ComparisonReport {
    /// [`COMPARISON_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Name of the baseline report.
    pub baseline: String,
    /// One per further report.
    pub candidates: Vec<Candidate>,
    /// The threshold as a share, 0.05 for 5 %; `null` if none was set.
    pub fail_above: Option<f64>,
    /// What is shown to be slower by more than the threshold.
    pub failures: Vec<Failure>,
}

/// One report held against the baseline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// Name of the report.
    pub report: String,
    /// Cases that both hold, in the baseline's order.
    pub cases: Vec<CasePair>,
    /// Ids of cases that only the baseline holds.
    pub only_in_baseline: Vec<String>,
    /// Ids of cases that only this report holds.
    pub only_in_candidate: Vec<String>,
}

/// One case that both reports hold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CasePair {
    /// [`Case::id`].
    pub id: String,
    /// What differs between the two beside the times, and which of them may not be trusted.
    pub differs: Vec<String>,
    /// One per metric that both cases have values of.
    pub metrics: Vec<MetricPair>,
}

/// One metric of a pair.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricPair {
    /// Key in [`super::document::Summary`].
    pub metric: &'static str,
    /// Median of the baseline.
    pub baseline_median: f64,
    /// Samples of the baseline.
    pub baseline_n: u32,
    /// Median of the candidate.
    pub candidate_median: f64,
    /// Samples of the candidate.
    pub candidate_n: u32,
    /// Candidate over baseline; `null` with fewer than 3 samples on either side.
    pub ratio: Option<Interval>,
    /// `faster`, `slower` or `no_difference_shown`; `null` where there is no ratio.
    pub verdict: Option<Difference>,
    #[serde(skip)]
    comparison: Option<Comparison>,
}

/// One metric of one case that passed the threshold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failure {
    /// [`Candidate::report`].
    pub report: String,
    /// [`Case::id`].
    pub case: String,
    /// [`MetricPair::metric`].
    pub metric: &'static str,
    /// Candidate over baseline.
    pub ratio: Interval,
}

/// A metric that is compared: its key, which way is better, and where a sample has it.
struct Metric {
    key: &'static str,
    direction: Direction,
    of: fn(&Sample) -> Option<f64>,
}

/// Times are judged; rates are the same samples seen from the other side.
const METRICS: [Metric; 5] = [
    Metric { key: "ttft_ms", direction: Direction::LowerIsBetter, of: |sample| sample.ttft_ms },
    Metric { key: "prefill_ms", direction: Direction::LowerIsBetter, of: |sample| sample.prefill_ms },
    Metric { key: "tpot_ms", direction: Direction::LowerIsBetter, of: Sample::tpot_ms },
    Metric {
        key: "prefill_tokens_per_s",
        direction: Direction::HigherIsBetter,
        of: Sample::prefill_tokens_per_s,
    },
    Metric {
        key: "decode_tokens_per_s",
        direction: Direction::HigherIsBetter,
        of: Sample::decode_tokens_per_s,
    },
];

impl ComparisonReport {
    /// Holds every candidate against the baseline; `fail_above` is a share (0.05 is 5 %).
    pub fn new(baseline: &NamedReport, candidates: &[NamedReport], fail_above: Option<f64>) -> Self {
        let candidates: Vec<Candidate> = candidates.iter().map(|other| pair_up(baseline, other)).collect();
        let failures = fail_above.map_or(vec![], |share| {
            candidates.iter().flat_map(|candidate| candidate.slower_by_more_than(share)).collect()
        });
        Self {
            schema_version: COMPARISON_SCHEMA_VERSION,
            baseline: baseline.name.clone(),
            candidates,
            fail_above,
            failures,
        }
    }

    /// Number of ratios that carry a verdict.
    pub fn verdicts(&self) -> usize {
        let cases = self.candidates.iter().flat_map(|candidate| &candidate.cases);
        cases.flat_map(|case| &case.metrics).filter(|metric| metric.verdict.is_some()).count()
    }
}

impl Candidate {
    fn slower_by_more_than(&self, share: f64) -> Vec<Failure> {
        let failure = |case: &CasePair, metric: &MetricPair| {
            let comparison = metric.comparison.filter(|c| c.direction == Direction::LowerIsBetter)?;
            comparison.is_slower_by_more_than(share).then(|| Failure {
                report: self.report.clone(),
                case: case.id.clone(),
                metric: metric.metric,
                ratio: comparison.ratio,
            })
        };
        let pairs = self.cases.iter().flat_map(|case| case.metrics.iter().map(move |metric| (case, metric)));
        pairs.filter_map(|(case, metric)| failure(case, metric)).collect()
    }
}

fn pair_up(baseline: &NamedReport, other: &NamedReport) -> Candidate {
    let (before, after) = (&baseline.document, &other.document);
    let pair = |case: &Case| {
        let partner = after.cases.iter().find(|candidate| candidate.id == case.id)?;
        Some(CasePair {
            id: case.id.clone(),
            differs: differences(before, case, after, partner),
            metrics: METRICS.iter().filter_map(|metric| compare(metric, case, partner)).collect(),
        })
    };
    Candidate {
        report: other.name.clone(),
        cases: before.cases.iter().filter_map(pair).collect(),
        only_in_baseline: missing_from(after, before),
        only_in_candidate: missing_from(before, after),
    }
}

/// Ids of `all`'s cases that `document` lacks.
fn missing_from(document: &Document, all: &Document) -> Vec<String> {
    let lacks = |case: &&Case| document.cases.iter().all(|other| other.id != case.id);
    all.cases.iter().filter(lacks).map(|case| case.id.clone()).collect()
}

fn compare(metric: &Metric, baseline: &Case, candidate: &Case) -> Option<MetricPair> {
    let (before, after) = (values(metric, baseline), values(metric, candidate));
    let (summary_before, summary_after) = (Estimate::of(&before)?, Estimate::of(&after)?);
    let comparison = Comparison::of(&before, &after, metric.direction);
    Some(MetricPair {
        metric: metric.key,
        baseline_median: summary_before.median,
        baseline_n: summary_before.n,
        candidate_median: summary_after.median,
        candidate_n: summary_after.n,
        ratio: comparison.map(|c| c.ratio),
        verdict: comparison.map(|c| c.verdict),
        comparison,
    })
}

fn values(metric: &Metric, case: &Case) -> Vec<f64> {
    case.samples.iter().filter(|sample| sample.is_complete()).filter_map(metric.of).collect()
}

/// What a reader must know before believing the ratio.
fn differences(before: &Document, a: &Case, after: &Document, b: &Case) -> Vec<String> {
    let differing = [
        ("output tokens", a.output_tokens.to_string(), b.output_tokens.to_string()),
        ("prompt tokens", a.prompt_tokens.to_string(), b.prompt_tokens.to_string()),
        ("device", a.device.clone(), b.device.clone()),
        ("weights", weights(before, a), weights(after, b)),
        ("dtype", a.dtype.clone(), b.dtype.clone()),
        ("attention path", a.attention_path.clone(), b.attention_path.clone()),
        ("build", before.tool.profile.clone(), after.tool.profile.clone()),
        ("processor", processor(before), processor(after)),
    ];
    let differing = differing.into_iter().filter(|(_, one, other)| one != other);
    let mut notes: Vec<String> =
        differing.map(|(what, one, other)| format!("{what}: {one} against {other}")).collect();
    for (side, case) in [("baseline", a), ("candidate", b)] {
        notes.extend(case.error.iter().map(|error| format!("{side} failed: {error}")));
        if case.validity.status == Status::Invalid {
            let codes: Vec<&str> = case.validity.reasons.iter().map(|reason| reason.code.as_str()).collect();
            notes.push(format!("{side} is INVALID: {}", codes.join(", ")));
        }
    }
    notes
}

fn weights(document: &Document, case: &Case) -> String {
    let model = document.models.iter().find(|model| model.id == case.model);
    match model.map(|model| model.weights) {
        Some(WeightsOrigin::Hub) => "hub",
        Some(WeightsOrigin::Local) => "local",
        Some(WeightsOrigin::Random) => "random",
        None => "unknown",
    }
    .into()
}

fn processor(document: &Document) -> String {
    document.environment.cpu.clone().unwrap_or_else(|| "unknown".into())
}
