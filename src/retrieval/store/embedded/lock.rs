//! One process per folder: two that build the same index would write over each other.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use super::layout;
use crate::retrieval::RetrievalError;

/// Held until dropped; the system lets go of it when the process dies.
#[derive(Debug)]
pub(super) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock, or says that somebody else has it.
    pub(super) fn take(folder: &Path) -> Result<Self, RetrievalError> {
        let path = folder.join(layout::LOCK);
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let file = opened.map_err(|error| layout::unwritable(&path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(RetrievalError::Index(format!(
                "the index in '{}' is in use by another process: wait for it to end, or name another folder",
                folder.display()
            ))),
            Err(TryLockError::Error(error)) => Err(layout::unwritable(&path, &error)),
        }
    }
}
