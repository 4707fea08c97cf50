//! One commit of a repository: its files, with the size and the hash each must have.
//!
//! Comes in: names and hashes from the network or from disk, none of them trusted. Goes out: values
//! that are safe to use in paths. Not here: how they are asked for, or where they are kept.

use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use super::HubError;

/// A repository at one commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// `owner/name`, as it was asked for.
    pub repo: String,
    /// Branch, tag or commit that was asked for.
    pub revision: String,
    /// The commit that this is, 40 hex digits.
    pub commit: String,
    /// Licence, where the repository names one.
    pub license: Option<String>,
    /// All files, in the order of the listing.
    pub files: Vec<RemoteFile>,
}

/// A file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteFile {
    /// Path inside the repository, with `/`.
    pub name: String,
    /// Size.
    pub bytes: u64,
    /// Hash of the content.
    pub digest: Digest,
}

/// The hash that the hub lists for a file. Its hex digits are the name of the blob in the cache.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Digest {
    /// Large files: SHA-256 of the content.
    Sha256(String),
    /// Small files: git's blob id, SHA-1 of `blob LENGTH\0` and the content.
    GitSha1(String),
}

impl Digest {
    /// Recognises the hash by its length: 64 hex digits are SHA-256, 40 a git id.
    pub fn parse(hex: &str) -> Option<Self> {
        match hex.len() {
            64 if is_hex(hex) => Some(Self::Sha256(hex.into())),
            40 if is_hex(hex) => Some(Self::GitSha1(hex.into())),
            _ => None,
        }
    }

    /// The hex digits.
    pub fn hex(&self) -> &str {
        match self {
            Self::Sha256(hex) | Self::GitSha1(hex) => hex,
        }
    }
}

impl Snapshot {
    /// The file of that name.
    pub fn file(&self, name: &str) -> Option<&RemoteFile> {
        self.files.iter().find(|file| file.name == name)
    }

    /// The file of that name, or the error that says it is not in the repository.
    pub fn require(&self, name: &str) -> Result<&RemoteFile, HubError> {
        self.file(name).ok_or_else(|| HubError::FileNotFound {
            repo: self.repo.clone(),
            revision: self.revision.clone(),
            name: name.into(),
        })
    }

    /// The same snapshot, if every name in it is safe and every hash is one.
    pub(super) fn checked(self) -> Result<Self, HubError> {
        check_repo(&self.repo)?;
        for file in &self.files {
            check_path("file name", &file.name)?;
            if Digest::parse(file.digest.hex()).is_none() {
                return Err(HubError::BadName { what: "hash", name: shown(file.digest.hex()) });
            }
        }
        match is_commit(&self.commit) {
            true => Ok(self),
            false => Err(HubError::BadName { what: "commit", name: shown(&self.commit) }),
        }
    }
}

/// Whether `text` is a full commit id: 40 lower-case hex digits.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && is_hex(text)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Refuses what is not `owner/name` (or the bare name of old repositories).
pub(super) fn check_repo(repo: &str) -> Result<(), HubError> {
    let word = |part: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !part.is_empty() && !part.starts_with('.') && part.chars().all(known)
    };
    let parts: Vec<&str> = repo.split('/').collect();
    match parts.len() <= 2 && parts.iter().all(|part| word(part)) {
        true => Ok(()),
        false => Err(HubError::BadName { what: "repository name", name: shown(repo) }),
    }
}

/// Refuses file names and revisions that are absolute, climb out of their folder, or hide something.
pub(super) fn check_path(what: &'static str, name: &str) -> Result<(), HubError> {
    let plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    let parts_seen = name.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    let hidden = name.chars().any(|c| c.is_control() || c == '\\' || c == ':');
    match plain && parts_seen && !hidden && name.len() <= 1024 {
        true => Ok(()),
        false => Err(HubError::BadName { what, name: shown(name) }),
    }
}

/// Foreign text, made fit for a terminal.
fn shown(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_their_folder_are_refused() {
        for good in ["config.json", "sub/dir/a b.json", "refs/pr/1", "ä..b"] {
            assert!(check_path("file name", good).is_ok(), "{good}");
        }
        for bad in ["", "/etc/passwd", "../x", "a/../b", "a/./b", "a//b", "a/", "a\\b", "c:x", "a\nb", ".."] {
            assert!(check_path("file name", bad).is_err(), "{bad:?}");
        }
        assert!(check_path("file name", &"a".repeat(2000)).is_err());
    }

    #[test]
    fn repositories_are_owner_and_name() {
        assert!(check_repo("Qwen/Qwen3-0.6B").is_ok() && check_repo("gpt2").is_ok());
        for bad in ["", "a/b/c", "../b", "a/", "a b/c", "a/b?x"] {
            assert!(check_repo(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_hash_is_known_by_its_length() {
        assert_eq!(Digest::parse(&"a".repeat(64)), Some(Digest::Sha256("a".repeat(64))));
        assert_eq!(Digest::parse(&"0".repeat(40)), Some(Digest::GitSha1("0".repeat(40))));
        assert_eq!(Digest::parse(&"G".repeat(40)), None);
        assert_eq!(Digest::parse("../../etc"), None);
    }

    #[test]
    fn control_characters_never_reach_a_message() {
        let message = check_path("file name", "a\u{1b}[2J").unwrap_err().to_string();
        assert!(!message.contains('\u{1b}'), "{message}");
    }
}
