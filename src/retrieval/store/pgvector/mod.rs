//! A PostgreSQL server with pgvector as a store.
//!
//! Comes in: an address, rows. Goes out: hits and texts. All that is ours lies in the schema `ctxbench`: a table
//! per place, and a manifest. Errors name host, port and database, never the user's password.

mod address;
mod link;
mod place;
mod search;
mod write;

use super::super::{Hit, Identity, RetrievalError, Row, VectorStore};

pub use address::PgAddress;
use link::Link;
use place::Place;
use search::Searches;

/// Candidates that a search keeps (`hnsw.ef_search`), unless `k` is more. pgvector's own default is 40.
pub const EF_SEARCH: usize = 100;

/// Most chunks that one search can find: pgvector's limit of `hnsw.ef_search`.
pub const MOST_FOUND: usize = 1000;

/// Chunks in a table of PostgreSQL, searched through pgvector's HNSW index.
pub struct PgVectorStore {
    address: PgAddress,
    place: Place,
    ef_search: usize,
    session: Option<Session>,
}

/// What stands while the store is open.
struct Session {
    link: Link,
    identity: Identity,
    rows: u64,
    complete: bool,
    searches: Searches,
}

impl PgVectorStore {
    /// A store in the table `ctxbench.chunks`. Connects in `open`.
    pub fn new(address: PgAddress) -> Self {
        Self { address, place: Place::default(), ef_search: EF_SEARCH, session: None }
    }

    /// The same in the table `ctxbench.<name>`: indexes that are needed side by side need a table each.
    ///
    /// Errors if the name is not lower-case letters, digits and `_`, at most 40.
    pub fn in_table(mut self, name: &str) -> Result<Self, RetrievalError> {
        self.place = Place::named(name)?;
        Ok(self)
    }

    /// The same with another number of candidates, 1 to [`MOST_FOUND`]: more find more and take longer.
    pub fn with_ef_search(mut self, candidates: usize) -> Self {
        self.ef_search = candidates.clamp(1, MOST_FOUND);
        self
    }

    /// Version of pgvector on the server; `None` before `open`.
    pub fn extension_version(&self) -> Option<&str> {
        self.session.as_ref().map(|session| session.link.extension.as_str())
    }

    fn session(&mut self) -> Result<(&mut Session, &Place), RetrievalError> {
        match &mut self.session {
            Some(session) => Ok((session, &self.place)),
            None => Err(RetrievalError::Store("the pgvector store was used before it was opened".into())),
        }
    }
}

impl Session {
    fn check_length(&self, vector: &[f32]) -> Result<(), RetrievalError> {
        if vector.len() == self.identity.dimensions {
            return Ok(());
        }
        Err(RetrievalError::Store(format!(
            "a vector has {} numbers, and the store at {} holds vectors of {}; embed with the embedder that made it",
            vector.len(),
            self.link.address,
            self.identity.dimensions
        )))
    }
}

impl VectorStore for PgVectorStore {
    fn kind(&self) -> &'static str {
        "pgvector"
    }

    fn open(&mut self, identity: &Identity) -> Result<u64, RetrievalError> {
        // An older session holds the lock.
        self.session = None;
        let mut link = Link::open(&self.address)?;
        let found = self.place.claim(&mut link, identity)?;
        let searches = Searches::new(&self.place, self.ef_search);
        let (identity, rows, complete) = (identity.clone(), found.rows, found.complete);
        self.session = Some(Session { link, identity, rows, complete, searches });
        Ok(rows)
    }

    fn add(&mut self, rows: &[Row]) -> Result<(), RetrievalError> {
        let (session, place) = self.session()?;
        write::add(session, place, rows)
    }

    fn finish(&mut self) -> Result<(), RetrievalError> {
        let (session, place) = self.session()?;
        write::finish(session, place)
    }

    fn vectors(&mut self, count: u64) -> Result<Option<Vec<Vec<f32>>>, RetrievalError> {
        let (session, _) = self.session()?;
        session.searches.vectors(&mut session.link, count).map(Some)
    }

    fn search(&mut self, vector: &[f32], k: usize) -> Result<Vec<Hit>, RetrievalError> {
        let (session, _) = self.session()?;
        session.check_length(vector)?;
        session.searches.indexed(&mut session.link, vector, k)
    }

    fn search_exact(&mut self, vector: &[f32], k: usize) -> Result<Option<Vec<Hit>>, RetrievalError> {
        let (session, _) = self.session()?;
        session.check_length(vector)?;
        session.searches.exact(&mut session.link, vector, k).map(Some)
    }

    fn fetch(&mut self, chunks: &[u64]) -> Result<Vec<String>, RetrievalError> {
        let (session, _) = self.session()?;
        session.searches.texts(&mut session.link, chunks)
    }

    fn size_bytes(&mut self) -> Result<Option<u64>, RetrievalError> {
        let (session, place) = self.session()?;
        let failed = session.link.failed("asking for the size of our table");
        let query = "SELECT pg_total_relation_size(to_regclass($1))";
        let row = session.link.client.query_one(query, &[&place.table()]).map_err(failed)?;
        Ok(row.get::<_, Option<i64>>(0).map(i64::unsigned_abs))
    }
}
