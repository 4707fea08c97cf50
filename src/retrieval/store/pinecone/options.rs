//! Which index, whose key, where Pinecone answers, and how long is waited for what.
//!
//! Comes in: environment variables, through a lookup that tests replace. Not here: any request.

use std::fmt;
use std::time::Duration;

use ureq::http::{HeaderValue, Uri};

use crate::retrieval::RetrievalError;

/// Where the control plane answers when `PINECONE_API_BASE` is not set.
const PUBLIC_BASE: &str = "https://api.pinecone.io";

/// An API key. Neither `Debug` nor any message shows it.
#[derive(Clone)]
pub struct ApiKey(String);

/// Name of an index: lower-case letters, digits and `-`, at most 45.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexName(String);

/// Everything a [`super::PineconeStore`] needs to know beside the index.
#[derive(Clone, Debug)]
pub struct PineconeOptions {
    /// Scheme and host of the control plane.
    pub base: String,
    /// Sent to the control plane, and to the host that it names for the index.
    pub key: ApiKey,
    /// How long to wait.
    pub limits: PineconeLimits,
}

/// How long to wait. Tests use milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PineconeLimits {
    /// For one whole exchange, from the name's resolution to the last byte.
    pub exchange: Duration,
    /// Tries of one request, the first included.
    pub tries: u32,
    /// First wait before another try or poll; each further wait is twice as long.
    pub first_wait: Duration,
    /// No wait is longer; a `Retry-After` beyond it is an error at once.
    pub longest_wait: Duration,
    /// How often the count of vectors is asked for after the last row.
    pub polls: u32,
}

impl Default for PineconeLimits {
    fn default() -> Self {
        Self {
            exchange: Duration::from_secs(30),
            tries: 5,
            first_wait: Duration::from_millis(250),
            longest_wait: Duration::from_secs(8),
            polls: 40,
        }
    }
}

impl PineconeLimits {
    /// The wait after so many failures in a row, from 1 on.
    pub(super) fn wait_after(&self, failures: u32) -> Duration {
        (self.first_wait * 2u32.saturating_pow(failures.saturating_sub(1).min(16))).min(self.longest_wait)
    }
}

impl IndexName {
    /// Errors with a sentence if this cannot be the name of an index.
    pub fn parse(name: &str) -> Result<Self, RetrievalError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let fits = (1..=45).contains(&name.len()) && name.chars().all(plain);
        fits.then(|| Self(name.into())).ok_or_else(|| {
            RetrievalError::Store(
                "this cannot name an index at Pinecone; a name has lower-case letters, digits and '-', at most 45 \
                 characters: write --store pinecone=INDEX, with the index's name and not its address"
                    .into(),
            )
        })
    }
}

impl fmt::Display for IndexName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ApiKey {
    fn parse(text: &str) -> Result<Self, RetrievalError> {
        let key = text.trim();
        let fits = !key.is_empty() && HeaderValue::from_str(key).is_ok();
        fits.then(|| Self(key.into())).ok_or_else(|| {
            RetrievalError::Store(
                "the key in PINECONE_API_KEY holds characters that no key has; copy it again from Pinecone's console"
                    .into(),
            )
        })
    }

    pub(super) fn header(&self) -> &str {
        &self.0
    }

    /// `text` with the key, should a server have echoed it, taken out.
    pub(super) fn hide_in(&self, text: &str) -> String {
        text.replace(&self.0, "<key>")
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(hidden)")
    }
}

impl PineconeOptions {
    /// What the environment of this process says.
    pub fn from_environment() -> Result<Self, RetrievalError> {
        Self::from_lookup(&|name| std::env::var(name).ok())
    }

    /// What `lookup` says of `PINECONE_API_KEY` and `PINECONE_API_BASE`.
    pub fn from_lookup(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, RetrievalError> {
        let set = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        let Some(key) = set("PINECONE_API_KEY") else {
            return Err(RetrievalError::Store(
                "the store 'pinecone' needs an API key; set the environment variable PINECONE_API_KEY to it, or \
                 choose --store embedded"
                    .into(),
            ));
        };
        let base = set("PINECONE_API_BASE").unwrap_or_else(|| PUBLIC_BASE.into());
        let base = base.trim().trim_end_matches('/').to_owned();
        if !may_carry_a_key(&base) {
            return Err(RetrievalError::Store(
                "the address in PINECONE_API_BASE is not https://HOST, nor http:// on this machine; the key is sent \
                 nowhere else"
                    .into(),
            ));
        }
        Ok(Self { base, key: ApiKey::parse(&key)?, limits: PineconeLimits::default() })
    }
}

/// Whether `base` is https, or http that never leaves this machine.
pub(super) fn may_carry_a_key(base: &str) -> bool {
    let Ok(uri) = base.parse::<Uri>() else { return false };
    let no_user = !uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    let safe = uri.scheme_str() == Some("https") || (uri.scheme_str() == Some("http") && is_loopback(&uri));
    no_user && safe && uri.host().is_some_and(|host| !host.is_empty())
}

/// Whether an address is this machine's own.
pub(super) fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(variables: &[(&str, &str)]) -> Result<PineconeOptions, RetrievalError> {
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string());
        PineconeOptions::from_lookup(&find)
    }

    #[test]
    fn a_missing_key_is_asked_for_and_a_given_one_is_never_shown() {
        let error = options(&[("PINECONE_API_KEY", " ")]).unwrap_err().to_string();
        assert!(error.contains("PINECONE_API_KEY"), "{error}");
        let given = options(&[("PINECONE_API_KEY", " pcsk_secret\n")]).unwrap();
        assert_eq!((given.key.header(), given.base.as_str()), ("pcsk_secret", PUBLIC_BASE));
        assert!(!format!("{given:?}").contains("pcsk_secret"));
        let broken = options(&[("PINECONE_API_KEY", "pcsk\nsecret")]).unwrap_err().to_string();
        assert!(broken.contains("console") && !broken.contains("secret"), "{broken}");
    }

    #[test]
    fn the_key_is_not_sent_in_clear_over_a_network() {
        let key = ("PINECONE_API_KEY", "k");
        for base in
            ["https://private.example/", "http://127.0.0.1:99", "http://localhost:5080", "http://[::1]:1"]
        {
            let given = options(&[key, ("PINECONE_API_BASE", base)]).unwrap();
            assert_eq!(given.base, base.trim_end_matches('/'));
        }
        for base in
            ["http://pinecone.example", "ftp://127.0.0.1", "pinecone.example", "https://u:p@h", "https://"]
        {
            let error = options(&[key, ("PINECONE_API_BASE", base)]).unwrap_err().to_string();
            assert!(error.contains("PINECONE_API_BASE"), "{base}: {error}");
        }
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let limits = PineconeLimits::default();
        let waits: Vec<u128> = [1, 2, 3, 6, 7, 99].map(|n| limits.wait_after(n).as_millis()).to_vec();
        assert_eq!(waits, [250, 500, 1000, 8000, 8000, 8000]);
    }

    #[test]
    fn an_index_is_named_by_a_plain_word() {
        assert_eq!(IndexName::parse("handbook-384").unwrap().to_string(), "handbook-384");
        for name in ["", "Handbook", "a/b", "a?b", "https://x", &"a".repeat(46)] {
            assert!(IndexName::parse(name).is_err(), "{name}");
        }
    }
}
