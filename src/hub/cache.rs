//! Where things are in the cache, laid out as Python's `huggingface_hub` does it, so that files are shared.
//!
//! ```text
//! models--O--N/blobs/<hash>                 contents, named by their hash
//! models--O--N/snapshots/<commit>/<file>    relative links to them
//! models--O--N/refs/<revision>              the commit a branch or tag was at
//! models--O--N/.ctxbench/                   ours: listings, and what was verified when
//! .locks/models--O--N/<hash>.lock           held while a blob is written
//! ```
//!
//! Not here: what is right or wrong about a file's content.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::HubError;
use super::snapshot::{Digest, RemoteFile, Snapshot, is_commit};

/// One repository's part of the cache.
#[derive(Debug)]
pub(super) struct RepoCache {
    /// Of the repository at the revision that was asked for.
    layout: hf_hub::CacheRepo,
    folder: PathBuf,
    locks: PathBuf,
}

/// What a blob was when it was verified.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Verified {
    bytes: u64,
    modified_ns: u128,
    sha256: String,
}

impl RepoCache {
    /// `repo` and `revision` have been checked by the caller.
    pub(super) fn new(root: &Path, repo: &str, revision: &str) -> Self {
        let named = hf_hub::Repo::with_revision(repo.into(), hf_hub::RepoType::Model, revision.to_string());
        let folder_name = named.folder_name();
        Self {
            folder: root.join(&folder_name),
            locks: root.join(".locks").join(&folder_name),
            layout: hf_hub::Cache::new(root.into()).repo(named),
        }
    }

    /// The content with this hash.
    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        self.folder.join("blobs").join(digest.hex())
    }

    /// The part of it that has come so far, named as Python names it.
    pub(super) fn partial(&self, digest: &Digest) -> PathBuf {
        self.folder.join("blobs").join(format!("{}.incomplete", digest.hex()))
    }

    /// The lock that whoever writes the blob must hold.
    pub(super) fn lock(&self, digest: &Digest) -> PathBuf {
        self.locks.join(format!("{}.lock", digest.hex()))
    }

    /// Where programs find a file of a commit.
    pub(super) fn pointer(&self, commit: &str, name: &str) -> PathBuf {
        self.layout.pointer_path(commit).join(name)
    }

    /// The commit that a revision was at when it was last fetched.
    pub(super) fn commit_of(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.into());
        }
        let text = fs::read_to_string(self.folder.join("refs").join(revision)).ok()?;
        Some(text.trim().to_string()).filter(|commit| is_commit(commit))
    }

    /// The listing that [`Self::record`] kept.
    pub(super) fn recorded(&self, commit: &str) -> Option<Snapshot> {
        let text = fs::read_to_string(self.listing(commit)).ok()?;
        let snapshot: Snapshot = serde_json::from_str(&text).ok()?;
        snapshot.checked().ok().filter(|snapshot| snapshot.commit == commit)
    }

    /// Keeps the listing, and the commit of the revision, for offline use.
    pub(super) fn record(&self, snapshot: &Snapshot) -> Result<(), HubError> {
        if self.recorded(&snapshot.commit).is_none_or(|known| known.files != snapshot.files) {
            let path = self.listing(&snapshot.commit);
            let text = serde_json::to_string_pretty(snapshot).map_err(std::io::Error::other);
            let text = text.map_err(|e| HubError::file("write", &path, e))?;
            write_whole(&path, text.as_bytes())?;
        }
        if self.commit_of(&snapshot.revision).as_ref() != Some(&snapshot.commit) {
            let path = self.folder.join("refs").join(&snapshot.revision);
            self.layout.create_ref(&snapshot.commit).map_err(|e| HubError::file("write", &path, e))?;
        }
        Ok(())
    }

    /// What another program's snapshot holds: links tell name and hash, contents their size.
    pub(super) fn linked_files(&self, commit: &str) -> Vec<RemoteFile> {
        let mut files = Vec::new();
        let root = self.layout.pointer_path(commit);
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => files.extend(linked_file(&root, &path)),
                }
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        files
    }

    /// Makes a blob visible under its name in a commit.
    pub(super) fn link(&self, commit: &str, file: &RemoteFile) -> Result<PathBuf, HubError> {
        let pointer = self.pointer(commit, &file.name);
        let climb = "../".repeat(2 + file.name.matches('/').count());
        let target = PathBuf::from(format!("{climb}blobs/{}", file.digest.hex()));
        if fs::read_link(&pointer).is_ok_and(|present| present == target) {
            return Ok(pointer);
        }
        create_parent(&pointer)?;
        let fresh = with_suffix(&pointer, &format!(".{}.new", std::process::id()));
        point(&fresh, &target, &self.blob(&file.digest)).map_err(|e| HubError::file("link", &pointer, e))?;
        fs::rename(&fresh, &pointer).map_err(|e| HubError::file("link", &pointer, e))?;
        Ok(pointer)
    }

    /// SHA-256 of a blob that was verified here, if it has not changed since.
    pub(super) fn verified(&self, digest: &Digest) -> Option<String> {
        let text = fs::read_to_string(self.marker(digest)).ok()?;
        let then: Verified = serde_json::from_str(&text).ok()?;
        let now = stamp(&self.blob(digest), &then.sha256)?;
        (now == then).then_some(then.sha256)
    }

    /// Remembers that a blob was verified. Where that cannot be written, it is verified again next time.
    pub(super) fn mark_verified(&self, digest: &Digest, sha256: &str) {
        let Some(stamp) = stamp(&self.blob(digest), sha256) else { return };
        let Ok(text) = serde_json::to_string(&stamp) else { return };
        if let Err(error) = write_whole(&self.marker(digest), text.as_bytes()) {
            tracing::info!("{error}");
        }
    }

    fn listing(&self, commit: &str) -> PathBuf {
        self.folder.join(".ctxbench").join(format!("{commit}.json"))
    }

    fn marker(&self, digest: &Digest) -> PathBuf {
        self.folder.join(".ctxbench").join("verified").join(format!("{}.json", digest.hex()))
    }
}

