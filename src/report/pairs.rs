//! Cases of the paired experiment to paired differences: the same question, in the same block, in two arms.

use super::document::Case;
use super::experiment::Pair;
use crate::sample::Sample;
use crate::stats::paired::Paired;

/// A metric of a sample, in ms.
pub(super) type Metric = fn(&Sample) -> Option<f64>;

/// What is held against what: arm, baseline, metric, and what the difference is called.
const PAIRS: [(&str, &str, &str, Option<&str>); 10] = [
    ("rag", "short", "rag_ttft_ms", Some("what RAG adds")),
    ("padded", "short", "rag_ttft_ms", Some("context tax")),
    ("rag", "padded", "rag_ttft_ms", Some("retrieval tax")),
    ("rag_warm_prefix", "rag", "rag_ttft_ms", Some("static prefix cached")),
    ("rag_warm_document", "rag", "rag_ttft_ms", Some("first document cached")),
    ("hybrid", "rag", "rag_ttft_ms", Some("routing")),
    ("hybrid", "short", "rag_ttft_ms", None),
    ("rag", "short", "prefill_ms", None),
    ("rag", "padded", "prefill_ms", None),
    ("rag", "short", "tpot_ms", Some("slower output")),
];

/// Every pair of arms that has values to compare, by retrieved length.
pub fn pairs(cases: &[Case]) -> Vec<Pair> {
    let mut found = Vec::new();
    for a in cases {
        for (arm, base, metric, name) in PAIRS.iter().filter(|pair| pair.0 == a.scenario) {
            // `short` has one case for all lengths, other arms one for each.
            let twin =
                |b: &&Case| b.scenario == *base && (*base == "short" || b.context_tokens == a.context_tokens);
            let Some(b) = cases.iter().find(twin) else { continue };
            let values = both(a, b, of(metric));
            if values.is_empty() {
                continue;
            }
            let differences: Vec<f64> = values.iter().map(|[a, b]| a - b).collect();
            let ratios: Vec<f64> = values.iter().filter(|[_, b]| *b > 0.0).map(|[a, b]| a / b).collect();
            found.push(Pair {
                a: (*arm).into(),
                b: (*base).into(),
                metric: (*metric).into(),
                name: name.map(Into::into),
                context_tokens: Some(a.context_tokens),
                difference: Paired::of(&differences),
                ratio: Paired::of(&ratios),
            });
        }
    }
    found
}

/// Values of both cases, block by block, where both were measured for the same question.
fn both(a: &Case, b: &Case, metric: Metric) -> Vec<[f64; 2]> {
    let pairs = a.samples.iter().zip(&b.samples);
    let same = pairs.filter(|(x, y)| x.is_complete() && y.is_complete() && x.question_id == y.question_id);
    same.filter_map(|(x, y)| Some([metric(x)?, metric(y)?])).collect()
}

fn of(metric: &str) -> Metric {
    match metric {
        "tpot_ms" => Sample::tpot_ms,
        "prefill_ms" => |sample| sample.prefill_ms,
        _ => |sample| sample.rag_ttft_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    fn case(scenario: &str, context_tokens: u32, samples: &[(&str, f64)]) -> Case {
        let sample = |(id, ms): &(&str, f64)| Sample {
            question_id: Some((*id).into()),
            rag_ttft_ms: Some(*ms),
            token_ready_ms: vec![*ms],
            ..Sample::default()
        };
        let any = fixture::document().cases.swap_remove(0);
        let samples = samples.iter().map(sample).collect();
        Case { scenario: scenario.into(), context_tokens, samples, ..any }
    }

    #[test]
    fn only_the_same_question_in_the_same_block_makes_a_pair() {
        let short = case("short", 48, &[("a", 10.0), ("b", 11.0), ("c", 12.0), ("d", 13.0)]);
        let rag = case("rag", 900, &[("a", 110.0), ("x", 500.0), ("c", 132.0), ("d", 143.0)]);
        let found = pairs(&[short, rag]);
        let first = found.iter().find(|pair| pair.metric == "rag_ttft_ms").unwrap();
        let difference = first.difference.unwrap();
        assert_eq!((difference.n, first.context_tokens), (3, Some(900)));
        assert!((100.0..=130.0).contains(&difference.median), "{difference:?}");
        assert_eq!(first.ratio.unwrap().median, 11.0);
    }

    #[test]
    fn failed_samples_make_no_pair_and_arms_of_other_lengths_are_not_twins() {
        let mut rag = case("rag", 900, &[("a", 110.0)]);
        rag.samples[0].error = Some("no".into());
        assert!(pairs(&[case("short", 48, &[("a", 10.0)]), rag]).is_empty());
        let padded = case("padded", 2000, &[("a", 10.0)]);
        assert!(pairs(&[padded, case("rag", 900, &[("a", 110.0)])]).is_empty());
    }
}
