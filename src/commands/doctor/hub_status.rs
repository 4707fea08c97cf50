//! What the hub's settings are, where its cache is, and whether it answers.

use std::path::{Path, PathBuf};

use serde::Serialize;

/// The hub as this process would use it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct HubStatus {
    /// Where requests go.
    pub endpoint: String,
    /// Whether `--offline` or `HF_HUB_OFFLINE` forbids requests.
    pub offline: bool,
    /// Whether it answered; `None` if it was not asked.
    pub reachable: Option<bool>,
    /// Why it was not asked, or what went wrong.
    pub reason: Option<String>,
    /// Folder of the cache.
    pub cache: Option<PathBuf>,
    /// Whether that folder exists.
    pub cache_exists: bool,
    /// Free bytes there.
    pub cache_free_bytes: Option<u64>,
}

/// CALL SITE for the hub room: to be filled from `HubOptions::from_environment()`, `Hub::reachable()`
/// and `Hub::free_bytes()`. Until then it reports the settings, and that nothing was asked.
pub(super) fn hub_status(offline: bool) -> HubStatus {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let by_variable = set("HF_HUB_OFFLINE").is_some_and(|value| value != "0");
    let offline = offline || by_variable;
    let cache = set("HF_HUB_CACHE").map(PathBuf::from).or_else(|| {
        let home = set("HF_HOME").map(PathBuf::from);
        Some(home.or_else(|| Some(Path::new(&set("HOME")?).join(".cache/huggingface")))?.join("hub"))
    });
    HubStatus {
        endpoint: set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into()),
        offline,
        reachable: None,
        reason: Some(if offline { "offline" } else { "not asked" }.into()),
        cache_exists: cache.as_ref().is_some_and(|folder| folder.is_dir()),
        cache_free_bytes: None,
        cache,
    }
}
