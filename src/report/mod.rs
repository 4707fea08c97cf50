//! The document, and every format it is shown in. Cannot start a run.

pub mod document;
