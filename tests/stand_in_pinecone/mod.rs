//! Pinecone's HTTP API as far as ctxbench speaks it, on loopback: control plane and data plane on one port.
//!
//! It checks what a client sends (key, version, limits) and answers with what its documentation shows. It can be
//! told to fail.

mod serve;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

/// The key that it takes.
pub const KEY: &str = "pcsk_key_that_must_stay_secret";

/// Name of its one index.
pub const INDEX: &str = "handbook";

/// One thing that goes wrong.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What the request's path starts with.
    pub at: &'static str,
    pub does: Does,
    /// How often it still happens.
    pub times: usize,
}

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum Does {
    /// This status, a header and a body.
    Answer(u16, &'static str, String),
    /// No answer while the client stays.
    Stall,
    /// The connection ends without an answer.
    HangUp,
}

/// A request that came in.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
    /// Number of the connection it came on.
    pub connection: usize,
}

/// One vector.
#[derive(Clone, Debug)]
pub struct Record {
    pub values: Vec<f32>,
    pub metadata: Value,
}

/// What is changed while it runs.
#[derive(Default)]
pub struct State {
    pub faults: Vec<Fault>,
    /// Members of the index's description that differ from what it is.
    pub described: BTreeMap<&'static str, Value>,
    /// How many times the count of vectors is still told without the newest ones.
    pub lag: usize,
    pub namespaces: BTreeMap<String, BTreeMap<String, Record>>,
    pub seen: Vec<Seen>,
}

struct Shared {
    state: Mutex<State>,
    address: SocketAddr,
    dimension: usize,
}

/// A running server. Its threads end with the test program.
pub struct StandInPinecone {
    shared: Arc<Shared>,
}

impl StandInPinecone {
    /// Starts on a free port of 127.0.0.1, with an empty index.
    pub fn start(dimension: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared { state: Mutex::default(), address, dimension });
        serve::listen(listener, shared.clone());
        Self { shared }
    }

    /// For `PINECONE_API_BASE`.
    pub fn base(&self) -> String {
        format!("http://{}", self.shared.address)
    }

    /// What is there, and what came in; to be looked at and changed.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }

    /// Makes requests below a path fail so many times.
    pub fn fail(&self, at: &'static str, does: Does, times: usize) {
        self.state().faults = vec![Fault { at, does, times }];
    }

    /// Requests below a path so far.
    pub fn count(&self, at: &str) -> usize {
        self.state().seen.iter().filter(|seen| seen.target.starts_with(at)).count()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn description(&self) -> Value {
        let mut described = json!({
            "name": INDEX, "metric": "cosine", "dimension": self.dimension, "host": self.address.to_string(),
            "vector_type": "dense", "deletion_protection": "disabled", "tags": null,
            "spec": {"serverless": {"region": "us-east-1", "cloud": "aws"}},
            "status": {"ready": true, "state": "Ready"},
        });
        for (name, value) in &self.lock().described {
            described[*name] = value.clone();
        }
        described
    }
}
