//! What Pinecone's HTTP API takes and gives, as far as it is used here, and its limits.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::retrieval::{RetrievalError, Row};

/// Most vectors in one upsert.
pub(super) const MOST_VECTORS: usize = 1000;

/// Most bytes of one upsert: 2 MB, read strictly.
pub(super) const MOST_UPSERT_BYTES: usize = 2_000_000;

/// Most bytes of one vector's metadata: 40 KB.
pub(super) const MOST_METADATA_BYTES: usize = 40 * 1024;

/// Most hits of one query.
pub(super) const MOST_FOUND: usize = 10_000;

/// Ids in one fetch: they travel in the address, which must stay short.
pub(super) const MOST_FETCHED: usize = 100;

/// `GET /indexes/{name}`.
#[derive(Debug, Deserialize)]
pub(super) struct Description {
    pub(super) host: Option<String>,
    /// Absent for an index of sparse vectors.
    pub(super) dimension: Option<usize>,
    pub(super) metric: String,
    pub(super) status: Status,
}

/// Whether an index can be used yet.
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    pub(super) ready: bool,
}

/// `POST /describe_index_stats`.
#[derive(Debug, Deserialize)]
pub(super) struct Stats {
    #[serde(default)]
    pub(super) namespaces: HashMap<String, Namespace>,
}

/// One namespace of an index.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Namespace {
    #[serde(default)]
    pub(super) vector_count: u64,
}

/// `POST /query`, without values and metadata: texts are a step of their own.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Query<'a> {
    pub(super) namespace: &'a str,
    pub(super) vector: &'a [f32],
    pub(super) top_k: usize,
    pub(super) include_values: bool,
    pub(super) include_metadata: bool,
}

/// What a query found, best first.
#[derive(Debug, Deserialize)]
pub(super) struct Matches {
    pub(super) matches: Vec<Match>,
}

/// One hit.
#[derive(Debug, Deserialize)]
pub(super) struct Match {
    pub(super) id: String,
    pub(super) score: f32,
}

/// `GET /vectors/fetch`.
#[derive(Debug, Deserialize)]
pub(super) struct Fetched {
    pub(super) vectors: HashMap<String, Record>,
}

/// One vector of a fetch; its values are not read.
#[derive(Debug, Deserialize)]
pub(super) struct Record {
    pub(super) metadata: Option<Metadata>,
}

/// What lies beside a vector.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Metadata {
    pub(super) text: String,
}

/// `POST /vectors/delete` of a whole namespace.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Delete<'a> {
    pub(super) delete_all: bool,
    pub(super) namespace: &'a str,
}

/// An answer of which nothing is read.
#[derive(Debug, Deserialize)]
pub(super) struct Done {}

/// One vector of an upsert.
#[derive(Serialize)]
struct Vector<'a> {
    id: String,
    values: &'a [f32],
    metadata: &'a Metadata,
}

/// One body of `POST /vectors/upsert`, within the limits.
pub(super) struct Upsert {
    /// JSON.
    pub(super) body: String,
    /// Vectors in it.
    pub(super) vectors: usize,
}

/// Any value as JSON. Ours have no keys that are not text, so that this cannot fail; if it did, it would be told.
pub(super) fn json(value: &impl Serialize) -> Result<String, RetrievalError> {
    serde_json::to_string(value)
        .map_err(|e| RetrievalError::Store(format!("a request to Pinecone cannot be written: {e}")))
}

/// Rows as the fewest upserts that keep the limits.
pub(super) fn upserts(namespace: &str, rows: &[Row]) -> Result<Vec<Upsert>, RetrievalError> {
    let head = format!("{{\"namespace\":{},\"vectors\":[", json(&namespace)?);
    let mut upserts: Vec<Upsert> = Vec::new();
    for row in rows {
        let vector = vector(row)?;
        let fits = |last: &&mut Upsert| {
            last.vectors < MOST_VECTORS && last.body.len() + vector.len() + 3 <= MOST_UPSERT_BYTES
        };
        match upserts.last_mut().filter(fits) {
            Some(last) => {
                last.body.push(',');
                last.body.push_str(&vector);
                last.vectors += 1;
            }
            None => upserts.push(Upsert { body: format!("{head}{vector}"), vectors: 1 }),
        }
    }
    upserts.iter_mut().for_each(|upsert| upsert.body.push_str("]}"));
    Ok(upserts)
}

fn vector(row: &Row) -> Result<String, RetrievalError> {
    let refused =
        |why: String| RetrievalError::Store(format!("chunk {} cannot go to Pinecone: {why}", row.chunk));
    if !row.vector.iter().all(|value| value.is_finite()) {
        return Err(refused("its vector holds a value that is not a number".into()));
    }
    let metadata = Metadata { text: row.text.clone() };
    let bytes = json(&metadata)?.len();
    if bytes > MOST_METADATA_BYTES {
        return Err(refused(format!(
            "its text takes {bytes} bytes as metadata, and {MOST_METADATA_BYTES} are the most; cut smaller chunks"
        )));
    }
    json(&Vector { id: row.chunk.to_string(), values: &row.vector, metadata: &metadata })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: u64, text: &str) -> Vec<Row> {
        (0..count).map(|chunk| Row { chunk, vector: vec![0.6, 0.8], text: text.into() }).collect()
    }

    #[test]
    fn an_upsert_says_what_the_protocol_says() {
        let upserts = upserts("ns", &rows(2, "a \"b\"")).unwrap();
        let body: serde_json::Value = serde_json::from_str(&upserts[0].body).unwrap();
        let vector =
            |id: &str| serde_json::json!({"id": id, "values": [0.6, 0.8], "metadata": {"text": "a \"b\""}});
        assert_eq!(body, serde_json::json!({"namespace": "ns", "vectors": [vector("0"), vector("1")]}));
        assert_eq!((upserts.len(), upserts[0].vectors), (1, 2));
    }

    #[test]
    fn upserts_keep_the_limits_and_lose_nothing() {
        let by_count = upserts("ns", &rows(2001, "x")).unwrap();
        assert_eq!(by_count.iter().map(|u| u.vectors).collect::<Vec<_>>(), [1000, 1000, 1]);
        let by_bytes = upserts("ns", &rows(200, &"x".repeat(30_000))).unwrap();
        assert_eq!(by_bytes.iter().map(|u| u.vectors).sum::<usize>(), 200);
        assert!(by_bytes.len() == 4 && by_bytes.iter().all(|u| u.body.len() <= MOST_UPSERT_BYTES));
        assert!(upserts("ns", &[]).unwrap().is_empty());
    }

    #[test]
    fn what_pinecone_would_not_take_is_refused_here() {
        let long = upserts("ns", &rows(1, &"x".repeat(41_000))).err().unwrap().to_string();
        assert!(long.contains("chunk 0") && long.contains("smaller chunks"), "{long}");
        let broken = Row { chunk: 7, vector: vec![f32::NAN, 0.0], text: String::new() };
        assert!(upserts("ns", &[broken]).err().unwrap().to_string().contains("chunk 7"));
    }
}
