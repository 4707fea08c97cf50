//! A stand-in hub on loopback: model info, file list, contents, and storage on a second port, with faults.
//!
//! It serves the same files under any repository name, at one commit, and remembers each request.
//! Used by several test programs, each of which uses a part of it.
#![allow(dead_code, reason = "each test program uses its own part")]

mod faults;
mod serve;

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

pub use faults::{Does, Fault, Place};

/// The commit of every repository here.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A file that the hub has.
#[derive(Clone, Debug)]
pub struct HubFile {
    pub name: String,
    pub content: Vec<u8>,
    /// Kept in storage, on the other port, and listed with its SHA-256.
    pub large: bool,
    /// Size in the file list, if that is to be a lie.
    pub listed_bytes: Option<u64>,
}

impl HubFile {
    /// A file kept in git.
    pub fn small(name: &str, content: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), content: content.into(), large: false, listed_bytes: None }
    }

    /// A file kept in storage.
    pub fn large(name: &str, content: impl Into<Vec<u8>>) -> Self {
        Self { large: true, ..Self::small(name, content) }
    }

    /// The hash the hub lists, which is the name of the blob in the cache.
    pub fn digest(&self) -> String {
        match self.large {
            true => sha256(&self.content),
            false => git_id(&self.content),
        }
    }
}

/// SHA-256 in hex.
pub fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Git's id of a blob, in hex.
pub fn git_id(content: &[u8]) -> String {
    let mut sha1 = Sha1::new();
    sha1.update(format!("blob {}\0", content.len()));
    sha1.update(content);
    sha1.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Which of the two servers was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    Hub,
    Storage,
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub struct Seen {
    pub server: Server,
    pub method: String,
    /// Path and query.
    pub target: String,
    pub headers: Vec<(String, String)>,
}

impl Seen {
    /// The value of a header; the name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Default)]
struct State {
    files: Vec<HubFile>,
    faults: Vec<Fault>,
    seen: Vec<Seen>,
    released: bool,
    page: usize,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    storage: SocketAddr,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A running hub. Its threads end with the test program.
pub struct StandInHub {
    shared: Arc<Shared>,
    hub: SocketAddr,
}

impl StandInHub {
    /// Starts both servers on free ports of 127.0.0.1.
    pub fn start(files: Vec<HubFile>, faults: Vec<Fault>) -> Self {
        let [hub, storage] =
            [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("loopback has a free port"));
        let address = |listener: &TcpListener| listener.local_addr().expect("it is bound");
        let state = State { files, faults, page: 1000, ..State::default() };
        let shared =
            Arc::new(Shared { state: state.into(), changed: Condvar::new(), storage: address(&storage) });
        let running = Self { shared: shared.clone(), hub: address(&hub) };
        serve::listen(hub, Server::Hub, shared.clone());
        serve::listen(storage, Server::Storage, shared);
        running
    }

    /// For `HF_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.hub)
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.lock().seen.clone()
    }

    /// Requests for the content of a file: those to storage for a large one, to the hub for a small one.
    pub fn transfers(&self, name: &str) -> Vec<Seen> {
        let large = self.shared.lock().files.iter().any(|file| file.name == name && file.large);
        let server = if large { Server::Storage } else { Server::Hub };
        let of_file = |seen: &Seen| {
            let path = seen.target.split('?').next().unwrap_or_default();
            seen.server == server && !path.starts_with("/api/") && path.ends_with(&format!("/{name}"))
        };
        self.requests().into_iter().filter(of_file).collect()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.shared.lock().seen.clear();
    }

    /// Replaces the faults.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        self.shared.lock().faults = faults;
    }

    /// Entries on a page of the file list.
    pub fn set_page(&self, entries: usize) {
        self.shared.lock().page = entries;
    }

    /// Waits until a request of that kind has come.
    pub fn wait_for(&self, wanted: impl Fn(&Seen) -> bool) {
        let state = self.shared.lock();
        let waited = self.shared.changed.wait_while(state, |state| !state.seen.iter().any(&wanted));
        drop(waited);
    }

    /// Lets go of everything that [`Does::Hold`] holds, now and later.
    pub fn release(&self) {
        self.shared.lock().released = true;
        self.shared.changed.notify_all();
    }
}
