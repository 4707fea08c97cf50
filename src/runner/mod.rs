//! Warm-up, random blocks, budgets: samples come out.
//!
//! Comes in: engines to load ([`arm::Arms`]), cases to measure, a clock, a budget. Goes out: every
//! sample in the order taken, and what was left out. Not here: what the samples mean.

pub mod arm;
pub mod campaign;
pub mod energy;
mod first_times;
pub mod longest;
pub mod measure;
mod memory;
pub mod plan;
pub mod schedule;
mod visit;
mod warm_up;
