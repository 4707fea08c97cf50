//! The validity stamp: whether a number may be trusted, and every reason why not.

use serde::{Deserialize, Serialize};

/// How far a number may be trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Nothing speaks against it.
    #[default]
    Valid,
    /// Usable, if the reasons are read.
    Caveat,
    /// Do not use it.
    Invalid,
}

/// The stamp on a case, or on a whole run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validity {
    /// The worst of the reasons.
    pub status: Status,
    /// One entry a reason: a stable `code`, and a sentence.
    pub reasons: Vec<Reason>,
}

/// One reason for doubt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Stable name in snake_case, e.g. `random_weights`, for programs.
    pub code: String,
    /// How much this reason alone weighs.
    pub status: Status,
    /// What was seen, and what to do: for people.
    pub text: String,
}

impl Validity {
    /// Adds a reason once; the status follows the worst.
    pub fn add(&mut self, reason: Reason) {
        self.status = self.status.max(reason.status);
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }
}
