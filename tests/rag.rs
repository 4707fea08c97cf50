//! `ctxbench rag` through the program: corpus to index to arms to verdicts, offline and on small models.

mod common;
mod stand_in_hub;
#[allow(dead_code, reason = "shared with tests/stores.rs")]
mod stand_in_pinecone;

#[path = "rag/arms.rs"]
mod arms;
#[path = "rag/experiment.rs"]
mod experiment;
#[allow(dead_code, reason = "shared with tests/run.rs")]
#[path = "run/place.rs"]
mod place;
#[path = "rag/refusals.rs"]
mod refusals;
#[path = "rag/stores.rs"]
mod stores;
#[path = "rag/surprises.rs"]
mod surprises;
