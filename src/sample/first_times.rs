//! What an arm took before its first sample: loading, and what the first calls of a fresh engine cost.

use serde::{Deserialize, Serialize};

/// Times of an arm's first load and of the first requests of its warm-up, none of which is a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FirstTimes {
    /// Weights made or read and brought to the device, and the cache.
    pub load_ms: f64,
    /// The first prompt, which is the shortest case's: with what libraries load and choose for it. `None` where
    /// there was none.
    pub first_prompt_ms: Option<f64>,
    /// The first decode step; `None` where there was none.
    pub first_step_ms: Option<f64>,
    /// The second decode step, where it was captured as a graph, and run as one for the first time; `None` where
    /// steps are no graph.
    pub capture_ms: Option<f64>,
}