fn linked_file(root: &Path, path: &Path) -> Option<RemoteFile> {
    let target = fs::read_link(path).ok()?;
    let digest = Digest::parse(target.file_name()?.to_str()?)?;
    let name = path.strip_prefix(root).ok()?.to_str()?.replace(std::path::MAIN_SEPARATOR, "/");
    Some(RemoteFile { name, bytes: fs::metadata(path).ok()?.len(), digest })
}

fn stamp(blob: &Path, sha256: &str) -> Option<Verified> {
    let data = fs::metadata(blob).ok()?;
    let modified_ns = data.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
    Some(Verified { bytes: data.len(), modified_ns, sha256: sha256.into() })
}

/// Creates the folder that `path` goes into.
pub(super) fn create_parent(path: &Path) -> Result<(), HubError> {
    let Some(folder) = path.parent() else { return Ok(()) };
    fs::create_dir_all(folder).map_err(|e| HubError::file("create", folder, e))
}

/// Writes a small file so that readers see all of it or nothing.
fn write_whole(path: &Path, content: &[u8]) -> Result<(), HubError> {
    create_parent(path)?;
    let fresh = with_suffix(path, &format!(".{}.new", std::process::id()));
    fs::write(&fresh, content).map_err(|e| HubError::file("write", path, e))?;
    fs::rename(&fresh, path).map_err(|e| HubError::file("write", path, e))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(suffix);
    name.into()
}

#[cfg(unix)]
fn point(link: &Path, target: &Path, _blob: &Path) -> std::io::Result<()> {
    match std::os::unix::fs::symlink(target, link) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            fs::remove_file(link)?;
            std::os::unix::fs::symlink(target, link)
        }
        result => result,
    }
}

/// Links need a privilege elsewhere; Python's library copies there, too.
#[cfg(not(unix))]
fn point(link: &Path, _target: &Path, blob: &Path) -> std::io::Result<()> {
    fs::copy(blob, link).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn file(name: &str) -> RemoteFile {
        RemoteFile { name: name.into(), bytes: 2, digest: Digest::Sha256("a".repeat(64)) }
    }

    fn cache_with_blob(root: &Path) -> RepoCache {
        let cache = RepoCache::new(root, "o/n", "refs/pr/1");
        let blob = cache.blob(&file("x").digest);
        create_parent(&blob).unwrap();
        fs::write(blob, "hi").unwrap();
        cache
    }

    #[test]
    fn links_climb_as_far_as_their_file_is_deep() {
        let root = tempfile::tempdir().unwrap();
        let cache = cache_with_blob(root.path());
        for name in ["a.json", "sub/deep/a.json"] {
            let pointer = cache.link(COMMIT, &file(name)).unwrap();
            assert_eq!(fs::read_to_string(&pointer).unwrap(), "hi");
            assert_eq!(cache.link(COMMIT, &file(name)).unwrap(), pointer);
        }
        let deep = root.path().join("models--o--n/snapshots").join(COMMIT).join("sub/deep/a.json");
        assert_eq!(fs::read_link(deep).unwrap(), Path::new(&format!("../../../../blobs/{}", "a".repeat(64))));
    }

    #[test]
    fn what_python_linked_is_listed_without_our_record() {
        let root = tempfile::tempdir().unwrap();
        let cache = cache_with_blob(root.path());
        cache.link(COMMIT, &file("sub/a.json")).unwrap();
        cache.link(COMMIT, &file("b.json")).unwrap();
        assert_eq!(cache.linked_files(COMMIT), [file("b.json"), file("sub/a.json")]);
        assert!(cache.recorded(COMMIT).is_none());
    }

    #[test]
    fn a_record_gives_back_listing_and_commit() {
        let root = tempfile::tempdir().unwrap();
        let cache = RepoCache::new(root.path(), "o/n", "refs/pr/1");
        let snapshot = Snapshot {
            repo: "o/n".into(),
            revision: "refs/pr/1".into(),
            commit: COMMIT.into(),
            license: Some("apache-2.0".into()),
            files: vec![file("a")],
        };
        cache.record(&snapshot).unwrap();
        assert_eq!(cache.recorded(COMMIT), Some(snapshot));
        assert_eq!(cache.commit_of("refs/pr/1").as_deref(), Some(COMMIT));
        assert_eq!(cache.commit_of("main"), None);
    }

    #[test]
    fn a_change_of_the_blob_ends_its_verification() {
        let root = tempfile::tempdir().unwrap();
        let cache = cache_with_blob(root.path());
        let digest = file("x").digest;
        assert_eq!(cache.verified(&digest), None);
        cache.mark_verified(&digest, "sum");
        assert_eq!(cache.verified(&digest).as_deref(), Some("sum"));
        fs::write(cache.blob(&digest), "longer").unwrap();
        assert_eq!(cache.verified(&digest), None);
    }
}
