//! The files in which Linux tells about itself, under a root that tests can replace.
//!
//! Everything is optional: on another system, or in a container that hides a file, the answer is `None`.

use std::path::PathBuf;

/// Reader of `/proc`, `/sys` and `/dev`.
#[derive(Clone, Debug)]
pub struct KernelFiles {
    root: PathBuf,
}

impl Default for KernelFiles {
    fn default() -> Self {
        Self { root: PathBuf::from("/") }
    }
}

impl KernelFiles {
    /// Reads below `root` instead of `/`.
    pub fn under(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Text of the file at `path`, which begins with `/`.
    pub fn text(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.root.join(path.trim_start_matches('/'))).ok()
    }

    /// The file's content as one number.
    pub fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.trim().parse().ok()
    }

    /// The number after `key` in a file of `key number …` lines, e.g. `MemTotal:` in `/proc/meminfo`.
    pub fn field(&self, path: &str, key: &str) -> Option<u64> {
        self.text(path)?.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next()? == key).then(|| words.next()?.parse().ok())?
        })
    }

    /// The text after `key` and a colon, e.g. of `model name` in `/proc/cpuinfo`.
    pub fn value(&self, path: &str, key: &str) -> Option<String> {
        self.text(path)?.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == key).then(|| value.trim().to_owned())
        })
    }

    /// Names in the folder at `path`, sorted; empty if there is none.
    pub fn names(&self, path: &str) -> Vec<String> {
        let folder = std::fs::read_dir(self.root.join(path.trim_start_matches('/')));
        let entries = folder.into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A made-up tree of kernel files.
    pub(crate) fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, KernelFiles) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (path, text) in files {
            let path = folder.path().join(path.trim_start_matches('/'));
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders can be made");
            std::fs::write(path, text).expect("files can be written");
        }
        let files = KernelFiles::under(folder.path());
        (folder, files)
    }

    #[test]
    fn fields_values_and_names_are_found() {
        let (_keep, files) = tree(&[
            ("/proc/meminfo", "MemTotal:  10 kB\nMemFree: x kB\n"),
            ("/proc/cpuinfo", "a b\t: C D\n"),
        ]);
        assert_eq!(files.field("/proc/meminfo", "MemTotal:"), Some(10));
        assert_eq!(files.field("/proc/meminfo", "MemFree:"), None);
        assert_eq!(files.value("/proc/cpuinfo", "a b"), Some("C D".into()));
        assert_eq!(files.names("/proc"), ["cpuinfo", "meminfo"]);
        assert_eq!((files.text("/none"), files.names("/none").len()), (None, 0));
    }
}
