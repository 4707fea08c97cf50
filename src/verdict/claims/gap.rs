//! H6a and H6b: what the gap between RAG and the question alone is made of, and what caching takes off it.

use super::decide::{Rule, interval, percent, values};
use super::{Evidence, QuestionBlock, Verdict};
use crate::stats::paired::Paired;
use crate::units::span;

/// Share of blocks in which RAG may have been the faster one, against the rest.
const MOST_WITHOUT_GAP: f64 = 0.1;

/// H6a: share of the gap that an equally long prompt has too.
pub(super) fn context_tax(evidence: &Evidence, rule: Rule) -> Verdict {
    if evidence.stand_in_embedder {
        return rule.untested(
            "the embedder is a stand-in, which costs next to nothing: the share of retrieval would come out too \
             small. Fetch an embedder, e.g. `ctxbench fetch all-minilm-l6-v2`",
        );
    }
    let padded = |block: &QuestionBlock| Some(block.padded_ttft_ms? - block.short_ttft_ms?);
    if values(&evidence.blocks, padded).is_empty() {
        return rule.untested("no equally long prompt without retrieval was measured (arm padded)");
    }
    match Gap::of(&evidence.blocks) {
        Err(why) => rule.untested(why),
        Ok(gap) => match gap.share(padded) {
            None => rule.untested("no block has all three of short, padded and rag"),
            Some(share) => {
                let (part, rest) = (percent(share.median), percent(1.0 - share.median));
                let told = format!("{}: {part} is the long prompt, {rest} is retrieval.", gap.told());
                rule.decide_paired(share, &told)
            }
        },
    }
}

/// H6b: share of the gap that a cached prefix with the first document takes off.
pub(super) fn caching(evidence: &Evidence, rule: Rule) -> Verdict {
    let document = |block: &QuestionBlock| Some(block.rag_ttft_ms? - block.warm_document_ttft_ms?);
    let prefix = |block: &QuestionBlock| Some(block.rag_ttft_ms? - block.warm_prefix_ttft_ms?);
    let (documents, prefixes) = (values(&evidence.blocks, document), values(&evidence.blocks, prefix));
    if documents.is_empty() && prefixes.is_empty() {
        return rule.untested(
            "no request with a cached prefix was measured (arms rag_warm_prefix, rag_warm_document)",
        );
    }
    let gap = match Gap::of(&evidence.blocks) {
        Ok(gap) => gap,
        Err(why) => return rule.untested(why),
    };
    let static_prefix = gap.share(prefix).map_or("it was not measured".into(), |share| percent(share.median));
    let static_prefix = format!("The static prefix alone takes off: {static_prefix}.");
    match gap.share(document) {
        Some(share) => {
            let part = percent(share.median);
            let told = format!("{}: a cached prefix with the first document takes off {part}.", gap.told());
            rule.decide_paired(share, &format!("{told} {static_prefix}"))
        }
        None => {
            rule.untested(format!("no request with a whole cached document was measured. {static_prefix}"))
        }
    }
}

/// The gap between RAG and the question alone, shown to be above 0.
struct Gap<'a> {
    blocks: Vec<&'a QuestionBlock>,
    ms: Paired,
}

impl<'a> Gap<'a> {
    /// The blocks that have a gap; errors with the reason where none is shown.
    fn of(blocks: &'a [QuestionBlock]) -> Result<Self, String> {
        let all = values(blocks, gap_ms);
        let Some(ms) = Paired::of(&all) else {
            return Err("no question was measured both alone and with RAG".into());
        };
        let Some(shown) = interval(ms) else {
            return Err(format!("too few blocks: {} of them have no interval of the gap", ms.n));
        };
        let without = all.iter().filter(|gap| **gap <= 0.0).count() as f64;
        if shown.low <= 0.0 || without > MOST_WITHOUT_GAP * all.len() as f64 {
            return Err(format!(
                "inconclusive: RAG is not shown to be slower, so there is no gap to divide (RAG less short: {}, \
                 interval {} to {})",
                span(ms.median),
                span(shown.low),
                span(shown.high)
            ));
        }
        let blocks = blocks.iter().filter(|block| gap_ms(block).is_some_and(|gap| gap > 0.0)).collect();
        Ok(Self { blocks, ms })
    }

    /// What `part` has of each block's own gap.
    fn share(&self, part: impl Fn(&QuestionBlock) -> Option<f64>) -> Option<Paired> {
        Paired::of(&values(&self.blocks, |block| Some(part(block)? / gap_ms(block)?)))
    }

    fn told(&self) -> String {
        format!("Of the {} that RAG adds to the first token (n = {})", span(self.ms.median), self.ms.n)
    }
}

