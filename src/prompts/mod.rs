//! Scenarios and corpus, as data.
