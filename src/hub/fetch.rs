//! Files of a snapshot into the cache: from the network, or from a folder. Nothing becomes visible unverified.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::address::escape_path;
use super::cache::{RepoCache, create_parent};
use super::digest::{Finding, examine};
use super::download::{Begin, Download, Pieces};
use super::http::Subject;
use super::snapshot::{RemoteFile, Snapshot};
use super::{Hub, HubError, Recheck};

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

/// Where missing files come from.
#[derive(Clone, Copy)]
enum Source<'a> {
    Network,
    Folder(&'a Path),
}

impl Hub {
    /// Brings the named files of a snapshot into the cache, in that order, and verifies each.
    ///
    /// Offline, it verifies what is there and fails for what is not.
    pub fn fetch(
        &self,
        snapshot: &Snapshot,
        names: &[String],
        on_event: OnEvent<'_>,
    ) -> Result<Vec<LocalFile>, HubError> {
        self.obtain_all(snapshot, names, Source::Network, on_event)
    }

    /// Takes the named files from `folder`, where they lie under their names, verified like a download.
    pub fn import(
        &self,
        snapshot: &Snapshot,
        folder: &Path,
        names: &[String],
        on_event: OnEvent<'_>,
    ) -> Result<Vec<LocalFile>, HubError> {
        self.obtain_all(snapshot, names, Source::Folder(folder), on_event)
    }

    /// Bytes of the named files that are not in the cache yet. Parts that have come already count as there.
    pub fn missing_bytes(&self, snapshot: &Snapshot, names: &[String]) -> Result<u64, HubError> {
        let cache = self.cache_of(snapshot);
        let mut missing = 0u64;
        for name in names {
            let file = snapshot.require(name)?;
            if length(&cache.blob(&file.digest)) != Some(file.bytes) {
                let part = length(&cache.partial(&file.digest)).filter(|part| *part <= file.bytes);
                missing = missing.saturating_add(file.bytes - part.unwrap_or(0));
            }
        }
        Ok(missing)
    }

    fn obtain_all(
        &self,
        snapshot: &Snapshot,
        names: &[String],
        source: Source<'_>,
        on_event: OnEvent<'_>,
    ) -> Result<Vec<LocalFile>, HubError> {
        let cache = self.cache_of(snapshot);
        self.check_space(snapshot, names)?;
        let mut files = Vec::with_capacity(names.len());
        for name in names {
            let task = Task { hub: self, cache: &cache, snapshot, file: snapshot.require(name)? };
            files.push(task.obtain(source, on_event)?);
        }
        if let Err(error) = cache.record(snapshot) {
            tracing::info!("{error}"); // a cache that cannot be written to still serves
        }
        Ok(files)
    }

    fn check_space(&self, snapshot: &Snapshot, names: &[String]) -> Result<(), HubError> {
        let needed = self.missing_bytes(snapshot, names)?;
        match (self.options.free_bytes)(&self.options.cache) {
            Some(free) if needed > free && needed > 0 => Err(HubError::DiskFull {
                path: self.options.cache.clone(),
                needed: Some(needed),
                free: Some(free),
            }),
            _ => Ok(()),
        }
    }

    fn cache_of(&self, snapshot: &Snapshot) -> RepoCache {
        RepoCache::new(&self.options.cache, &snapshot.repo, &snapshot.revision)
    }
}

/// One file on its way.
struct Task<'a> {
    hub: &'a Hub,
    cache: &'a RepoCache,
    snapshot: &'a Snapshot,
    file: &'a RemoteFile,
}

