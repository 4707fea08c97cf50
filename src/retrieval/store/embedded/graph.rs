//! The graph that finds near vectors without looking at all of them: HNSW, by usearch.
//!
//! Comes in: the file of vectors. Goes out: a file of its own, and hits. `docs/retrieval.md` has the
//! measurements behind the numbers here. Not here: texts, and the exact search.

use std::fmt::Display;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use usearch::{Index, IndexOptions, MetricKind, ScalarKind};

use super::layout;
use super::rows::{RowFiles, VectorReader};
use crate::hub::sha256;
use crate::retrieval::{Hit, RetrievalError};

/// Neighbours of a node; twice as many on the lowest level.
const CONNECTIVITY: usize = 16;
/// Candidates that are kept while a node is put in.
const EXPANSION_ADD: usize = 128;
/// Candidates that are kept while a question is searched.
const EXPANSION_SEARCH: usize = 256;
/// Rows that a thread takes at a time.
const ROWS_PER_TAKE: u64 = 256;
/// How far from 1 the squared length of a vector may be.
const LENGTH_TOLERANCE: f32 = 1e-2;

/// A graph in memory.
pub(super) struct Graph {
    index: Index,
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Graph").field("rows", &self.index.size()).finish()
    }
}

/// How graphs are made: one made in another way is made again.
pub(super) fn made_by() -> String {
    format!("usearch {}, ip, bf16, m {CONNECTIVITY}, ef {EXPANSION_ADD}", usearch::version())
}

/// Whether a vector can be put into a graph: one that holds a NaN breaks the order of every search that
/// meets it, and the inner product is a cosine for vectors of length 1 only.
pub(super) fn is_unit(vector: &[f32]) -> bool {
    let squared: f32 = vector.iter().map(|number| number * number).sum();
    (squared - 1.0).abs() < LENGTH_TOLERANCE
}

impl Graph {
    fn empty(dimensions: usize) -> Result<Self, RetrievalError> {
        let options = IndexOptions {
            dimensions,
            metric: MetricKind::IP,
            quantization: ScalarKind::BF16,
            connectivity: CONNECTIVITY,
            expansion_add: EXPANSION_ADD,
            expansion_search: EXPANSION_SEARCH,
            multi: false,
        };
        Index::new(&options).map(|index| Self { index }).map_err(|error| refused(&error))
    }

    /// Puts every row in, on all cores. `watch` is told how many are in; `None` once it says to break off.
    pub(super) fn build(
        rows: &RowFiles,
        dimensions: usize,
        watch: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Option<Self>, RetrievalError> {
        let graph = Self::empty(dimensions)?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let reserved = graph.index.reserve_capacity_and_threads(rows.count() as usize, threads);
        reserved.map_err(|error| refused(&error))?;
        let (work, mut told) = (Work::new(&graph.index, rows.count()), 0);
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| work.run(rows, &mut |_| ControlFlow::Continue(())));
            }
            work.run(rows, &mut |done| {
                told = done;
                watch(done)
            });
        });
        work.ended()?;
        let complete = graph.index.size() as u64 == rows.count();
        // The last rows may have been put in by a thread that tells nobody.
        if complete && told < rows.count() {
            let _ = watch(rows.count());
        }
        Ok(complete.then_some(graph))
    }

    /// Writes the graph beside, then puts it in its place. Returns the file's SHA-256.
    pub(super) fn save(&self, folder: &Path) -> Result<String, RetrievalError> {
        let (path, beside) = (folder.join(layout::GRAPH), folder.join(layout::GRAPH_BESIDE));
        self.index.save(utf8(&beside)?).map_err(|error| layout::unwritable(&path, &error))?;
        let hash = sha256(&beside).map_err(|error| layout::unreadable(&beside, &error))?;
        let placed = fs::File::open(&beside).and_then(|file| file.sync_all());
        let placed = placed.and_then(|()| fs::rename(&beside, &path));
        placed.map_err(|error| layout::unwritable(&path, &error))?;
        Ok(hash)
    }

    /// Reads a graph into memory, after its file was held against the hash: usearch trusts what it reads.
    pub(super) fn load(
        folder: &Path,
        dimensions: usize,
        rows: u64,
        hash: &str,
    ) -> Result<Self, RetrievalError> {
        let path = folder.join(layout::GRAPH);
        let found = sha256(&path).map_err(|error| layout::unreadable(&path, &error))?;
        if found != hash {
            let what = "its content is not what was written (SHA-256)";
            return Err(layout::damaged_graph(&path, what));
        }
        let graph = Self::empty(dimensions)?;
        graph.index.load(utf8(&path)?).map_err(|error| layout::damaged_graph(&path, &error.to_string()))?;
        graph.index.change_expansion_search(EXPANSION_SEARCH);
        match graph.index.size() as u64 {
            size if size == rows => Ok(graph),
            size => Err(layout::damaged_graph(&path, &format!("it has {size} rows, not {rows}"))),
        }
    }

    /// The nearest rows, best first, fewer than `k` where there are fewer.
    pub(super) fn search(&self, vector: &[f32], k: usize) -> Result<Vec<Hit>, RetrievalError> {
        let k = k.min(self.index.size());
        if k == 0 {
            return Ok(Vec::new());
        }
        let found = self.index.search(vector, k).map_err(|error| refused(&error))?;
        let hits = found.keys.iter().zip(&found.distances);
        Ok(hits.map(|(chunk, distance)| Hit { chunk: *chunk, score: 1.0 - distance }).collect())
    }
}

