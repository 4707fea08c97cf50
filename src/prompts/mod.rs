//! Scenarios and corpus, as data.
//!
//! Comes in: the shipped files, or the user's. Goes out: passages, questions with gold answers, and
//! the words around them. Not here: tokens, lengths, seeds; that is [`crate::workload`]'s.

pub mod corpus;
pub mod documents;
pub mod general;
pub mod grown;
pub mod handbook;
pub mod markers;
pub(crate) mod mixing;
pub mod passages;
pub mod questions;
pub mod scenarios;

use std::path::PathBuf;

use thiserror::Error;

/// A corpus or scenario file that cannot be used.
#[derive(Debug, Error)]
pub enum PromptsError {
    /// The folder of the corpus is not there.
    #[error("the corpus folder '{}' does not exist or is not a folder; give --corpus a folder with .md or .txt files", .0.display())]
    NoFolder(PathBuf),
    /// Nothing in it can be read as a document.
    #[error("the corpus folder '{}' holds no .md or .txt file with text in it; add documents or leave --corpus out", .0.display())]
    NoDocuments(PathBuf),
    /// A file or folder could not be read.
    #[error("'{}' cannot be read: {reason}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// A document is in another encoding.
    #[error("'{}' is not UTF-8: the byte at offset {offset} does not fit; convert the file, e.g. with iconv", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Bytes before the first wrong one.
        offset: usize,
    },
    /// A question file is not as it should be.
    #[error("the question file '{file}' is broken: {reason}")]
    Questions {
        /// The file.
        file: String,
        /// What is wrong, with line or question.
        reason: String,
    },
    /// A scenario file is not as it should be.
    #[error("the scenario file '{file}' is broken: {reason}")]
    Scenarios {
        /// The file.
        file: String,
        /// What is wrong, with its line.
        reason: String,
    },
}
