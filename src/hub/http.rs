//! One GET: with the token where it may go, redirects followed by hand, refusals turned into errors.
//!
//! Not here: trying again ([`super::patience`]), and what a body means.

use std::time::Duration;

use ureq::http::{HeaderMap, Uri, header};
use ureq::{Agent, Error};

use super::address::{Origin, endpoint_origin, follow};
use super::options::Token;
use super::patience::{Patience, whole};
use super::{HubError, HubOptions};

/// Redirects followed for one request. Hub, renamed repository and storage need three.
const MOST_REDIRECTS: usize = 10;

/// Speaks to the hub and to wherever it sends us.
pub(super) struct Client {
    agent: Agent,
    endpoint: String,
    origin: Origin,
    token: Option<Token>,
}

/// What a request is about: refusals are explained in these terms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    pub(super) repo: &'a str,
    pub(super) revision: &'a str,
    pub(super) file: Option<&'a str>,
}

/// A response with status 2xx, its body not read yet.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: ureq::BodyReader<'static>,
    /// The address that answered, after all redirects: for relative links in it.
    pub(super) uri: Uri,
    /// `host:port` of it, for messages.
    pub(super) host: String,
    /// Longest wait for a byte of the body.
    stall: Duration,
}

impl Answer {
    /// What it means that reading the body failed; `None` if it only ended too early.
    pub(super) fn body_failure(&self, error: std::io::Error) -> Option<HubError> {
        match Error::from(error) {
            Error::Io(_) => None,
            other => Some(failure(other, self.host.clone(), self.stall)),
        }
    }
}

