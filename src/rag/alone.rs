//! Retrieval alone: many questions through embedder and store, with no model to wait for.

use super::pipeline::Pipeline;
use crate::clock::Clock;
use crate::retrieval::{Hit, RetrievalError};
use crate::sample::Stages;

/// One question's retrieval.
#[derive(Clone, Debug, PartialEq)]
pub struct Retrieval {
    /// Index of the question in what was asked.
    pub question: usize,
    /// Tokenising and embedding, in ms.
    pub embed_ms: f64,
    /// Searching, in ms.
    pub search_ms: f64,
    /// What was found.
    pub hits: Vec<Hit>,
}

/// Asks `count` questions one after the other, over `questions` again and again; `stop` is asked before each.
pub fn run(
    pipeline: &mut Pipeline<'_>,
    questions: &[&str],
    count: u32,
    k: usize,
    clock: &dyn Clock,
    stop: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<Retrieval>, RetrievalError> {
    let mut taken = Vec::new();
    for number in 0..count as usize {
        if questions.is_empty() || stop(number) {
            break;
        }
        let question = number % questions.len();
        let mut stages = Stages::default();
        let hits = pipeline.search(questions[question], k, clock, &mut stages)?;
        let embed_ms = stages.tokenize_query.unwrap_or(0.0) + stages.embed.unwrap_or(0.0);
        taken.push(Retrieval { question, embed_ms, search_ms: stages.search.unwrap_or(0.0), hits });
    }
    Ok(taken)
}
