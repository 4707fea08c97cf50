//! The evidence against every rule. Not here: the measures of single claims, which are in the files beside.

use super::decide::Rule;
use super::rules::Rules;
use super::{Evidence, Verdict, answers, corpus, gap, hybrid, speed};

/// One verdict per claim of the rules, in their order. Never panics, whatever the evidence lacks.
pub fn judge(evidence: &Evidence, rules: &Rules) -> Vec<Verdict> {
    let verdict = |claim| {
        let rule = Rule { claim, least_level: rules.least_level };
        match claim.id.as_str() {
            "H5" => answers::closed_book(evidence, rule),
            "H6" => speed::first_token(evidence, rule),
            "H6a" => gap::context_tax(evidence, rule),
            "H6b" => gap::caching(evidence, rule),
            "H7" => corpus::size(evidence, rule),
            "H8a" => speed::output(evidence, rule),
            "H9" => corpus::service_level(evidence, rule),
            "H11" => hybrid::best_of_both(evidence, rule),
            _ => rule.untested("this version has no measure for it"),
        }
    };
    rules.claims.iter().map(verdict).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::claims::{Outcome, QuestionBlock, Request, Score, SizePoint};

    fn all(evidence: &Evidence) -> Vec<Verdict> {
        judge(evidence, &Rules::shipped().expect("the rules are whole"))
    }

    #[test]
    fn without_evidence_nothing_is_testable_and_every_reason_is_told() {
        let verdicts = all(&Evidence::default());
        assert_eq!(verdicts.len(), 8);
        for verdict in verdicts {
            assert_eq!(verdict.status, Outcome::NotTestable, "{verdict:?}");
            assert!(verdict.value.is_none() && verdict.reason.len() > 20, "{verdict:?}");
        }
    }

    #[test]
    fn zeros_infinities_and_single_blocks_never_decide_and_never_panic() {
        for odd in [0.0, -1.0, f64::INFINITY, f64::NAN, f64::MIN_POSITIVE] {
            let block = QuestionBlock {
                short_ttft_ms: Some(odd),
                padded_ttft_ms: Some(odd),
                rag_ttft_ms: Some(odd),
                warm_prefix_ttft_ms: Some(odd),
                warm_document_ttft_ms: Some(odd),
                short_tpot_ms: Some(odd),
                rag_tpot_ms: Some(odd),
            };
            let request = Request { ttft_ms: odd, busy_ms: odd, prompt_tokens: 0 };
            for n in [1, 2, 800] {
                let evidence = Evidence {
                    blocks: vec![block; n],
                    short_by_size: vec![
                        vec![
                            SizePoint { chunks: 0, ttft_ms: odd },
                            SizePoint { chunks: 9, ttft_ms: odd }
                        ];
                        n
                    ],
                    embed_search_ms: vec![odd; n],
                    routed: vec![request; n.min(130)],
                    unrouted: vec![request; n.min(130)],
                    rag: vec![request; n.min(130)],
                    routed_share: Some(odd),
                    closed_book: Some(Score { correct: 1, n: 0 }),
                    rag_answers: Some(Score { correct: 2, n: 1 }),
                    adapter: true,
                    ..Evidence::default()
                };
                let verdicts = all(&evidence);
                assert_eq!(verdicts.len(), 8);
                for v in verdicts.iter().filter(|v| n < 3 || !odd.is_finite() && v.id != "H9") {
                    assert_eq!(v.status, Outcome::NotTestable, "{odd} x {n}: {v:?}");
                }
                for v in verdicts {
                    assert!(v.value.is_none_or(f64::is_finite), "{odd} x {n}: {v:?}");
                }
            }
        }
    }
}
