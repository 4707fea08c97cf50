//! The files of a snapshot, asked for together: space first, then one after the other, then the record.

use std::path::Path;

use super::cache::RepoCache;
use super::event::{LocalFile, OnEvent};
use super::snapshot::Snapshot;
use super::task::{Source, Task, length};
use super::{Hub, HubError};

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
