//! What stays the same during a run, and the document at any moment of it.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use candle_core::Device;

use super::arms::{ArmSpec, layout};
use super::fits::held_as;
use crate::catalog::memory::weight_bytes;
use crate::cli::Quantization;
use crate::clock::Clock;
use crate::config::RunConfig;
use crate::device::memory::Memory;
use crate::device::roofline::Roofline;
use crate::device::select::Opened;
use crate::environment::card::{CardRecord, CardState};
use crate::environment::{Environment, Tool};
use crate::report::assemble::{ArmRecord, RunRecord, assemble};
use crate::report::definitions::{of_device, of_start_up};
use crate::report::document::{Document, LeftOut, LongestRecord, ModelRecord, WeightsOrigin};
use crate::report::start_up::{ArmStartUp, StartUp};
use crate::runner::campaign::{Dropped, Outcome};
use crate::sample::case::Kind;
use crate::units;
use crate::verdict::judge::RunFacts;
use crate::weights::obtain::{Obtained, Place};

/// Makes documents out of outcomes.
pub struct Recorder<'a> {
    config: &'a RunConfig,
    models: &'a [Obtained],
    arms: &'a [ArmSpec],
    record: RunRecord,
    /// Whether no more is to come.
    done: Cell<bool>,
    /// Whether that is so because it was stopped.
    interrupted: Cell<bool>,
    /// The card after the last sample.
    card_after: RefCell<Option<CardState>>,
    /// The longest contexts found so far.
    longest: RefCell<Vec<LongestRecord>>,
    /// Opening the device, where that is to be told.
    opening: Option<StartUp>,
}

impl<'a> Recorder<'a> {
    /// Looks at the box, and measures what it can do (a few seconds).
    pub fn new(
        config: &'a RunConfig,
        models: &'a [Obtained],
        arms: &'a [ArmSpec],
        command: Vec<String>,
        threads: u32,
        device: &Device,
        clock: &dyn Clock,
    ) -> anyhow::Result<Self> {
        let mut environment = Environment::detect(threads);
        Roofline::of(device, clock, Memory::now().available_bytes)?.fill(&mut environment);
        let random = |m: &Obtained| m.origin == WeightsOrigin::Random;
        let of = |model: usize| arms.iter().filter(move |arm| arm.model == model);
        let tool = Tool::this_build();
        let facts = RunFacts {
            debug_build: tool.profile != "release",
            random_weights: models.iter().any(random),
            random_routing: models.iter().any(|m| random(m) && m.shape.experts.is_some()),
            fallback: models.iter().find_map(|m| m.fallback.clone()),
            stand_in_tokenizer: models.iter().any(|m| m.text.tokenizer.name() == "stand-in"),
            single_stream: true,
            interrupted: false,
        };
        let record = RunRecord {
            tool,
            started_at: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            command,
            environment,
            seed: config.seed,
            models: models
                .iter()
                .enumerate()
                .map(|(at, model)| model_record(model, of(at), config))
                .collect(),
            target_half_width: config.budget.runs.is_none().then_some(config.budget.target_half_width),
            facts,
        };
        Ok(Self {
            config,
            models,
            arms,
            record,
            done: Cell::new(false),
            interrupted: Cell::new(false),
            card_after: RefCell::default(),
            longest: RefCell::default(),
            opening: None,
        })
    }

    /// Puts the card that runs into the record of the box.
    pub fn on_card(&mut self, card: Option<CardRecord>) {
        self.record.environment.card = card;
    }

    /// Puts what opening the device took into the record of what came before the first sample.
    pub fn opened(&mut self, opened: &Opened) {
        let ms = |took: Duration| took.as_secs_f64() * 1000.0;
        let (device_ms, kernels_ms) = (ms(opened.device_took), opened.kernels_took.map(ms));
        self.opening = Some(StartUp { device_ms, kernels_ms, arms: Vec::new() });
    }

    /// Notes the card after the last sample.
    pub fn card_after(&self, state: Option<CardState>) {
        *self.card_after.borrow_mut() = state;
    }

    /// Keeps what a search for the longest context found.
    pub fn found_longest(&self, record: LongestRecord) {
        self.longest.borrow_mut().push(record);
    }

    /// What was recorded of box and models.
    pub fn record(&self) -> &RunRecord {
        &self.record
    }

    /// Keeps the beginning of a run that goes on.
    pub fn began(&mut self, before: &Document) {
        self.record.started_at = before.started_at.clone();
        self.opening = before.start_up.clone().or(self.opening.take());
    }

    /// Notes that the campaign is over.
    pub fn finished(&self, outcome: &Outcome) {
        self.interrupted.set(outcome.interrupted);
        self.done.set(true);
    }

