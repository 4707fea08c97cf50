//! One index at Pinecone: found by its name, and its data plane.

use std::collections::BTreeMap;

use super::http::{Client, Refusal};
use super::options::{IndexName, PineconeOptions, may_carry_a_key};
use super::protocol::{
    Delete, Description, Done, Fetched, MOST_FETCHED, MOST_FOUND, Match, Matches, Query, Stats, Upsert, json,
};
use crate::retrieval::{Hit, Identity, RetrievalError};

/// An index that is ready, of the right length and metric.
pub(super) struct Index {
    client: Client,
    polls: u32,
    options: PineconeOptions,
}

impl Index {
    /// Asks the control plane for the index.
    pub(super) fn open(
        name: &IndexName,
        options: &PineconeOptions,
        identity: &Identity,
    ) -> Result<Self, RetrievalError> {
        let control = Client::new(options, &options.base);
        let described = control.get(&format!("/indexes/{name}"), "asking for the index");
        let described: Description = described.map_err(|refusal| match refusal.status {
            Some(404) => missing(name, identity),
            _ => refusal.into(),
        })?;
        check(name, &described, identity)?;
        let host = described.host.unwrap_or_default();
        let base = base_of(&host, &options.base);
        if host.is_empty() || !may_carry_a_key(&base) {
            return Err(RetrievalError::Store(format!(
                "Pinecone names no address for the index '{name}' to which a key may be sent; see its console"
            )));
        }
        let client = Client::new(options, &base);
        Ok(Self { client, polls: options.limits.polls, options: options.clone() })
    }

    /// Vectors in each namespace.
    pub(super) fn counts(&self) -> Result<BTreeMap<String, u64>, RetrievalError> {
        let stats: Stats = self.client.post("/describe_index_stats", "{}", "counting vectors")?;
        Ok(stats.namespaces.into_iter().map(|(name, namespace)| (name, namespace.vector_count)).collect())
    }

    /// Waits until as many vectors are counted: what is written is not found at once.
    pub(super) fn wait_for(&self, namespace: &str, vectors: u64) -> Result<(), RetrievalError> {
        let mut seen = 0;
        for poll in 1..=self.polls {
            seen = self.counts()?.get(namespace).copied().unwrap_or(0);
            if seen >= vectors {
                return Ok(());
            }
            std::thread::sleep(self.options.limits.wait_after(poll));
        }
        Err(RetrievalError::Store(format!(
            "Pinecone counts {seen} of {vectors} vectors in the namespace {namespace}, after being asked {} times; \
             what is missing was not written, or is not counted yet: start again, and it is taken up there",
            self.polls
        )))
    }

    /// Deletes a namespace of ours.
    pub(super) fn drop_namespace(&self, namespace: &str) -> Result<(), RetrievalError> {
        let body = json(&Delete { delete_all: true, namespace })?;
        let done: Result<Done, Refusal> =
            self.client.post("/vectors/delete", &body, "deleting an older namespace");
        match done {
            // It went in the meantime: counts lag behind.
            Err(Refusal { status: Some(404), .. }) => Ok(()),
            other => Ok(other.map(|Done {}| ())?),
        }
    }

    /// Adds or writes over vectors.
    pub(super) fn upsert(&self, upsert: &Upsert) -> Result<(), RetrievalError> {
        let Done {} = self.client.post("/vectors/upsert", &upsert.body, "storing vectors")?;
        Ok(())
    }

    /// The nearest vectors, best first.
    pub(super) fn query(
        &self,
        namespace: &str,
        vector: &[f32],
        k: usize,
    ) -> Result<Vec<Hit>, RetrievalError> {
        if k == 0 {
            return Ok(Vec::new());
        }
        if k > MOST_FOUND {
            return Err(RetrievalError::Store(format!(
                "Pinecone finds at most {MOST_FOUND} chunks in one search, and {k} were asked for; ask for fewer"
            )));
        }
        let query = Query { namespace, vector, top_k: k, include_values: false, include_metadata: false };
        let found: Matches = self.client.post("/query", &json(&query)?, "searching")?;
        found.matches.iter().map(hit).collect()
    }

