//! Chunks made into an index: embedded in batches, or perturbed, and put into a store.
//!
//! Comes in: texts, an embedder, a store. Goes out: what it took. An index that is there is used again, one
//! that is half there is gone on with, and gets the bytes it would have got in one run. Not here: where texts
//! come from, how a store keeps them, and any drawing.

#[cfg(test)]
mod fixture;
mod identity;
pub mod source;
#[cfg(test)]
mod tests;

use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use identity::identity;
pub use source::ChunkSource;

use super::perturb::perturbed;
use super::{Embedder, Identity, RetrievalError, Row, TextRole, VectorStore};
use crate::clock::Clock;

/// Texts that are embedded at once. Batches begin at its multiples whatever was there before: the last bits
/// of a vector may depend on the texts beside it.
const BATCH: u64 = 64;

/// What an index is to be built of, and in.
pub struct BuildPlan<'a> {
    /// The texts.
    pub chunks: &'a dyn ChunkSource,
    /// Makes them vectors.
    pub embedder: &'a mut dyn Embedder,
    /// Keeps them.
    pub store: &'a mut dyn VectorStore,
    /// What [`identity()`] made of the same chunks, embedder, limit and seed.
    pub identity: Identity,
    /// Chunks that are embedded; the vectors of those beyond are perturbations. `None`: all are embedded.
    pub perturb_beyond: Option<u64>,
    /// Seed of the perturbations.
    pub seed: u64,
    /// Times the embedding and the whole.
    pub clock: &'a dyn Clock,
    /// Once set, building ends after the batch; what is there stays, and the next build goes on behind it.
    pub stop: &'a AtomicBool,
}

/// What building is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildPhase {
    /// Texts become vectors.
    Embedding,
    /// Vectors become something that can be searched.
    Indexing,
}

/// How far building is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildProgress {
    /// What it is at.
    pub phase: BuildPhase,
    /// Chunks that have this phase behind them, those of earlier runs included.
    pub done: u64,
    /// All chunks.
    pub total: u64,
}

/// Is told how far building is: at the beginning of each phase, and after each batch.
pub trait BuildListener {
    /// Called between batches, on the thread that builds.
    fn on_progress(&mut self, progress: BuildProgress);
}

/// What building took.
#[derive(Clone, Debug, PartialEq)]
pub struct BuildRecord {
    /// Chunks of the index.
    pub chunks: u64,
    /// How many of them have a perturbed vector instead of their own.
    pub perturbed: u64,
    /// Whether it was complete already, and nothing was done.
    pub reused: bool,
    /// Rows that an earlier run had left.
    pub resumed_from: u64,
    /// Whether the index can be searched now: not if it was stopped.
    pub complete: bool,
    /// Time of this run from opened to searchable; of the rest, if it resumed. `None` if reused or stopped.
    pub build_ms: Option<f64>,
    /// Tokens through the embedder per second of embedding, tokenizing not counted. `None` if nothing was
    /// embedded.
    pub embed_tokens_per_s: Option<f64>,
    /// Tokens that were embedded in this run.
    pub tokens: u64,
}

/// Builds the index, goes on with it, or finds it complete.
///
/// Errors if there are no chunks, a text cannot be had, the embedder fails, or the store does; the rows
/// before that stay for the next run.
pub fn build(plan: BuildPlan<'_>, listener: &mut dyn BuildListener) -> Result<BuildRecord, RetrievalError> {
    let chunks = plan.identity.chunks;
    if chunks == 0 || plan.perturb_beyond == Some(0) {
        return Err(RetrievalError::Text(
            "there is no chunk of text to embed: name documents that hold text".into(),
        ));
    }
    let there = plan.store.open(&plan.identity)?;
    let began = plan.clock.now();
    let mut building = Building {
        embedded: plan.perturb_beyond.unwrap_or(chunks).min(chunks),
        plan,
        listener,
        real: Vec::new(),
        tokens: 0,
        embedding: Duration::ZERO,
        indexed: false,
    };
    let complete = building.rows(there)? && building.finish()?;
    let took_ms = (building.plan.clock.now() - began).as_secs_f64() * 1e3;
    let reused = there == chunks && !building.indexed;
    Ok(BuildRecord {
        chunks,
        perturbed: chunks - building.embedded,
        reused,
        resumed_from: there,
        complete,
        build_ms: (complete && !reused).then_some(took_ms),
        embed_tokens_per_s: building.tokens_per_s(),
        tokens: building.tokens,
    })
}

/// A build on its way.
struct Building<'a, 'b> {
    plan: BuildPlan<'a>,
    listener: &'b mut dyn BuildListener,
    /// Chunks with a vector of their own.
    embedded: u64,
    /// Their vectors so far, where others are perturbed from them.
    real: Vec<Vec<f32>>,
    tokens: u64,
    embedding: Duration,
    /// Whether the store had something to do to make the rows searchable.
    indexed: bool,
}

