//! The two servers: a thread for each connection, one request on each.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use serde_json::json;

use super::{COMMIT, Does, HubFile, Place, Seen, Server, Shared};

/// Serves until the program ends.
pub fn listen(listener: TcpListener, server: Server, shared: Arc<Shared>) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let shared = shared.clone();
            // Clients that go away in the middle are part of the tests.
            thread::spawn(move || _ = Conversation { stream, shared, with_body: true }.answer(server));
        }
    });
}

struct Conversation {
    stream: TcpStream,
    shared: Arc<Shared>,
    /// Not in answer to HEAD.
    with_body: bool,
}

type Headers<'a> = &'a [(&'a str, String)];

impl Conversation {
    fn answer(&mut self, server: Server) -> io::Result<()> {
        let Some(seen) = read_request(&self.stream, server)? else { return Ok(()) };
        self.with_body = seen.method != "HEAD";
        let target = seen.target.clone();
        let range = seen.header("range").map(Into::into);
        self.shared.lock().seen.push(seen);
        self.shared.changed.notify_all();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let path = unescape(path);
        match server {
            Server::Storage => match path.strip_prefix("/storage/").and_then(|name| self.file(name)) {
                Some(file) => self.content(&file, range, &[]),
                None => self.reply(404, &[], b"<Error>NoSuchKey</Error>"),
            },
            Server::Hub => self.hub(&path, query, range),
        }
    }

    fn hub(&mut self, path: &str, query: &str, range: Option<String>) -> io::Result<()> {
        let inner = path.trim_start_matches("/api/models").trim_start_matches('/');
        let repo = inner.splitn(3, '/').take(2).collect::<Vec<_>>().join("/");
        let rest = inner.strip_prefix(&repo).unwrap_or_default().to_string();
        if let Some(does) = self.fault(|place| matches!(place, Place::Repo(name) if *name == repo)) {
            return self.misbehave(does);
        }
        if repo == "old/name" {
            let location = ("Location", path.replacen("old/name", "new/name", 1));
            return self.reply(307, &[location], b"Temporary Redirect");
        }
        if rest.starts_with("/revision/") {
            return self.info(&repo);
        }
        if rest.starts_with("/tree/") {
            return self.tree(path, query);
        }
        match rest.strip_prefix("/resolve/").and_then(|rest| rest.split_once('/')) {
            Some((_, name)) => self.resolve(name, range),
            None => self.reply(if path == "/" { 200 } else { 404 }, &[], b"?"),
        }
    }

    fn info(&mut self, repo: &str) -> io::Result<()> {
        if let Some(does) = self.fault(|place| *place == Place::Info) {
            return self.misbehave(does);
        }
        let names: Vec<_> = self.shared.lock().files.iter().map(|f| json!({"rfilename": f.name})).collect();
        let card = json!({"license": "apache-2.0"});
        let info = json!({"_id": "1", "id": repo, "sha": COMMIT, "gated": false, "siblings": names, "cardData": card});
        self.reply(200, &[], info.to_string().as_bytes())
    }

    fn tree(&mut self, path: &str, query: &str) -> io::Result<()> {
        if let Some(does) = self.fault(|place| *place == Place::Tree) {
            return self.misbehave(does);
        }
        let first: usize =
            query.split('&').find_map(|q| q.strip_prefix("cursor=")?.parse().ok()).unwrap_or(0);
        let (entries, end) = {
            let state = self.shared.lock();
            let end = state.files.len().min(first.saturating_add(state.page));
            (state.files[first..end].iter().map(entry).collect::<Vec<_>>(), end == state.files.len())
        };
        let next = first + entries.len();
        let link = ("Link", format!("<{path}?recursive=true&cursor={next}>; rel=\"next\""));
        let body = json!(entries).to_string();
        self.reply(200, if end { &[] } else { std::slice::from_ref(&link) }, body.as_bytes())
    }

    fn resolve(&mut self, name: &str, range: Option<String>) -> io::Result<()> {
        if let Some(does) = self.fault(|place| matches!(place, Place::Resolve(n) if *n == name)) {
            return self.misbehave(does);
        }
        let Some(file) = self.file(name) else {
            return self.reply(404, &[("X-Error-Code", "EntryNotFound".into())], b"Entry not found");
        };
        let tag = format!("\"{}\"", file.digest());
        let commit = ("X-Repo-Commit", COMMIT.to_string());
        if !file.large {
            return self.content(&file, range, &[commit, ("ETag", tag)]);
        }
        let location =
            format!("http://{}/storage/{name}?signature=secret-of-the-storage", self.shared.storage);
        let size = ("X-Linked-Size", file.content.len().to_string());
        let xet = ("X-Xet-Hash", "a".repeat(64));
        self.reply(302, &[("Location", location), commit, size, ("X-Linked-ETag", tag), xet], b"Found")
    }

    fn content(&mut self, file: &HubFile, range: Option<String>, headers: Headers<'_>) -> io::Result<()> {
        let does = self.fault(|place| matches!(place, Place::Content(name) if *name == file.name));
        let whole = &file.content[..];
        let asked = range.and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
        match does {
            Some(Does::IgnoreRange) => return self.reply(200, headers, whole),
            Some(Does::WrongRange) if asked.is_some() => return self.part(0, whole, whole.len(), headers),
            Some(Does::Corrupt) => {
                let other: Vec<u8> = whole.iter().map(|byte| byte ^ 1).collect();
                return self.reply(200, headers, &other);
            }
            Some(Does::Longer(by)) => return self.reply(200, headers, &[whole, &vec![b'x'; by]].concat()),
            Some(Does::LongerChunked(by)) => return self.chunked(&[whole, &vec![b'x'; by]].concat()),
            Some(Does::CutChunked(after)) => return self.chunked(&whole[..after]),
            Some(Does::Cut(after)) => return self.begin(headers, whole, after),
            Some(Does::Stall(after)) => {
                self.begin(headers, whole, after)?;
                return self.until_the_client_goes();
            }
            Some(Does::Hold(after)) => {
                self.begin(headers, whole, after)?;
                self.until_released();
                return self.stream.write_all(&whole[after..]);
            }
            Some(other) => return self.misbehave(other),
            None => {}
        }
        match asked {
            Some(first) if first < whole.len() => self.part(first, &whole[first..], whole.len(), headers),
            Some(_) => self.reply(416, &[], b"Range Not Satisfiable"),
            None => self.reply(200, headers, whole),
        }
    }

    fn part(&mut self, first: usize, part: &[u8], total: usize, headers: Headers<'_>) -> io::Result<()> {
        let range = format!("bytes {first}-{}/{total}", first + part.len() - 1);
        self.reply(206, &[headers, &[("Content-Range", range)]].concat(), part)
    }

    fn misbehave(&mut self, does: Does) -> io::Result<()> {
        match does {
            Does::Answer(status, headers) => {
                let headers: Vec<_> = headers.iter().map(|(n, value)| (*n, value.to_string())).collect();
                self.reply(status, &headers, b"this is the body of an error")
            }
            Does::Say(text) => self.reply(200, &[], text.as_bytes()),
            Does::Stall(_) => self.until_the_client_goes(),
            other => panic!("{other:?} has no meaning here"),
        }
    }

    fn until_the_client_goes(&mut self) -> io::Result<()> {
        self.stream.read(&mut [0]).map(|_| ())
    }

    fn until_released(&self) {
        drop(self.shared.changed.wait_while(self.shared.lock(), |state| !state.released));
    }

    /// The head of a response with all of `whole`, and the first bytes of it.
    fn begin(&mut self, headers: Headers<'_>, whole: &[u8], bytes: usize) -> io::Result<()> {
        let length = ("Content-Length", whole.len().to_string());
        self.head(200, &[headers, &[length]].concat())?;
        self.stream.write_all(&whole[..bytes])
    }

    fn chunked(&mut self, body: &[u8]) -> io::Result<()> {
        self.head(200, &[("Transfer-Encoding", "chunked".into())])?;
        write!(self.stream, "{:x}\r\n", body.len())?;
        self.stream.write_all(body)?;
        self.stream.write_all(b"\r\n0\r\n\r\n")
    }

    fn reply(&mut self, status: u16, headers: Headers<'_>, body: &[u8]) -> io::Result<()> {
        self.head(status, &[headers, &[("Content-Length", body.len().to_string())]].concat())?;
        self.stream.write_all(if self.with_body { body } else { &[] })
    }

    fn head(&mut self, status: u16, headers: Headers<'_>) -> io::Result<()> {
        let mut head = format!("HTTP/1.1 {status} Whatever\r\nConnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        self.stream.write_all((head + "\r\n").as_bytes())
    }

    fn file(&self, name: &str) -> Option<HubFile> {
        self.shared.lock().files.iter().find(|file| file.name == name).cloned()
    }

    fn fault(&self, here: impl Fn(&Place) -> bool) -> Option<Does> {
        let mut state = self.shared.lock();
        let fault = state.faults.iter_mut().find(|fault| fault.times > 0 && here(&fault.at))?;
        fault.times -= 1;
        Some(fault.does.clone())
    }
}

fn entry(file: &HubFile) -> serde_json::Value {
    let size = file.listed_bytes.unwrap_or(file.content.len() as u64);
    let mut entry = json!({"type": "file", "oid": git_pointer(file), "size": size, "path": file.name});
    if file.large {
        entry["lfs"] = json!({"oid": file.digest(), "size": size, "pointerSize": 134});
    }
    entry
}

/// Git's own id of a file: for a large one, that of a pointer, which says nothing of its content.
fn git_pointer(file: &HubFile) -> String {
    if file.large { "d".repeat(40) } else { file.digest() }
}

fn read_request(stream: &TcpStream, server: Server) -> io::Result<Option<Seen>> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let Some(first) = lines.next().transpose()? else { return Ok(None) };
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut seen = Seen { server, method: method.into(), target: target.into(), headers: Vec::new() };
    for line in lines {
        let line = line?;
        match line.split_once(':') {
            Some((name, value)) => seen.headers.push((name.to_ascii_lowercase(), value.trim().into())),
            None => break,
        }
    }
    Ok(Some(seen))
}

fn unescape(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = (*first == b'%').then(|| std::str::from_utf8(tail.get(..2)?).ok()).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
