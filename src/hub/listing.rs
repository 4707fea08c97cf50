//! The hub's two JSON answers: which commit a revision is, and which files a commit has.

use std::io::Read;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::Uri;

use super::address::{escape_path, escape_segment, follow};
use super::http::{Answer, Client, Subject, text};
use super::patience::Patience;
use super::snapshot::{Digest, RemoteFile, is_commit};
use super::{HubError, Limits};
use crate::clock::Clock;

/// No answer of the hub is longer; a listing page has at most a thousand entries.
const LONGEST_ANSWER: u64 = 32 << 20;

/// No repository has more pages.
const MOST_PAGES: usize = 1000;

/// What a revision is.
#[derive(Debug)]
pub(super) struct Commit {
    /// 40 hex digits.
    pub(super) sha: String,
    /// Licence, where the model card names one.
    pub(super) license: Option<String>,
}

/// Asks the hub about one repository.
pub(super) struct Questions<'a> {
    pub(super) client: &'a Client,
    pub(super) limits: &'a Limits,
    pub(super) clock: &'a dyn Clock,
}

#[derive(Deserialize)]
struct ModelInfo {
    sha: Option<String>,
    #[serde(default, rename = "cardData")]
    card: Value,
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Deserialize)]
struct TreeEntry {
    r#type: String,
    path: String,
    #[serde(default)]
    oid: String,
    #[serde(default)]
    size: u64,
    lfs: Option<LargeFile>,
}

#[derive(Deserialize)]
struct LargeFile {
    oid: String,
    size: u64,
}

struct Page<T> {
    value: T,
    next: Option<Uri>,
}

impl Questions<'_> {
    /// The commit that `revision` is now.
    pub(super) fn commit(&self, repo: &str, revision: &str) -> Result<Commit, HubError> {
        let subject = Subject { repo, revision, file: None };
        let path = format!("/api/models/{}/revision/{}", escape_path(repo), escape_segment(revision));
        let info: ModelInfo = self.ask(&self.client.address(&path)?, subject)?.value;
        let license = license(&info);
        match info.sha.filter(|sha| is_commit(sha)) {
            Some(sha) => Ok(Commit { sha, license }),
            None => Err(self.malformed("its model info names no commit")),
        }
    }

    /// The files of a commit.
    pub(super) fn files(&self, repo: &str, commit: &str) -> Result<Vec<RemoteFile>, HubError> {
        let subject = Subject { repo, revision: commit, file: None };
        let path = format!("/api/models/{}/tree/{commit}?recursive=true", escape_path(repo));
        let mut files = Vec::new();
        let mut address = self.client.address(&path)?;
        for _ in 0..MOST_PAGES {
            let page: Page<Vec<TreeEntry>> = self.ask(&address, subject)?;
            for entry in page.value.into_iter().filter(|entry| entry.r#type == "file") {
                files.push(self.file(entry)?);
            }
            match page.next {
                Some(next) if next != address => address = next,
                Some(_) => return Err(self.malformed("a page of its file list names itself as the next")),
                None => return Ok(files),
            }
        }
        Err(self.malformed("its file list does not end"))
    }

    fn file(&self, entry: TreeEntry) -> Result<RemoteFile, HubError> {
        let (hex, bytes, digits) = match entry.lfs {
            Some(lfs) => (lfs.oid, lfs.size, 64),
            None => (entry.oid, entry.size, 40),
        };
        match Digest::parse(&hex).filter(|digest| digest.hex().len() == digits) {
            Some(digest) => Ok(RemoteFile { name: entry.path, bytes, digest }),
            None => Err(self.malformed("its file list has a file without a usable hash")),
        }
    }

    fn ask<T: DeserializeOwned>(&self, address: &Uri, subject: Subject<'_>) -> Result<Page<T>, HubError> {
        let mut patience = Patience::new(self.limits, self.clock);
        loop {
            match self.ask_once(address, subject, &patience) {
                Err(error) => patience.wait_after(error, &mut |error, wait| {
                    tracing::warn!("{}; trying again in {}", error.what(), humantime::format_duration(wait));
                })?,
                done => return done,
            }
        }
    }

    fn ask_once<T: DeserializeOwned>(
        &self,
        address: &Uri,
        subject: Subject<'_>,
        patience: &Patience<'_>,
    ) -> Result<Page<T>, HubError> {
        let mut answer = self.client.get(address, 0, subject, patience)?;
        let body = read_all(&mut answer, patience)?;
        let value = serde_json::from_slice(&body)
            .map_err(|_| self.malformed("its answer is not the JSON of a hub"))?;
        let next = text(&answer.headers, "link").and_then(|links| next_link(&answer.uri, links));
        Ok(Page { value, next })
    }

    fn malformed(&self, reason: &str) -> HubError {
        HubError::Malformed { host: self.client.host(), reason: reason.into() }
    }
}

