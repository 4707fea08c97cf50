//! Files of a hub repository: found, fetched, checked, cached.
//!
//! Comes in: a repository and a revision. Goes out: verified files in the cache, by path, and the commit
//! they belong to. Not here: what the files mean (`weights`, `model`), and any drawing (`commands`).
//!
//! The crate `hf-hub` is used without its features, for the layout of the cache. Its transfers are not:
//! they store the body of an error as the model's file, compare neither length nor hash, know no timeouts
//! and, in release 1.0, begin a broken download anew. The transfer here is plain HTTP through `ureq`;
//! every file is held against the size and hash of the repository's listing before it becomes visible.
//!
//! ```text
//! options → http (one request) → listing (which files) → fetch → task (one file into the cache)
//!             ↑ address, patience                                  ↑ download, digest, cache
//! ```

mod address;
mod cache;
mod digest;
mod disk;
mod download;
mod error;
mod event;
mod fetch;
mod http;
mod listing;
mod options;
mod patience;
mod snapshot;
mod task;
mod wanted;

pub use digest::sha256;
pub use disk::free_bytes;
pub use error::HubError;
pub use event::{FetchEvent, LocalFile, OnEvent};
pub use options::{HubOptions, Limits, Recheck, Token};
pub use snapshot::{Digest, RemoteFile, Snapshot};
pub use wanted::{Wanted, is_optional, wanted_files};

use std::path::Path;

use cache::RepoCache;
use http::Client;
use listing::{Commit, Questions};
use snapshot::{check_path, check_repo, is_commit};

use crate::clock::SystemClock;

/// The branch that is meant where none is named.
pub const DEFAULT_REVISION: &str = "main";

/// A hub and its cache.
pub struct Hub {
    options: HubOptions,
    client: Client,
    clock: SystemClock,
}

impl Hub {
    /// Makes no request yet. Fails if the endpoint or the token cannot be used.
    pub fn new(options: HubOptions) -> Result<Self, HubError> {
        let client = Client::new(&options)?;
        Ok(Self { options, client, clock: SystemClock::default() })
    }

    /// What it was made with.
    pub fn options(&self) -> &HubOptions {
        &self.options
    }

    /// The commit that `revision` (default: `main`) of `repo` is, and its files.
    ///
    /// A commit whose listing is in the cache needs no request; offline, nothing else is looked at.
    pub fn resolve(&self, repo: &str, revision: Option<&str>) -> Result<Snapshot, HubError> {
        let revision = revision.unwrap_or(DEFAULT_REVISION);
        check_repo(repo)?;
        check_path("revision", revision)?;
        let cache = RepoCache::new(&self.options.cache, repo, revision);
        let recorded = |commit: &str| cache.recorded(commit).map(|known| as_asked(known, repo, revision));
        if self.options.offline {
            return self.resolve_cached(repo, Some(revision));
        }
        if let Some(snapshot) = Some(revision).filter(|r| is_commit(r)).and_then(recorded) {
            return Ok(snapshot);
        }
        let questions = Questions { client: &self.client, limits: &self.options.limits, clock: &self.clock };
        let Commit { sha, license } = questions.commit(repo, revision)?;
        if let Some(snapshot) = recorded(&sha) {
            return Ok(snapshot);
        }
        let files = questions.files(repo, &sha)?;
        Snapshot { repo: repo.into(), revision: revision.into(), commit: sha, license, files }.checked()
    }

    /// Whether the hub answers, within a few seconds and without a second try.
    pub fn reachable(&self) -> Result<(), HubError> {
        match self.options.offline {
            true => Err(HubError::Offline),
            false => self.client.probe(self.options.limits.probe),
        }
    }

    /// Free bytes where the cache is; `None` where the system does not say.
    pub fn free_bytes(&self) -> Option<u64> {
        (self.options.free_bytes)(&self.options.cache)
    }

    /// The folder of the cache.
    pub fn cache(&self) -> &Path {
        &self.options.cache
    }

    /// What the cache alone knows of `revision` (default: `main`): where it was when it was last fetched.
    ///
    /// Files that [`Self::fetch`] finds complete in the cache need no request either.
    pub fn resolve_cached(&self, repo: &str, revision: Option<&str>) -> Result<Snapshot, HubError> {
        let revision = revision.unwrap_or(DEFAULT_REVISION);
        check_repo(repo)?;
        check_path("revision", revision)?;
        let cache = RepoCache::new(&self.options.cache, repo, revision);
        let absent = || HubError::NotCached {
            repo: repo.into(),
            revision: revision.into(),
            cache: self.options.cache.clone(),
        };
        let commit = cache.commit_of(revision).ok_or_else(absent)?;
        if let Some(known) = cache.recorded(&commit) {
            return Ok(as_asked(known, repo, revision));
        }
        // Brought by another program: names and hashes stand in its links, sizes only on disk.
        let files = cache.linked_files(&commit);
        if files.is_empty() {
            return Err(absent());
        }
        Snapshot { repo: repo.into(), revision: revision.into(), commit, license: None, files }.checked()
    }
}

/// A listing from the cache, under the names it was asked for this time.
fn as_asked(snapshot: Snapshot, repo: &str, revision: &str) -> Snapshot {
    Snapshot { repo: repo.into(), revision: revision.into(), ..snapshot }
}
