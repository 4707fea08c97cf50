//! One file into the cache: found there, or brought under a lock, examined, and only then made visible.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use super::address::escape_path;
use super::cache::{RepoCache, create_parent};
use super::digest::{Finding, examine};
use super::download::{Begin, Download, Pieces};
use super::event::{FetchEvent, LocalFile, OnEvent};
use super::http::Subject;
use super::snapshot::{RemoteFile, Snapshot};
use super::{Hub, HubError, Recheck};

/// Where missing files come from.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// The hub.
    Network,
    /// A folder in which they lie under their names.
    Folder(&'a Path),
}

/// One file on its way.
pub(super) struct Task<'a> {
    pub(super) hub: &'a Hub,
    pub(super) cache: &'a RepoCache,
    pub(super) snapshot: &'a Snapshot,
    pub(super) file: &'a RemoteFile,
}

impl Task<'_> {
    /// Finds the file in the cache, or brings it there; verified either way.
    pub(super) fn obtain(&self, source: Source<'_>, on_event: OnEvent<'_>) -> Result<LocalFile, HubError> {
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

/// Size of the file at `path`, links followed; `None` if there is none.
pub(super) fn length(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|data| data.len())
}
