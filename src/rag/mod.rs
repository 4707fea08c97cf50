//! The paired experiment: the same questions through every arm, on one loaded model.
//!
//! Comes in: an engine, a retrieval pipeline, questions, a clock. Goes out: samples with their stage ledgers.
//! Not here: what they mean.

pub mod score;
