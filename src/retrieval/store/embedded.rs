//! The store inside this program: a folder of its own, a graph for searching, and the exact search beside it.
//!
//! Comes in: rows. Goes out: hits and texts. Not here: how the files are written (`rows`), what a folder
//! says of itself (`manifest`), and the graph (`graph`).
//!
//! ```text
//! open: layout (is it ours?) → lock → manifest (the same index?) → rows (how many are whole?)
//! finish: rows sealed → graph built from them, saved → manifest
//! ```

mod graph;
mod layout;
mod lock;
mod manifest;
mod rows;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use self::graph::Graph;
use self::lock::FolderLock;
use self::manifest::{GraphSeal, Manifest};
use self::rows::RowFiles;
use super::exact;
use crate::retrieval::{Hit, Identity, RetrievalError, Row, VectorStore};

/// Chunks, vectors and a graph in a folder.
#[derive(Debug)]
pub struct EmbeddedStore {
    folder: PathBuf,
    opened: Option<Opened>,
}

#[derive(Debug)]
struct Opened {
    identity: Identity,
    manifest: Manifest,
    rows: RowFiles,
    graph: Option<Graph>,
    /// All vectors, once an exact search has asked for them.
    vectors: Option<Vec<f32>>,
    /// Held while the files are in use.
    _lock: FolderLock,
}

impl EmbeddedStore {
    /// A store in `folder`, which holds nothing else. Nothing is touched before it is opened.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.into(), opened: None }
    }

    fn opened(&mut self) -> Result<&mut Opened, RetrievalError> {
        let folder = self.folder.display();
        let closed = || RetrievalError::Store(format!("the index in '{folder}' was not opened"));
        self.opened.as_mut().ok_or_else(closed)
    }
}

impl VectorStore for EmbeddedStore {
    fn kind(&self) -> &'static str {
        "embedded"
    }

    fn open(&mut self, identity: &Identity) -> Result<u64, RetrievalError> {
        self.opened = None;
        layout::claim(&self.folder)?;
        let lock = FolderLock::take(&self.folder)?;
        let found = Manifest::read(&self.folder)?;
        let manifest = match found {
            Some(manifest) if manifest.is_of(identity) => manifest,
            other => begin_anew(&self.folder, other, identity)?,
        };
        let rows = || match &manifest.rows {
            Some(seal) => RowFiles::complete(&self.folder, identity, seal),
            None => RowFiles::resume(&self.folder, identity),
        };
        let (rows, graph) = rayon::join(rows, || saved_graph(&self.folder, &manifest, identity));
        let (rows, graph) = (rows?, graph?);
        let (count, identity) = (rows.count(), identity.clone());
        self.opened = Some(Opened { identity, manifest, rows, graph, vectors: None, _lock: lock });
        Ok(count)
    }

    fn add(&mut self, rows: &[Row]) -> Result<(), RetrievalError> {
        let opened = self.opened()?;
        opened.check(rows)?;
        opened.rows.append(rows)
    }

    fn finish(&mut self) -> Result<(), RetrievalError> {
        self.finish_watched(&mut |_| ControlFlow::Continue(()))
    }

    fn finish_watched(
        &mut self,
        watch: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<(), RetrievalError> {
        let folder = self.folder.clone();
        self.opened()?.finish(&folder, watch)
    }

    fn search(&mut self, vector: &[f32], k: usize) -> Result<Vec<Hit>, RetrievalError> {
        let opened = self.opened()?;
        opened.check_query(vector)?;
        match &opened.graph {
            Some(graph) => graph.search(vector, k),
            None => Err(RetrievalError::Store("the index was searched before it was finished".into())),
        }
    }

    fn search_exact(&mut self, vector: &[f32], k: usize) -> Result<Option<Vec<Hit>>, RetrievalError> {
        let opened = self.opened()?;
        opened.check_query(vector)?;
        if opened.vectors.is_none() {
            opened.vectors = Some(opened.rows.reader()?.read(0..opened.rows.count())?);
        }
        let vectors = opened.vectors.as_deref().unwrap_or_default();
        Ok(Some(exact::nearest(vectors, vector, k)))
    }

    fn fetch(&mut self, chunks: &[u64]) -> Result<Vec<String>, RetrievalError> {
        let opened = self.opened()?;
        chunks.iter().map(|chunk| opened.rows.text(*chunk)).collect()
    }

    fn vectors(&mut self, count: u64) -> Result<Option<Vec<Vec<f32>>>, RetrievalError> {
        let opened = self.opened()?;
        let dimensions = opened.identity.dimensions;
        let numbers = opened.rows.reader()?.read(0..count.min(opened.rows.count()))?;
        Ok(Some(numbers.chunks_exact(dimensions).map(<[f32]>::to_vec).collect()))
    }

    fn size_bytes(&mut self) -> Result<Option<u64>, RetrievalError> {
        layout::size_bytes(&self.folder).map(Some)
    }
}

