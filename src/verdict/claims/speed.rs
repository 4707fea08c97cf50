//! H6 and H8a: what RAG adds to the first token, and to each further one.

use super::decide::{Rule, percent, values};
use super::{Evidence, Outcome, QuestionBlock, Verdict};
use crate::stats::paired::Paired;
use crate::stats::percentile::median;
use crate::units::{significant, span};

/// H6: TTFT that RAG adds, as a share of the short TTFT.
pub(super) fn first_token(evidence: &Evidence, rule: Rule) -> Verdict {
    let added =
        |block: &QuestionBlock| Some(Added { with: block.rag_ttft_ms?, without: block.short_ttft_ms? });
    let Some(finding) = Finding::of(&evidence.blocks, added) else {
        return rule.untested("no question was measured both alone and with RAG");
    };
    let mut verdict = rule.decide_paired(finding.share, &finding.told("to the first token"));
    if evidence.stand_in_embedder {
        let stand_in = "The embedder is a stand-in, and a real one would take longer still.";
        verdict.reason = format!("{} {stand_in}", verdict.reason);
        if verdict.status == Outcome::NotSupported {
            verdict.status = Outcome::NotTestable;
        }
    }
    verdict
}

/// H8a: time per output token that RAG adds, as a share of that after the short prompt.
pub(super) fn output(evidence: &Evidence, rule: Rule) -> Verdict {
    let added =
        |block: &QuestionBlock| Some(Added { with: block.rag_tpot_ms?, without: block.short_tpot_ms? });
    match Finding::of(&evidence.blocks, added) {
        Some(finding) => rule.decide_paired(finding.share, &finding.told("to each output token")),
        None => rule.untested(
            "no question got two output tokens or more both alone and with RAG; give --output-tokens 2 or more",
        ),
    }
}

/// Times of one question in one block.
struct Added {
    with: f64,
    without: f64,
}

/// What RAG adds over all blocks.
struct Finding {
    share: Paired,
    added_ms: Paired,
    without_ms: f64,
}

impl Finding {
    fn of(blocks: &[QuestionBlock], times: impl Fn(&QuestionBlock) -> Option<Added>) -> Option<Self> {
        let usable = |block: &QuestionBlock| times(block).filter(|t| t.without > 0.0 && t.with.is_finite());
        let share = values(blocks, |block| usable(block).map(|t| t.with / t.without - 1.0));
        let added = values(blocks, |block| usable(block).map(|t| t.with - t.without));
        let without = values(blocks, |block| usable(block).map(|t| t.without));
        Some(Self {
            share: Paired::of(&share)?,
            added_ms: Paired::of(&added)?,
            without_ms: median(&without)?,
        })
    }

    fn told(&self, to: &str) -> String {
        let (verb, ms) = if self.added_ms.median < 0.0 { ("takes", "off") } else { ("adds", "to") };
        let to = if ms == "off" { to.replacen("to ", "off ", 1) } else { to.into() };
        let share = self.share.median.abs();
        let share =
            if share < 2.0 { percent(share) + " of" } else { format!("{} times", significant(share)) };
        format!(
            "RAG {verb} {} {to}, {share} the {} that the same questions take alone (n = {} pairs).",
            span(self.added_ms.median.abs()),
            span(self.without_ms),
            self.share.n
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::claims::testing::{block_of, judged};

    fn evidence(rag: &[f64], tpot: &[f64]) -> Evidence {
        let blocks = rag.iter().zip(tpot).map(|(rag, tpot)| QuestionBlock {
            rag_ttft_ms: Some(*rag),
            rag_tpot_ms: Some(*tpot),
            ..block_of(100.0)
        });
        Evidence { blocks: blocks.collect(), ..Evidence::default() }
    }

    #[test]
    fn a_slower_first_token_is_supported_an_equal_one_is_not_and_a_scattered_one_is_inconclusive() {
        let slower = evidence(&[200.0, 210.0, 205.0, 199.0, 220.0, 207.0], &[10.0; 6]);
        let v = judged(&slower, "H6");
        assert_eq!(v.status, Outcome::Supported, "{v:?}");
        assert!(
            v.reason.contains("RAG adds 106 ms to the first token") && v.reason.contains("n = 6"),
            "{v:?}"
        );
        assert!((v.value.unwrap() - 1.06).abs() < 0.01 && v.ci_low.unwrap() > 0.9);
        assert_eq!(judged(&evidence(&[101.0; 6], &[10.0; 6]), "H6").status, Outcome::NotSupported);
        let scattered = judged(&evidence(&[101.0, 102.0, 108.0, 104.0, 112.0, 99.0], &[10.0; 6]), "H6");
        assert_eq!(scattered.status, Outcome::NotTestable);
        assert!(scattered.reason.starts_with("inconclusive"), "{scattered:?}");
    }

    #[test]
    fn slower_output_is_supported_equal_output_is_not_and_a_scattered_one_is_inconclusive() {
        let at = |tpot: &[f64]| judged(&evidence(&[200.0; 6], tpot), "H8a");
        assert_eq!(at(&[12.0, 12.1, 12.2, 11.9, 12.3, 12.0]).status, Outcome::Supported);
        assert_eq!(at(&[10.1, 10.2, 10.0, 10.1, 10.2, 10.3]).status, Outcome::NotSupported);
        assert!(at(&[10.1, 10.8, 10.0, 11.1, 10.2, 10.3]).reason.starts_with("inconclusive"));
        assert!(judged(&evidence(&[200.0; 6], &[f64::NAN; 6]), "H8a").reason.contains("--output-tokens"));
    }

    #[test]
    fn three_blocks_are_too_few_to_decide_and_say_so() {
        let v = judged(&evidence(&[200.0; 3], &[10.0; 3]), "H6");
        assert_eq!(v.status, Outcome::NotTestable);
        assert!(v.reason.starts_with("too few blocks") && v.reason.contains("75.0 %"), "{v:?}");
    }

    #[test]
    fn a_stand_in_embedder_can_show_that_rag_is_slower_but_not_that_it_is_not() {
        let stand_in = |rag: f64| Evidence { stand_in_embedder: true, ..evidence(&[rag; 6], &[10.0; 6]) };
        assert_eq!(judged(&stand_in(200.0), "H6").status, Outcome::Supported);
        let v = judged(&stand_in(101.0), "H6");
        assert_eq!(v.status, Outcome::NotTestable);
        assert!(v.reason.contains("stand-in"), "{v:?}");
    }
}
