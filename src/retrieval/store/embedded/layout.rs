//! The names in an index's folder, which files are ours, and the sentences about broken ones.

use std::fmt::Display;
use std::fs;
use std::io;
use std::path::Path;

use crate::retrieval::RetrievalError;

/// What the index is; its presence makes the folder ours.
pub(super) const MANIFEST: &str = "ctxbench-index.json";
/// The manifest while it is written.
pub(super) const MANIFEST_BESIDE: &str = "ctxbench-index.json.part";
/// `f32` little endian, `[chunks, dimensions]`.
pub(super) const VECTORS: &str = "vectors.f32";
/// The texts, one behind the other, UTF-8.
pub(super) const TEXTS: &str = "texts.bin";
/// `u64` little endian per chunk: where its text ends in the file of texts.
pub(super) const ENDS: &str = "ends.u64";
/// The graph, in the format of usearch.
pub(super) const GRAPH: &str = "graph.usearch";
/// The graph while it is written.
pub(super) const GRAPH_BESIDE: &str = "graph.usearch.part";
/// Held while the folder is in use.
pub(super) const LOCK: &str = "ctxbench-index.lock";

/// Everything that an index consists of but its manifest and lock.
const DATA: [&str; 5] = [VECTORS, TEXTS, ENDS, GRAPH, GRAPH_BESIDE];

/// Makes the folder, and refuses one that holds something else than an index.
pub(super) fn claim(folder: &Path) -> Result<(), RetrievalError> {
    fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    let entries = fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
    let names: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect();
    let foreign = names.iter().find(|name| *name != LOCK && *name != MANIFEST_BESIDE);
    match foreign {
        Some(name) if !names.iter().any(|name| name == MANIFEST) => Err(RetrievalError::Index(format!(
            "'{}' is not empty and holds no index of ctxbench (it has '{}', but no {MANIFEST}); \
             nothing in it was touched: name another folder for the index",
            folder.display(),
            name.to_string_lossy(),
        ))),
        _ => Ok(()),
    }
}

/// Removes the files of an index, and nothing else.
pub(super) fn drop_data(folder: &Path) -> Result<(), RetrievalError> {
    for name in DATA {
        remove(&folder.join(name))?;
    }
    Ok(())
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), RetrievalError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unwritable(path, &error)),
        _ => Ok(()),
    }
}

/// Bytes of the index's files.
pub(super) fn size_bytes(folder: &Path) -> Result<u64, RetrievalError> {
    let mut bytes = 0;
    for name in DATA.iter().chain(&[MANIFEST]) {
        bytes += length(&folder.join(name))?;
    }
    Ok(bytes)
}

/// Bytes of a file, 0 where there is none.
pub(super) fn length(path: &Path) -> Result<u64, RetrievalError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(unreadable(path, &error)),
    }
}

/// A file whose content is not what was written.
pub(super) fn damaged(path: &Path, what: &str) -> RetrievalError {
    let folder = path.parent().unwrap_or(path).display();
    let path = path.display();
    RetrievalError::Index(format!(
        "the index's file '{path}' is damaged: {what}; remove the folder '{folder}', and the next run builds \
         the index again"
    ))
}

/// A damaged graph: the rows are good, so the file alone has to go.
pub(super) fn damaged_graph(path: &Path, what: &str) -> RetrievalError {
    let path = path.display();
    RetrievalError::Index(format!(
        "the index's file '{path}' is damaged: {what}; remove this file, and the next run builds it again \
         from the vectors beside it"
    ))
}

/// A file that the system does not let us read.
pub(super) fn unreadable(path: &Path, why: &dyn Display) -> RetrievalError {
    RetrievalError::Index(format!("could not read '{}' of the index: {why}", path.display()))
}

/// A file that the system does not let us write.
pub(super) fn unwritable(path: &Path, why: &dyn Display) -> RetrievalError {
    RetrievalError::Index(format!(
        "could not write '{}' of the index: {why}; rows written so far are kept, and the next run goes on \
         behind them",
        path.display()
    ))
}
