//! `ctxbench bench`: the work of one cell of benches/peers.py, or of one row of benches/gpu.sh, and nothing else.
//!
//! Comes in: a model and a number of tokens. Goes out: `{"tokens_per_s": [...], "weights": ...}`, one number a run; with
//! --start, the stages of a start. The machine is not measured, and there are no statistics: `run` has both.

mod start;

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::catalog::Catalog;
use crate::cli::{BenchArgs, BenchWeights, Quantization, WeightsChoice};
use crate::clock::{Clock, SystemClock};
use crate::device::{select, threads};
use crate::engine::Engine as _;
use crate::engine::candle::CandleEngine;
use crate::engine::load::OpenModel;
use crate::hub::{Hub, HubOptions};
use crate::model::shape::ModelShape;
use crate::runner::measure;
use crate::weights::obtain::Search;
use crate::weights::origin::WeightsOrigin;
use crate::weights::precision::{Precision, dtype};

/// Of random weights: the default of `ctxbench run`.
const SEED: u64 = 42;

/// Runs the command.
pub fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    if let Some(tokens) = args.start {
        return start::run(&args, tokens);
    }
    threads::settle(args.threads)?;
    let device = select::select(&args.device)?;
    let mut model = open(&args)?;
    let vocabulary = model.shape().vocab_size as u32;
    let decoder = model.decoder(precision(&args), &device, &mut |_, _| {})?;
    let tokens = args.prefill.or(args.depth).unwrap_or(0);
    let mut engine = CandleEngine::new(decoder, (tokens.max(args.warm_up) + args.steps + 1) as usize)?;
    if args.warm_up > 0 {
        engine.prefill(&ids(args.warm_up, vocabulary))?;
        engine.reset()?;
    }
    let clock = SystemClock::default();
    let (work, seconds) = match args.depth {
        None => (tokens, prompts(&mut engine, &clock, &ids(tokens, vocabulary), args.runs)?),
        Some(_) => (args.steps, steps(&mut engine, &clock, &ids(tokens, vocabulary), &args)?),
    };
    let rates: Vec<f64> = seconds.iter().map(|seconds| f64::from(work) / seconds).collect();
    writeln!(io::stdout(), "{}", serde_json::json!({ "tokens_per_s": rates, "weights": origin(&args) }))?;
    Ok(ExitCode::SUCCESS)
}

/// The model, not read yet.
fn open(args: &BenchArgs) -> anyhow::Result<OpenModel> {
    let path = Path::new(&args.model);
    Ok(match args.weights {
        BenchWeights::Random => OpenModel::random(shape(&args.model)?, SEED),
        BenchWeights::File if path.is_dir() => OpenModel::folder(path)?,
        BenchWeights::File => OpenModel::gguf(path)?,
    })
}

/// The shape of what `run --weights random` would take by that name; nothing is fetched for it.
fn shape(model: &str) -> anyhow::Result<ModelShape> {
    let (catalog, hub) = (Catalog::load(None)?, Hub::new(HubOptions::from_environment()?)?);
    let search = Search { catalog: &catalog, hub: &hub, weights: WeightsChoice::Random };
    let known = search.preview(model)?.shape;
    known.with_context(|| {
        format!("the shape of '{model}' is unknown; name a catalog id, a folder or a .gguf file")
    })
}

/// As `ctxbench run` stamps it.
fn origin(args: &BenchArgs) -> WeightsOrigin {
    match args.weights {
        BenchWeights::File => WeightsOrigin::Local,
        BenchWeights::Random => WeightsOrigin::Random,
    }
}

fn precision(args: &BenchArgs) -> Precision {
    Precision { quantization: Quantization::Native, dtype: dtype(args.dtype) }
}

/// `count` ids of the vocabulary, no long run of which repeats.
fn ids(count: u32, vocabulary: u32) -> Vec<u32> {
    (0..count).map(|i| (i * 7919 + 13) % vocabulary).collect()
}

/// Seconds of each prompt.
fn prompts(engine: &mut CandleEngine, clock: &dyn Clock, ids: &[u32], runs: u32) -> anyhow::Result<Vec<f64>> {
    let one = |_| {
        engine.reset()?;
        let start = clock.now();
        engine.prefill(ids)?;
        let took = clock.now() - start;
        engine.sample()?;
        Ok(took.as_secs_f64())
    };
    (0..runs).map(one).collect()
}

/// Seconds of each series of steps.
fn steps(
    engine: &mut CandleEngine,
    clock: &dyn Clock,
    ids: &[u32],
    args: &BenchArgs,
) -> anyhow::Result<Vec<f64>> {
    measure::fill(engine, clock, ids)?;
    let one = |_| {
        let sample = measure::decode_at_depth(engine, clock, ids.len() as u32, args.steps);
        anyhow::ensure!(sample.error.is_none(), "{}", sample.error.unwrap_or_default());
        sample.token_ready_ms.last().map(|ms| ms / 1000.0).context("no step was timed: --steps is 0")
    };
    (0..args.runs).map(one).collect()
}
