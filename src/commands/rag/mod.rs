//! `ctxbench rag`: from what was typed to a report with verdicts. Wiring: each step is another room's.

mod answers;
mod config;
mod experiment;
mod model;
mod plan;
mod progress;
mod record;
mod retrieval;
mod router;
mod sizes;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use candle_core::Device;

use self::config::RagConfig;
use crate::cli::RagArgs;
use crate::clock::SystemClock;
use crate::commands::run::output::OutputFolder;
use crate::commands::run::witness::WatchedCard;
use crate::commands::run::{Texts, finish, models, stop_on_interrupt};
use crate::device::{select, threads};
use crate::retrieval::store::choice::StoreChoice;
use crate::weights::obtain::Obtained;

/// What the experiment starts from: the box, the words, the model's files.
struct Setup {
    config: RagConfig,
    store: StoreChoice,
    clock: SystemClock,
    threads: u32,
    device: Device,
    card: WatchedCard,
    folder: OutputFolder,
    texts: Texts,
    models: Vec<Obtained>,
    stop: Arc<AtomicBool>,
}

/// Runs the command.
pub fn run(args: RagArgs) -> anyhow::Result<ExitCode> {
    let setup = Setup::new(&args)?;
    let document = experiment::run(&setup)?;
    finish(&document, setup.folder.path(), &setup.config.run)
}

impl Setup {
    fn new(args: &RagArgs) -> anyhow::Result<Self> {
        let clock = SystemClock::default();
        let config = RagConfig::new(args)?;
        let store = StoreChoice::parse(&config.store)?;
        let threads = threads::settle(config.run.threads)?;
        let card = WatchedCard::of(config.run.device);
        let device = select::open(config.run.device)?;
        let folder = OutputFolder::claim(args.output.as_deref())?;
        let texts = Texts::read(&config.run)?;
        let stop = stop_on_interrupt()?;
        let models = models::obtain(&config.run)?;
        Ok(Self { config, store, clock, threads, device, card, folder, texts, models, stop })
    }

    /// The one model that answers.
    fn model(&self) -> &Obtained {
        &self.models[0]
    }
}
