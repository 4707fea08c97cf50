//! The document, and every format it is shown in. Cannot start a run.

pub mod comparison;
pub mod comparison_table;
pub mod document;
pub mod read;
