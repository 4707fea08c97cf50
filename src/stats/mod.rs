//! Intervals, fits and comparisons: pure functions of numbers. Cannot see an engine.

pub mod estimate;
