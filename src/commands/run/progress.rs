//! The live line of a run, and saving as results come. Between samples only.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::record::Recorder;
use crate::cli::Format;
use crate::commands::progress::RunLine;
use crate::commands::report::exporter;
use crate::report::document::Document;
use crate::report::write::{WriteError, write_all};
use crate::runner::campaign::{Event, Observer, Outcome};

/// Writes a document in every format that is a file.
pub fn save(document: &Document, folder: &Path, formats: &[Format]) -> Result<(), WriteError> {
    let files = formats.iter().filter(|format| **format != Format::Terminal);
    let exporters: Vec<_> = files.map(|format| exporter(*format)).collect();
    write_all(document, folder, &exporters).map(drop)
}

/// Shows progress, and saves after every block of samples.
pub struct RunObserver<'a> {
    recorder: &'a Recorder<'a>,
    folder: PathBuf,
    formats: Vec<Format>,
    line: RunLine,
    /// The last failure to save: a full disk must not end a measurement, but it must be said.
    failure: RefCell<Option<WriteError>>,
}

impl<'a> RunObserver<'a> {
    /// Saves into `folder`.
    pub fn new(recorder: &'a Recorder<'a>, folder: &Path, formats: &[Format]) -> Self {
        let (folder, formats) = (folder.to_path_buf(), formats.to_vec());
        Self { recorder, folder, formats, line: RunLine::new(), failure: RefCell::new(None) }
    }

    /// Takes the line away; errors if the last save failed.
    pub fn finish(self) -> Result<(), WriteError> {
        self.line.clear();
        self.failure.into_inner().map_or(Ok(()), Err)
    }
}

impl Observer for RunObserver<'_> {
    fn event(&mut self, event: &Event<'_>, outcome: &Outcome, left: Option<Duration>) {
        match event {
            Event::Loading { arm } => self.line.show(&format!("{arm}: loading"), left),
            Event::WarmUp { arm, spec } => {
                self.line.show(&format!("{arm}: warming up {}", spec.label()), left)
            }
            Event::Sampling { arm, spec, taken } => {
                let (label, all) = (spec.label(), outcome.samples);
                self.line.show(&format!("{arm}: {label} sample {} · {all} samples so far", taken + 1), left);
            }
            Event::Energy { arm, spec } => {
                self.line.show(&format!("{arm}: counting the energy of {}", spec.label()), left)
            }
            // An older report in this folder stays until there is something to put in its place.
            Event::BlockDone if outcome.samples == 0 => {}
            Event::BlockDone => {
                let saved = save(&self.recorder.document(outcome), &self.folder, &self.formats);
                *self.failure.borrow_mut() = saved.err();
            }
        }
    }
}
