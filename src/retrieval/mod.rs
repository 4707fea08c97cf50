//! Retrieval: documents cut into chunks, chunks made vectors, and the chunks nearest to a question.
//!
//! Comes in: texts, an embedder, a store. Goes out: vectors, hits, texts of hits, and what building the index
//! took. Not here: the model that answers, clocks of requests (that is [`crate::rag`]'s), questions.

use std::ops::ControlFlow;

use thiserror::Error;

pub mod chunks;
pub mod embedder;
pub mod index;
pub mod perturb;
pub mod recall;
pub mod rerank;
pub mod store;

/// What a text is to its embedder: some put an instruction before a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextRole {
    /// A question that is searched for.
    Query,
    /// A chunk that is found.
    Document,
}

/// Turns texts into vectors of length 1.
pub trait Embedder {
    /// Catalog id, or `stand-in`.
    fn id(&self) -> &str;

    /// Numbers in a vector.
    fn dimensions(&self) -> usize;

    /// What its vectors depend on beside the text, e.g. the hash of its weights: part of an index's identity.
    fn fingerprint(&self) -> &str;

    /// Whether its vectors say nothing of the text's meaning, so that no figure of quality may rest on them.
    fn is_stand_in(&self) -> bool;

    /// The ids of one text, instruction and special tokens included, cut at its longest length.
    fn tokenize(&self, text: &str, role: TextRole) -> Result<Vec<u32>, RetrievalError>;

    /// One vector of length 1 per list of ids, in their order. Returns when the device is idle again.
    fn embed(&mut self, batch: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, RetrievalError>;
}

/// Scores passages against a question, better than their vectors can.
pub trait Reranker {
    /// Its name, for the report.
    fn id(&self) -> &str;

    /// One score per passage, higher is better.
    fn score(&mut self, question: &str, passages: &[String]) -> Result<Vec<f32>, RetrievalError>;
}

/// One chunk that a search found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Number of the chunk.
    pub chunk: u64,
    /// Cosine of the angle between question and chunk: 1 for the same direction.
    pub score: f32,
}

/// One row of a store.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Number of the chunk; rows come in rising order.
    pub chunk: u64,
    /// Its vector, of length 1.
    pub vector: Vec<f32>,
    /// Its text.
    pub text: String,
}

/// What an index is made of; two with the same identity are the same index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Hex digest over chunks, embedder, splitting and seed.
    pub digest: String,
    /// Chunks it has when complete.
    pub chunks: u64,
    /// Numbers in a vector.
    pub dimensions: usize,
}

/// Where chunks lie and are searched.
pub trait VectorStore {
    /// `embedded`, `exact`, `pgvector` or `pinecone`.
    fn kind(&self) -> &'static str;

    /// Makes room for the index `identity`: keeps what is there of the same identity, drops an older index of
    /// this place. Returns how many rows, from the first on, are there already; `identity.chunks` if it is complete.
    ///
    /// Errors if the store is out of reach, or holds vectors of another length that are not ours to drop.
    fn open(&mut self, identity: &Identity) -> Result<u64, RetrievalError>;

    /// Adds rows behind those that are there.
    fn add(&mut self, rows: &[Row]) -> Result<(), RetrievalError>;

    /// Builds what search needs once all rows are in, and makes it last. Nothing to do where it is complete.
    fn finish(&mut self) -> Result<(), RetrievalError>;

    /// The same, telling `watch` how many rows are in; once that breaks off, the rows stay and nothing is complete.
    /// Stores whose `finish` is short, or cannot be broken off, leave it as it is here.
    fn finish_watched(
        &mut self,
        watch: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<(), RetrievalError> {
        let _ = watch;
        self.finish()
    }

    /// The first `count` vectors as they were added; `None` where the store cannot give them back.
    fn vectors(&mut self, count: u64) -> Result<Option<Vec<Vec<f32>>>, RetrievalError> {
        let _ = count;
        Ok(None)
    }

    /// The `k` chunks nearest to a vector of length 1, best first, as a user of this store would search.
    fn search(&mut self, vector: &[f32], k: usize) -> Result<Vec<Hit>, RetrievalError>;

    /// The same by looking at every vector; `None` where the store cannot.
    fn search_exact(&mut self, vector: &[f32], k: usize) -> Result<Option<Vec<Hit>>, RetrievalError>;

    /// Texts of chunks, in the order asked.
    fn fetch(&mut self, chunks: &[u64]) -> Result<Vec<String>, RetrievalError>;

    /// Bytes that the index takes, vectors and texts included; `None` where it cannot be told.
    fn size_bytes(&mut self) -> Result<Option<u64>, RetrievalError>;
}

/// Retrieval that cannot be done.
#[derive(Debug, Error)]
pub enum RetrievalError {
    /// The embedder or reranker cannot be loaded or run.
    #[error("{0}")]
    Model(String),
    /// The store is out of reach, or refused; no secret is in this text.
    #[error("{0}")]
    Store(String),
    /// An index on disk is damaged or cannot be written.
    #[error("{0}")]
    Index(String),
    /// Text that cannot be cut.
    #[error("{0}")]
    Text(String),
}
