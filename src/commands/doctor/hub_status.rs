//! What the hub's settings are, where its cache is, and whether it answers.

use std::path::PathBuf;

use serde::Serialize;

use crate::hub::{Hub, HubOptions};

/// The hub as this process would use it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct HubStatus {
    /// Where requests go; `None` if no setting that can be used says so.
    pub endpoint: Option<String>,
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
    /// Free bytes there, or where it will be made.
    pub cache_free_bytes: Option<u64>,
}

/// Asks the hub of this process's environment once, unless it is offline.
pub(super) fn hub_status(offline: bool) -> HubStatus {
    match HubOptions::from_environment() {
        Ok(options) => HubStatus::of(HubOptions { offline: options.offline || offline, ..options }),
        Err(error) => HubStatus {
            endpoint: None,
            offline,
            reachable: None,
            reason: Some(error.what()),
            cache: None,
            cache_exists: false,
            cache_free_bytes: None,
        },
    }
}

impl HubStatus {
    fn of(options: HubOptions) -> Self {
        let settings = Self {
            endpoint: Some(options.endpoint.clone()),
            offline: options.offline,
            reachable: None,
            reason: None,
            cache_exists: options.cache.is_dir(),
            cache_free_bytes: (options.free_bytes)(&options.cache),
            cache: Some(options.cache.clone()),
        };
        if options.offline {
            return Self { reason: Some("offline".into()), ..settings };
        }
        match Hub::new(options).and_then(|hub| hub.reachable()) {
            Ok(()) => Self { reachable: Some(true), ..settings },
            Err(error) => Self { reachable: Some(false), reason: Some(error.what()), ..settings },
        }
    }
}
