//! `--resume DIR`: an interrupted run goes on with what its report holds.

use std::path::{Path, PathBuf};

use clap::Parser;

use super::arms::ArmSpec;
use super::record::Recorder;
use crate::cli::{Cli, Command, RunArgs};
use crate::report::document::{Case, Document};
use crate::runner::campaign::Outcome;
use crate::sample::case::{CaseProgress, Observed};
use crate::sample::energy::CaseEnergy;

/// A run that is to go on.
pub struct Resumed {
    /// What it had.
    pub document: Document,
    /// Its own arguments.
    pub args: RunArgs,
    /// Its folder.
    pub folder: PathBuf,
}

/// Reads `folder/report.json` and the command in it.
pub fn read(folder: &Path) -> anyhow::Result<Resumed> {
    let document = Document::read(folder)?;
    let cli = Cli::try_parse_from(&document.command);
    let Ok(Cli { command: Command::Run(args), .. }) = cli else {
        anyhow::bail!(
            "'{}' was not written by `ctxbench run`, so there is nothing to go on with",
            folder.display()
        );
    };
    let args = RunArgs { resume: None, dry_run: false, ..*args };
    Ok(Resumed { document, args, folder: folder.into() })
}

/// The outcome to go on from. Errors where the box, the program or the weights are others: samples
/// of two boxes must not be mixed.
pub fn outcome(old: &Document, arms: &[ArmSpec], recorder: &Recorder<'_>) -> anyhow::Result<Outcome> {
    let new = recorder.record();
    let same_box =
        old.environment.cpu == new.environment.cpu && old.environment.threads == new.environment.threads;
    anyhow::ensure!(
        same_box && old.tool == new.tool,
        "that run was begun on another box or by another build ({}, {} threads, ctxbench {}); begin a new one",
        old.environment.cpu.as_deref().unwrap_or("n/a"),
        old.environment.threads.map_or("n/a".into(), |n| n.to_string()),
        old.tool.version,
    );
    anyhow::ensure!(
        old.models == new.models,
        "that run measured other files or weights than are found now; begin a new one"
    );
    let mut outcome = Outcome::new(arms.iter().map(|arm| arm.plan.cases.clone()).collect());
    for (arm, taken) in arms.iter().zip(&mut outcome.arms) {
        let model = &new.models[arm.model].id;
        let loaded = old.start_up.iter().flat_map(|before| &before.arms);
        let mut same = loaded.filter(|old| old.model == *model && old.quantization == arm.label);
        taken.first_times = same.next().map(|old| old.times);
        for progress in &mut taken.cases {
            let id = format!("{model}/{}/{}", arm.label, progress.spec.label());
            if let Some(case) = old.cases.iter().find(|case| case.id == id && case.error.is_none()) {
                fill(progress, case);
            }
        }
    }
    let samples = old.cases.iter().flat_map(|case| &case.samples);
    outcome.samples = samples.map(|sample| sample.order + 1).max().unwrap_or(0);
    // Prompts of the earlier part, warm-ups counted, stay below this: none is sent twice.
    outcome.prompts = 1000 * (outcome.samples + 1);
    Ok(outcome)
}

fn fill(progress: &mut CaseProgress, case: &Case) {
    progress.samples = case.samples.clone();
    progress.observed = vec![Observed { peak_memory_bytes: case.peak_memory_bytes, ..Observed::default() }];
    progress.energy = case
        .card
        .as_ref()
        .map(|card| CaseEnergy { prefill: card.prefill_energy, output: card.output_energy });
    progress.truncated = case.validity.reasons.iter().any(|r| r.code == "context_truncated");
    progress.no_chat_template = case.validity.reasons.iter().any(|r| r.code == "no_chat_template");
}
