//! The arms of the experiment, as cases.

use crate::sample::case::Kind;

/// One arm at one retrieved length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arm {
    /// Which arm.
    pub kind: Kind,
    /// Which of the retrieved lengths; `short` has none of its own.
    pub length: usize,
}

/// A retrieved length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// Tokens that were asked for; `None` where the hits of --top-k decide.
    pub asked: Option<u32>,
    /// Hits that go into the prompt.
    pub hits: usize,
}

impl Arm {
    /// Whether it asks the store while it is timed.
    pub fn retrieves(self) -> bool {
        !matches!(self.kind, Kind::Short | Kind::Padded | Kind::Decode)
    }
}
