//! The paired experiment: the same questions through every arm, on one loaded model.
//!
//! Comes in: an engine, a retrieval pipeline, questions, a clock. Goes out: samples with their stage ledgers,
//! retrieval alone, the router's decisions, answers. Not here: what they mean.

pub mod alone;
pub mod answers;
pub mod arm;
pub mod bench;
pub mod blocks;
pub mod choice;
pub mod hybrid;
pub mod pipeline;
pub mod rehearsal;
pub mod request;
pub mod score;
pub mod similarity;
pub mod sizes;
mod timed;
