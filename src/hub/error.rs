//! What can go wrong between a hub and its cache, each with what to do about it.
//!
//! No message holds a token, a query string (signed addresses are secrets too) or a response body.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::units;

/// Why files of a hub repository could not be had.
#[derive(Debug, Error)]
pub enum HubError {
    /// No variable says where the cache is.
    #[error("no folder for the hub's cache: neither HF_HUB_CACHE, HF_HOME nor HOME is set; set one of them")]
    NoCacheFolder,
    /// `HF_ENDPOINT` cannot be used.
    #[error(
        "HF_ENDPOINT is not usable: {reason}; set it to scheme://host[:port], or unset it for the public hub"
    )]
    BadEndpoint {
        /// What is wrong with it.
        reason: String,
    },
    /// The token has characters that no header can hold.
    #[error("the hub token holds characters that no token has; check HF_TOKEN or the token file")]
    BadToken,
    /// A name that leaves its folder, or is none.
    #[error(
        "'{name}' is not a usable {what}: write it relative, with /, and without '..' and control characters"
    )]
    BadName {
        /// What the name is of.
        what: &'static str,
        /// The name, escaped, or the file.
        name: String,
    },

    /// Nothing of this revision is in the cache, and requests are forbidden.
    #[error(
        "{repo} at revision '{revision}' is not in the cache {cache}, and offline mode is on; \
         run `ctxbench fetch {repo}` with a network once, or drop --offline and HF_HUB_OFFLINE"
    )]
    NotCached {
        /// `owner/name`.
        repo: String,
        /// As it was asked for.
        revision: String,
        /// Folder that was searched.
        cache: PathBuf,
    },
    /// One file is not in the cache, and requests are forbidden.
    #[error(
        "{name} of {repo} is not in the cache, and offline mode is on; \
         run `ctxbench fetch {repo}` with a network once, or drop --offline and HF_HUB_OFFLINE"
    )]
    FileNotCached {
        /// `owner/name`.
        repo: String,
        /// The name, escaped, or the file.
        name: String,
    },
    /// A question that only the hub can answer.
    #[error("offline mode is on, so the hub was not asked; drop --offline and HF_HUB_OFFLINE to ask it")]
    Offline,

    /// No connection.
    #[error(
        "could not reach {host}: {cause}; check the network, HTTPS_PROXY and HF_ENDPOINT, \
         or use --offline with files that are in the cache"
    )]
    Unreachable {
        /// `host:port` of the server.
        host: String,
        /// What the system says.
        cause: String,
    },
    /// Bytes stopped coming.
    #[error(
        "{host} sent nothing for {}; check the network and run the same command again, it goes on where it stopped",
        humantime::format_duration(*.waited)
    )]
    Stalled {
        /// `host:port` of the server.
        host: String,
        /// How long nothing came.
        waited: Duration,
    },
    /// Tries brought nothing new for too long.
    #[error("gave up after {} without progress; the last try: {last}", humantime::format_duration(*.waited))]
    NoProgress {
        /// How long nothing came.
        waited: Duration,
        /// What went wrong last.
        last: Box<HubError>,
    },
    /// The server asks for patience, more than we have.
    #[error(
        "the hub says too many requests{}; wait and run the same command again, or set HF_TOKEN for a higher limit",
        .retry_after.map(|wait| format!(" and to come back in {}", humantime::format_duration(wait))).unwrap_or_default()
    )]
    RateLimited {
        /// What the hub asks for.
        retry_after: Option<Duration>,
    },
    /// 5xx, or 408.
    #[error("{host} answered with status {status}, a fault on its side; run the same command again later")]
    ServerFault {
        /// `host:port` of the server.
        host: String,
        /// HTTP status.
        status: u16,
    },
    /// The storage behind the hub refused an address that the hub had just given out.
    #[error(
        "the hub's storage {host} refused the download (status {status}); \
         run the same command again for a fresh address, and check that no proxy stands between"
    )]
    StorageRefused {
        /// `host:port` of the server.
        host: String,
        /// HTTP status.
        status: u16,
    },
    /// Any other status.
    #[error("{host} answered with status {status}{detail}; check HF_ENDPOINT and any proxy")]
    UnexpectedStatus {
        /// `host:port` of the server.
        host: String,
        /// HTTP status.
        status: u16,
        /// What the server says of it, or nothing.
        detail: String,
    },
    /// A redirect that leads nowhere we may go.
    #[error("{host} redirects in a way that cannot be followed ({reason}); check HF_ENDPOINT and any proxy")]
    BadRedirect {
        /// `host:port` of the server.
        host: String,
        /// What is wrong with it.
        reason: String,
    },

    /// 401 without a better explanation.
    #[error(
        "the hub wants to know who asks for {repo}: {}",
        if *.token_sent { "it refused the token; check HF_TOKEN or log in again" }
        else { "it is private or does not exist; check the name, or set HF_TOKEN" }
    )]
    Unauthorized {
        /// `owner/name`.
        repo: String,
        /// Whether a token was at hand.
        token_sent: bool,
    },
    /// Terms have to be accepted first.
    #[error(
        "{repo} is gated: {}",
        if *.token_sent { "this account has no access yet; accept its terms on its hub page, then try again" }
        else { "accept its terms on its hub page, then set HF_TOKEN to a token of that account" }
    )]
    Gated {
        /// `owner/name`.
        repo: String,
        /// Whether a token was at hand.
        token_sent: bool,
    },
    /// 403 without a better explanation.
    #[error("the hub forbids access to {repo}{detail}; check what HF_TOKEN may read")]
    Forbidden {
        /// `owner/name`.
        repo: String,
        /// What the server says of it, or nothing.
        detail: String,
    },
    /// No such repository, or not for this account.
    #[error(
        "the hub has no model '{repo}' that this request may see; check the name{}",
        if *.token_sent { " and what HF_TOKEN may read" } else { ", or set HF_TOKEN if it is private" }
    )]
    RepoNotFound {
        /// `owner/name`.
        repo: String,
        /// Whether a token was at hand.
        token_sent: bool,
    },
    /// No such branch, tag or commit.
    #[error("{repo} has no revision '{revision}'; check the name after '@', or leave it out for 'main'")]
    RevisionNotFound {
        /// `owner/name`.
        repo: String,
        /// As it was asked for.
        revision: String,
    },
    /// No such file.
    #[error("{repo} has no file '{name}' at revision '{revision}'; check the name, or try another revision")]
    FileNotFound {
        /// `owner/name`.
        repo: String,
        /// As it was asked for.
        revision: String,
        /// The name, escaped, or the file.
        name: String,
    },
    /// Not a repository that a model can be loaded from.
    #[error("{repo} has no model.safetensors and no index of shards; {remedy}")]
    NoWeights {
        /// `owner/name`.
        repo: String,
        /// What the repository has instead.
        remedy: String,
    },

    /// An answer that is not what a hub says.
    #[error(
        "{host} does not answer like a hub: {reason}; check HF_ENDPOINT and any proxy or login page between"
    )]
    Malformed {
        /// `host:port` of the server.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The body ended before its time.
    #[error(
        "the transfer of {name} from {host} broke off at {} of {}; run the same command again, it goes on there",
        units::bytes(*.got), units::bytes(*.expected)
    )]
    Truncated {
        /// The name, escaped, or the file.
        name: String,
        /// `host:port` of the server.
        host: String,
        /// Bytes that came, or are offered.
        got: u64,
        /// What the repository lists.
        expected: u64,
    },
    /// The body announces, or has, another length than the listing.
    #[error(
        "{host} offers {got} bytes for {name}, but the repository lists {expected}; nothing was kept; \
         check HF_ENDPOINT and any proxy, then run the same command again"
    )]
    WrongLength {
        /// The name, escaped, or the file.
        name: String,
        /// `host:port` of the server.
        host: String,
        /// Bytes that came, or are offered.
        got: u64,
        /// What the repository lists.
        expected: u64,
    },
    /// All bytes came, and they are not the right ones.
    #[error(
        "{name} from {origin} is not the file the repository lists ({found}, expected {expected}); \
         nothing of it was kept; check HF_ENDPOINT and any proxy, then run the same command again"
    )]
    WrongContent {
        /// The name, escaped, or the file.
        name: String,
        /// Host or path it came from.
        origin: String,
        /// What came instead.
        found: String,
        /// What the repository lists.
        expected: String,
    },
    /// A file of the cache is bad, and may not be fetched again.
    #[error(
        "{path} in the cache is not the file the repository lists ({found}, expected {expected}), and offline mode \
         is on; drop --offline and HF_HUB_OFFLINE to fetch it again"
    )]
    CachedFileBad {
        /// The file or folder.
        path: PathBuf,
        /// What came instead.
        found: String,
        /// What the repository lists.
        expected: String,
    },
    /// A folder to import from lacks a file.
    #[error(
        "{path} is not there, and {repo} needs it; put it into the folder given to --from, or fetch without --from"
    )]
    ImportMissing {
        /// `owner/name`.
        repo: String,
        /// The file or folder.
        path: PathBuf,
    },

    /// Not enough space.
    #[error(
        "the disk of {path} is full{}; free some space there, or set HF_HUB_CACHE to a folder on a larger disk",
        full(*.needed, *.free)
    )]
    DiskFull {
        /// The file or folder.
        path: PathBuf,
        /// Bytes still to come.
        needed: Option<u64>,
        /// Bytes free.
        free: Option<u64>,
    },
    /// Anything else the file system refuses.
    #[error(
        "could not {action} {path}: {cause}; check its permissions, or set HF_HUB_CACHE to another folder"
    )]
    File {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
}

impl HubError {
    /// Turns a refusal of the file system into its own variant; a full disk has one of its own.
    pub(super) fn file(action: &'static str, path: &std::path::Path, cause: std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        match cause.kind() {
            StorageFull | QuotaExceeded => Self::DiskFull { path: path.into(), needed: None, free: None },
            _ => Self::File { action, path: path.into(), cause },
        }
    }

    /// The message without its remedy: for lines on something that is tried again anyway.
    pub fn what(&self) -> String {
        let message = self.to_string();
        message.split(';').next().unwrap_or_default().to_string()
    }

    /// Whether the hub could not be spoken to at all, so that random weights are a sensible way out.
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Stalled { .. } | Self::ServerFault { .. } => true,
            Self::Offline | Self::NotCached { .. } | Self::FileNotCached { .. } => true,
            Self::NoProgress { last, .. } => last.is_unreachable(),
            _ => false,
        }
    }
}

fn full(needed: Option<u64>, free: Option<u64>) -> String {
    match (needed, free) {
        (Some(needed), Some(free)) => {
            format!(" for this: {} still to come, {} free", units::bytes(needed), units::bytes(free))
        }
        _ => String::new(),
    }
}
