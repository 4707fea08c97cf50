//! H5: whether the tuned model answers as well without retrieval as the same base model with it.

use super::decide::{Rule, percent};
use super::{Evidence, Score, Verdict};
use crate::stats::estimate::Interval;
use crate::stats::proportion::{Share, newcombe};

/// H5: closed-book accuracy less RAG accuracy.
pub(super) fn closed_book(evidence: &Evidence, rule: Rule) -> Verdict {
    if evidence.random_weights {
        return rule.untested("the weights are random: what such a model writes is noise");
    }
    let (Some(closed), Some(rag)) = (evidence.closed_book, evidence.rag_answers) else {
        return rule.untested("answers were not scored both without and with retrieval");
    };
    let Some(difference) = difference(closed, rag) else {
        return rule.untested("no question has a gold answer that answers can be held against");
    };
    let told = |who: &str| format!("{who}: {}; with retrieval: {}.", told(closed), told(rag));
    if !evidence.adapter {
        return rule.untested(format!(
            "no adapter was given, and base weights stand in for the tuned model: their speed is the same, what they \
             have learned is not. Give --adapter. {}",
            told("The base model without retrieval")
        ));
    }
    rule.decide(difference, &told("The tuned model without retrieval"))
}

/// Accuracy of `a` less that of `b`, with Newcombe's interval; `None` if either has no question.
pub(super) fn difference(a: Score, b: Score) -> Option<Interval> {
    let share = |score: Score| Share { correct: score.correct, n: score.n };
    newcombe(share(a), share(b))
}

/// `17 of 20 right (85.0 %)`.
pub(super) fn told(score: Score) -> String {
    let share = f64::from(score.correct) / f64::from(score.n.max(1));
    format!("{} of {} right ({})", score.correct, score.n, percent(share))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::claims::Outcome;
    use crate::verdict::claims::testing::judged;

    fn scored(closed: u32, rag: u32) -> Evidence {
        Evidence {
            closed_book: Some(Score { correct: closed, n: 200 }),
            rag_answers: Some(Score { correct: rag, n: 200 }),
            adapter: true,
            ..Evidence::default()
        }
    }

    #[test]
    fn as_many_right_is_supported_far_fewer_is_not_and_a_few_less_is_inconclusive() {
        assert_eq!(judged(&scored(190, 180), "H5").status, Outcome::Supported);
        let fewer = judged(&scored(60, 180), "H5");
        assert_eq!(fewer.status, Outcome::NotSupported);
        assert!(
            fewer.value.unwrap() == 0.3 - 0.9 && fewer.reason.contains("60 of 200 right (30.0 %)"),
            "{fewer:?}"
        );
        assert!(judged(&scored(170, 180), "H5").reason.starts_with("inconclusive"));
    }

    #[test]
    fn random_weights_and_base_weights_cannot_have_learned_the_facts() {
        let random = judged(&Evidence { random_weights: true, ..scored(0, 0) }, "H5");
        assert!(random.status == Outcome::NotTestable && random.reason.contains("random"), "{random:?}");
        let base = judged(&Evidence { adapter: false, ..scored(60, 180) }, "H5");
        assert_eq!((base.status, base.value), (Outcome::NotTestable, None));
        assert!(base.reason.contains("base model without retrieval: 60 of 200 right"), "{base:?}");
    }
}
