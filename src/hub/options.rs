//! Where the hub is, where its cache is, who asks, and how long to wait.
//!
//! Comes in: environment variables, through a lookup that tests replace. Goes out: [`HubOptions`].
//! The variables and their order are those of Python's `huggingface_hub`. Not here: any request.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::HubError;

/// Endpoint used when `HF_ENDPOINT` is not set.
const PUBLIC_ENDPOINT: &str = "https://huggingface.co";

/// Everything a [`super::Hub`] needs to know.
#[derive(Clone, Debug)]
pub struct HubOptions {
    /// Scheme, host and port, and a path where a mirror has one: `https://huggingface.co`.
    pub endpoint: String,
    /// Folder of the cache, laid out as Python's `huggingface_hub` does it.
    pub cache: PathBuf,
    /// Who asks. Sent to the endpoint only.
    pub token: Option<Token>,
    /// Use the cache only; make no request at all.
    pub offline: bool,
    /// When files that are in the cache already are hashed again.
    pub recheck: Recheck,
    /// How long to wait for what.
    pub limits: Limits,
    /// Free bytes on the file system that holds a path, for this user; `None` where that is unknown.
    pub free_bytes: fn(&Path) -> Option<u64>,
}

/// When the hash of a cached file is taken again. Its size is compared always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recheck {
    /// If it was never verified here, or its size or time of change differs from then.
    Changed,
    /// Each time.
    Always,
}

/// How long to wait. Tests use milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For a host name to be resolved and, separately, for a connection to stand.
    pub connect: Duration,
    /// Without a byte: longer is a stall, and the request is made again.
    pub stall: Duration,
    /// Without any progress, over all tries and waits of one file: longer, and it is given up.
    pub no_progress: Duration,
    /// First wait before another try; each further wait is twice as long.
    pub first_wait: Duration,
    /// No wait is longer; a `Retry-After` beyond it ends the fetch.
    pub longest_wait: Duration,
    /// Tries of one request that bring nothing new, the first included.
    pub tries: u32,
    /// For the whole of [`super::Hub::reachable`].
    pub probe: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(20),
            no_progress: Duration::from_secs(90),
            first_wait: Duration::from_millis(250),
            longest_wait: Duration::from_secs(30),
            tries: 6,
            probe: Duration::from_secs(4),
        }
    }
}

