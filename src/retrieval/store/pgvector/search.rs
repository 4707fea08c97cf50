//! The questions that are asked while a clock may run: each one prepared once, one round trip each.

use std::collections::HashMap;

use ::pgvector::Vector;
use postgres::{Row, Statement};

use super::MOST_FOUND;
use super::link::Link;
use super::place::Place;
use crate::retrieval::{Hit, RetrievalError};

/// The prepared statements of one session.
pub(super) struct Searches {
    table: String,
    ef_search: usize,
    of_k: Option<OfK>,
    exact: Option<Exact>,
    fetch: Option<Statement>,
}

/// A search for `k` chunks. `LIMIT` is written out: with a parameter there, the plan that PostgreSQL keeps after
/// five executions counts on a tenth of the table and may pass the index by.
struct OfK {
    k: usize,
    search: Statement,
}

/// The same, planned where the index may not be used; a plan of [`OfK`] would be kept with its index.
struct Exact {
    k: usize,
    search: Statement,
}

impl Searches {
    pub(super) fn new(place: &Place, ef_search: usize) -> Self {
        Self { table: place.table(), ef_search, of_k: None, exact: None, fetch: None }
    }

    /// Through the index.
    pub(super) fn indexed(
        &mut self,
        link: &mut Link,
        vector: &[f32],
        k: usize,
    ) -> Result<Vec<Hit>, RetrievalError> {
        if k == 0 {
            return Ok(Vec::new());
        }
        let failed = link.failed("searching");
        let search = self.prepared(link, k)?;
        let rows = link.client.query(&search, &[&Vector::from(vector.to_vec())]).map_err(&failed)?;
        rows.iter().map(hit).collect::<Result<_, _>>().map_err(failed)
    }

    /// Looks at every vector.
    pub(super) fn exact(
        &mut self,
        link: &mut Link,
        vector: &[f32],
        k: usize,
    ) -> Result<Vec<Hit>, RetrievalError> {
        let failed = link.failed("searching every vector");
        let search = match &self.exact {
            Some(exact) if exact.k == k => exact.search.clone(),
            _ => {
                let search = link.client.prepare(&self.query(k)).map_err(&failed)?;
                self.exact = Some(Exact { k, search: search.clone() });
                search
            }
        };
        let mut transaction = link.client.transaction().map_err(&failed)?;
        transaction.batch_execute("SET LOCAL enable_indexscan = off").map_err(&failed)?;
        let rows = transaction.query(&search, &[&Vector::from(vector.to_vec())]).map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        rows.iter().map(hit).collect::<Result<_, _>>().map_err(failed)
    }

    /// Texts in the order asked. Errors if a chunk is not there.
    pub(super) fn texts(&mut self, link: &mut Link, chunks: &[u64]) -> Result<Vec<String>, RetrievalError> {
        let failed = link.failed("fetching texts");
        let fetch = match &self.fetch {
            Some(fetch) => fetch.clone(),
            None => {
                let query = format!("SELECT chunk, text FROM {} WHERE chunk = ANY($1)", self.table);
                let fetch = link.client.prepare(&query).map_err(&failed)?;
                self.fetch.insert(fetch).clone()
            }
        };
        let numbers: Vec<i64> = chunks.iter().map(|chunk| *chunk as i64).collect();
        let rows = link.client.query(&fetch, &[&numbers]).map_err(failed)?;
        let texts: HashMap<i64, String> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let missing = |chunk: i64| {
            RetrievalError::Store(format!(
                "chunk {chunk} is not in {} at {}; somebody removed it: drop the table, and it is built again",
                self.table, link.address
            ))
        };
        numbers.iter().map(|chunk| texts.get(chunk).cloned().ok_or_else(|| missing(*chunk))).collect()
    }

    /// The vectors of the first `count` rows.
    pub(super) fn vectors(&self, link: &mut Link, count: u64) -> Result<Vec<Vec<f32>>, RetrievalError> {
        let failed = link.failed("reading vectors");
        let query = format!("SELECT embedding FROM {} WHERE chunk < $1 ORDER BY chunk", self.table);
        let end = i64::try_from(count).unwrap_or(i64::MAX);
        let rows = link.client.query(&query, &[&end]).map_err(&failed)?;
        let vector = |row: &Row| row.try_get::<_, Vector>(0).map(Vec::from);
        rows.iter().map(vector).collect::<Result<_, _>>().map_err(failed)
    }

    /// The statement for `k`, and the session's `hnsw.ef_search` with it.
    fn prepared(&mut self, link: &mut Link, k: usize) -> Result<Statement, RetrievalError> {
        if let Some(of_k) = self.of_k.as_ref().filter(|of_k| of_k.k == k) {
            return Ok(of_k.search.clone());
        }
        if k > MOST_FOUND {
            return Err(RetrievalError::Store(format!(
                "pgvector finds at most {MOST_FOUND} chunks through its index, and {k} were asked for; ask for fewer"
            )));
        }
        let candidates = self.ef_search.max(k);
        link.run(&format!("SET hnsw.ef_search = {candidates}"), "setting hnsw.ef_search")?;
        let search = link.client.prepare(&self.query(k)).map_err(link.failed("preparing the search"))?;
        self.of_k = Some(OfK { k, search: search.clone() });
        Ok(search)
    }

    fn query(&self, k: usize) -> String {
        let table = &self.table;
        format!("SELECT chunk, 1 - (embedding <=> $1) FROM {table} ORDER BY embedding <=> $1 LIMIT {k}")
    }
}

fn hit(row: &Row) -> Result<Hit, postgres::Error> {
    let chunk: i64 = row.try_get(0)?;
    Ok(Hit { chunk: chunk.unsigned_abs(), score: row.try_get::<_, f64>(1)? as f32 })
}
