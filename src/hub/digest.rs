//! Sizes and hashes of files on disk, held against what the repository lists.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::snapshot::{Digest, RemoteFile};

/// What a file on disk turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// The right file; with the SHA-256 of its content.
    Right(String),
    /// Another one; `found` and `expected` are for messages.
    Wrong {
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },
}

/// Holds the size, then the hash, of the file at `path` against `file`. Reads it once.
pub(super) fn examine(path: &Path, file: &RemoteFile) -> io::Result<Finding> {
    let bytes = std::fs::metadata(path)?.len();
    if bytes != file.bytes {
        let expected = format!("{} bytes", file.bytes);
        return Ok(Finding::Wrong { found: format!("{bytes} bytes"), expected });
    }
    let git_bytes = matches!(file.digest, Digest::GitSha1(_)).then_some(bytes);
    let hashes = hash(path, git_bytes)?;
    let (kind, found) = match &file.digest {
        Digest::Sha256(_) => ("SHA-256", &hashes.sha256),
        Digest::GitSha1(_) => ("git id", &hashes.git_sha1),
    };
    match found == file.digest.hex() {
        true => Ok(Finding::Right(hashes.sha256)),
        false => {
            Ok(Finding::Wrong { found: format!("{kind} {found}"), expected: file.digest.hex().to_string() })
        }
    }
}

struct Hashes {
    sha256: String,
    /// Empty unless the listing has a git id: large files are hashed once, not twice.
    git_sha1: String,
}

/// SHA-256 of a file, in hex.
pub fn sha256(path: &Path) -> io::Result<String> {
    Ok(hash(path, None)?.sha256)
}

fn hash(path: &Path, git_bytes: Option<u64>) -> io::Result<Hashes> {
    let mut sha256 = Sha256::new();
    let mut git = git_bytes.map(|bytes| {
        let mut sha1 = Sha1::new();
        sha1.update(format!("blob {bytes}\0"));
        sha1
    });
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        sha256.update(&buffer[..read]);
        if let Some(git) = &mut git {
            git.update(&buffer[..read]);
        }
    }
    let git_sha1 = git.map(|git| hex(&git.finalize())).unwrap_or_default();
    Ok(Hashes { sha256: hex(&sha256.finalize()), git_sha1 })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // printf 'hello\n' | git hash-object --stdin; printf 'hello\n' | sha256sum
    const GIT: &str = "ce013625030ba8dba906f756967f9e9ca394464a";
    const SHA: &str = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";

    fn finding(content: &str, bytes: u64, hex: &str) -> Finding {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, content).unwrap();
        let digest = Digest::parse(hex).unwrap();
        examine(&path, &RemoteFile { name: "file".into(), bytes, digest }).unwrap()
    }

    #[test]
    fn both_hashes_agree_with_git_and_sha256sum() {
        assert_eq!(finding("hello\n", 6, GIT), Finding::Right(SHA.into()));
        assert_eq!(finding("hello\n", 6, SHA), Finding::Right(SHA.into()));
    }

    #[test]
    fn a_wrong_size_or_content_is_named() {
        let Finding::Wrong { found, expected } = finding("hell", 6, SHA) else { panic!("taken for right") };
        assert_eq!((found.as_str(), expected.as_str()), ("4 bytes", "6 bytes"));
        let Finding::Wrong { found, expected } = finding("hallo\n", 6, GIT) else {
            panic!("taken for right")
        };
        assert!(found.starts_with("git id ") && expected == GIT, "{found}");
    }
}
