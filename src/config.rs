//! What the arguments of `run` mean, after every default is filled in. Looks at no file.

use std::path::PathBuf;
use std::time::Duration;

use candle_core::DType;

use crate::cli::{DtypeChoice, Format, Quantization, RunArgs, Scenario, WeightsChoice};
use crate::device::select::DeviceChoice;
use crate::runner::schedule::Budget;
use crate::weights::precision;

/// Time of a run that sets none and no number of runs either.
pub const DEFAULT_TIME: Duration = Duration::from_secs(170);
/// RAG contexts of the default plan; those that do not fit the time are left out from the end.
pub const DEFAULT_CONTEXTS: [u32; 7] = [512, 1024, 2048, 4096, 8192, 16_384, 32_768];
/// Depths of scenario `decode` where none are named.
pub const DEFAULT_DEPTHS: [u32; 4] = [0, 512, 2048, 4096];
/// Half the interval of the median that is narrow enough, relative to it.
const TARGET_HALF_WIDTH: f64 = 0.05;

/// A run, as it is meant.
#[derive(Clone, Debug)]
pub struct RunConfig {
    /// MODEL arguments; empty means the catalog's default.
    pub models: Vec<String>,
    /// Scenarios, each once, in order.
    pub scenarios: Vec<Scenario>,
    /// RAG contexts.
    pub contexts: Lengths,
    /// Depths of scenario `decode`.
    pub depths: Lengths,
    /// Whether the longest context is looked for, and how far.
    pub longest_context: LongestContext,
    /// Output ids per request.
    pub output_tokens: u32,
    /// Weight types; empty means q8_0 on CPU and native elsewhere.
    pub quantizations: Vec<Quantization>,
    /// Type of activations.
    pub dtype: DType,
    /// Device.
    pub device: DeviceChoice,
    /// Threads asked for.
    pub threads: Option<u32>,
    /// Where weights may come from.
    pub weights: WeightsChoice,
    /// Whether the network is forbidden.
    pub offline: bool,
    /// How much to take.
    pub budget: Budget,
    /// Seed of weights, prompts and order.
    pub seed: u64,
    /// Whether the template is asked for thinking.
    pub thinking: bool,
    /// Whether a flagged result fails the run.
    pub strict: bool,
    /// Formats to write.
    pub formats: Vec<Format>,
    /// Scenario file.
    pub prompts: Option<PathBuf>,
    /// Corpus folder.
    pub corpus: Option<PathBuf>,
    /// The user's catalog.
    pub catalog: Option<PathBuf>,
}

/// Lengths, and who named them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lengths {
    /// The user, each once, ascending.
    Named(Vec<u32>),
    /// The default plan.
    Default(Vec<u32>),
}

/// Whether the longest context that runs is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LongestContext {
    /// It is not.
    NotAsked,
    /// Up to what the model and the device's memory should hold.
    WhatFits,
    /// Up to this many tokens, or what should fit if that is less.
    UpTo(u32),
}

impl Lengths {
    fn of(named: &[u32], default: &[u32]) -> Self {
        let mut named = named.to_vec();
        named.sort();
        named.dedup();
        if named.is_empty() { Self::Default(default.to_vec()) } else { Self::Named(named) }
    }
}

impl RunConfig {
    /// Fills in what was not typed. Errors on a device that is no device, and on a context of 0.
    pub fn new(args: &RunArgs) -> anyhow::Result<Self> {
        let device: DeviceChoice = args.device.parse()?;
        anyhow::ensure!(
            !args.context.contains(&0),
            "--context 0 is not a prompt; the shortest is 1 token (for decode from an empty cache use --scenario decode --depth 0)"
        );
        let longest_context = match args.longest_context {
            None => LongestContext::NotAsked,
            Some(None) => LongestContext::WhatFits,
            Some(Some(0)) => {
                anyhow::bail!("--longest-context=0 leaves nothing to try; leave the number out, or raise it")
            }
            Some(Some(tokens)) => LongestContext::UpTo(tokens),
        };
        Ok(Self {
            longest_context,
            models: args.models.clone(),
            scenarios: scenarios(args),
            contexts: Lengths::of(&args.context, &DEFAULT_CONTEXTS),
            depths: Lengths::of(&args.depth, &DEFAULT_DEPTHS),
            output_tokens: args.output_tokens,
            quantizations: once(&args.quant),
            dtype: precision::dtype(args.dtype.unwrap_or(default_dtype(device))),
            device,
            threads: args.threads,
            weights: args.weights,
            offline: args.offline,
            budget: budget(args),
            seed: args.seed,
            thinking: args.thinking,
            strict: args.strict,
            formats: once(&args.format),
            prompts: args.prompts.clone(),
            corpus: args.corpus.clone(),
            catalog: args.catalog.clone(),
        })
    }

