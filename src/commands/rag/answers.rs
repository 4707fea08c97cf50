//! Answers scored against the gold facts: closed-book, with retrieval, by the hybrid.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::prompts::questions::{Gold, Question};
use crate::rag::answers::{by_hybrid, closed_book, with_retrieval};
use crate::rag::bench::Bench;
use crate::rag::pipeline::Pipeline;
use crate::rag::rehearsal::Asked;
use crate::rag::score::score;
use crate::report::experiment::AnswerRecord;
use crate::sample::case::Kind;
use crate::stats::proportion::wilson;

/// Numbers of these requests, out of the way of all others.
const FROM: u32 = 8_000;

/// The arms that answer.
pub const ARMS: [Kind; 3] = [Kind::Short, Kind::Rag, Kind::Hybrid];

/// Asks `count` held-out paraphrases through one arm and scores the answers.
///
/// Errors if the engine or the store fails.
pub fn arm(
    bench: &mut Bench<'_>,
    pipeline: &mut Pipeline<'_>,
    kind: Kind,
    questions: &[(&Question, &Gold)],
    hits: usize,
    stop: &AtomicBool,
    tell: &mut dyn FnMut(usize),
) -> anyhow::Result<AnswerRecord> {
    let (mut n, mut exact, mut correct) = (0, 0, 0);
    for (place, (question, gold)) in questions.iter().enumerate() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        tell(place);
        let text = gold.paraphrase.clone().unwrap_or_else(|| question.text.clone());
        let number = FROM + place as u32;
        let asked = Asked { id: question.id.clone(), text, number, hits, context_tokens: 0 };
        let answer = match kind {
            Kind::Short => closed_book(bench, &asked)?,
            Kind::Hybrid => by_hybrid(bench, pipeline, &asked)?.text,
            _ => with_retrieval(bench, pipeline, &asked)?,
        };
        let scored = score(&answer, &gold.answer, &gold.accept);
        n += 1;
        exact += u32::from(scored.exact);
        correct += u32::from(scored.correct);
    }
    let share = wilson(correct, n);
    Ok(AnswerRecord {
        scenario: kind.name().into(),
        n,
        exact,
        correct,
        accuracy: share.map(|share| share.value),
        ci_low: share.map(|share| share.low),
        ci_high: share.map(|share| share.high),
    })
}