fn read_all(answer: &mut Answer, patience: &Patience<'_>) -> Result<Vec<u8>, HubError> {
    let mut body = Vec::new();
    let mut buffer = [0; 1 << 14];
    let expected = text(&answer.headers, "content-length").and_then(|length| length.parse().ok());
    loop {
        let read = answer.body.read(&mut buffer).map_err(|error| broken(error, answer, &body, expected))?;
        body.extend_from_slice(&buffer[..read]);
        if read == 0 {
            return Ok(body);
        }
        if body.len() as u64 > LONGEST_ANSWER {
            let reason = "its answer is too long".into();
            return Err(HubError::Malformed { host: answer.host.clone(), reason });
        }
        if patience.left().is_zero() {
            return Err(HubError::Stalled { host: answer.host.clone(), waited: patience.timeouts().stall });
        }
    }
}

fn broken(error: std::io::Error, answer: &Answer, body: &[u8], expected: Option<u64>) -> HubError {
    let got = body.len() as u64;
    let (name, host) = ("an answer".into(), answer.host.clone());
    let cut = HubError::Truncated { name, host, got, expected: expected.unwrap_or(got) };
    answer.body_failure(error).unwrap_or(cut)
}

/// The address that a `Link` header gives for the next page.
fn next_link(base: &Uri, links: &str) -> Option<Uri> {
    links.split(',').find_map(|link| {
        let (address, attributes) = link.split_once('>')?;
        let wanted = attributes.split(';').any(|a| matches!(a.trim(), "rel=\"next\"" | "rel=next"));
        wanted.then(|| follow(base, address.trim().strip_prefix('<')?)).flatten()
    })
}

/// From the card, else from a tag `license:...`.
fn license(info: &ModelInfo) -> Option<String> {
    let named = match &info.card["license"] {
        Value::String(name) => Some(name.clone()),
        Value::Array(names) => names.first().and_then(Value::as_str).map(Into::into),
        _ => None,
    };
    // `other` is spelled out in license_name.
    let named = match (named.as_deref(), info.card["license_name"].as_str()) {
        (Some("other"), Some(name)) => Some(name.to_string()),
        _ => named,
    };
    let tag = || info.tags.iter().find_map(|tag| tag.strip_prefix("license:")).map(Into::into);
    let clean = |name: String| name.chars().filter(|c| !c.is_control()).take(80).collect();
    named.or_else(tag).map(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_links() {
        let base: Uri = "https://h/api/models/o/n/tree/x".parse().unwrap();
        let link = r#"<https://h/first>; rel="first", </api/next?cursor=a%3D>; rel="next""#;
        assert_eq!(next_link(&base, link).unwrap(), "https://h/api/next?cursor=a%3D");
        assert_eq!(next_link(&base, r#"<https://h/first>; rel="first""#), None);
        assert_eq!(next_link(&base, "nonsense"), None);
    }

    #[test]
    fn a_licence_comes_from_the_card_or_a_tag() {
        let of = |json: &str| license(&serde_json::from_str(json).unwrap());
        assert_eq!(of(r#"{"cardData":{"license":"apache-2.0"}}"#).as_deref(), Some("apache-2.0"));
        assert_eq!(of(r#"{"cardData":{"license":"other","license_name":"qwen"}}"#).as_deref(), Some("qwen"));
        assert_eq!(of(r#"{"tags":["x","license:mit"]}"#).as_deref(), Some("mit"));
        assert_eq!(of("{}"), None);
    }
}