    /// Bytes of an unquantized weight.
    pub fn dtype_bytes(&self) -> u64 {
        self.dtype.size_in_bytes() as u64
    }

    /// Bytes of a key or value in the cache beside matrices held as `quantization`: on the CPU 2 unless matrices
    /// are f32, elsewhere those of an activation. A GGUF in block types is held as what it is, not as `Native`.
    pub fn kv_bytes_per_value(&self, quantization: Quantization) -> u64 {
        let quantized = quantization != Quantization::Native;
        if quantized && self.device == DeviceChoice::Cpu { 2 } else { self.dtype_bytes() }
    }

    /// Weight types for a model on this device, where none were named.
    pub fn default_quantization(&self) -> Quantization {
        if self.device == DeviceChoice::Cpu { Quantization::Q8_0 } else { Quantization::Native }
    }
}

fn default_dtype(device: DeviceChoice) -> DtypeChoice {
    if device == DeviceChoice::Cpu { DtypeChoice::F32 } else { DtypeChoice::Bf16 }
}

/// `--depth` without `--scenario decode` means that scenario too.
fn scenarios(args: &RunArgs) -> Vec<Scenario> {
    let mut scenarios = once(&args.scenario);
    if !args.depth.is_empty() && !scenarios.contains(&Scenario::Decode) {
        scenarios.push(Scenario::Decode);
    }
    scenarios.sort();
    scenarios
}

fn budget(args: &RunArgs) -> Budget {
    let default = args.runs.is_none().then_some(DEFAULT_TIME);
    Budget {
        time: args.max_time.or(default),
        time_is_strict: args.max_time.is_some(),
        runs: args.runs,
        target_half_width: TARGET_HALF_WIDTH,
    }
}

fn once<T: Copy + PartialEq>(items: &[T]) -> Vec<T> {
    let mut kept = Vec::new();
    for item in items {
        if !kept.contains(item) {
            kept.push(*item);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn config(line: &str) -> anyhow::Result<RunConfig> {
        let words = ["ctxbench", "run"].into_iter().chain(line.split_whitespace());
        match Cli::try_parse_from(words)?.command {
            Command::Run(args) => RunConfig::new(&args),
            _ => panic!("not a run"),
        }
    }

    #[test]
    fn a_bare_run_is_short_against_rag_within_its_own_time() {
        let config = config("").unwrap();
        assert_eq!(config.scenarios, [Scenario::Short, Scenario::Rag]);
        assert_eq!(config.contexts, Lengths::Default(DEFAULT_CONTEXTS.to_vec()));
        assert_eq!((config.budget.time, config.budget.time_is_strict), (Some(DEFAULT_TIME), false));
        assert_eq!((config.dtype, config.default_quantization()), (DType::F32, Quantization::Q8_0));
    }

    #[test]
    fn a_number_of_runs_has_no_time_limit_and_a_time_limit_is_strict() {
        assert_eq!(config("--runs 5").unwrap().budget.time, None);
        let both = config("--runs 5 --max-time 3m").unwrap().budget;
        assert_eq!(
            (both.time, both.time_is_strict, both.runs),
            (Some(Duration::from_secs(180)), true, Some(5))
        );
    }

    #[test]
    fn lists_are_sorted_and_each_item_is_taken_once() {
        let config = config("--context 2k,512,2k --quant q4_k,q8_0,q4_k --depth 0").unwrap();
        assert_eq!(config.contexts, Lengths::Named(vec![512, 2048]));
        assert_eq!(config.quantizations, [Quantization::Q4K, Quantization::Q8_0]);
        assert_eq!(config.scenarios, [Scenario::Short, Scenario::Rag, Scenario::Decode]);
    }

    #[test]
    fn the_longest_context_is_looked_for_when_asked_with_or_without_an_end() {
        let asked = |line: &str| config(line).unwrap().longest_context;
        assert_eq!(asked(""), LongestContext::NotAsked);
        assert_eq!(asked("--longest-context qwen3-0.6b"), LongestContext::WhatFits);
        assert_eq!(asked("--longest-context=64k"), LongestContext::UpTo(65_536));
        assert!(config("--longest-context=0").is_err());
    }

    #[test]
    fn nonsense_is_refused_with_a_sentence() {
        assert!(config("--context 0").unwrap_err().to_string().contains("--depth 0"));
        assert!(config("--device gpu").unwrap_err().to_string().contains("cuda"));
        assert!(config("--output-tokens 0").is_err() && config("--runs 0").is_err());
    }
}
