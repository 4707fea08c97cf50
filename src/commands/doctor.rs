//! `ctxbench doctor`: what this box is and can do, and what to do about what is missing.

mod advice;
mod checkup;
mod hub_status;
mod text;

use std::io::{self, Write};
use std::process::ExitCode;

use crate::catalog::Catalog;
use crate::cli::{DoctorArgs, TextFormat};
use crate::clock::SystemClock;
use crate::device::interference::CpuTimes;
use crate::device::memory::Memory;
use crate::device::roofline::Roofline;
use crate::device::{select, threads};

/// Runs the command.
pub fn run(args: DoctorArgs) -> anyhow::Result<ExitCode> {
    let threads = threads::settle(None)?;
    let catalog = Catalog::load(None)?;
    let hub = hub_status::hub_status(args.offline);
    let before = checkup::Box::now(threads);
    let start = CpuTimes::now();
    let device = select::select(&args.device)?;
    let roofline = Roofline::of(&device, &SystemClock::default(), Memory::now().available_bytes)?;
    let others = CpuTimes::now().zip(start).and_then(|(end, start)| end.used_by_others_since(&start));
    let measured = checkup::Measurements { roofline, used_by_others: others };
    let checkup = checkup::Checkup::new(before, &measured, hub, catalog.default_entry());
    let mut out = io::stdout().lock();
    match args.format {
        TextFormat::Terminal => text::write(&mut out, &checkup)?,
        TextFormat::Json => writeln!(out, "{}", serde_json::to_string_pretty(&checkup)?)?,
    }
    Ok(ExitCode::SUCCESS)
}