    /// Texts in the order asked. Errors if one is not there.
    pub(super) fn texts(&self, namespace: &str, chunks: &[u64]) -> Result<Vec<String>, RetrievalError> {
        let mut texts = BTreeMap::new();
        for part in chunks.chunks(MOST_FETCHED) {
            let fetched = self.fetched(namespace, part)?;
            for (id, record) in fetched.vectors {
                texts.extend(record.metadata.map(|metadata| (id, metadata.text)));
            }
        }
        let missing = |chunk: &u64| {
            RetrievalError::Store(format!(
                "chunk {chunk} has no text in the namespace {namespace} at Pinecone; somebody removed it: delete the \
                 namespace, and it is filled again"
            ))
        };
        chunks
            .iter()
            .map(|chunk| texts.get(&chunk.to_string()).cloned().ok_or_else(|| missing(chunk)))
            .collect()
    }

    /// Those of a few chunks that are there.
    pub(super) fn which_of(&self, namespace: &str, chunks: &[u64]) -> Result<Vec<u64>, RetrievalError> {
        let there = self.fetched(namespace, chunks)?.vectors;
        Ok(chunks.iter().copied().filter(|chunk| there.contains_key(&chunk.to_string())).collect())
    }

    fn fetched(&self, namespace: &str, chunks: &[u64]) -> Result<Fetched, RetrievalError> {
        let ids: String = chunks.iter().map(|chunk| format!("ids={chunk}&")).collect();
        let path = format!("/vectors/fetch?{ids}namespace={namespace}");
        Ok(self.client.get(&path, "fetching texts")?)
    }
}

fn hit(found: &Match) -> Result<Hit, RetrievalError> {
    let chunk = found.id.parse().map_err(|_| {
        RetrievalError::Store(format!(
            "Pinecone found the vector '{}', which ctxbench did not write; delete the namespace, and it is filled again",
            found.id.chars().filter(|c| !c.is_control()).take(40).collect::<String>()
        ))
    })?;
    Ok(Hit { chunk, score: found.score })
}

/// The data plane is named without a scheme; it has the control plane's.
fn base_of(host: &str, control: &str) -> String {
    let scheme = control.split("://").next().unwrap_or("https");
    match host.contains("://") {
        true => host.trim_end_matches('/').into(),
        false => format!("{scheme}://{host}"),
    }
}

fn missing(name: &IndexName, identity: &Identity) -> RetrievalError {
    RetrievalError::Store(format!(
        "Pinecone has no index '{name}' in the project of this key; make one of dimension {} with metric cosine in \
         its console (ctxbench makes none, since an index costs money), or name another",
        identity.dimensions
    ))
}

fn check(name: &IndexName, described: &Description, identity: &Identity) -> Result<(), RetrievalError> {
    let wanted = identity.dimensions;
    let why = match described {
        Description { dimension: None, .. } => "holds no dense vectors".to_owned(),
        Description { dimension: Some(length), .. } if *length != wanted => {
            format!("holds vectors of {length} numbers, where the embedder makes vectors of {wanted}")
        }
        // Vectors have length 1, so that their dot product is their cosine.
        Description { metric, .. } if metric != "cosine" && metric != "dotproduct" => {
            "does not measure by cosine".to_owned()
        }
        Description { status, .. } if !status.ready => {
            return Err(RetrievalError::Store(format!(
                "the index '{name}' at Pinecone is not ready yet; try again in a minute"
            )));
        }
        _ => return Ok(()),
    };
    Err(RetrievalError::Store(format!(
        "the index '{name}' at Pinecone {why}; make another of dimension {wanted} with metric cosine, and name that"
    )))
}
