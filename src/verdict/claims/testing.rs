//! Evidence for the tests of this folder.

use super::rules::Rules;
use super::{Evidence, QuestionBlock, Verdict, judge};

/// The verdict on one claim by the shipped rules.
pub fn judged(evidence: &Evidence, id: &str) -> Verdict {
    let verdicts = judge::judge(evidence, &Rules::shipped().expect("the rules are whole"));
    verdicts.into_iter().find(|verdict| verdict.id == id).expect("the claim is known")
}

/// A question alone, with 10 ms per output token.
pub fn block_of(short_ttft_ms: f64) -> QuestionBlock {
    QuestionBlock {
        short_ttft_ms: Some(short_ttft_ms),
        short_tpot_ms: Some(10.0),
        ..QuestionBlock::default()
    }
}