impl Building<'_, '_> {
    /// Adds every row behind those that are there; `false` if it was stopped.
    fn rows(&mut self, there: u64) -> Result<bool, RetrievalError> {
        let total = self.plan.identity.chunks;
        if there == total {
            return Ok(true);
        }
        self.tell(BuildPhase::Embedding, there);
        self.remember(there)?;
        let mut next = there;
        while next < total {
            if self.plan.stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            next = self.batch(next)?;
            self.tell(BuildPhase::Embedding, next);
        }
        Ok(true)
    }

    fn finish(&mut self) -> Result<bool, RetrievalError> {
        let (total, stop) = (self.plan.identity.chunks, self.plan.stop);
        if stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let (listener, indexed, mut stopped) = (&mut self.listener, &mut self.indexed, false);
        self.plan.store.finish_watched(&mut |done| {
            *indexed = true;
            listener.on_progress(BuildProgress { phase: BuildPhase::Indexing, done, total });
            stopped = done < total && stop.load(Ordering::Relaxed);
            if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(!stopped)
    }

    /// Adds the rows from `next` to the end of its batch, and says where that is.
    fn batch(&mut self, next: u64) -> Result<u64, RetrievalError> {
        let begin = next - next % BATCH;
        let end = (begin + BATCH).min(self.plan.identity.chunks);
        let own = if next < self.embedded { begin..end.min(self.embedded) } else { next..next };
        let texts = (own.start..end).map(|chunk| self.plan.chunks.text(chunk));
        let texts = texts.collect::<Result<Vec<String>, _>>()?;
        let vectors = self.embed(&texts[..(own.end - own.start) as usize])?;
        if self.embedded < self.plan.identity.chunks {
            self.real.extend(vectors.iter().skip((next - own.start) as usize).cloned());
        }
        let synthetic = own.end.max(next)..end;
        let synthetic = synthetic.map(|chunk| perturbed(&self.real, chunk, self.plan.seed));
        let rows = (own.start..).zip(vectors.into_iter().chain(synthetic)).zip(texts);
        let rows = rows.map(|((chunk, vector), text)| Row { chunk, vector, text });
        let rows: Vec<Row> = rows.skip((next - own.start) as usize).collect();
        self.plan.store.add(&rows)?;
        Ok(end)
    }

    fn embed(&mut self, texts: &[String]) -> Result<Vec<Vec<f32>>, RetrievalError> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let ids = texts.iter().map(|text| self.plan.embedder.tokenize(text, TextRole::Document));
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        let began = self.plan.clock.now();
        let vectors = self.plan.embedder.embed(&ids)?;
        self.embedding += self.plan.clock.now() - began;
        self.tokens += ids.iter().map(|ids| ids.len() as u64).sum::<u64>();
        if vectors.len() != texts.len() {
            let (id, made, given) = (self.plan.embedder.id(), vectors.len(), texts.len());
            let told = format!("the embedder {id} made {made} vectors of {given} texts");
            return Err(RetrievalError::Model(told));
        }
        Ok(vectors)
    }

    /// The real vectors of the rows that are there, where perturbed ones will be made of them: from the store,
    /// or embedded once more where it cannot give them back.
    fn remember(&mut self, there: u64) -> Result<(), RetrievalError> {
        let wanted = there.min(self.embedded);
        if self.embedded == self.plan.identity.chunks || wanted == 0 {
            return Ok(());
        }
        if let Some(vectors) = self.plan.store.vectors(wanted)? {
            self.real = vectors;
            return Ok(());
        }
        for batch in batches(self.embedded).take_while(|batch| batch.start < wanted) {
            let texts = batch.map(|chunk| self.plan.chunks.text(chunk)).collect::<Result<Vec<_>, _>>()?;
            let vectors = self.embed(&texts)?;
            self.real.extend(vectors);
        }
        self.real.truncate(wanted as usize);
        Ok(())
    }

    fn tell(&mut self, phase: BuildPhase, done: u64) {
        let total = self.plan.identity.chunks;
        self.listener.on_progress(BuildProgress { phase, done, total });
    }

    fn tokens_per_s(&self) -> Option<f64> {
        let seconds = self.embedding.as_secs_f64();
        (self.tokens > 0 && seconds > 0.0).then(|| self.tokens as f64 / seconds)
    }
}

/// The batches of so many chunks.
fn batches(chunks: u64) -> impl Iterator<Item = Range<u64>> {
    (0..chunks.div_ceil(BATCH)).map(move |batch| batch * BATCH..((batch + 1) * BATCH).min(chunks))
}
