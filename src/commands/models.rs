//! `ctxbench models`: the catalog, and what of it fits this box.

mod embedders;
mod fold;
mod table;

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

use crate::catalog::embedder::Embedder;
use crate::catalog::fit::{self, ModelFit};
use crate::catalog::{Catalog, answer};
use crate::cli::{ModelsArgs, TextFormat};
use crate::device::memory::Memory;

/// What `--format json` prints.
#[derive(Serialize)]
struct Listing {
    context_tokens: u32,
    memory_bytes: Option<u64>,
    available_bytes: Option<u64>,
    /// One sentence a line of the terminal.
    answer: Vec<String>,
    models: Vec<ModelFit>,
    embedders: Vec<Embedder>,
}

impl Listing {
    fn new(catalog: Catalog, context: u32, memory: Memory) -> Self {
        let models = fit::rows(&catalog, context.into(), memory.available_bytes);
        Self {
            context_tokens: context,
            memory_bytes: memory.total_bytes,
            available_bytes: memory.available_bytes,
            answer: answer::sentences(&models, context, memory.available_bytes),
            models,
            embedders: catalog.embedders,
        }
    }
}

/// Runs the command.
pub fn run(args: ModelsArgs) -> anyhow::Result<ExitCode> {
    let catalog = Catalog::load(args.catalog.as_deref())?;
    let listing = Listing::new(catalog, args.context, Memory::now());
    let mut out = io::stdout().lock();
    match args.format {
        TextFormat::Terminal => table::write(&mut out, &listing)?,
        TextFormat::Json => writeln!(out, "{}", serde_json::to_string_pretty(&listing)?)?,
    }
    Ok(ExitCode::SUCCESS)
}
