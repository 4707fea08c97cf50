//! The file that says what an index is, and whether its other files are complete.
//!
//! It is written first and read first: a folder without it is not ours, and nothing in it is touched.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::layout;
use crate::retrieval::{Identity, RetrievalError};

/// Layout of the folder; an index of another layout is built again.
const FORMAT: u32 = 1;

/// What an index is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    digest: String,
    chunks: u64,
    dimensions: usize,
    /// Hashes of the rows' files; `None` while rows are missing.
    pub(super) rows: Option<RowSeal>,
    /// The graph; `None` until it is built.
    pub(super) graph: Option<GraphSeal>,
}

/// SHA-256 of the files that hold rows, in hex.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct RowSeal {
    pub(super) vectors: String,
    pub(super) ends: String,
    pub(super) texts: String,
}

/// The graph's file, and how it was made: another way makes it anew, from the same vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct GraphSeal {
    pub(super) sha256: String,
    pub(super) made_by: String,
}

impl Manifest {
    /// Of an index without rows.
    pub(super) fn new(identity: &Identity) -> Self {
        Self {
            format: FORMAT,
            digest: identity.digest.clone(),
            chunks: identity.chunks,
            dimensions: identity.dimensions,
            rows: None,
            graph: None,
        }
    }

    /// Whether it is that index, in today's layout.
    pub(super) fn is_of(&self, identity: &Identity) -> bool {
        self.clone().unsealed() == Self::new(identity)
    }

    /// The same index, of whose files nothing is known.
    pub(super) fn unsealed(self) -> Self {
        Self { rows: None, graph: None, ..self }
    }

    /// Reads a folder's manifest; `None` if it has none.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, RetrievalError> {
        let path = folder.join(layout::MANIFEST);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(layout::unreadable(&path, &error)),
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| layout::damaged(&path, &error.to_string()))
    }

    /// Writes it beside, then puts it in its place: a reader sees the old one or the new one.
    pub(super) fn write(&self, folder: &Path) -> Result<(), RetrievalError> {
        let (path, beside) = (folder.join(layout::MANIFEST), folder.join(layout::MANIFEST_BESIDE));
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::from);
        let written = text.and_then(|text| replace(&path, &beside, &text));
        written.map_err(|error| layout::unwritable(&path, &error))
    }
}

fn replace(path: &PathBuf, beside: &PathBuf, text: &[u8]) -> io::Result<()> {
    let mut file = File::create(beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(beside, path)
}
