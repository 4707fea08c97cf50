//! An index at Pinecone as a store, over its HTTP API.
//!
//! Comes in: the name of an index that its user made, rows. Goes out: hits and texts. All that is ours lies in
//! namespaces called `ctxbench-…`; others are never touched. Indexes are never made here, since they cost money.

mod http;
mod index;
mod namespace;
mod options;
mod protocol;

use super::super::{Hit, Identity, RetrievalError, Row, VectorStore};

use index::Index;
use namespace::Place;
pub use options::{ApiKey, IndexName, PineconeLimits, PineconeOptions};

/// Chunks in a namespace of an index at Pinecone.
pub struct PineconeStore {
    name: IndexName,
    options: PineconeOptions,
    place: Place,
    session: Option<Session>,
}

/// What stands while the store is open.
struct Session {
    index: Index,
    namespace: String,
    identity: Identity,
    rows: u64,
    complete: bool,
}

impl PineconeStore {
    /// A store in the namespace `ctxbench-<digest>` of that index. Connects in `open`.
    pub fn new(name: IndexName, options: PineconeOptions) -> Self {
        Self { name, options, place: Place::default(), session: None }
    }

    /// The same, with the key and the address that this process's environment names.
    ///
    /// Errors if `PINECONE_API_KEY` is not set, or `PINECONE_API_BASE` is no place a key may be sent to.
    pub fn from_environment(name: IndexName) -> Result<Self, RetrievalError> {
        Ok(Self::new(name, PineconeOptions::from_environment()?))
    }

    /// The same in the namespace `ctxbench-<name>-<digest>`: indexes that are needed side by side need a name each.
    ///
    /// Errors if the name is not lower-case letters, digits and `_`, at most 40.
    pub fn in_place(mut self, name: &str) -> Result<Self, RetrievalError> {
        self.place = Place::named(name)?;
        Ok(self)
    }

    fn session(&mut self) -> Result<&mut Session, RetrievalError> {
        let unopened = || RetrievalError::Store("the pinecone store was used before it was opened".into());
        self.session.as_mut().ok_or_else(unopened)
    }
}

impl Session {
    fn check_length(&self, vector: &[f32]) -> Result<(), RetrievalError> {
        if vector.len() == self.identity.dimensions {
            return Ok(());
        }
        Err(RetrievalError::Store(format!(
            "a vector has {} numbers, and the index at Pinecone holds vectors of {}; embed with the embedder that \
             made it",
            vector.len(),
            self.identity.dimensions
        )))
    }

    fn add(&mut self, rows: &[Row]) -> Result<(), RetrievalError> {
        for (row, expected) in rows.iter().zip(self.rows..) {
            if row.chunk != expected {
                return Err(RetrievalError::Store(format!(
                    "chunk {} was added to the pinecone store where chunk {expected} comes next",
                    row.chunk
                )));
            }
            self.check_length(&row.vector)?;
        }
        for upsert in protocol::upserts(&self.namespace, rows)? {
            self.index.upsert(&upsert)?;
            self.rows += upsert.vectors as u64;
        }
        Ok(())
    }
}

impl VectorStore for PineconeStore {
    fn kind(&self) -> &'static str {
        "pinecone"
    }

    fn open(&mut self, identity: &Identity) -> Result<u64, RetrievalError> {
        self.session = None;
        let index = Index::open(&self.name, &self.options, identity)?;
        let namespace = self.place.namespace(identity)?;
        let counts = index.counts()?;
        for older in counts.keys().filter(|name| **name != namespace && self.place.has_made(name)) {
            index.drop_namespace(older)?;
        }
        let rows = namespace::usable_rows(&index, &namespace, identity, &counts)?;
        let complete = rows == identity.chunks;
        self.session = Some(Session { index, namespace, identity: identity.clone(), rows, complete });
        Ok(rows)
    }

    fn add(&mut self, rows: &[Row]) -> Result<(), RetrievalError> {
        self.session()?.add(rows)
    }

    fn finish(&mut self) -> Result<(), RetrievalError> {
        let session = self.session()?;
        if !session.complete {
            session.index.wait_for(&session.namespace, session.identity.chunks)?;
            session.complete = true;
        }
        Ok(())
    }

    fn search(&mut self, vector: &[f32], k: usize) -> Result<Vec<Hit>, RetrievalError> {
        let session = self.session()?;
        session.check_length(vector)?;
        session.index.query(&session.namespace, vector, k)
    }

    /// Pinecone has no exact search.
    fn search_exact(&mut self, _: &[f32], _: usize) -> Result<Option<Vec<Hit>>, RetrievalError> {
        Ok(None)
    }

    fn fetch(&mut self, chunks: &[u64]) -> Result<Vec<String>, RetrievalError> {
        let session = self.session()?;
        session.index.texts(&session.namespace, chunks)
    }

    /// Pinecone tells no bytes per namespace.
    fn size_bytes(&mut self) -> Result<Option<u64>, RetrievalError> {
        Ok(None)
    }
}
