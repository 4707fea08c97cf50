//! Free space, asked of the file system itself: lists of mounted disks leave out tmpfs and overlays.

use std::path::Path;

/// Free bytes this user may still write where `path` is, or where its nearest existing parent is.
///
/// `None` where the system does not say.
pub fn free_bytes(path: &Path) -> Option<u64> {
    let existing = path.ancestors().find(|folder| folder.exists());
    ask(existing.unwrap_or(Path::new(".")))
}

#[cfg(unix)]
fn ask(folder: &Path) -> Option<u64> {
    let answer = rustix::fs::statvfs(folder).ok()?;
    answer.f_bavail.checked_mul(answer.f_frsize)
}

#[cfg(not(unix))]
fn ask(_folder: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_yet_has_its_parents_space() {
        let folder = tempfile::tempdir().unwrap();
        let free = free_bytes(&folder.path().join("not/yet"));
        assert_eq!(free.is_some(), cfg!(unix));
    }
}
