//! What can be wrong with a catalog file, each with its place and its remedy.

use std::path::PathBuf;

use thiserror::Error;

/// A catalog file that cannot be used.
#[derive(Debug, Error)]
pub enum CatalogError {
    /// The file cannot be read, or is not text.
    #[error(
        "could not read catalog file '{path}': {source}; --catalog takes a TOML file of [[model]] entries"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not TOML, or a key that is missing, unknown or of the wrong type.
    #[error("catalog file '{path}', line {line}, at '{key}': {message}; models/qwen3.toml shows every key")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What stands at that place.
        key: String,
        /// What the parser said.
        message: String,
    },
    /// A value no model can have.
    #[error("catalog file '{path}', line {line}: {key} of model '{id}' is {found}; {remedy}")]
    Value {
        /// The file.
        path: PathBuf,
        /// Line of the entry, from 1.
        line: usize,
        /// The entry.
        id: String,
        /// The key inside the entry.
        key: &'static str,
        /// The value.
        found: String,
        /// What it has to be.
        remedy: &'static str,
    },
    /// Two entries with one id in one file.
    #[error(
        "catalog file '{path}', line {line}: id '{id}' is already used on line {first}; \
         give one of the two another id"
    )]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// Line of the second entry, from 1.
        line: usize,
        /// Line of the first entry, from 1.
        first: usize,
        /// The id.
        id: String,
    },
    /// `default` names no entry.
    #[error("the catalog's default '{id}' is not an entry; nearest: {}", nearest_list(nearest))]
    UnknownDefault {
        /// The name.
        id: String,
        /// Ids that may have been meant.
        nearest: Vec<String>,
    },
    /// A repository whose file is not the one the catalog states.
    #[error(
        "{name} of {repo} has {what} {found}, but the catalog states {stated}: the repository has changed since, \
         or the catalog is wrong; name the repository itself ({repo}) to take it as it is, \
         or correct the entry in a file of your own (--catalog)"
    )]
    OtherFile {
        /// `owner/name`.
        repo: String,
        /// Path inside the repository.
        name: String,
        /// What differs: size or hash.
        what: &'static str,
        /// What the repository has.
        found: String,
        /// What the catalog says.
        stated: String,
    },
}

fn nearest_list(nearest: &[String]) -> String {
    if nearest.is_empty() { "none".into() } else { nearest.join(", ") }
}