/// An access token. Neither `Debug` nor any message of this room shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token without white space around or line breaks in it; `None` if nothing is left.
    pub fn new(text: &str) -> Option<Self> {
        let clean = text.replace(['\r', '\n'], "").trim().to_string();
        (!clean.is_empty()).then_some(Self(clean))
    }

    pub(super) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// `text` with the token, should a server have echoed it, taken out.
    pub(super) fn hide_in(&self, text: &str) -> String {
        text.replace(&self.0, "<token>")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

impl HubOptions {
    /// What the environment of this process says.
    pub fn from_environment() -> Result<Self, HubError> {
        Self::from_lookup(&|name| std::env::var(name).ok())
    }

    /// What `lookup` says of `HF_ENDPOINT`, `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`, `HF_HOME`,
    /// `XDG_CACHE_HOME`, `HF_TOKEN`, `HF_TOKEN_PATH`, `HF_HUB_DISABLE_IMPLICIT_TOKEN` and
    /// `HF_HUB_OFFLINE`. Reads the token file, and nothing else.
    pub fn from_lookup(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, HubError> {
        let set = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        let folder = |name: &str| set(name).map(|value| expand_home(&value, lookup));
        let home = folder("HF_HOME").or_else(|| default_home(lookup));
        let cache = folder("HF_HUB_CACHE")
            .or_else(|| folder("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| home.as_ref().map(|home| home.join("hub")))
            .ok_or(HubError::NoCacheFolder)?;
        let token_file = folder("HF_TOKEN_PATH").or_else(|| home.map(|home| home.join("token")));
        let token = match is_true(set("HF_HUB_DISABLE_IMPLICIT_TOKEN")) {
            true => None,
            false => find_token(set("HF_TOKEN"), token_file.as_deref()),
        };
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| PUBLIC_ENDPOINT.into());
        Ok(Self {
            endpoint: endpoint.trim().trim_end_matches('/').into(),
            cache,
            token,
            offline: is_true(set("HF_HUB_OFFLINE")) || is_true(set("TRANSFORMERS_OFFLINE")),
            recheck: Recheck::Changed,
            limits: Limits::default(),
            free_bytes: super::disk::free_bytes,
        })
    }
}

fn find_token(variable: Option<String>, file: Option<&Path>) -> Option<Token> {
    let from_variable = variable.as_deref().and_then(Token::new);
    from_variable.or_else(|| Token::new(&std::fs::read_to_string(file?).ok()?))
}

fn default_home(lookup: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let caches = lookup("XDG_CACHE_HOME").filter(|value| !value.is_empty());
    let caches = match caches {
        Some(folder) => expand_home(&folder, lookup),
        None => user_home(lookup)?.join(".cache"),
    };
    Some(caches.join("huggingface"))
}

fn user_home(lookup: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    ["HOME", "USERPROFILE"].iter().find_map(|name| lookup(name)).filter(|h| !h.is_empty()).map(Into::into)
}

fn expand_home(value: &str, lookup: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    match (value.strip_prefix("~/"), user_home(lookup)) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => value.into(),
    }
}

fn is_true(value: Option<String>) -> bool {
    value.is_some_and(|v| ["1", "ON", "YES", "TRUE"].contains(&v.trim().to_ascii_uppercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(variables: &[(&str, &str)]) -> HubOptions {
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string());
        HubOptions::from_lookup(&find).unwrap()
    }

    #[test]
    fn the_cache_is_where_python_looks_for_it() {
        let cache = |variables: &[(&str, &str)]| options(variables).cache;
        assert_eq!(cache(&[("HOME", "/h")]), Path::new("/h/.cache/huggingface/hub"));
        assert_eq!(cache(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]), Path::new("/x/huggingface/hub"));
        assert_eq!(cache(&[("HOME", "/h"), ("HF_HOME", "~/hf")]), Path::new("/h/hf/hub"));
        assert_eq!(cache(&[("HF_HOME", "/hf"), ("HUGGINGFACE_HUB_CACHE", "/old")]), Path::new("/old"));
        assert_eq!(cache(&[("HF_HUB_CACHE", "/new"), ("HUGGINGFACE_HUB_CACHE", "/old")]), Path::new("/new"));
        assert!(matches!(HubOptions::from_lookup(&|_| None), Err(HubError::NoCacheFolder)));
    }

    #[test]
    fn endpoint_and_offline_follow_their_variables() {
        let plain = options(&[("HOME", "/h")]);
        assert_eq!((plain.endpoint.as_str(), plain.offline), (PUBLIC_ENDPOINT, false));
        let set = options(&[("HOME", "/h"), ("HF_ENDPOINT", "http://m:1/ "), ("HF_HUB_OFFLINE", "yes")]);
        assert_eq!((set.endpoint.as_str(), set.offline), ("http://m:1", true));
        assert!(!options(&[("HOME", "/h"), ("HF_HUB_OFFLINE", "0")]).offline);
    }

    #[test]
    fn the_token_comes_from_the_variable_then_the_file_and_is_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "hf_from_file\n").unwrap();
        let home = ("HF_HOME", folder.path().to_str().unwrap());
        assert_eq!(options(&[home]).token.unwrap().header(), "Bearer hf_from_file");
        let both = options(&[home, ("HF_TOKEN", " hf_secret\n")]);
        assert_eq!(both.token.as_ref().unwrap().header(), "Bearer hf_secret");
        assert!(!format!("{both:?}").contains("hf_secret"));
        assert_eq!(options(&[home, ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]).token, None);
        let elsewhere = [("HOME", "/h"), ("HF_TOKEN_PATH", file.to_str().unwrap())];
        assert!(options(&elsewhere).token.is_some());
        assert_eq!(Token::new(" \n"), None);
    }
}
