//! `--dry-run`: the plan with its estimated time, memory and download. Loads no model.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use super::arms::layout;
use super::{Texts, models};
use crate::catalog::memory::{decode_read_bytes, needed_bytes};
use crate::catalog::reference::ModelRef;
use crate::catalog::{Catalog, entry::Entry};
use crate::clock::Clock;
use crate::config::RunConfig;
use crate::device::memory::Memory;
use crate::device::roofline::Roofline;
use crate::model::shape::ModelShape;
use crate::runner::plan::{ArmPlan, Rates, Room, estimate, plan};
use crate::tokenizer::stand_in::StandIn;
use crate::units;

/// Shares of the measured limits that the engine is taken to reach: for an estimate only.
const PREFILL_SHARE: f64 = 0.5;
const DECODE_SHARE: f64 = 0.4;

/// Prints the plan.
pub fn run(config: &RunConfig, texts: &Texts, threads: u32, clock: &dyn Clock) -> anyhow::Result<ExitCode> {
    let _ = (texts, threads, clock);
    anyhow::bail!("not yet")
}
