//! Cases of the paired experiment to the evidence that claims are held against: the longest retrieved length,
//! block by block.

use super::document::Case;
use super::pairs::Metric;
use crate::sample::Sample;
use crate::verdict::claims::{Evidence, QuestionBlock, Request};

/// What the cases show; facts that cases do not know are the caller's to add.
pub fn of_cases(cases: &[Case]) -> Evidence {
    let longest = |scenario: &str| {
        let of_arm = cases.iter().filter(|case| case.scenario == scenario);
        of_arm.max_by_key(|case| case.context_tokens)
    };
    let mut evidence = Evidence { blocks: blocks(&longest), ..Evidence::default() };
    evidence.rag = longest("rag").map_or_else(Vec::new, |case| requests(case, |_| true));
    if let Some(hybrid) = longest("hybrid") {
        evidence.routed = requests(hybrid, |sample| sample.routed == Some(true));
        evidence.unrouted = requests(hybrid, |sample| sample.routed == Some(false));
        let all = evidence.routed.len() + evidence.unrouted.len();
        evidence.routed_share = (all > 0).then(|| evidence.routed.len() as f64 / all as f64);
    }
    evidence
}

/// The blocks that `short` has, each with what the other arms have for the same question.
fn blocks<'a>(longest: &dyn Fn(&str) -> Option<&'a Case>) -> Vec<QuestionBlock> {
    let Some(short) = longest("short") else { return Vec::new() };
    let ttft = |sample: &Sample| sample.rag_ttft_ms;
    let twin = |arm: &str, block: usize, metric: Metric| {
        let (a, b) = (longest(arm)?.samples.get(block)?, short.samples.get(block)?);
        let same = a.is_complete() && b.is_complete() && a.question_id == b.question_id;
        if same { metric(a) } else { None }
    };
    (0..short.samples.len())
        .map(|block| QuestionBlock {
            short_ttft_ms: twin("short", block, ttft),
            padded_ttft_ms: twin("padded", block, ttft),
            rag_ttft_ms: twin("rag", block, ttft),
            warm_prefix_ttft_ms: twin("rag_warm_prefix", block, ttft),
            warm_document_ttft_ms: twin("rag_warm_document", block, ttft),
            short_tpot_ms: twin("short", block, Sample::tpot_ms),
            rag_tpot_ms: twin("rag", block, Sample::tpot_ms),
        })
        .collect()
}

fn requests(case: &Case, wanted: impl Fn(&Sample) -> bool) -> Vec<Request> {
    let complete = case.samples.iter().filter(|sample| sample.is_complete() && wanted(sample));
    let request = |sample: &Sample| {
        let ttft_ms = sample.rag_ttft_ms?;
        // From the question in hand: what the pipeline took before the prompt, and then to the last id.
        let busy_ms = ttft_ms - sample.ttft_ms? + sample.e2e_ms()?;
        Some(Request { ttft_ms, busy_ms, prompt_tokens: sample.prompt_tokens })
    };
    complete.filter_map(request).collect()
}