/// Rows on their way into a graph, taken by several threads.
struct Work<'a> {
    index: &'a Index,
    rows: u64,
    next: AtomicU64,
    done: AtomicU64,
    over: AtomicBool,
    failed: Mutex<Option<RetrievalError>>,
}

impl<'a> Work<'a> {
    fn new(index: &'a Index, rows: u64) -> Self {
        let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { index, rows, next, done, over: AtomicBool::new(false), failed: Mutex::new(None) }
    }

    /// One thread's part: takes rows until none is left, or somebody ended it.
    fn run(&self, rows: &RowFiles, watch: &mut dyn FnMut(u64) -> ControlFlow<()>) {
        let ended = rows.reader().and_then(|mut reader| self.take_all(&mut reader, watch));
        if let Err(error) = ended {
            self.over.store(true, Ordering::Relaxed);
            self.failed.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get_or_insert(error);
        }
    }

    fn take_all(
        &self,
        reader: &mut VectorReader,
        watch: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<(), RetrievalError> {
        while !self.over.load(Ordering::Relaxed) {
            let from = self.next.fetch_add(ROWS_PER_TAKE, Ordering::Relaxed);
            if from >= self.rows {
                break;
            }
            let to = (from + ROWS_PER_TAKE).min(self.rows);
            self.put(reader, from, to)?;
            let done = self.done.fetch_add(to - from, Ordering::Relaxed) + to - from;
            if watch(done).is_break() {
                self.over.store(true, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    fn put(&self, reader: &mut VectorReader, from: u64, to: u64) -> Result<(), RetrievalError> {
        let numbers = reader.read(from..to)?;
        for (row, vector) in (from..to).zip(numbers.chunks_exact(self.index.dimensions())) {
            if !is_unit(vector) {
                return Err(layout::damaged(reader.path(), &format!("row {row} is no vector of length 1")));
            }
            self.index.add(row, vector).map_err(|error| refused(&error))?;
        }
        Ok(())
    }

    fn ended(self) -> Result<(), RetrievalError> {
        match self.failed.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

fn utf8(path: &Path) -> Result<&str, RetrievalError> {
    path.to_str().ok_or_else(|| {
        let path = path.display();
        RetrievalError::Index(format!(
            "the index's file '{path}' has a name that is not UTF-8, which usearch cannot open: name another \
             folder for the index"
        ))
    })
}

fn refused(error: &dyn Display) -> RetrievalError {
    RetrievalError::Index(format!(
        "usearch could not do it ({error}); if memory ran out, use fewer chunks, else report this message"
    ))
}
