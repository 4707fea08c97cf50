//! The places where chunks lie and are searched, behind [`super::VectorStore`]: in this process or in other programs.
//!
//! Comes in: rows and an identity. Goes out: hits and texts. Not here: what is put in ([`super::index`]), what a
//! vector means, and what a question costs.

pub mod choice;
pub mod embedded;
pub mod exact;
pub mod pgvector;
pub mod pinecone;
