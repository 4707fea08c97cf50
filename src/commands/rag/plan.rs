//! Which cases the experiment has, how long their prompts are, and how much room the engine needs.

use anyhow::ensure;

use super::config::RagConfig;
use crate::clock::Clock;
use crate::commands::run::arms::{ArmSpec, label, quantizations};
use crate::commands::run::fits::Candidate;
use crate::rag::arm::{Arm, Length};
use crate::rag::pipeline::Pipeline;
use crate::rag::rehearsal::{Asked, rehearse};
use crate::runner::plan::ArmPlan;
use crate::sample::case::{CaseSpec, Kind, Wish};
use crate::tokenizer::Tokenizer;
use crate::weights::obtain::Obtained;
use crate::workload::RequestBuilder;
use crate::workload::retrieved::{CodeAt, Serial};

/// Questions whose prompts are looked at for a length that is typical.
const LOOKED_AT: u32 = 15;
/// Ids around a passage: its number and the blank line.
const AROUND_PASSAGE: u32 = 12;
/// Room for the tool's description, a call and what a template puts around them.
const HYBRID_ROOM: u32 = 768;

/// The experiment's plan.
pub struct Plan {
    /// Retrieved lengths.
    pub lengths: Vec<Length>,
    /// Arms, one case each.
    pub arms: Vec<Arm>,
    /// Their cases.
    pub cases: Vec<CaseSpec>,
    /// Tokens that the engine's cache must hold.
    pub capacity: u32,
}

/// The words that prompts are made with.
pub struct Words<'a> {
    /// Makes prompts.
    pub builder: &'a RequestBuilder<'a>,
    /// Counts their ids.
    pub tokenizer: &'a dyn Tokenizer,
    /// Retrieval is rehearsed on it.
    pub clock: &'a dyn Clock,
}

/// Lays out arms and cases. Errors if a retrieved length is too short for one passage.
pub fn plan(config: &RagConfig, words: &Words<'_>, pipeline: &mut Pipeline<'_>) -> anyhow::Result<Plan> {
    let frame = frame_tokens(words)?;
    let lengths = lengths(config, frame)?;
    let typical = lengths
        .iter()
        .map(|length| typical_tokens(words, pipeline, *length))
        .collect::<anyhow::Result<Vec<u32>>>()?;
    let mut arms = Vec::new();
    for kind in &config.arms {
        let last = if *kind == Kind::Short { 1 } else { lengths.len() };
        arms.extend((0..last).map(|length| Arm { kind: *kind, length }));
    }
    let short = words.builder.short_tokens()?;
    let case = |arm: &Arm| CaseSpec {
        kind: arm.kind,
        tokens: if arm.kind == Kind::Short {
            short
        } else {
            lengths[arm.length].asked.unwrap_or(typical[arm.length])
        },
        output_tokens: config.run.output_tokens,
        asked_for: Wish::User,
    };
    let cases: Vec<CaseSpec> = arms.iter().map(case).collect();
    let hits = lengths.iter().map(|length| length.hits as u32).max().unwrap_or(0);
    let longest = frame + hits * (config.chunk_tokens + AROUND_PASSAGE) + config.run.output_tokens;
    let hybrid = if config.arms.contains(&Kind::Hybrid) { HYBRID_ROOM } else { 0 };
    Ok(Plan { lengths, arms, cases, capacity: longest + hybrid })
}

/// Ids of a prompt with the longest question and no passage.
fn frame_tokens(words: &Words<'_>) -> anyhow::Result<u32> {
    let longest =
        (0..words.builder.questions()).map(|n| words.builder.question(n)).max_by_key(|q| q.text.len());
    let question = longest.map_or("", |question| question.text.as_str());
    let serial = Serial { arm: "frame", context_tokens: 0, number: 9_999 };
    let prompt = words.builder.retrieved(question, &[], serial, CodeAt::AfterSystem)?;
    Ok(words.tokenizer.encode(&prompt.text)?.len() as u32 + 16)
}

fn lengths(config: &RagConfig, frame: u32) -> anyhow::Result<Vec<Length>> {
    if config.contexts.is_empty() {
        return Ok(vec![Length { asked: None, hits: config.top_k as usize }]);
    }
    let per_hit = config.chunk_tokens + AROUND_PASSAGE;
    let length = |tokens: &u32| {
        let hits = tokens.saturating_sub(frame) / per_hit;
        ensure!(
            hits > 0,
            "--context {tokens} has no room for one passage: the words around take {frame} tokens and a chunk up \
             to {per_hit}; ask for {} or more, or make chunks smaller with --chunk-tokens",
            frame + per_hit
        );
        Ok(Length { asked: Some(*tokens), hits: hits as usize })
    };
    config.contexts.iter().map(length).collect()
}

/// The median length of some retrieved prompts.
fn typical_tokens(words: &Words<'_>, pipeline: &mut Pipeline<'_>, length: Length) -> anyhow::Result<u32> {
    let mut counts = Vec::new();
    for number in 0..LOOKED_AT.min(words.builder.questions()) {
        let question = words.builder.question(number);
        let (id, text) = (question.id.clone(), question.text.clone());
        let asked = Asked { id, text, number, hits: length.hits, context_tokens: 0 };
        let Words { builder, tokenizer, clock } = words;
        counts.push(rehearse(builder, *tokenizer, *clock, pipeline, &asked, Kind::Rag)?.prompt_tokens as u32);
    }
    counts.sort();
    Ok(counts.get(counts.len() / 2).copied().unwrap_or(0))
}

/// The one model in its one weight type, for the recorder.
///
/// Errors if a quantized file was asked to be another, or the longest prompt does not fit model or memory.
pub fn arm_spec(config: &RagConfig, model: &Obtained, plan: &Plan) -> anyhow::Result<ArmSpec> {
    let file = model.file_quantization.as_deref();
    let quantization = quantizations(&config.run, &model.id, file)?[0];
    let room = Candidate { id: &model.id, shape: &model.shape, quantization, file }.room(&config.run)?;
    let most = room.max_positions.min(room.memory.unwrap_or(u32::MAX));
    ensure!(
        plan.capacity <= most,
        "the longest prompt of this experiment may have {} tokens with its output, and {} has room for {most} here; \
         lower --context, --top-k or --chunk-tokens, or take a smaller model",
        plan.capacity,
        model.id
    );
    let cases = ArmPlan { cases: plan.cases.clone(), too_long: Vec::new() };
    Ok(ArmSpec { model: 0, quantization, label: label(quantization, file), plan: cases, room })
}
