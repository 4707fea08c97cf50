//! What an index is built from.

pub mod source;
