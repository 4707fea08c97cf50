//! What the integration tests share.

#![allow(dead_code, reason = "every test binary uses its own part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub mod card;
pub mod copy;
pub mod packages;
pub mod pair;
#[cfg(unix)]
pub mod postgres;
pub mod rag;
pub mod synthetic;

/// Where golden files lie.
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Compares `actual` with `tests/golden/<name>`; `UPDATE_GOLDEN=1` rewrites the file instead.
pub fn assert_golden(name: &str, actual: &str) {
    let path = golden(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, actual).expect("golden folder is writable");
    }
    let expected = std::fs::read_to_string(&path)
        .unwrap_or_else(|e| panic!("{}: {e}; run with UPDATE_GOLDEN=1", path.display()));
    assert!(
        expected == actual,
        "{name} differs from golden; after a look at the difference, run with UPDATE_GOLDEN=1\n\
         --- expected\n{expected}--- actual\n{actual}"
    );
}

/// Runs the real program to its end.
pub fn ctxbench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ctxbench")).args(args).output().expect("the program starts")
}

/// What a program wrote, as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}
