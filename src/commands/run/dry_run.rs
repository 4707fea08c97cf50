//! `--dry-run`: the plan with its estimated time, memory and download. Loads no model.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

use super::arms::{label, layout, quantizations};
use super::fits::Candidate;
use super::{Texts, longest, models};
use crate::catalog::memory::{decode_read_bytes, needed_bytes};
use crate::cli::Quantization;
use crate::clock::Clock;
use crate::config::RunConfig;
use crate::device::memory::Memory;
use crate::device::roofline::Roofline;
use crate::device::select;
use crate::environment::Environment;
use crate::model::shape::ModelShape;
use crate::report::roof;
use crate::runner::plan::{Rates, estimate, plan};
use crate::sample::case::CaseSpec;
use crate::tokenizer::load;
use crate::units;
use crate::weights::preview::Preview;

/// Shares of the measured limits that the engine is taken to reach, for an estimate only: Qwen3-0.6B in Q8_0 reached
/// 0.43 in a prefill of 512 tokens and 0.71 to 0.91 in decode, on two cores of an AMD EPYC (reports/peers/).
const PREFILL_SHARE: f64 = 0.4;
const DECODE_SHARE: f64 = 0.6;

/// One line of the plan.
struct Line {
    arm: String,
    case: String,
    time: Option<Duration>,
    memory: u64,
}

/// Prints the plan.
pub fn run(config: &RunConfig, texts: &Texts, clock: &dyn Clock) -> anyhow::Result<ExitCode> {
    let previews = models::preview(config)?;
    let roofline = Roofline::of(&select::open(config.device)?, clock, Memory::now().available_bytes)?;
    let mut environment = Environment::default();
    roofline.fill(&mut environment);
    let mut lines = Vec::new();
    let mut notes = Vec::new();
    for preview in &previews {
        notes.push(about(preview));
        if let Some(shape) = &preview.shape {
            lines.extend(arm_lines(config, texts, preview, shape, &environment, &mut notes)?);
        }
    }
    print(config, &lines, &notes)?;
    Ok(ExitCode::SUCCESS)
}

/// Of an arm, by the type its weights are multiplied in; `None` where the box was not measured.
fn rates(environment: &Environment, config: &RunConfig, label: &str) -> Option<Rates> {
    let dtype = format!("{:?}", config.dtype).to_lowercase();
    Some(Rates {
        prefill_flops_per_s: PREFILL_SHARE * roof::rate(environment, roof::operand(label, &dtype))?,
        decode_bytes_per_s: DECODE_SHARE * environment.memory_bandwidth_bytes_per_s?,
    })
}

fn about(preview: &Preview) -> String {
    let download = match preview.download_bytes {
        Some(0) => "nothing to download".into(),
        Some(bytes) => format!("{} to download", units::bytes(bytes)),
        None => "download n/a".into(),
    };
    let unknown =
        if preview.shape.is_none() { "; its shape is known once config.json is fetched" } else { "" };
    format!("{}: weights {}; {download}{unknown}", preview.id, preview.weights)
}

fn arm_lines(
    config: &RunConfig,
    texts: &Texts,
    preview: &Preview,
    shape: &ModelShape,
    environment: &Environment,
    notes: &mut Vec<String>,
) -> anyhow::Result<Vec<Line>> {
    // The model's own tokenizer may not be at hand; its short prompts differ by a few tokens.
    let text = load::stand_in(shape.vocab_size, "a plan needs no text");
    let short_tokens = texts.builder(&text, config).short_tokens()?;
    let file = preview.file_quantization.as_deref();
    let mut lines = Vec::new();
    for quantization in quantizations(config, &preview.id, file)? {
        let label = label(quantization, file);
        let rates = rates(environment, config, &label);
        let arm = format!("{} {label}", preview.id);
        let candidate = Candidate { id: &preview.id, shape, quantization, file };
        let room = candidate.room(config)?;
        let plan = plan(config, &arm, short_tokens, room)?;
        notes.extend(longest::plan(config.longest_context, &room).map(|what| format!("{arm}: {what}")));
        let too_long =
            plan.too_long.iter().map(|case| format!("left out: {arm} {}: {}", case.spec.label(), case.why));
        notes.extend(too_long);
        lines.extend(plan.cases.iter().map(|spec| line(config, shape, quantization, &arm, spec, rates)));
    }
    Ok(lines)
}

fn line(
    config: &RunConfig,
    shape: &ModelShape,
    quantization: Quantization,
    arm: &str,
    spec: &CaseSpec,
    rates: Option<Rates>,
) -> Line {
    let layout = layout(config, quantization);
    let step_bytes = decode_read_bytes(shape, layout, u64::from(spec.tokens)) as f64;
    let flops = shape.prefill_flops(u64::from(spec.tokens));
    let time = rates.map(|rates| estimate(spec, config.budget.least(), flops, step_bytes, rates));
    let context = u64::from(spec.tokens + spec.output_tokens);
    Line { arm: arm.into(), case: spec.label(), time, memory: needed_bytes(shape, layout, context).peak() }
}

fn print(config: &RunConfig, lines: &[Line], notes: &[String]) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["model and weights", "case", "estimated time", "memory"]);
    for line in lines {
        let time = line.time.map_or("n/a".into(), |t| units::milliseconds(t.as_secs_f64() * 1000.0));
        table.add_row([line.arm.clone(), line.case.clone(), time, units::bytes(line.memory)]);
    }
    for column in 2..4 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut out = io::stdout().lock();
    for note in notes {
        writeln!(out, "{note}")?;
    }
    writeln!(out, "\n{table}\n")?;
    let total: Option<Duration> = lines.iter().map(|line| line.time).sum();
    let total = total.map_or("n/a".into(), |t| units::milliseconds(t.as_secs_f64() * 1000.0));
    writeln!(
        out,
        "{} samples a case at the least, one warm-up: about {total} in all, loading not counted.",
        config.budget.least()
    )?;
    if let Some(limit) = config.budget.time {
        writeln!(
            out,
            "The run is allowed {} s; cases of the default plan that do not fit are left out and named.",
            limit.as_secs()
        )?;
    }
    if lines.iter().any(|line| line.time.is_some()) {
        writeln!(
            out,
            "Estimated from rates measured just now, {:.0} % of the peak of products and {:.0} % of the bandwidth; nothing was run.",
            100.0 * PREFILL_SHARE,
            100.0 * DECODE_SHARE
        )?;
    }
    Ok(())
}
