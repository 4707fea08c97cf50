//! The stores: chunks with their vectors, in other programs.
//!
//! Comes in: rows and an identity. Goes out: hits and texts. Not here: what a vector means, and any clock.

pub mod choice;
pub mod pgvector;
pub mod pinecone;