impl Task<'_> {
    fn obtain(&self, source: Source<'_>, on_event: OnEvent<'_>) -> Result<LocalFile, HubError> {
        let (name, bytes) = (self.file.name.as_str(), self.file.bytes);
        if let Some(Finding::Right(sha256)) = self.in_cache()? {
            on_event(FetchEvent::Cached { name, bytes });
            return self.visible(sha256);
        }
        if self.hub.options.offline && matches!(source, Source::Network) {
            return Err(self.unavailable_offline());
        }
        let _lock = self.lock(on_event)?;
        // Whoever held the lock may have brought it.
        match self.in_cache()? {
            Some(Finding::Right(sha256)) => {
                on_event(FetchEvent::Cached { name, bytes });
                return self.visible(sha256);
            }
            Some(Finding::Wrong { found, .. }) => {
                let path = self.blob();
                on_event(FetchEvent::Discarded { name, path: &path, found: &found });
                fs::remove_file(&path).map_err(|e| HubError::file("delete", &path, e))?;
            }
            None => {}
        }
        let sha256 = match source {
            Source::Network => self.download(on_event)?,
            Source::Folder(folder) => self.copy(&folder.join(name))?,
        };
        on_event(FetchEvent::Finished { name, bytes });
        self.visible(sha256)
    }

    /// What the cache holds under the file's hash; `None` if nothing.
    fn in_cache(&self) -> Result<Option<Finding>, HubError> {
        let blob = self.blob();
        if !blob.exists() {
            return Ok(None);
        }
        if self.hub.options.recheck == Recheck::Changed
            && length(&blob) == Some(self.file.bytes)
            && let Some(sha256) = self.cache.verified(&self.file.digest)
        {
            return Ok(Some(Finding::Right(sha256)));
        }
        let finding = examine(&blob, self.file).map_err(|e| HubError::file("read", &blob, e))?;
        if let Finding::Right(sha256) = &finding {
            self.cache.mark_verified(&self.file.digest, sha256);
        }
        Ok(Some(finding))
    }

    fn download(&self, on_event: OnEvent<'_>) -> Result<String, HubError> {
        let partial = self.partial()?;
        let Snapshot { repo, commit, revision, .. } = self.snapshot;
        let path = format!("/{}/resolve/{commit}/{}", escape_path(repo), escape_path(&self.file.name));
        let download = Download {
            client: &self.hub.client,
            limits: &self.hub.options.limits,
            clock: &self.hub.clock,
            address: self.hub.client.address(&path)?,
            subject: Subject { repo, revision, file: Some(&self.file.name) },
            file: self.file,
            partial: &partial,
        };
        let mut pieces = download.run(Begin::WhereItStopped, on_event);
        if let Ok(Pieces::Several) = pieces
            && let Finding::Wrong { .. } = self.examine(&partial)?
        {
            on_event(FetchEvent::Restarting { name: &self.file.name });
            pieces = download.run(Begin::Anew, on_event);
        }
        if pieces.is_err() && length(&partial) == Some(0) {
            let _ = fs::remove_file(&partial); // nothing to go on with
        }
        pieces?;
        self.accept(&partial, &self.hub.client.host())
    }

    fn copy(&self, from: &Path) -> Result<String, HubError> {
        if !from.is_file() {
            return Err(HubError::ImportMissing { repo: self.snapshot.repo.clone(), path: from.into() });
        }
        let origin = from.display().to_string();
        if length(from) != Some(self.file.bytes) {
            return self.accept_or_say(from, &origin); // of another size: not worth a copy
        }
        let partial = self.partial()?;
        let copied = fs::copy(from, &partial).and_then(|_| File::open(&partial)?.sync_data());
        copied.map_err(|e| HubError::file("copy to", &partial, e))?;
        self.accept(&partial, &origin)
    }

    /// Makes the `.incomplete` file the blob if it is right, else deletes it.
    fn accept(&self, partial: &Path, origin: &str) -> Result<String, HubError> {
        let sha256 = self.accept_or_say(partial, origin).inspect_err(|_| {
            let _ = fs::remove_file(partial);
        })?;
        let blob = self.blob();
        fs::rename(partial, &blob).map_err(|e| HubError::file("rename", &blob, e))?;
        self.cache.mark_verified(&self.file.digest, &sha256);
        Ok(sha256)
    }

    fn accept_or_say(&self, path: &Path, origin: &str) -> Result<String, HubError> {
        match self.examine(path)? {
            Finding::Right(sha256) => Ok(sha256),
            Finding::Wrong { found, expected } => {
                let (name, origin) = (self.file.name.clone(), origin.to_string());
                Err(HubError::WrongContent { name, origin, found, expected })
            }
        }
    }

    fn examine(&self, path: &Path) -> Result<Finding, HubError> {
        examine(path, self.file).map_err(|e| HubError::file("read", path, e))
    }

    fn visible(&self, sha256: String) -> Result<LocalFile, HubError> {
        let path = self.cache.link(&self.snapshot.commit, self.file)?;
        Ok(LocalFile { name: self.file.name.clone(), path, bytes: self.file.bytes, sha256 })
    }

    fn unavailable_offline(&self) -> HubError {
        let blob = self.blob();
        match self.in_cache() {
            Ok(Some(Finding::Wrong { found, expected })) => {
                HubError::CachedFileBad { path: blob, found, expected }
            }
            Err(error) => error,
            _ => HubError::FileNotCached { repo: self.snapshot.repo.clone(), name: self.file.name.clone() },
        }
    }

    /// Held until dropped; the operating system lets go of it if we die.
    fn lock(&self, on_event: OnEvent<'_>) -> Result<File, HubError> {
        let path = self.cache.lock(&self.file.digest);
        create_parent(&path)?;
        let failed = |e| HubError::file("lock", &path, e);
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
        let lock = options.open(&path).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                on_event(FetchEvent::Waiting { name: &self.file.name });
                lock.lock().map_err(failed)?;
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        Ok(lock)
    }

    fn partial(&self) -> Result<PathBuf, HubError> {
        let partial = self.cache.partial(&self.file.digest);
        create_parent(&partial)?;
        Ok(partial)
    }

    fn blob(&self) -> PathBuf {
        self.cache.blob(&self.file.digest)
    }
}

fn length(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|data| data.len())
}
