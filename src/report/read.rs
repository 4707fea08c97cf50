//! An old report, read back from disk.
//!
//! Comes in: a path, of `report.json` or the folder that holds it. Goes out: the document, or a
//! sentence about what is wrong with the file. Not here: rendering.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use thiserror::Error;

use super::document::{Document, SCHEMA_VERSION};

/// Name of the report in a result folder.
pub const FILE_NAME: &str = "report.json";

/// A report that cannot be read.
#[derive(Debug, Error)]
pub enum ReportError {
    /// Nothing has that name.
    #[error("there is no report at '{path}'; give a report.json, or the folder that `ctxbench run` wrote")]
    Missing {
        /// What was named.
        path: PathBuf,
    },
    /// A folder without a report.
    #[error(
        "folder '{path}' holds no {FILE_NAME}; give the folder that `ctxbench run` wrote \
         (a run writes the file with its first case)"
    )]
    NoReportInFolder {
        /// What was named.
        path: PathBuf,
    },
    /// The file is there and cannot be read.
    #[error("could not read report '{path}'; check that you may read it")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is not JSON from beginning to end.
    #[error("'{path}' is not JSON ({reason}); the file was cut off or is something else, so copy it again")]
    NotJson {
        /// The file.
        path: PathBuf,
        /// Where and why the parser stopped.
        reason: String,
    },
    /// JSON, but no report.
    #[error(
        "'{path}' is JSON but not a report of ctxbench ({reason}); give a {FILE_NAME} that `ctxbench run` wrote"
    )]
    NotAReport {
        /// The file.
        path: PathBuf,
        /// What is missing or wrong.
        reason: String,
    },
    /// A report of another version of the program.
    #[error(
        "'{path}' has schema version {found}, and this ctxbench reads {SCHEMA_VERSION}; \
         read it with the version of ctxbench that wrote it, or measure again"
    )]
    OtherSchema {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
}

impl Document {
    /// Reads a report from `report.json`, or from the folder that holds it.
    pub fn read(path: &Path) -> Result<Self, ReportError> {
        let file = locate(path)?;
        let unreadable = |source| ReportError::Unreadable { path: file.clone(), source };
        let bytes = std::fs::read(&file).map_err(unreadable)?;
        parse(&bytes, &file)
    }
}

fn locate(path: &Path) -> Result<PathBuf, ReportError> {
    if path.is_dir() {
        let file = path.join(FILE_NAME);
        return if file.exists() {
            Ok(file)
        } else {
            Err(ReportError::NoReportInFolder { path: path.into() })
        };
    }
    if path.exists() { Ok(path.into()) } else { Err(ReportError::Missing { path: path.into() }) }
}

fn parse(bytes: &[u8], path: &Path) -> Result<Document, ReportError> {
    let not_a_report = |reason: String| ReportError::NotAReport { path: path.into(), reason };
    let wrong = |error: serde_json::Error| match error.classify() {
        serde_json::error::Category::Data => not_a_report(error.to_string()),
        _ => ReportError::NotJson { path: path.into(), reason: error.to_string() },
    };
    let value: Value = serde_json::from_slice(bytes).map_err(wrong)?;
    match value.get("schema_version").and_then(Value::as_u64) {
        None => Err(not_a_report("it has no schema_version".into())),
        Some(found) if found != u64::from(SCHEMA_VERSION) => {
            Err(ReportError::OtherSchema { path: path.into(), found })
        }
        // From the bytes and not from the value: the error then names line and column.
        Some(_) => serde_json::from_slice(bytes).map_err(wrong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        parse(text.as_bytes(), Path::new("a.json")).expect_err("wrong on purpose").to_string()
    }

    #[test]
    fn each_fault_has_its_own_sentence() {
        assert!(message("{\"schema_version\": 1, ").contains("is not JSON"), "{}", message("{"));
        assert!(message("").contains("is not JSON"));
        assert!(message("[1, 2]").contains("not a report of ctxbench"));
        assert!(message("{}").contains("it has no schema_version"));
        assert!(message("{\"schema_version\": \"one\"}").contains("not a report"));
        assert!(message("{\"schema_version\": 99}").contains("schema version 99, and this ctxbench reads 1"));
        assert!(message("{\"schema_version\": 1}").contains("missing field `tool`"));
        let binary = parse(&[0xff, 0xfe, 0x00], Path::new("a.json")).expect_err("not JSON");
        assert!(matches!(binary, ReportError::NotJson { .. }));
    }

    #[test]
    fn a_missing_file_and_an_empty_folder_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let missing = Document::read(&folder.path().join("gone.json")).unwrap_err();
        assert!(matches!(missing, ReportError::Missing { .. }), "{missing}");
        let empty = Document::read(folder.path()).unwrap_err();
        assert!(matches!(empty, ReportError::NoReportInFolder { .. }), "{empty}");
        std::fs::create_dir(folder.path().join(FILE_NAME)).unwrap();
        let unreadable = Document::read(folder.path()).unwrap_err();
        assert!(matches!(unreadable, ReportError::Unreadable { .. }), "{unreadable}");
    }
}
