//! Where weights came from: recorded in every report.

use serde::{Deserialize, Serialize};

/// One file that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Name inside the repository or folder.
    pub name: String,
    /// Size.
    pub bytes: u64,
    /// SHA-256 in hex, where it was computed.
    pub sha256: Option<String>,
}

/// Where weights came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightsOrigin {
    /// Downloaded, or found in the hub's cache.
    Hub,
    /// A folder or file of the user's.
    Local,
    /// Seeded random numbers in the exact shape.
    Random,
}
