//! Answers to be scored: greedy text up to the end of the turn. Nothing is timed here.

use super::bench::Bench;
use super::hybrid::{self, Decision};
use super::pipeline::Pipeline;
use super::rehearsal::{Asked, code_at};
use crate::sample::Stages;
use crate::sample::case::Kind;

/// Ids that an answer may have.
pub const LONGEST: u32 = 48;

/// The text that the model gives to the question alone.
pub fn closed_book(bench: &mut Bench<'_>, asked: &Asked) -> anyhow::Result<String> {
    let text = bench.builder.alone(&asked.text, asked.serial(Kind::Short))?;
    answer_to(bench, &text)
}

/// The text that it gives with passages.
pub fn with_retrieval(
    bench: &mut Bench<'_>,
    pipeline: &mut Pipeline<'_>,
    asked: &Asked,
) -> anyhow::Result<String> {
    let found = pipeline.find(&asked.text, asked.hits, bench.clock, &mut Stages::default())?;
    let serial = asked.serial(Kind::Rag);
    let prompt = bench.builder.retrieved(&asked.text, &found.passages, serial, code_at(Kind::Rag))?;
    answer_to(bench, &prompt.text)
}

/// What the hybrid gives, and whether it searched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HybridAnswer {
    /// The text of its last pass.
    pub text: String,
    /// Whether it searched.
    pub routed: bool,
}

/// The text that it gives with a tool on offer.
///
/// A model that does nothing but search has answered nothing. Errors if engine or store failed.
pub fn by_hybrid(
    bench: &mut Bench<'_>,
    pipeline: &mut Pipeline<'_>,
    asked: &Asked,
) -> anyhow::Result<HybridAnswer> {
    let routed = hybrid::ask(bench, pipeline, asked, Decision::Model);
    match routed.sample.error {
        Some(_) if routed.looped => return Ok(HybridAnswer { text: String::new(), routed: true }),
        Some(error) => anyhow::bail!(error),
        None => {}
    }
    let stop = bench.tokenizer.stop_ids();
    let ids: Vec<u32> = routed.output.into_iter().take_while(|id| !stop.contains(id)).collect();
    Ok(HybridAnswer { text: bench.tokenizer.decode(&ids)?, routed: routed.sample.routed == Some(true) })
}

fn answer_to(bench: &mut Bench<'_>, prompt: &str) -> anyhow::Result<String> {
    let ids = bench.tokenizer.encode(prompt)?;
    bench.check_room(ids.len(), "this prompt")?;
    bench.prepare(&[])?;
    bench.engine.prefill(&ids)?;
    let stop = bench.tokenizer.stop_ids();
    let mut output = Vec::new();
    let mut id = bench.engine.sample()?;
    while !stop.contains(&id) && output.len() < bench.output_tokens as usize {
        output.push(id);
        id = bench.engine.decode(id)?;
    }
    Ok(bench.tokenizer.decode(&output)?)
}
