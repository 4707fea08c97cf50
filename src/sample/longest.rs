//! The longest context that really ran on a device, and every length that was tried for it.

use serde::{Deserialize, Serialize};

/// What a search found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Longest {
    /// The longest prompt that ran with one token of output behind it; `None` if none did.
    pub tokens: Option<u32>,
    /// Memory in use while it ran: resident set (CPU) or device memory (GPU).
    pub memory_bytes: Option<u64>,
    /// What keeps it from more.
    pub stopped_by: StoppedBy,
    /// Every length tried, in order.
    pub attempts: Vec<Attempt>,
}

/// One length that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Tokens of the prompt.
    pub tokens: u32,
    /// Memory in use while it ran.
    pub memory_bytes: Option<u64>,
    /// Why it did not run.
    pub error: Option<String>,
}

/// What keeps a context from being longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoppedBy {
    /// The model was made for no more.
    ModelLimit,
    /// By the count of its bytes, more would not fit; what was counted ran.
    MemoryEstimate,
    /// The user asked for no more.
    Asked,
    /// The next longer length ran out of memory.
    OutOfMemory,
    /// The next longer length failed otherwise.
    Failed,
    /// Time was up, or the run was stopped.
    Interrupted,
}

impl StoppedBy {
    /// A few words.
    pub fn words(self) -> &'static str {
        match self {
            Self::ModelLimit => "the model's own limit",
            Self::MemoryEstimate => "counted memory",
            Self::Asked => "--longest-context",
            Self::OutOfMemory => "out of memory beyond it",
            Self::Failed => "a failure beyond it",
            Self::Interrupted => "the end of the time",
        }
    }
}
