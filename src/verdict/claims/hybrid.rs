//! H11: a mix of routed and unrouted questions against plain RAG, in its slowest requests, its cost and its answers.

use super::answers::{difference, told};
use super::decide::{Rule, percent};
use super::{Evidence, Outcome, Request, Verdict};
use crate::stats::estimate::Interval;
use crate::stats::mix::{self, MixMetric};
use crate::stats::mix_ratio::{Against, ratio};

/// Requests of a kind that a p95 needs.
const NEEDED_FOR_P95: usize = 130;

/// Seed of the bootstrap: the same evidence gives the same verdict.
const SEED: u64 = 11;

/// H11: p95 of TTFT and busy time of the mix over those of plain RAG.
pub(super) fn best_of_both(evidence: &Evidence, rule: Rule) -> Verdict {
    let Some(share) = evidence.routed_share.filter(|share| (0.0..=1.0).contains(share)) else {
        return rule
            .untested("no hybrid was measured, or the share of questions that it routed is not known");
    };
    if let Some(few) = too_few(evidence, share) {
        return rule.untested(few);
    }
    let [routed, unrouted, plain] =
        [&evidence.routed, &evidence.unrouted, &evidence.rag].map(|kind| mixed(kind));
    let against = Against { routed: &routed, unrouted: &unrouted, plain: &plain, r: share };
    let of = |metric| ratio(against, metric, SEED);
    let (Some(p95), Some(cost)) = (of(MixMetric::TtftP95), of(MixMetric::BoxSeconds)) else {
        return rule.untested("not every request of the hybrid and of plain RAG has its times");
    };
    decide(evidence, rule, &Findings { share, p95, cost, accuracy: Accuracy::of(evidence) })
}

fn mixed(requests: &[Request]) -> Vec<mix::Request> {
    let request =
        |r: &Request| mix::Request { ttft_ms: r.ttft_ms, busy_ms: r.busy_ms, prompt_tokens: r.prompt_tokens };
    requests.iter().map(request).collect()
}

fn too_few(evidence: &Evidence, share: f64) -> Option<String> {
    let counts = [
        ("routed", evidence.routed.len(), share > 0.0),
        ("unrouted", evidence.unrouted.len(), share < 1.0),
        ("plain RAG", evidence.rag.len(), true),
    ];
    let short: Vec<String> = counts
        .iter()
        .filter(|(_, count, used)| *used && *count < NEEDED_FOR_P95)
        .map(|(name, count, _)| format!("{count} {name}"))
        .collect();
    let told = format!(
        "too few requests for a p95, which needs {NEEDED_FOR_P95} of each kind: {}",
        short.join(", ")
    );
    (!short.is_empty()).then_some(told)
}

struct Findings {
    share: f64,
    p95: Interval,
    cost: Interval,
    accuracy: Accuracy,
}

