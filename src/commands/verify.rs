//! `ctxbench verify`: every weight file of a folder against its reference logits.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use candle_core::{Device, Tensor};
use comfy_table::{LineStyle, Table, presets};

use crate::cli::{DtypeChoice, Quantization, TextFormat, VerifyArgs};
use crate::device::{select, threads};
use crate::engine::candle::CandleEngine;
use crate::engine::load::OpenModel;
use crate::engine::reference::Reference;
use crate::engine::verification::{Bar, Noise, PathResult, Verified, noise, twins, verify};
use crate::weights::error::WeightsError;
use crate::weights::precision::{Precision, dtype};

/// How much of the reference implementation's noise in bf16 a run in bf16 may show: the noise is one draw, ours
/// another.
const BF16_NOISE: f64 = 1.5;
/// The same for f16, whose steps are 8 times as fine.
const F16_NOISE: f64 = 0.5;

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
    let mut safetensors = None;
    for file in weight_files(&args.folder)? {
        let verified = verify_file(&file, &args, &reference, &device)?;
        rows.extend(verified.rows);
        if file.is_dir() {
            safetensors = Some(verified.prefills);
        } else if let (Some(one), true) = (&safetensors, verified.exact) {
            rows.extend(twins(&name(&file), &reference, one, &verified.prefills)?);
        }
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

/// What one file gave, and whether it was judged as floats in f32.
struct OneFile {
    rows: Vec<PathResult>,
    prefills: Vec<Tensor>,
    exact: bool,
}

fn verify_file(
    file: &Path,
    args: &VerifyArgs,
    reference: &Reference,
    device: &Device,
) -> anyhow::Result<OneFile> {
    let mut model = match file.is_dir() {
        true => OpenModel::folder(file)?,
        false => OpenModel::gguf(file)?,
    };
    let bar = bar(&model, args, reference, &name(file))?;
    reference.check_vocabulary(model.shape().vocab_size)?;
    let precision = Precision { quantization: Quantization::Native, dtype: dtype(args.dtype) };
    let decoder = model.decoder(precision, device, &mut |_, _| {})?;
    let mut engine = CandleEngine::new(decoder, reference.longest())?;
    let Verified { rows, prefills } = verify(&name(file), &mut engine, reference, bar)?;
    Ok(OneFile { rows, prefills, exact: matches!(bar, Bar::Exact { .. }) })
}

/// How results name a file: a folder's safetensors as one.
fn name(file: &Path) -> String {
    match file.is_dir() {
        true => "model.safetensors".into(),
        false => file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    }
}

/// Blocks are judged by divergence, floats in f32 by tolerance, floats in half precision by the noise of the
/// reference implementation in bf16.
fn bar(model: &OpenModel, args: &VerifyArgs, reference: &Reference, file: &str) -> anyhow::Result<Bar> {
    if matches!(model, OpenModel::Gguf { source, .. } if source.holds_blocks()) {
        anyhow::ensure!(
            !reference.quantized().is_empty(),
            "reference.safetensors has no gguf_q8_0_prefill to hold the quantized file '{file}' against"
        );
        return Ok(Bar::Quantized { tolerance: args.tolerance });
    }
    let share = match args.dtype {
        DtypeChoice::F32 => return Ok(Bar::Exact { tolerance: args.tolerance }),
        DtypeChoice::Bf16 => BF16_NOISE,
        DtypeChoice::F16 => F16_NOISE,
    };
    let (exact, rounded) = (reference.exact(), reference.rounded());
    let (Some(exact), Some(rounded)) = (exact.first(), rounded.first()) else {
        anyhow::bail!(
            "reference.safetensors has no bf16_prefill, which says how far rounding may lead\n\
             use --dtype f32, or add it: docs/adding-a-model.md says how"
        );
    };
    let theirs = noise(&exact.logits, &rounded.logits)?;
    Ok(Bar::Rounded(Noise {
        max_abs_diff: share * theirs.max_abs_diff,
        // Divergence grows with the square of a difference.
        mean_kl: share * share * theirs.mean_kl,
    }))
}

fn print_table(rows: &[PathResult], passed: bool) -> io::Result<()> {
    let number = |x: Option<f64>| x.map_or_else(|| "n/a".into(), |x| format!("{x:.2e}"));
    let mut table = Table::new();
    table.force_no_tty().load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    table.set_header(["file", "path", "prompt", "max |Δ|", "mean KL", "top-1", "result"]);
    for row in rows {
        table.add_row([
            row.file.clone(),
            row.path.into(),
            row.prompt.into(),
            number(row.max_abs_diff),
            number(row.mean_kl),
            match row.top1_equal {
                Some(true) => "equal",
                Some(false) => "differs",
                None => "n/a",
            }
            .into(),
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
