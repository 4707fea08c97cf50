//! What can be made to go wrong, where, and how often.

/// One thing that goes wrong.
#[derive(Clone, Debug)]
pub struct Fault {
    pub at: Place,
    pub does: Does,
    /// How often it still happens.
    pub times: usize,
}

impl Fault {
    /// It happens every time.
    pub fn always(at: Place, does: Does) -> Self {
        Self { at, does, times: usize::MAX }
    }

    /// It happens once.
    pub fn once(at: Place, does: Does) -> Self {
        Self { at, does, times: 1 }
    }
}

/// Where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The question which commit a revision is.
    Info,
    /// The file list.
    Tree,
    /// The hub's answer for a file; for a large one this is the redirect.
    Resolve(&'static str),
    /// The bytes of a file, wherever they come from.
    Content(&'static str),
    /// Any request under a repository name.
    Repo(&'static str),
}

/// What.
#[derive(Clone, Debug)]
pub enum Does {
    /// This status and these headers, with a body that must never become a file.
    Answer(u16, &'static [(&'static str, &'static str)]),
    /// This body in place of JSON.
    Say(String),
    /// All is announced, the connection ends after so many bytes.
    Cut(usize),
    /// Chunked, ended in due form after so many bytes.
    CutChunked(usize),
    /// So many bytes more than listed, and announced so.
    Longer(usize),
    /// So many bytes more than listed, chunked.
    LongerChunked(usize),
    /// The right length, other bytes.
    Corrupt,
    /// So many bytes, then nothing more while the connection stands.
    Stall(usize),
    /// So many bytes, the rest after `StandInHub::release`.
    Hold(usize),
    /// The whole file with status 200, whatever part is asked for.
    IgnoreRange,
    /// Status 206 with another part than the one asked for.
    WrongRange,
}
