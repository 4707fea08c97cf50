//! `ctxbench verify`: every weight file of a folder against its reference logits.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use candle_core::Device;
use comfy_table::{LineStyle, Table, presets};

use crate::cli::{Quantization, TextFormat, VerifyArgs};
use crate::device::{select, threads};
use crate::engine::candle::CandleEngine;
use crate::engine::load::OpenModel;
use crate::engine::reference::Reference;
use crate::engine::verification::{Bar, PathResult, verify};
use crate::weights::error::WeightsError;
use crate::weights::precision::{Precision, dtype};

/// Runs the command: exit code 1 if a path is beyond the tolerance.
pub fn run(args: VerifyArgs) -> anyhow::Result<ExitCode> {
    threads::settle(args.threads)?;
    let device = select::select(&args.device)?;
    anyhow::ensure!(
        args.folder.is_dir(),
        "'{}' is not a folder\nverify needs a folder with a model and reference.safetensors",
        args.folder.display()
    );
    let reference = Reference::read(&args.folder)?;
    let mut rows = Vec::new();
    for file in weight_files(&args.folder)? {
        rows.extend(verify_file(&file, &args, &reference, &device)?);
    }
    let passed = rows.iter().all(|row| row.pass);
    match args.format {
        TextFormat::Json => writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&rows)?)?,
        TextFormat::Terminal => print_table(&rows, passed)?,
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// The folder itself if it holds safetensors, then each `.gguf` file in it.
fn weight_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("could not read folder '{}'", folder.display()))?;
    let mut files: Vec<PathBuf> =
        entries.collect::<Result<Vec<_>, _>>()?.into_iter().map(|e| e.path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "gguf"));
    files.sort();
    if !crate::weights::safetensors::weight_files(folder)?.is_empty() {
        files.insert(0, folder.into());
    }
    if files.is_empty() {
        return Err(WeightsError::NoModel(folder.into()).into());
    }
    Ok(files)
}

fn verify_file(
    file: &Path,
    args: &VerifyArgs,
    reference: &Reference,
    device: &Device,
) -> anyhow::Result<Vec<PathResult>> {
    let (mut model, name) = match file.is_dir() {
        true => (OpenModel::folder(file)?, "model.safetensors".into()),
        false => {
            (OpenModel::gguf(file)?, file.file_name().unwrap_or_default().to_string_lossy().into_owned())
        }
    };
    let quantized = matches!(&model, OpenModel::Gguf { source, .. } if source.holds_blocks());
    let bar = match quantized {
        true => Bar::Quantized { tolerance: args.tolerance },
        false => Bar::Exact { tolerance: args.tolerance },
    };
    anyhow::ensure!(
        !reference.prompts(quantized).is_empty(),
        "reference.safetensors has no gguf_q8_0_prefill to hold the quantized file '{name}' against"
    );
    reference.check_vocabulary(model.shape().vocab_size)?;
    let precision = Precision { quantization: Quantization::Native, dtype: dtype(args.dtype) };
    let decoder = model.decoder(precision, device, &mut |_, _| {})?;
    let mut engine = CandleEngine::new(decoder, reference.longest())?;
    verify(&name, &mut engine, reference, bar)
}

fn print_table(rows: &[PathResult], passed: bool) -> io::Result<()> {
    let number = |x: Option<f64>| x.map_or_else(|| "n/a".into(), |x| format!("{x:.2e}"));
    let mut table = Table::new();
    table.force_no_tty().load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    table.set_header(["file", "path", "prompt", "max |Δ logit|", "mean KL", "top-1", "result"]);
    for row in rows {
        table.add_row([
            row.file.clone(),
            row.path.into(),
            row.prompt.into(),
            number(row.max_abs_diff),
            number(row.mean_kl),
            if row.top1_equal { "equal" } else { "differs" }.into(),
            if row.pass { "pass" } else { "FAIL" }.into(),
        ]);
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{}", table.trim_fmt())?;
    writeln!(
        out,
        "{}",
        if passed {
            "every path agrees with the reference"
        } else {
            "some paths do not agree with the reference"
        }
    )
}
