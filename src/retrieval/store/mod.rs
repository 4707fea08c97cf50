//! The places where chunks lie and are searched, one file each, behind [`super::VectorStore`].
//!
//! Not here: what is put in ([`super::index`]), and what a question costs.

pub mod embedded;
pub mod exact;
