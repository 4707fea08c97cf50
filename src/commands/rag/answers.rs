//! Answers scored against the gold facts: closed-book, with retrieval, by the hybrid.

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

/// Answers of one arm: what was scored until there was no more to ask, or something failed.
pub struct Answered {
    /// The scores; none where nothing was asked.
    pub record: Option<AnswerRecord>,
    /// Why it ended early, where engine or store failed.
    pub failure: Option<anyhow::Error>,
}

/// Asks held-out paraphrases through one arm and scores the answers; `stop` is asked before each.
pub fn arm(
    bench: &mut Bench<'_>,
    pipeline: &mut Pipeline<'_>,
    kind: Kind,
    questions: &[(&Question, &Gold)],
    hits: usize,
    stop: &mut dyn FnMut(usize) -> bool,
) -> Answered {
    let (mut n, mut exact, mut correct) = (0, 0, 0);
    let mut failure = None;
    for (place, (question, gold)) in questions.iter().enumerate() {
        if stop(place) {
            break;
        }
        let text = gold.paraphrase.clone().unwrap_or_else(|| question.text.clone());
        let number = FROM + place as u32;
        let asked = Asked { id: question.id.clone(), text, number, hits, context_tokens: 0 };
        let answer = match kind {
            Kind::Short => closed_book(bench, &asked),
            Kind::Hybrid => by_hybrid(bench, pipeline, &asked).map(|answer| answer.text),
            _ => with_retrieval(bench, pipeline, &asked),
        };
        match answer {
            Ok(answer) => {
                let scored = score(&answer, &gold.answer, &gold.accept);
                n += 1;
                exact += u32::from(scored.exact);
                correct += u32::from(scored.correct);
            }
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    Answered { record: (n > 0).then(|| record(kind, n, exact, correct)), failure }
}

fn record(kind: Kind, n: u32, exact: u32, correct: u32) -> AnswerRecord {
    let share = wilson(correct, n);
    AnswerRecord {
        scenario: kind.name().into(),
        n,
        exact,
        correct,
        accuracy: share.map(|share| share.value),
        ci_low: share.map(|share| share.low),
        ci_high: share.map(|share| share.high),
    }
}
