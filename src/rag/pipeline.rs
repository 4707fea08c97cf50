//! The retrieval pipeline as a request goes through it, stage by stage.

use super::timed::timed;
use crate::clock::Clock;
use crate::retrieval::{Embedder, Hit, Reranker, RetrievalError, TextRole, VectorStore};
use crate::sample::Stages;

/// Hits that a reranker gets to choose from, per hit that is kept.
const CANDIDATES: usize = 4;

/// What answers "which passages?".
pub struct Pipeline<'a> {
    /// Text to vector.
    pub embedder: &'a mut dyn Embedder,
    /// Vector to hits to texts.
    pub store: &'a mut dyn VectorStore,
    /// Puts the hits into a better order.
    pub reranker: Option<&'a mut dyn Reranker>,
}

/// What was found for a question.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Best first; as many as were asked for, or fewer.
    pub hits: Vec<Hit>,
    /// Their texts.
    pub passages: Vec<String>,
}

impl Pipeline<'_> {
    /// The `k` best passages for `question`; each stage's time goes into `stages`.
    pub fn find(
        &mut self,
        question: &str,
        k: usize,
        clock: &dyn Clock,
        stages: &mut Stages,
    ) -> Result<Found, RetrievalError> {
        let hits = self.search(question, self.candidates(k), clock, stages)?;
        self.texts_of(question, hits, k, clock, stages)
    }

    /// Hits to search for where `k` are to be kept: a reranker gets more to choose from.
    pub fn candidates(&self, k: usize) -> usize {
        if self.reranker.is_some() { k * CANDIDATES } else { k }
    }

    /// Question to hits.
    pub fn search(
        &mut self,
        question: &str,
        k: usize,
        clock: &dyn Clock,
        stages: &mut Stages,
    ) -> Result<Vec<Hit>, RetrievalError> {
        let ids =
            timed(clock, &mut stages.tokenize_query, || self.embedder.tokenize(question, TextRole::Query))?;
        let vectors = timed(clock, &mut stages.embed, || self.embedder.embed(&[ids]))?;
        let vector = vectors.first().ok_or_else(|| {
            RetrievalError::Model(format!(
                "the embedder {} gave no vector for a question",
                self.embedder.id()
            ))
        })?;
        timed(clock, &mut stages.search, || self.store.search(vector, k))
    }

    /// Hits to the `k` passages that go into the prompt.
    pub fn texts_of(
        &mut self,
        question: &str,
        mut hits: Vec<Hit>,
        k: usize,
        clock: &dyn Clock,
        stages: &mut Stages,
    ) -> Result<Found, RetrievalError> {
        let chunks: Vec<u64> = hits.iter().map(|hit| hit.chunk).collect();
        let mut passages = timed(clock, &mut stages.fetch, || self.store.fetch(&chunks))?;
        if let Some(reranker) = self.reranker.as_deref_mut() {
            let order = timed(clock, &mut stages.rerank, || best_first(reranker, question, &passages))?;
            hits = order.iter().map(|at| hits[*at]).collect();
            passages = order.iter().map(|at| std::mem::take(&mut passages[*at])).collect();
        }
        hits.truncate(k);
        passages.truncate(k);
        Ok(Found { hits, passages })
    }
}

/// Places of the passages, the best first; equal scores stay in the order of the search.
fn best_first(
    reranker: &mut dyn Reranker,
    question: &str,
    passages: &[String],
) -> Result<Vec<usize>, RetrievalError> {
    let scores = reranker.score(question, passages)?;
    if scores.len() != passages.len() {
        let (id, found) = (reranker.id(), scores.len());
        let wanted = passages.len();
        return Err(RetrievalError::Model(format!("{id} gave {found} scores for {wanted} passages")));
    }
    let mut order: Vec<usize> = (0..passages.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    Ok(order)
}
