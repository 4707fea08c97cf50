//! The arms of a run: each model in each weight type, through candle.

use candle_core::Device;

use super::fits::Candidate;
use crate::catalog::memory::{Kernels, Layout};
use crate::cli::Quantization;
use crate::config::RunConfig;
use crate::device::select::DeviceChoice;
use crate::engine::Engine as _;
use crate::engine::candle::CandleEngine;
use crate::engine::load::OpenModel;
use crate::runner::arm::{Arms, LoadedArm, Prompt};
use crate::runner::plan::{ArmPlan, Room, plan as plan_arm};
use crate::sample::case::{CaseSpec, Kind};
use crate::weights::obtain::{Obtained, Place};
use crate::weights::precision::Precision;
use crate::workload::{Note, RequestBuilder};

/// One model in one weight type, and what it is to do.
pub struct ArmSpec {
    /// Index into the models.
    pub model: usize,
    /// Weight type.
    pub quantization: Quantization,
    /// As reports name it.
    pub label: String,
    /// Its cases.
    pub plan: ArmPlan,
    /// What it can hold.
    pub room: Room,
}

/// Lays out every arm; errors name a length that cannot be held.
pub fn plan(
    config: &RunConfig,
    models: &[Obtained],
    builders: &[RequestBuilder<'_>],
) -> anyhow::Result<Vec<ArmSpec>> {
    let mut arms = Vec::new();
    for (index, model) in models.iter().enumerate() {
        let short_tokens = builders[index].short_tokens()?;
        let file = model.file_quantization.as_deref();
        for quantization in quantizations(config, &model.id, file)? {
            let label = label(quantization, file);
            let name = format!("{} {label}", model.id);
            let candidate = Candidate { id: &model.id, shape: &model.shape, quantization, file };
            let room = candidate.room(config)?;
            let plan = plan_arm(config, &name, short_tokens, room)?;
            arms.push(ArmSpec { model: index, quantization, label, plan, room });
        }
    }
    Ok(arms)
}

/// A GGUF in block types runs as it is; everything else in what was asked for.
pub fn quantizations(config: &RunConfig, id: &str, file: Option<&str>) -> anyhow::Result<Vec<Quantization>> {
    let Some(file) = file.filter(|name| !is_float(name)) else {
        let named = config.quantizations.clone();
        return Ok(if named.is_empty() { vec![config.default_quantization()] } else { named });
    };
    let other = config.quantizations.iter().find(|q| **q != Quantization::Native);
    anyhow::ensure!(
        other.is_none(),
        "{id} is quantized already ({file}), and --quant makes types from bf16, f16 or f32 weights only; \
         leave --quant out for this file, or name the safetensors repository"
    );
    Ok(vec![Quantization::Native])
}

fn is_float(name: &str) -> bool {
    matches!(name, "F32" | "F16" | "BF16")
}

/// How reports name a weight type.
pub fn label(quantization: Quantization, file: Option<&str>) -> String {
    match (file, quantization) {
        (Some(file), Quantization::Native) => format!("file:{file}"),
        _ => quantization.name(),
    }
}

/// How an arm is held in memory.
pub fn layout(config: &RunConfig, quantization: Quantization) -> Layout {
    let kv_bytes_per_value = config.kv_bytes_per_value(quantization);
    let kernels = match config.device {
        DeviceChoice::Cuda(_) => Kernels::Card,
        DeviceChoice::Cpu | DeviceChoice::Metal => Kernels::Processor,
    };
    Layout { quantization, dtype_bytes: config.dtype_bytes(), kv_bytes_per_value, kernels }
}

/// Opens the files of every model: a damaged one is found before the first is measured.
pub fn check(models: &[Obtained]) -> anyhow::Result<()> {
    models.iter().try_for_each(|model| open(model, 0).map(drop))
}

/// Opens a model's weights; nothing is read yet.
pub fn open(model: &Obtained, seed: u64) -> anyhow::Result<OpenModel> {
    Ok(match &model.place {
        Place::Folder(folder) => OpenModel::folder(folder)?,
        Place::Gguf(file) => OpenModel::gguf(file)?,
        Place::Seed => OpenModel::random(model.shape.clone(), seed),
    })
}

/// Loads arms through candle.
pub struct CandleArms<'a> {
    /// The models.
    pub models: &'a [Obtained],
    /// A request builder per model.
    pub builders: &'a [RequestBuilder<'a>],
    /// The arms.
    pub arms: &'a [ArmSpec],
    /// Where they run.
    pub device: Device,
    /// What was asked for.
    pub config: &'a RunConfig,
}

impl Arms for CandleArms<'_> {
    fn count(&self) -> usize {
        self.arms.len()
    }

    fn name(&self, index: usize) -> String {
        let arm = &self.arms[index];
        format!("{} {}", self.models[arm.model].id, arm.label)
    }

    fn prefill_flops(&self, index: usize, tokens: u64) -> f64 {
        self.models[self.arms[index].model].shape.prefill_flops(tokens)
    }

    fn prompt(&self, index: usize, case: &CaseSpec, number: u32) -> anyhow::Result<Prompt> {
        let builder = &self.builders[self.arms[index].model];
        let request = match case.kind {
            Kind::Short => builder.short(number)?,
            Kind::Rag => builder.rag(case.tokens, number)?,
            Kind::Decode if case.tokens == 0 => return Ok(Prompt::default()),
            Kind::Decode => builder.plain(case.tokens, number)?,
            other => anyhow::bail!("scenario {} belongs to `ctxbench rag`", other.name()),
        };
        let no_chat_template = request.notes.contains(&Note::NoChatTemplate);
        Ok(Prompt { text: request.text, truncated: request.truncated, no_chat_template })
    }

    fn encode(&self, index: usize, text: &str) -> anyhow::Result<Vec<u32>> {
        Ok(self.models[self.arms[index].model].text.tokenizer.encode(text)?)
    }

    fn load(&mut self, index: usize, capacity: usize) -> anyhow::Result<LoadedArm> {
        let arm = &self.arms[index];
        let model = &self.models[arm.model];
        let mut open = open(model, self.config.seed)?;
        let precision = Precision { quantization: arm.quantization, dtype: self.config.dtype };
        let decoder = open.decoder(precision, &self.device, &mut |_, _| {})?;
        let decode_weight_bytes = Some(decoder.decode_weight_bytes());
        let engine = CandleEngine::new(decoder, capacity)?;
        tracing::info!("loaded {} with room for {} tokens", self.name(index), engine.capacity());
        Ok(LoadedArm { engine: Box::new(engine), decode_weight_bytes })
    }
}
