//! A temporary cache, the program run on it, and what must hold of the cache whatever happened.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::stand_in_hub::{COMMIT, HubFile, StandInHub, git_id, sha256};

/// The repository of the tests.
pub const REPO: &str = "o/name";

/// Bytes that differ from place to place.
pub fn weights(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i / 251 + i % 251) as u8).collect()
}

/// What a model's repository holds: small files, one large file, and some that nobody wants.
pub fn model_files() -> Vec<HubFile> {
    vec![
        HubFile::small("config.json", r#"{"model_type":"qwen3"}"#),
        HubFile::small("tokenizer.json", "{}"),
        HubFile::small("README.md", "a model"),
        HubFile::large("model.safetensors", weights(1 << 20)),
        HubFile::large("pytorch_model.bin", weights(1000)),
    ]
}

/// A cache of its own.
pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder can be made") }
    }

    pub fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// The folder of the repository in the cache.
    pub fn repo(&self) -> PathBuf {
        self.cache().join("models--o--name")
    }

    pub fn blob(&self, file: &HubFile) -> PathBuf {
        self.repo().join("blobs").join(file.digest())
    }

    pub fn partial(&self, file: &HubFile) -> PathBuf {
        self.repo().join("blobs").join(format!("{}.incomplete", file.digest()))
    }

    pub fn pointer(&self, name: &str) -> PathBuf {
        self.repo().join("snapshots").join(COMMIT).join(name)
    }

    /// `ctxbench fetch ARGS`, with nothing of this process's environment.
    pub fn command(&self, hub: &StandInHub, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ctxbench"));
        command.arg("fetch").args(args).env_clear().stdin(Stdio::null());
        command.env("HF_ENDPOINT", hub.endpoint()).env("HF_HUB_CACHE", self.cache());
        command.env("HOME", self.folder.path());
        command
    }

    /// Runs it to its end.
    pub fn fetch(&self, hub: &StandInHub, args: &[&str]) -> Outcome {
        Outcome::of(self.command(hub, args).output().expect("the program starts"))
    }

    /// Panics if anything under `blobs` is not what its name says, or a link leads nowhere.
    pub fn assert_nothing_bad(&self) {
        for blob in files_below(&self.repo().join("blobs")) {
            let name = blob.file_name().expect("it has a name").to_string_lossy().into_owned();
            let content = fs::read(&blob).expect("a blob can be read");
            match name.len() {
                40 => assert_eq!(git_id(&content), name),
                64 => assert_eq!(sha256(&content), name),
                _ => assert!(name.ends_with(".incomplete"), "{name}"),
            }
        }
        for pointer in files_below(&self.repo().join("snapshots")) {
            assert!(pointer.exists(), "{} leads nowhere", pointer.display());
        }
    }

    /// Panics unless the file is not visible at all.
    pub fn assert_absent(&self, file: &HubFile) {
        assert!(!self.blob(file).exists(), "{} is in the cache", file.name);
        assert!(self.pointer(&file.name).symlink_metadata().is_err(), "{} is visible", file.name);
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => files.extend(files_below(&path)),
            path => files.push(path),
        }
    }
    files
}

/// How the program ended.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    pub fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    #[track_caller]
    pub fn assert_done(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    /// It could not run, said all of `words` in an error, and printed no result.
    #[track_caller]
    pub fn assert_refused(&self, words: &[&str]) -> &Self {
        assert_eq!(self.code, Some(2), "{self:?}");
        assert_eq!(self.stdout, "");
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        let error = self.stderr.split("error: ").nth(1).unwrap_or_default();
        for word in words {
            assert!(error.contains(word), "'{word}' is not in: {}", self.stderr);
        }
        self
    }
}