/// Drops another index of this folder, and writes the manifest of the new one.
fn begin_anew(
    folder: &Path,
    older: Option<Manifest>,
    identity: &Identity,
) -> Result<Manifest, RetrievalError> {
    // Killed between these steps, the folder holds less of the older index, never rows of one under the
    // name of the other.
    if let Some(older) = older {
        older.unsealed().write(folder)?;
    }
    layout::drop_data(folder)?;
    let manifest = Manifest::new(identity);
    manifest.write(folder)?;
    Ok(manifest)
}

/// The graph, where it was made as graphs are made today and its file was not taken away.
fn saved_graph(
    folder: &Path,
    manifest: &Manifest,
    identity: &Identity,
) -> Result<Option<Graph>, RetrievalError> {
    match &manifest.graph {
        Some(seal) if seal.made_by == graph::made_by() && folder.join(layout::GRAPH).exists() => {
            Graph::load(folder, identity.dimensions, identity.chunks, &seal.sha256).map(Some)
        }
        _ => Ok(None),
    }
}

impl Opened {
    fn check(&self, rows: &[Row]) -> Result<(), RetrievalError> {
        let (next, end) = (self.rows.count(), self.identity.chunks);
        for (chunk, row) in (next..).zip(rows) {
            if row.chunk != chunk || chunk >= end {
                return Err(RetrievalError::Store(format!(
                    "chunk {} was added to the index where chunk {chunk} of {end} was due",
                    row.chunk
                )));
            }
            self.check_vector(&row.vector, &format!("chunk {chunk}"))?;
        }
        Ok(())
    }

    fn check_query(&self, vector: &[f32]) -> Result<(), RetrievalError> {
        self.check_vector(vector, "the question")
    }

    fn check_vector(&self, vector: &[f32], of: &str) -> Result<(), RetrievalError> {
        let dimensions = self.identity.dimensions;
        if vector.len() != dimensions {
            let found = vector.len();
            return Err(RetrievalError::Store(format!(
                "the vector of {of} has {found} numbers, those of the index have {dimensions}: use the embedder \
                 that the index was built with"
            )));
        }
        match graph::is_unit(vector) {
            true => Ok(()),
            false => Err(RetrievalError::Store(format!(
                "the vector of {of} does not have length 1, or holds a number that is not finite: its embedder \
                 does not work on this text"
            ))),
        }
    }

    fn finish(
        &mut self,
        folder: &Path,
        watch: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<(), RetrievalError> {
        if self.graph.is_some() {
            return Ok(());
        }
        let (rows, chunks) = (self.rows.count(), self.identity.chunks);
        if rows < chunks {
            let told = format!("the index was to be finished with {rows} of its {chunks} chunks");
            return Err(RetrievalError::Store(told));
        }
        if self.manifest.rows.is_none() {
            self.manifest.rows = Some(self.rows.seal()?);
            self.manifest.write(folder)?;
        }
        let Some(graph) = Graph::build(&self.rows, self.identity.dimensions, watch)? else {
            return Ok(());
        };
        let sha256 = graph.save(folder)?;
        self.manifest.graph = Some(GraphSeal { sha256, made_by: graph::made_by() });
        self.manifest.write(folder)?;
        self.graph = Some(graph);
        Ok(())
    }
}
