//! `ctxbench run`: from what was typed to a report. Wiring: each step is another room's.

pub(super) mod arms;
mod dry_run;
pub(super) mod fits;
mod longest;
pub(super) mod models;
pub(super) mod output;
pub(super) mod progress;
pub(super) mod record;
mod resume;
pub(super) mod witness;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;

use self::arms::CandleArms;
use self::longest::Searches;
use self::output::OutputFolder;
use self::progress::RunObserver;
use self::record::Recorder;
use self::witness::WatchedCard;
use crate::cli::{Format, RunArgs};
use crate::clock::{Clock, SystemClock};
use crate::commands::report::exporter;
use crate::config::RunConfig;
use crate::device::{select, threads};
use crate::prompts::corpus::Corpus;
use crate::prompts::scenarios::Scenarios;
use crate::report::document::Document;
use crate::retrieval::store::choice::StoreChoice;
use crate::runner::campaign::{Campaign, Outcome};
use crate::runner::schedule::Budget;
use crate::tokenizer::chat::Thinking;
use crate::tokenizer::load::Loaded;
use crate::verdict::validity::Status;
use crate::workload::RequestBuilder;

/// Runs the command.
pub fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let clock = SystemClock::default();
    let resumed = args.resume.as_deref().map(resume::read).transpose()?;
    let typed = resumed.as_ref().map_or_else(command_line, |r| r.document.command.clone());
    let args = resumed.as_ref().map_or(args, |r| r.args.clone());
    let config = RunConfig::new(&args)?;
    let threads = threads::settle(config.threads)?;
    let card = WatchedCard::of(config.device);
    let opened = select::open_timed(config.device, &clock)?;
    if args.dry_run {
        return dry_run::run(&config, &Texts::read(&config)?, &clock);
    }
    let named = resumed.as_ref().map(|r| r.folder.as_path()).or(args.output.as_deref());
    let folder = OutputFolder::claim(named)?;
    let texts = Texts::read(&config)?;
    let models = models::obtain(&config)?;
    let builders: Vec<_> = models.iter().map(|model| texts.builder(&model.text, &config)).collect();
    let arms = arms::plan(&config, &models, &builders)?;
    arms::check(&models)?;
    let mut recorder = Recorder::new(&config, &models, &arms, typed, threads, &opened.device, &clock)?;
    recorder.on_card(card.record());
    recorder.opened(&opened);
    let outcome = match &resumed {
        Some(resumed) => {
            recorder.began(&resumed.document);
            resume::outcome(&resumed.document, &arms, &recorder)?
        }
        None => Outcome::new(arms.iter().map(|arm| arm.plan.cases.clone()).collect()),
    };
    let device = opened.device;
    let mut source =
        CandleArms { models: &models, builders: &builders, arms: &arms, device, config: &config };
    let stop = stop_on_interrupt()?;
    let mut observer = RunObserver::new(&recorder, folder.path(), &config.formats);
    let campaign = Campaign {
        arms: &mut source,
        budget: remaining(config.budget, &clock),
        seed: config.seed,
        clock: &clock,
        witness: &mut card.witness(),
        observer: &mut observer,
        stop: &stop,
    };
    let outcome = campaign.run(outcome);
    observer.finish()?;
    let found = resumed.as_ref().map_or(&[][..], |resumed| &resumed.document.longest_contexts);
    Searches {
        config: &config,
        models: &models,
        arms: &arms,
        recorder: &recorder,
        card: &card,
        clock: &clock,
        end: config.budget.time.filter(|_| config.budget.time_is_strict),
        stop: &stop,
        folder: folder.path(),
    }
    .run(&mut source, &outcome, found)?;
    recorder.card_after(card.state());
    recorder.finished(&outcome);
    finish(&recorder.document(&outcome), folder.path(), &config)
}

/// The command as typed, without the path of the program, and without what a store's address may hold of a password.
pub(super) fn command_line() -> Vec<String> {
    let words = std::env::args().skip(1).map(|word| without_password(&word));
    std::iter::once("ctxbench".to_owned()).chain(words).collect()
}

/// A word that names a server keeps its place and loses user, password and options.
fn without_password(word: &str) -> String {
    match word.split_once("pgvector=") {
        None => word.into(),
        Some((before, address)) => match StoreChoice::parse(&format!("pgvector={address}")) {
            Ok(store) => format!("{before}{store}"),
            Err(_) => format!("{before}pgvector=(hidden)"),
        },
    }
}

/// What is asked and over what.
pub(super) struct Texts {
    pub(super) scenarios: Scenarios,
    pub(super) corpus: Corpus,
}

impl Texts {
    pub(super) fn read(config: &RunConfig) -> anyhow::Result<Self> {
        let scenarios = match &config.prompts {
            Some(file) => Scenarios::from_file(file)?,
            None => Scenarios::shipped()?,
        };
        let corpus = match &config.corpus {
            Some(folder) => Corpus::from_folder(folder, &scenarios)?,
            None => Corpus::shipped(&scenarios)?,
        };
        Ok(Self { scenarios, corpus })
    }

    pub(super) fn builder<'a>(&'a self, text: &'a Loaded, config: &RunConfig) -> RequestBuilder<'a> {
        self.builder_over(&self.corpus, text, config)
    }

    /// A builder over another corpus.
    pub(super) fn builder_over<'a>(
        &'a self,
        corpus: &'a Corpus,
        text: &'a Loaded,
        config: &RunConfig,
    ) -> RequestBuilder<'a> {
        let thinking = if config.thinking { Thinking::On } else { Thinking::Off };
        let (tokenizer, template) = (text.tokenizer.as_ref(), text.template.as_ref());
        RequestBuilder::new(tokenizer, template, corpus, &self.scenarios, config.seed, thinking)
    }
}

/// The time limit counts from the start of the program: downloads and probes are part of it.
fn remaining(budget: Budget, clock: &dyn Clock) -> Budget {
    Budget { time: budget.time.map(|time| time.saturating_sub(clock.now())), ..budget }
}

/// The first Ctrl-C ends the run after the sample in progress; the second ends the program.
pub(super) fn stop_on_interrupt() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("stopping after this sample; what was measured is kept (Ctrl-C again to stop at once)");
    })
    .context("could not listen for Ctrl-C")?;
    Ok(stop)
}

/// Writes the last state, prints it where asked, and says by the exit code how it went.
pub(super) fn finish(document: &Document, folder: &Path, config: &RunConfig) -> anyhow::Result<ExitCode> {
    if !document.cases.is_empty() {
        progress::save(document, folder, &config.formats)?;
    }
    let measured = document.cases.iter().any(|case| case.samples.iter().any(|s| s.is_complete()));
    if !measured {
        let reason = document.cases.iter().find_map(|case| case.error.clone());
        anyhow::bail!(
            "nothing was measured: {}",
            reason.unwrap_or_else(|| without_a_sample(document).into())
        );
    }
    if config.formats.contains(&Format::Terminal) {
        let mut out = io::stdout().lock();
        exporter(Format::Terminal).write(document, &mut out)?;
        out.flush()?;
    }
    crate::commands::progress::remark(&format!("report: {}", folder.display()));
    let failed =
        document.cases.iter().any(|c| c.error.is_some() || c.samples.iter().any(|s| !s.is_complete()));
    let flagged = config.strict && document.validity.status != Status::Valid;
    Ok(if failed || flagged { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// Why a run whose cases did not fail has nothing.
fn without_a_sample(document: &Document) -> &'static str {
    if document.interrupted {
        "the run was stopped before its first sample; run the same command again"
    } else {
        "looking at the box and loading the model took all of --max-time; allow more"
    }
}
