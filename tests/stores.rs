//! Stores in other programs: a real PostgreSQL with pgvector on loopback, and a stand-in for Pinecone.

mod common;
mod stand_in_pinecone;

#[path = "stores/pgvector.rs"]
mod pgvector;
#[path = "stores/pgvector_refusals.rs"]
mod pgvector_refusals;
#[path = "stores/pinecone.rs"]
mod pinecone;
#[path = "stores/pinecone_faults.rs"]
mod pinecone_faults;
#[path = "stores/rows.rs"]
mod rows;
