//! `ctxbench bench`: the work of one cell of benches/peers.py and nothing else.
//!
//! Comes in: a file and a number of tokens. Goes out: `{"tokens_per_s": [...]}`, one number a run. The machine is not
//! measured, and there are no statistics: `run` has both.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::{BenchArgs, Quantization};
use crate::clock::{Clock, SystemClock};
use crate::device::{select, threads};
use crate::engine::Engine as _;
use crate::engine::candle::CandleEngine;
use crate::engine::load::OpenModel;
use crate::runner::measure;
use crate::weights::precision::{Precision, dtype};

/// Runs the command.
pub fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    threads::settle(args.threads)?;
    let device = select::select(&args.device)?;
    let mut model = match args.model.is_dir() {
        true => OpenModel::folder(&args.model)?,
        false => OpenModel::gguf(&args.model)?,
    };
    let vocabulary = model.shape().vocab_size as u32;
    let precision = Precision { quantization: Quantization::Native, dtype: dtype(args.dtype) };
    let decoder = model.decoder(precision, &device, &mut |_, _| {})?;
    let tokens = args.prefill.or(args.depth).unwrap_or(0);
    let mut engine = CandleEngine::new(decoder, (tokens.max(args.warm_up) + args.steps + 1) as usize)?;
    let ids = |count: u32| (0..count).map(|i| (i * 7919 + 13) % vocabulary).collect::<Vec<u32>>();
    if args.warm_up > 0 {
        engine.prefill(&ids(args.warm_up))?;
        engine.reset()?;
    }
    let clock = SystemClock::default();
    let (work, seconds) = match args.depth {
        None => (tokens, prompts(&mut engine, &clock, &ids(tokens), args.runs)?),
        Some(_) => (args.steps, steps(&mut engine, &clock, &ids(tokens), &args)?),
    };
    let rates: Vec<f64> = seconds.iter().map(|seconds| f64::from(work) / seconds).collect();
    writeln!(io::stdout(), "{}", serde_json::json!({ "tokens_per_s": rates }))?;
    Ok(ExitCode::SUCCESS)
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
