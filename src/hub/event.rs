//! What a fetch tells while it runs, and what it gives back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::HubError;

/// A verified file of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalFile {
    /// Path inside the repository.
    pub name: String,
    /// Where it is: `.../snapshots/<commit>/<name>`.
    pub path: PathBuf,
    /// Size.
    pub bytes: u64,
    /// SHA-256 of the content, in hex.
    pub sha256: String,
}

/// What happens while files are fetched. `name` is the file's name in the repository.
#[derive(Debug)]
pub enum FetchEvent<'a> {
    /// The file was in the cache already, and is right.
    Cached {
        /// The file.
        name: &'a str,
        /// Its size.
        bytes: u64,
    },
    /// Another process is fetching this file; we wait for it.
    Waiting {
        /// The file.
        name: &'a str,
    },
    /// A cached file was wrong; it is deleted and fetched again.
    Discarded {
        /// The file.
        name: &'a str,
        /// The blob.
        path: &'a Path,
        /// What was found instead of the right content.
        found: &'a str,
    },
    /// A transfer begins.
    Started {
        /// The file.
        name: &'a str,
        /// Bytes that an earlier transfer has brought.
        from: u64,
        /// Its size.
        bytes: u64,
    },
    /// More bytes have come.
    Received {
        /// The file.
        name: &'a str,
        /// Bytes on disk now.
        so_far: u64,
        /// Its size.
        bytes: u64,
    },
    /// A try failed; another follows after a wait.
    Retrying {
        /// The file.
        name: &'a str,
        /// Why.
        error: &'a HubError,
        /// How long until then.
        wait: Duration,
    },
    /// The resumed file came out wrong; it is transferred whole, once.
    Restarting {
        /// The file.
        name: &'a str,
    },
    /// The file is verified and visible.
    Finished {
        /// The file.
        name: &'a str,
        /// Its size.
        bytes: u64,
    },
}

/// Receives events.
pub type OnEvent<'a> = &'a mut dyn FnMut(FetchEvent<'_>);