enum Accuracy {
    /// Hybrid less RAG, and the answers in words.
    Measured { difference: Interval, told: String },
    /// Why not.
    Unknown(&'static str),
}

impl Accuracy {
    fn of(evidence: &Evidence) -> Self {
        if evidence.random_weights {
            return Self::Unknown("Of answers it says nothing, since the weights are random.");
        }
        if evidence.forced_routing {
            return Self::Unknown("Routing was forced, so it speaks of latency and cost only.");
        }
        match evidence.hybrid_answers.zip(evidence.rag_answers) {
            None => Self::Unknown("Of answers it says nothing, since they were not scored."),
            Some((hybrid, rag)) => match difference(hybrid, rag) {
                None => Self::Unknown("Of answers it says nothing, since none could be scored."),
                Some(difference) => {
                    let told =
                        format!("Answers of the hybrid: {}; of plain RAG: {}.", told(hybrid), told(rag));
                    Self::Measured { difference, told }
                }
            },
        }
    }
}

/// The worst of the findings decides against the claim; all of them are needed for it.
fn decide(evidence: &Evidence, rule: Rule, found: &Findings) -> Verdict {
    let margin = rule.claim.margin;
    let told = sentence(evidence, found);
    let cost_measure =
        rule.claim.other_measure.as_deref().unwrap_or("busy time per question, mix / plain RAG");
    let with_cost = |verdict: Verdict| Verdict { measure: cost_measure.into(), ..verdict };
    if found.p95.low > margin {
        return rule.verdict(Outcome::NotSupported, Some(found.p95), told);
    }
    if found.cost.low > margin {
        return with_cost(rule.verdict(Outcome::NotSupported, Some(found.cost), told));
    }
    let loss = rule.claim.accuracy_margin.unwrap_or(0.0);
    if let Accuracy::Measured { difference, .. } = &found.accuracy {
        let measure = "accuracy, hybrid less plain RAG".to_owned();
        if difference.high < loss {
            return Verdict { measure, ..rule.verdict(Outcome::NotSupported, Some(*difference), told) };
        }
        if difference.low <= loss {
            let reason = format!("inconclusive: the interval of the accuracy holds the margin. {told}");
            return Verdict { measure, ..rule.verdict(Outcome::NotTestable, Some(*difference), reason) };
        }
    }
    match (found.p95.high < margin, found.cost.high < margin) {
        (true, true) => rule.verdict(Outcome::Supported, Some(found.p95), told),
        (true, false) => with_cost(rule.inconclusive(found.cost, &told)),
        _ => rule.inconclusive(found.p95, &told),
    }
}

fn sentence(evidence: &Evidence, found: &Findings) -> String {
    let forced = if evidence.forced_routing { " (forced)" } else { "" };
    let accuracy = match &found.accuracy {
        Accuracy::Measured { told, .. } => told,
        Accuracy::Unknown(why) => *why,
    };
    let of = |i: Interval| {
        format!("{} of plain RAG's ({} to {})", percent(i.value), percent(i.low), percent(i.high))
    };
    format!(
        "With {} of the questions routed{forced}, the p95 of TTFT is {}, and the box is busy with a question for {}. \
         {accuracy}",
        percent(found.share),
        of(found.p95),
        of(found.cost)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::claims::Score;
    use crate::verdict::claims::testing::judged;

    /// Requests around a TTFT and a busy time, 130 of them within 5 % of it.
    fn around(ttft_ms: f64, busy_ms: f64) -> Vec<Request> {
        let at = |i: u32| 0.95 + 0.1 * f64::from(i * 37 % 130) / 130.0;
        (0..130)
            .map(|i| Request { ttft_ms: ttft_ms * at(i), busy_ms: busy_ms * at(i), prompt_tokens: 9 })
            .collect()
    }

    fn hybrid(share: f64, routed: [f64; 2], unrouted: [f64; 2]) -> Evidence {
        Evidence {
            routed: around(routed[0], routed[1]),
            unrouted: around(unrouted[0], unrouted[1]),
            rag: around(1000.0, 1500.0),
            routed_share: Some(share),
            random_weights: true,
            ..Evidence::default()
        }
    }

    #[test]
    fn a_mix_below_plain_rag_is_supported_and_one_with_a_slower_tail_is_not() {
        let better = judged(&hybrid(0.02, [1200.0, 1700.0], [100.0, 600.0]), "H11");
        assert_eq!(better.status, Outcome::Supported, "{better:?}");
        let tail = judged(&hybrid(0.4, [1200.0, 1700.0], [100.0, 600.0]), "H11");
        assert_eq!(tail.status, Outcome::NotSupported, "{tail:?}");
        assert!(tail.value.unwrap() > 1.1 && tail.measure.starts_with("p95"), "{tail:?}");
    }

    #[test]
    fn a_dearer_mix_is_not_supported_although_its_tail_is_better() {
        let dear = judged(&hybrid(0.5, [900.0, 3000.0], [100.0, 600.0]), "H11");
        assert_eq!(dear.status, Outcome::NotSupported);
        assert!(
            dear.measure.starts_with("time that the box is busy") && dear.ci_low.unwrap() > 1.0,
            "{dear:?}"
        );
    }

    #[test]
    fn a_mix_whose_tail_equals_that_of_plain_rag_is_inconclusive() {
        let equal = judged(&hybrid(1.0, [1000.0, 1200.0], [100.0, 600.0]), "H11");
        assert!(
            equal.status == Outcome::NotTestable && equal.reason.starts_with("inconclusive"),
            "{equal:?}"
        );
    }

    #[test]
    fn few_requests_support_no_p95() {
        let mut evidence = hybrid(0.4, [1200.0, 1700.0], [100.0, 600.0]);
        evidence.routed.truncate(129);
        let v = judged(&evidence, "H11");
        assert!(v.status == Outcome::NotTestable && v.reason.contains("129 routed"), "{v:?}");
    }

    #[test]
    fn forced_routing_speaks_of_latency_and_cost_only() {
        let forced = Evidence {
            forced_routing: true,
            random_weights: false,
            hybrid_answers: Some(Score { correct: 1, n: 200 }),
            rag_answers: Some(Score { correct: 190, n: 200 }),
            ..hybrid(0.02, [1200.0, 1700.0], [100.0, 600.0])
        };
        let v = judged(&forced, "H11");
        assert_eq!(v.status, Outcome::Supported);
        assert!(v.reason.contains("latency and cost only"), "{v:?}");
    }

    #[test]
    fn a_mix_that_answers_worse_is_not_the_best_of_both() {
        let answered = |correct| Evidence {
            random_weights: false,
            hybrid_answers: Some(Score { correct, n: 400 }),
            rag_answers: Some(Score { correct: 380, n: 400 }),
            ..hybrid(0.02, [1200.0, 1700.0], [100.0, 600.0])
        };
        assert_eq!(judged(&answered(120), "H11").status, Outcome::NotSupported);
        assert_eq!(judged(&answered(381), "H11").status, Outcome::Supported);
        assert!(
            judged(&answered(360), "H11").reason.starts_with("inconclusive: the interval of the accuracy")
        );
    }
}
