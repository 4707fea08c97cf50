//! One request to Pinecone, tried again where that may help, and refusals turned into sentences.
//!
//! Redirects are not followed: the key goes where it was meant to go. Connections are kept, as a user's client
//! would keep them, so that a search pays for its own exchange alone.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::{Request, Response, Uri, header};
use ureq::{Agent, Body, Error};

use super::options::{PineconeOptions, is_loopback};
use crate::retrieval::RetrievalError;

/// The protocol's version that is spoken, by its date.
const API_VERSION: &str = "2025-10";

/// Longest answer that is read; 10,000 hits and 100 texts of 40 KB each are below it.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// Speaks to one host of Pinecone.
pub(super) struct Client {
    agent: Agent,
    options: PineconeOptions,
    /// Scheme, host and port.
    base: String,
}

/// Why one try failed.
pub(super) struct Refusal {
    /// `None` where nobody answered.
    pub(super) status: Option<u16>,
    pub(super) sentence: String,
    /// What the server says of when to come again.
    retry_after: Option<Duration>,
    passes: bool,
}

impl From<Refusal> for RetrievalError {
    fn from(refusal: Refusal) -> Self {
        Self::Store(refusal.sentence)
    }
}

impl Client {
    pub(super) fn new(options: &PineconeOptions, base: &str) -> Self {
        let config = Agent::config_builder()
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_global(Some(options.limits.exchange))
            .user_agent(concat!("ctxbench/", env!("CARGO_PKG_VERSION")));
        let config = match base.parse::<Uri>() {
            Ok(uri) if is_loopback(&uri) => config.proxy(None),
            _ => config,
        };
        Self { agent: config.build().into(), options: options.clone(), base: base.into() }
    }

    /// The host, for messages.
    pub(super) fn host(&self) -> &str {
        self.base.split("://").last().unwrap_or_default()
    }

    /// GET of `path`, which starts with a slash and may have a query.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str, doing: &str) -> Result<T, Refusal> {
        self.tried("GET", path, "", doing)
    }

    /// POST of a JSON text.
    pub(super) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &str,
        doing: &str,
    ) -> Result<T, Refusal> {
        self.tried("POST", path, body, doing)
    }

    fn tried<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: &str,
        doing: &str,
    ) -> Result<T, Refusal> {
        let limits = self.options.limits;
        let mut failures = 0;
        loop {
            let refusal = match self.exchange(method, path, body, doing) {
                Ok(text) => return self.understood(&text, doing),
                Err(refusal) => refusal,
            };
            failures += 1;
            let wait = refusal.retry_after.unwrap_or_else(|| limits.wait_after(failures));
            if !refusal.passes || failures >= limits.tries || wait > limits.longest_wait {
                return Err(self.given_up(refusal, failures));
            }
            std::thread::sleep(wait);
        }
    }

    /// The body of an answer with status 2xx.
    fn exchange(&self, method: &str, path: &str, body: &str, doing: &str) -> Result<String, Refusal> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("Api-Key", self.options.key.header())
            .header("X-Pinecone-Api-Version", API_VERSION)
            .header(header::ACCEPT, "application/json");
        let answer = match method {
            "GET" => request.body(()).map(|request| self.agent.run(request)),
            _ => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(body)
                .map(|request| self.agent.run(request)),
        };
        // An `http::Error` may repeat the address; the key is in none, but its text would explain nothing.
        let answer = answer.map_err(|_| self.refused(doing, "the request cannot be written"))?;
        let mut answer = answer.map_err(|error| self.unanswered(doing, error))?;
        let text = answer.body_mut().with_config().limit(MOST_BYTES).read_to_string();
        match answer.status().as_u16() {
            200..=299 => text.map_err(|error| self.unanswered(doing, error)),
            _ => Err(self.refusal(doing, &answer, &text.unwrap_or_default())),
        }
    }

    fn understood<T: DeserializeOwned>(&self, text: &str, doing: &str) -> Result<T, Refusal> {
        serde_json::from_str(text).map_err(|error| {
            let why = format!("the answer is not what version {API_VERSION} of its protocol says ({error})");
            self.refused(doing, &why)
        })
    }

    /// What a status other than 2xx means.
    fn refusal(&self, doing: &str, answer: &Response<Body>, body: &str) -> Refusal {
        let status = answer.status().as_u16();
        let said = said(body).map(|text| format!(" (it says: {text})")).unwrap_or_default();
        let why = match status {
            401 => {
                "the key in PINECONE_API_KEY is not accepted; copy it again from Pinecone's console".into()
            }
            403 => {
                format!("the key in PINECONE_API_KEY may not do this{said}; use a key of the index's project")
            }
            429 => format!("too many requests for this account's plan{said}; try again later"),
            300..=399 => format!("it points elsewhere (status {status}), where the key is not sent"),
            500.. => format!("the server has a fault (status {status}){said}; try again later"),
            _ => format!("status {status}{said}"),
        };
        let retry_after = answer.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        Refusal {
            status: Some(status),
            retry_after: retry_after.map(Duration::from_secs),
            passes: matches!(status, 408 | 429 | 500..),
            ..self.refused(doing, &why)
        }
    }

    /// What a failed exchange means. Texts of ureq that may hold an address are not used.
    fn unanswered(&self, doing: &str, error: Error) -> Refusal {
        let why = match error {
            Error::Timeout(_) => format!("no answer within {:?}", self.options.limits.exchange),
            Error::Io(error) => error.to_string(),
            Error::HostNotFound => "the host is not known".into(),
            Error::ConnectionFailed => "the connection failed".into(),
            Error::ConnectProxyFailed(_) => "the proxy refused the connection".into(),
            Error::Tls(text) => text.into(),
            Error::Rustls(error) => error.to_string(),
            Error::Protocol(_) => "it does not speak HTTP".into(),
            Error::BodyExceedsLimit(_) => "the answer is too long".into(),
            _ => "the exchange failed".into(),
        };
        Refusal { passes: true, ..self.refused(doing, &why) }
    }

    fn refused(&self, doing: &str, why: &str) -> Refusal {
        let sentence = format!("{doing} failed at Pinecone ({}): {why}", self.host());
        let sentence = self.options.key.hide_in(&sentence);
        Refusal { status: None, sentence, retry_after: None, passes: false }
    }

    fn given_up(&self, mut refusal: Refusal, tries: u32) -> Refusal {
        if tries > 1 {
            refusal.sentence.push_str(&format!("; given up after {tries} tries"));
        }
        refusal
    }
}

/// What the server says of its refusal: one line, at most 200 characters.
fn said(body: &str) -> Option<String> {
    let json: Option<Value> = serde_json::from_str(body).ok();
    let json = json.as_ref();
    let of_control_plane = || json?.get("error")?.get("message")?.as_str();
    let of_index = || json?.get("message")?.as_str();
    let text = of_control_plane().or_else(of_index)?;
    let line: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    (!line.is_empty()).then_some(line)
}