impl Client {
    pub(super) fn new(options: &HubOptions) -> Result<Self, HubError> {
        let origin = endpoint_origin(&options.endpoint)?;
        // A header built from a bad token would be refused by ureq with the token in the message.
        let token = options.token.clone();
        if token.as_ref().is_some_and(|t| ureq::http::HeaderValue::from_str(&t.header()).is_err()) {
            return Err(HubError::BadToken);
        }
        let config = Agent::config_builder()
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            // What a broken server sends after a body must not be read as the next response.
            .max_idle_connections(0)
            .accept_encoding("identity")
            .user_agent(concat!("ctxbench/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { agent: config.into(), endpoint: options.endpoint.clone(), origin, token })
    }

    /// The address of `path` (escaped, with a slash in front) on the hub.
    pub(super) fn address(&self, path: &str) -> Result<Uri, HubError> {
        let text = format!("{}{path}", self.endpoint);
        text.parse().map_err(|_| HubError::BadEndpoint { reason: "it makes no valid addresses".into() })
    }

    /// `host:port` of the hub, for messages.
    pub(super) fn host(&self) -> String {
        self.origin.to_string()
    }

    /// Gets `uri`, from byte `from` on if that is not zero, following redirects.
    pub(super) fn get(
        &self,
        uri: &Uri,
        from: u64,
        subject: Subject<'_>,
        patience: &Patience<'_>,
    ) -> Result<Answer, HubError> {
        let mut uri = uri.clone();
        let mut origin = self.origin_of(&uri)?;
        for _ in 0..=MOST_REDIRECTS {
            let response = self.send(&uri, &origin, from, patience)?;
            let status = response.status().as_u16();
            match status {
                301 | 302 | 303 | 307 | 308 => {
                    let next = target(&uri, &origin, response.headers())?;
                    origin = self.origin_of(&next)?;
                    uri = next;
                }
                200..=299 => {
                    let (parts, body) = response.into_parts();
                    let (body, host, stall) =
                        (body.into_reader(), origin.to_string(), patience.timeouts().stall);
                    return Ok(Answer { status, headers: parts.headers, body, uri, host, stall });
                }
                _ => return Err(self.refusal(status, response.headers(), &origin, subject)),
            }
        }
        Err(HubError::BadRedirect { host: origin.to_string(), reason: "too many in a row".into() })
    }

    /// Whether the hub answers at all within `limit`. Any answer but a server fault counts.
    pub(super) fn probe(&self, limit: Duration) -> Result<(), HubError> {
        let uri = self.address("/")?;
        let mut request = self.agent.head(&uri).config().timeout_global(Some(limit));
        if self.origin.is_loopback() {
            request = request.proxy(None);
        }
        let response = request.build().call().map_err(|e| failure(e, self.host(), limit))?;
        match response.status().as_u16() {
            status @ (407 | 500..) => Err(HubError::ServerFault { host: self.host(), status }),
            _ => Ok(()),
        }
    }

    fn send(
        &self,
        uri: &Uri,
        origin: &Origin,
        from: u64,
        patience: &Patience<'_>,
    ) -> Result<ureq::http::Response<ureq::Body>, HubError> {
        let limits = patience.timeouts();
        let mut request = self
            .agent
            .get(uri)
            .config()
            .timeout_resolve(Some(limits.connect))
            .timeout_connect(Some(limits.connect))
            .timeout_send_request(Some(limits.stall))
            .timeout_recv_response(Some(limits.stall))
            .timeout_per_read(Some(limits.stall));
        if origin.is_loopback() {
            request = request.proxy(None);
        }
        let mut request = request.build();
        if let Some(token) = self.token.as_ref().filter(|_| *origin == self.origin) {
            request = request.header(header::AUTHORIZATION, token.header());
        }
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        request.call().map_err(|error| failure(error, origin.to_string(), limits.stall))
    }

    fn origin_of(&self, uri: &Uri) -> Result<Origin, HubError> {
        Origin::of(uri).ok_or_else(|| HubError::BadRedirect {
            host: self.host(),
            reason: "the address is not http or https".into(),
        })
    }

    /// The error that a status of 3xx without a target, 4xx or 5xx stands for.
    fn refusal(&self, status: u16, headers: &HeaderMap, origin: &Origin, subject: Subject<'_>) -> HubError {
        let host = origin.to_string();
        let repo = subject.repo.to_string();
        let token_sent = self.token.is_some();
        match (status, text(headers, "x-error-code")) {
            (429, _) => HubError::RateLimited { retry_after: retry_after(headers) },
            (408 | 500.., _) => HubError::ServerFault { host, status },
            (_, Some("GatedRepo")) => HubError::Gated { repo, token_sent },
            (_, Some("RepoNotFound")) => HubError::RepoNotFound { repo, token_sent },
            (_, Some("RevisionNotFound")) => subject.no_revision(),
            (_, Some("EntryNotFound")) => subject.not_found(token_sent),
            (401 | 403 | 404 | 410, None) if *origin != self.origin => {
                HubError::StorageRefused { host, status }
            }
            (401, _) => HubError::Unauthorized { repo, token_sent },
            (403, _) => HubError::Forbidden { repo, detail: self.detail(headers) },
            (404, _) => subject.not_found(token_sent),
            _ => HubError::UnexpectedStatus { host, status, detail: self.detail(headers) },
        }
    }

    /// What the server says of its refusal: one line, at most 200 characters, without the token.
    fn detail(&self, headers: &HeaderMap) -> String {
        let Some(message) = text(headers, "x-error-message") else { return String::new() };
        let hidden = self.token.as_ref().map_or(message.into(), |token| token.hide_in(message));
        let line: String = hidden.chars().filter(|c| !c.is_control()).take(200).collect();
        format!(" (it says: {line})")
    }
}

impl Subject<'_> {
    fn no_revision(&self) -> HubError {
        HubError::RevisionNotFound { repo: self.repo.into(), revision: self.revision.into() }
    }

    fn not_found(&self, token_sent: bool) -> HubError {
        match self.file {
            Some(name) => HubError::FileNotFound {
                repo: self.repo.into(),
                revision: self.revision.into(),
                name: name.into(),
            },
            None => HubError::RepoNotFound { repo: self.repo.into(), token_sent },
        }
    }
}

/// The value of a header, if it is plain text.
pub(super) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// From `Retry-After`, or from the public hub's own `RateLimit: "api";r=0;t=55`; in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let plain = text(headers, "retry-after").map(str::trim);
    let own = || text(headers, "ratelimit")?.split(';').find_map(|part| part.trim().strip_prefix("t="));
    plain.or_else(own)?.parse().ok().map(Duration::from_secs)
}

fn target(uri: &Uri, origin: &Origin, headers: &HeaderMap) -> Result<Uri, HubError> {
    let bad = |reason: &str| HubError::BadRedirect { host: origin.to_string(), reason: reason.into() };
    let location = text(headers, "location").ok_or_else(|| bad("no address is given"))?;
    let next = follow(uri, location).ok_or_else(|| bad("the address is not valid"))?;
    match Origin::of(&next) {
        Some(to) if origin.is_downgraded_by(&to) => Err(bad("from https to http")),
        Some(_) => Ok(next),
        None => Err(bad("the address is not http or https")),
    }
}

/// What a failed exchange with `host` means. Texts of ureq that may hold an address are not used.
fn failure(error: Error, host: String, waited: Duration) -> HubError {
    let cause = match error {
        Error::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect) => "no connection in time".into(),
        Error::Timeout(_) => return HubError::Stalled { host, waited: whole(waited) },
        Error::Io(error) => error.to_string(),
        Error::HostNotFound => "the host is not known".into(),
        Error::ConnectionFailed => "the connection failed".into(),
        Error::ConnectProxyFailed(_) => "the proxy refused the connection".into(),
        Error::InvalidProxyUrl => "the proxy's address is not valid".into(),
        Error::Tls(text) => text.into(),
        Error::Rustls(error) => error.to_string(),
        Error::Protocol(_) => return HubError::Malformed { host, reason: "it does not speak HTTP".into() },
        _ => "the exchange failed".into(),
    };
    HubError::Unreachable { host, cause }
}