fn gap_ms(block: &QuestionBlock) -> Option<f64> {
    Some(block.rag_ttft_ms? - block.short_ttft_ms?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::claims::Outcome;
    use crate::verdict::claims::testing::{block_of, judged};

    /// Blocks of 100 ms alone and 1,100 ms with RAG, of which `padded` is the share of the long prompt.
    fn divided(padded: &[f64]) -> Evidence {
        let block = |share: &f64| QuestionBlock {
            padded_ttft_ms: Some(100.0 + 1000.0 * share),
            rag_ttft_ms: Some(1100.0),
            ..block_of(100.0)
        };
        Evidence { blocks: padded.iter().map(block).collect(), ..Evidence::default() }
    }

    fn cached(document: &[f64]) -> Evidence {
        let block = |share: &f64| QuestionBlock {
            rag_ttft_ms: Some(1100.0),
            warm_prefix_ttft_ms: Some(1080.0),
            warm_document_ttft_ms: Some(1100.0 - 1000.0 * share),
            ..block_of(100.0)
        };
        Evidence { blocks: document.iter().map(block).collect(), ..Evidence::default() }
    }

    #[test]
    fn a_gap_of_prefill_is_supported_one_of_retrieval_is_not_and_half_of_each_is_inconclusive() {
        let v = judged(&divided(&[0.97, 0.96, 0.98, 0.97, 0.95, 0.97]), "H6a");
        assert_eq!(v.status, Outcome::Supported);
        assert!(
            v.reason.contains("Of the 1.00 s that RAG adds")
                && v.reason.contains("97.0 % is the long prompt")
        );
        assert_eq!(judged(&divided(&[0.2, 0.25, 0.3, 0.22, 0.21, 0.2]), "H6a").status, Outcome::NotSupported);
        let half = judged(&divided(&[0.45, 0.55, 0.52, 0.48, 0.5, 0.51]), "H6a");
        assert_eq!(half.status, Outcome::NotTestable);
        assert!(half.reason.starts_with("inconclusive"), "{half:?}");
    }

    #[test]
    fn a_stand_in_embedder_makes_the_division_untestable() {
        let stand_in = Evidence { stand_in_embedder: true, ..divided(&[0.97; 6]) };
        let v = judged(&stand_in, "H6a");
        assert_eq!((v.status, v.value), (Outcome::NotTestable, None));
        assert!(v.reason.contains("stand-in"), "{v:?}");
    }

    #[test]
    fn a_gap_that_is_not_shown_is_not_divided() {
        let mut evidence = divided(&[0.97; 8]);
        for (at, block) in evidence.blocks.iter_mut().enumerate() {
            block.rag_ttft_ms = Some(if at % 2 == 0 { 101.0 } else { 99.5 });
        }
        for id in ["H6a", "H6b"] {
            evidence.blocks[0].warm_document_ttft_ms = Some(90.0);
            let v = judged(&evidence, id);
            assert!(v.status == Outcome::NotTestable && v.reason.starts_with("inconclusive"), "{v:?}");
        }
    }

    #[test]
    fn a_block_without_a_gap_has_no_share_of_it() {
        let shares: Vec<f64> = (0..19).map(|at| 0.7 + 0.01 * f64::from(at)).collect();
        let without = judged(&divided(&shares), "H6a");
        let mut odd = divided(&[&shares[..], &[0.5]].concat());
        odd.blocks[19].rag_ttft_ms = Some(99.0);
        let with = judged(&odd, "H6a");
        assert_eq!(
            (with.status, with.value, with.ci_low),
            (Outcome::Supported, without.value, without.ci_low)
        );
    }

    #[test]
    fn caching_most_of_the_gap_is_supported_little_of_it_is_not_and_half_is_inconclusive() {
        let v = judged(&cached(&[0.8, 0.82, 0.79, 0.81, 0.8, 0.83]), "H6b");
        assert_eq!(v.status, Outcome::Supported);
        assert!(v.reason.ends_with("The static prefix alone takes off: 2.00 %."), "{v:?}");
        assert_eq!(judged(&cached(&[0.2; 6]), "H6b").status, Outcome::NotSupported);
        assert!(judged(&cached(&[0.4, 0.6, 0.5, 0.55, 0.45, 0.5]), "H6b").reason.starts_with("inconclusive"));
    }

    #[test]
    fn the_static_prefix_alone_decides_nothing_but_is_told() {
        let mut evidence = cached(&[0.8; 6]);
        evidence.blocks.iter_mut().for_each(|block| block.warm_document_ttft_ms = None);
        let v = judged(&evidence, "H6b");
        assert_eq!(v.status, Outcome::NotTestable);
        assert!(v.reason.contains("2.00 %"), "{v:?}");
    }
}
