//! The folder that a run writes into: claimed before anything is measured, gone again if it stays empty.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::report::write::{WriteError, check_writable};

/// A folder that takes files.
pub struct OutputFolder {
    path: PathBuf,
    /// Whether this run made it.
    is_new: bool,
}

impl OutputFolder {
    /// The folder that was named, or a new one below `reports`.
    pub fn claim(named: Option<&Path>) -> Result<Self, WriteError> {
        let folder = match named {
            Some(path) => Self { path: path.into(), is_new: !path.exists() },
            None => Self { path: new_below(Path::new("reports"))?, is_new: true },
        };
        check_writable(&folder.path)?;
        Ok(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for OutputFolder {
    /// A run that could not start leaves no folder behind; one with files in it is not removed.
    fn drop(&mut self) {
        if self.is_new {
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// A folder named for the time, which no other run has: two may begin in the same second.
fn new_below(parent: &Path) -> Result<PathBuf, WriteError> {
    let time = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    let mut path = parent.join(format!("run-{time}"));
    for number in 2.. {
        match fs::create_dir_all(parent).and_then(|()| fs::create_dir(&path)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.exists() => {
                path = parent.join(format!("run-{time}-{number}"));
            }
            Err(source) => return Err(WriteError::Folder { folder: path, source }),
            Ok(()) => break,
        }
    }
    Ok(path)
}