    /// The document of what there is so far; until the end it says that the run was not finished.
    pub fn document(&self, outcome: &Outcome) -> Document {
        let device = self.config.device.to_string();
        let dtype = format!("{:?}", self.config.dtype).to_lowercase();
        let arms: Vec<ArmRecord<'_>> = self
            .arms
            .iter()
            .zip(&outcome.arms)
            .map(|(arm, taken)| {
                let model = &self.models[arm.model];
                ArmRecord {
                    model: &model.id,
                    quantization: &arm.label,
                    dtype: &dtype,
                    device: &device,
                    shape: &model.shape,
                    attention_path: taken.attention_path.as_deref(),
                    decode_weight_bytes: taken.decode_weight_bytes,
                    weights_bytes: Some(self.weights_bytes(arm, model)),
                    kv_bytes_per_token: kv_bytes_per_token(model, arm, self.config),
                    error: taken.error.as_deref(),
                    cases: &taken.cases,
                }
            })
            .collect();
        let mut record = self.record.clone();
        record.facts.interrupted |= self.interrupted.get() || !self.done.get();
        if let Some(card) = &mut record.environment.card {
            card.after = self.card_after.borrow().clone();
        }
        let longest_contexts = self.longest.borrow().clone();
        let mut document = assemble(&record, &arms, self.left_out(outcome));
        if record.environment.card.is_some() || !longest_contexts.is_empty() {
            document.definitions.extend(of_device());
        }
        let start_up = self.start_up(outcome);
        if start_up.is_some() {
            document.definitions.extend(of_start_up());
        }
        Document { longest_contexts, start_up, ..document }
    }

    /// What came before the first sample of the arms that were loaded so far.
    fn start_up(&self, outcome: &Outcome) -> Option<StartUp> {
        let arms = self.arms.iter().zip(&outcome.arms).filter_map(|(arm, taken)| {
            let (model, quantization) = (self.models[arm.model].id.clone(), arm.label.clone());
            Some(ArmStartUp { model, quantization, times: taken.first_times? })
        });
        Some(StartUp { arms: arms.collect(), ..self.opening.clone()? })
    }

    /// A GGUF's weights take what its file does; others follow from shape and type.
    fn weights_bytes(&self, arm: &ArmSpec, model: &Obtained) -> u64 {
        match (&model.place, arm.quantization) {
            (Place::Gguf(_), Quantization::Native) => model.files.iter().map(|f| f.bytes).sum(),
            _ => weight_bytes(
                &model.shape,
                arm.quantization,
                layout(self.config, arm.quantization).dtype_bytes,
            ),
        }
    }

    fn left_out(&self, outcome: &Outcome) -> Vec<LeftOut> {
        let too_long = self.arms.iter().flat_map(|arm| {
            let model = &self.models[arm.model].id;
            arm.plan.too_long.iter().map(move |case| LeftOut {
                what: format!("{model}/{}/{}", arm.label, case.spec.label()),
                why: case.why.clone(),
            })
        });
        let no_time = outcome.left_out.iter().map(|dropped| self.no_time(dropped));
        no_time.chain(too_long).chain(self.never_begun(outcome)).collect()
    }

    /// Cases whose turn never came, once the run is over.
    fn never_begun(&self, outcome: &Outcome) -> Vec<LeftOut> {
        let mut cases = Vec::new();
        for (arm, taken) in self.arms.iter().zip(&outcome.arms).filter(|_| self.done.get()) {
            let open = taken
                .cases
                .iter()
                .filter(|c| c.samples.is_empty() && c.error.is_none() && taken.error.is_none());
            let not_named =
                open.filter(|case| !outcome.left_out.iter().any(|dropped| dropped.spec == case.spec));
            cases.extend(not_named.map(|case| LeftOut {
                what: format!("{}/{}/{}", self.models[arm.model].id, arm.label, case.spec.label()),
                why: "the run ended before its turn; raise --max-time, or go on with --resume".into(),
            }));
        }
        cases
    }

    fn no_time(&self, dropped: &Dropped) -> LeftOut {
        let needs = units::milliseconds(dropped.needs.as_secs_f64() * 1000.0);
        let tokens = units::tokens(dropped.spec.tokens);
        let option = if dropped.spec.kind == Kind::Decode { "--depth" } else { "--context" };
        let remedy = match self.config.budget.time_is_strict {
            true => "raise --max-time".into(),
            false => format!("ask for it with `{option} {tokens}`, or allow more with --max-time"),
        };
        LeftOut {
            what: dropped.spec.label(),
            why: format!(
                "its least samples would take about {needs}, which the time allowed does not leave; {remedy}"
            ),
        }
    }
}

/// What the cache of an arm takes for each token.
fn kv_bytes_per_token(model: &Obtained, arm: &ArmSpec, config: &RunConfig) -> u64 {
    let held = held_as(arm.quantization, model.file_quantization.as_deref());
    model.shape.kv_bytes_per_token(config.kv_bytes_per_value(held))
}

fn model_record<'a>(
    model: &Obtained,
    arms: impl Iterator<Item = &'a ArmSpec>,
    config: &RunConfig,
) -> ModelRecord {
    ModelRecord {
        id: model.id.clone(),
        repo: model.repo.clone(),
        revision: model.revision.clone(),
        files: model.files.clone(),
        weights: model.origin,
        parameters: model.shape.parameters(),
        architecture: model.shape.architecture.name().into(),
        max_positions: model.shape.max_positions as u64,
        kv_bytes_per_token: arms.map(|arm| kv_bytes_per_token(model, arm, config)).max().unwrap_or(0),
        tokenizer: model.text.tokenizer.name().into(),
        license: model.license.clone(),
    }
}
