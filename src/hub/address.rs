//! Addresses: which server one belongs to, what a redirect means, how names are escaped.

use ureq::http::Uri;

use super::HubError;

/// Scheme, host and port: the unit that may see the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    /// The origin of an absolute http or https address.
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let default = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let host = uri.host()?.to_ascii_lowercase();
        Some(Self { host, port: uri.port_u16().unwrap_or(default), scheme })
    }

    /// Whether the server runs on this machine, where no proxy has a place.
    pub(super) fn is_loopback(&self) -> bool {
        let host = self.host.trim_matches(['[', ']']);
        host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
    }

    /// Whether going from here to `next` gives up encryption.
    pub(super) fn is_downgraded_by(&self, next: &Origin) -> bool {
        self.scheme == "https" && next.scheme == "http"
    }
}

/// `host:port` for messages; never a path or a query.
impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// The endpoint, checked: what `HF_ENDPOINT` said, without a slash at its end.
pub(super) fn endpoint_origin(endpoint: &str) -> Result<Origin, HubError> {
    let bad = |reason: &str| HubError::BadEndpoint { reason: reason.into() };
    // The value is not repeated in the message: it may hold a password.
    let uri: Uri = endpoint.parse().map_err(|_| bad("it is not a web address"))?;
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(bad("it holds a user name or password (use HF_TOKEN instead)"));
    }
    if uri.query().is_some() {
        return Err(bad("it holds a query"));
    }
    Origin::of(&uri).ok_or_else(|| bad("it does not begin with http:// or https:// and a host"))
}

/// Where `location`, absolute or relative, leads from `base`. Spaces are escaped, as browsers do.
pub(super) fn follow(base: &Uri, location: &str) -> Option<Uri> {
    let location = location.trim().replace(' ', "%20");
    let location = location.as_str();
    let scheme = base.scheme_str()?;
    let authority = base.authority()?.as_str();
    if location.contains("://") && !location.starts_with(['/', '?']) {
        return location.parse().ok();
    }
    if let Some(rest) = location.strip_prefix("//") {
        return format!("{scheme}://{rest}").parse().ok();
    }
    let path = match location.strip_prefix('/') {
        Some(rest) => format!("/{rest}"),
        None if location.starts_with('?') => format!("{}{location}", base.path()),
        None => {
            let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{folder}/{location}")
        }
    };
    format!("{scheme}://{authority}{path}").parse().ok()
}

/// Escapes a revision, which is one segment of an address: `refs/pr/1` becomes `refs%2Fpr%2F1`.
pub(super) fn escape_segment(text: &str) -> String {
    text.bytes().map(escape).collect()
}

/// Escapes a path inside a repository; its slashes stay.
pub(super) fn escape_path(path: &str) -> String {
    path.split('/').map(escape_segment).collect::<Vec<_>>().join("/")
}

fn escape(byte: u8) -> String {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn another_port_or_scheme_is_another_origin() {
        let origin = |text| Origin::of(&uri(text)).unwrap();
        assert_eq!(origin("https://Hub.example/a"), origin("https://hub.example:443/b?c"));
        assert_ne!(origin("http://hub.example"), origin("http://hub.example:8080"));
        assert_ne!(origin("http://hub.example:443"), origin("https://hub.example"));
        assert_ne!(origin("https://hub.example"), origin("https://hub.example.evil"));
        assert_eq!(Origin::of(&uri("ftp://hub.example/")), None);
        assert!(origin("https://hub.example").is_downgraded_by(&origin("http://hub.example")));
    }

    #[test]
    fn loopback_is_recognised_in_each_spelling() {
        for local in ["http://127.0.0.1:1", "http://127.8.8.8", "http://localhost:2", "http://[::1]:3"] {
            assert!(Origin::of(&uri(local)).unwrap().is_loopback(), "{local}");
        }
        assert!(!Origin::of(&uri("http://127.0.0.1.example")).unwrap().is_loopback());
    }

    #[test]
    fn redirects_are_followed_as_browsers_do() {
        let base = uri("http://h:1/old/name/resolve/main/f?x=1");
        let go = |location| follow(&base, location).unwrap().to_string();
        assert_eq!(go("/o/name/f?s=2"), "http://h:1/o/name/f?s=2");
        assert_eq!(go("https://cdn/x?sig=a://b"), "https://cdn/x?sig=a://b");
        assert_eq!(go("//cdn/x"), "http://cdn/x");
        assert_eq!(go("g"), "http://h:1/old/name/resolve/main/g");
        assert_eq!(go(" /a b "), "http://h:1/a%20b");
        assert_eq!(go("?y=2"), "http://h:1/old/name/resolve/main/f?y=2");
        assert!(follow(&base, "http://[broken").is_none());
    }

    #[test]
    fn endpoints_with_secrets_or_without_a_host_are_refused_unseen() {
        for wrong in ["hub.example", "ftp://hub", "http://", "http://u:secret@hub", "http://hub?secret=1", ""]
        {
            let message = endpoint_origin(wrong).unwrap_err().to_string();
            assert!(!message.contains("secret"), "{message}");
        }
        assert!(endpoint_origin("http://hub.example/mirror").is_ok());
    }

    #[test]
    fn names_are_escaped_for_addresses() {
        assert_eq!(escape_segment("refs/pr/1"), "refs%2Fpr%2F1");
        assert_eq!(escape_path("sub dir/ä#?.json"), "sub%20dir/%C3%A4%23%3F.json");
    }
}
