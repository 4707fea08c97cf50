//! What the tool itself adds to a decode step: the timed loop around an engine that does nothing,
//! against a real step of qwen3-0.6b in q8_0 (random weights). Fails at 1 % or more.
//!
//! `cargo bench --bench overhead`

use ctxbench::catalog::Catalog;
use ctxbench::cli::Quantization;
use ctxbench::clock::{Clock, SystemClock};
use ctxbench::engine::Engine;
use ctxbench::engine::candle::CandleEngine;
use ctxbench::engine::load::OpenModel;
use ctxbench::runner::measure;
use ctxbench::stats::percentile::median;
use ctxbench::weights::precision::Precision;

/// Steps per request: as many as a long answer has.
const STEPS: u32 = 512;
/// Requests of the engine that does nothing.
const EMPTY_REQUESTS: usize = 200;
/// Requests of the real engine, and their steps.
const REAL_REQUESTS: usize = 5;
const REAL_STEPS: u32 = 24;
/// The most that the tool may add.
const LIMIT: f64 = 0.01;

struct Idle {
    depth: usize,
}

impl Engine for Idle {
    fn reset(&mut self) -> anyhow::Result<()> {
        self.depth = 0;
        Ok(())
    }
    fn prefill(&mut self, ids: &[u32]) -> anyhow::Result<()> {
        self.depth += ids.len();
        Ok(())
    }
    fn sample(&mut self) -> anyhow::Result<u32> {
        Ok(1)
    }
    fn decode(&mut self, id: u32) -> anyhow::Result<u32> {
        self.depth += 1;
        Ok(std::hint::black_box(id))
    }
    fn depth(&self) -> usize {
        self.depth
    }
    fn mark(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
    fn rewind(&mut self) -> anyhow::Result<()> {
        self.depth = 0;
        Ok(())
    }
    fn capacity(&self) -> usize {
        usize::MAX
    }
    fn attention_path(&self) -> &'static str {
        "none"
    }
    fn output_is_finite(&self) -> anyhow::Result<bool> {
        Ok(true)
    }
}

#[expect(clippy::print_stdout, reason = "the result of a benchmark goes to stdout")]
fn main() -> anyhow::Result<()> {
    let clock = SystemClock::default();
    let tool = step_ms(&mut Idle { depth: 0 }, &clock, STEPS, EMPTY_REQUESTS)?;
    let model = step_ms(&mut real_engine()?, &clock, REAL_STEPS, REAL_REQUESTS)?;
    let share = tool / model;
    println!("tool, per decode step:             {:.1} ns", tool * 1e6);
    println!("qwen3-0.6b q8_0, per decode step:  {model:.2} ms");
    println!("overhead of the tool:              {:.6} %", 100.0 * share);
    anyhow::ensure!(share < LIMIT, "the tool takes {:.2} % of a decode step", 100.0 * share);
    Ok(())
}

/// Median over requests of the mean gap between tokens, as the report's `tpot_ms` has it.
fn step_ms(engine: &mut dyn Engine, clock: &dyn Clock, steps: u32, requests: usize) -> anyhow::Result<f64> {
    let encode = |_: &str| Ok(vec![1, 2, 3]);
    let mut gaps = Vec::new();
    for _ in 0..requests {
        let sample = measure::request(engine, &encode, clock, "", steps);
        anyhow::ensure!(sample.error.is_none(), "the engine failed: {:?}", sample.error);
        gaps.extend(sample.tpot_ms());
    }
    median(&gaps).ok_or_else(|| anyhow::anyhow!("no step was timed"))
}

fn real_engine() -> anyhow::Result<CandleEngine> {
    let catalog = Catalog::load(None)?;
    let entry =
        catalog.find("qwen3-0.6b").ok_or_else(|| anyhow::anyhow!("qwen3-0.6b is not in the catalog"))?;
    let precision = Precision { quantization: Quantization::Q8_0, dtype: candle_core::DType::F32 };
    let mut model = OpenModel::random(entry.shape.clone(), 42);
    let decoder = model.decoder(precision, &candle_core::Device::Cpu, &mut |_, _| {})?;
    Ok(CandleEngine::new(decoder, 64)?)
}
