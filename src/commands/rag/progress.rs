//! What a person sees of an experiment, and saving as blocks come. Between requests only.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

use indicatif::ProgressBar;

use super::record::Known;
use crate::cli::Format;
use crate::commands::progress::{RunLine, counted};
use crate::commands::run::progress::save;
use crate::rag::blocks::{Observer, Taken};
use crate::rag::sizes::Size;
use crate::report::write::WriteError;
use crate::retrieval::index::{BuildListener, BuildPhase, BuildProgress};

/// The bar of an index that is built.
pub struct IndexBar {
    bar: ProgressBar,
}

impl IndexBar {
    /// For so many chunks.
    pub fn new(chunks: u64) -> Self {
        Self { bar: counted(chunks, "chunks") }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl BuildListener for IndexBar {
    fn on_progress(&mut self, progress: BuildProgress) {
        self.bar.set_length(progress.total);
        self.bar.set_position(progress.done);
        self.bar.set_message(match progress.phase {
            BuildPhase::Embedding => "embedding",
            BuildPhase::Indexing => "indexing",
        });
    }
}

/// Shows what is asked, and saves after every block.
pub struct BlocksObserver<'a> {
    known: &'a Known<'a>,
    folder: PathBuf,
    formats: Vec<Format>,
    line: RunLine,
    /// The last failure to save: a full disk must not end a measurement, but it must be said.
    failure: RefCell<Option<WriteError>>,
}

impl<'a> BlocksObserver<'a> {
    /// Saves into `folder`.
    pub fn new(known: &'a Known<'a>, folder: PathBuf, formats: Vec<Format>) -> Self {
        Self { known, folder, formats, line: RunLine::new(), failure: RefCell::new(None) }
    }

    /// Shows a step outside the blocks.
    pub fn step(&self, what: &str) {
        self.line.show(what, None);
    }

    /// Takes the line away; errors if the last save failed.
    pub fn finish(&self) -> Result<(), WriteError> {
        self.line.clear();
        self.failure.borrow_mut().take().map_or(Ok(()), Err)
    }
}

impl Observer for BlocksObserver<'_> {
    fn about_to(&mut self, what: &str, taken: &Taken, left: Option<Duration>) {
        let samples: usize = taken.cases.iter().map(|case| case.samples.len()).sum();
        self.line.show(&format!("{what} · {samples} samples so far"), left);
    }

    fn block_done(&mut self, taken: &Taken, sizes: &[Size]) {
        let document = self.known.document(taken, sizes, &[]);
        *self.failure.borrow_mut() = save(&document, &self.folder, &self.formats).err();
    }
}
