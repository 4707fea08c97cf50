//! `ctxbench models`: the catalog, and what of it fits this box.

mod table;

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

use crate::catalog::Catalog;
use crate::catalog::fit::{self, ModelFit};
use crate::cli::{ModelsArgs, TextFormat};
use crate::device::memory::Memory;

/// What `--format json` prints.
#[derive(Serialize)]
struct Listing {
    context_tokens: u32,
    memory_bytes: Option<u64>,
    available_bytes: Option<u64>,
    answer: String,
    models: Vec<ModelFit>,
}

/// Runs the command.
pub fn run(args: ModelsArgs) -> anyhow::Result<ExitCode> {
    let catalog = Catalog::load(args.catalog.as_deref())?;
    let memory = Memory::now();
    let models = fit::rows(&catalog, args.context.into(), memory.available_bytes);
    let listing = Listing {
        context_tokens: args.context,
        memory_bytes: memory.total_bytes,
        available_bytes: memory.available_bytes,
        answer: fit::answer(&models, args.context, memory.available_bytes),
        models,
    };
    let mut out = io::stdout().lock();
    match args.format {
        TextFormat::Terminal => table::write(&mut out, &listing)?,
        TextFormat::Json => writeln!(out, "{}", serde_json::to_string_pretty(&listing)?)?,
    }
    Ok(ExitCode::SUCCESS)
}
