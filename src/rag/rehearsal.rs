//! What a block must know before its clock starts: how long the retrieved prompt will be, so that `padded` has
//! exactly its length, and which ids a warm arm finds in the cache.
//!
//! The pipeline is run once untimed for it, so that the timed retrieval that follows meets a store that has seen
//! the question: retrieval is timed warm, and `docs/measurement.md` says so.

use super::pipeline::Pipeline;
use crate::clock::Clock;
use crate::sample::Stages;
use crate::sample::case::Kind;
use crate::tokenizer::Tokenizer;
use crate::workload::RequestBuilder;
use crate::workload::retrieved::{CodeAt, Serial};

/// One question of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its id.
    pub id: String,
    /// Its text.
    pub text: String,
    /// Number of the request: the codes depend on it.
    pub number: u32,
    /// Hits for it.
    pub hits: usize,
    /// Retrieved length that was asked for, 0 for none.
    pub context_tokens: u32,
}

impl Asked {
    /// Its serial in an arm.
    pub fn serial(&self, kind: Kind) -> Serial {
        Serial { arm: kind.name(), context_tokens: self.context_tokens, number: self.number }
    }
}

/// Where the code of an arm's prompts stands.
pub fn code_at(kind: Kind) -> CodeAt {
    match kind {
        Kind::RagWarmPrefix => CodeAt::AfterSystem,
        Kind::RagWarmDocument => CodeAt::AfterFirstPassage,
        _ => CodeAt::Start,
    }
}

/// What was learnt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rehearsed {
    /// Ids of the whole prompt.
    pub prompt_tokens: usize,
    /// Ids that are in the cache before the request, where the arm has any.
    pub cached: Vec<u32>,
}

/// Runs the pipeline for `asked` as arm `kind` will.
pub fn rehearse(
    builder: &RequestBuilder<'_>,
    tokenizer: &dyn Tokenizer,
    clock: &dyn Clock,
    pipeline: &mut Pipeline<'_>,
    asked: &Asked,
    kind: Kind,
) -> anyhow::Result<Rehearsed> {
    let found = pipeline.find(&asked.text, asked.hits, clock, &mut Stages::default())?;
    let serial = asked.serial(kind);
    let prompt = builder.retrieved(&asked.text, &found.passages, serial, code_at(kind))?;
    let ids = tokenizer.encode(&prompt.text)?;
    let cached = match code_at(kind) {
        CodeAt::Start => Vec::new(),
        _ => {
            let shared = tokenizer.encode(&prompt.text[..prompt.shared_bytes])?;
            let same = common(&shared, &ids);
            // At least one id is left to run, or there would be no logits to sample from.
            ids[..same.min(ids.len().saturating_sub(1))].to_vec()
        }
    };
    Ok(Rehearsed { prompt_tokens: ids.len(), cached })
}

/// Ids with which both begin.
pub fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}
