//! The arguments of `ctxbench bench`, which is hidden: benches/peers.py and benches/gpu.sh are its only users.

use clap::{Args, ValueEnum};

use super::DtypeChoice;

/// Arguments of `ctxbench bench`.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// A .gguf file, or a folder with safetensors; with --weights random, a catalog id too.
    pub model: String,

    /// Where weights come from.
    #[arg(long, value_enum, default_value_t = BenchWeights::File)]
    pub weights: BenchWeights,

    /// Time prompts of this many tokens.
    #[arg(long, value_name = "TOKENS", conflicts_with = "depth", required_unless_present_any = ["depth", "start"])]
    pub prefill: Option<u32>,

    /// Time decode steps behind this many tokens.
    #[arg(long, value_name = "TOKENS")]
    pub depth: Option<u32>,

    /// Time the way from the start of this process to the first token behind a prompt of this many, stage by stage.
    #[arg(
        long,
        value_name = "TOKENS",
        value_parser = clap::value_parser!(u32).range(1..=65_536),
        conflicts_with_all = ["prefill", "depth", "steps", "runs", "warm_up"]
    )]
    pub start: Option<u32>,

    /// Decode steps of a run, with --depth.
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub steps: u32,

    /// Timed runs.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,

    /// Tokens of an untimed prompt beforehand; 0 for none.
    #[arg(long, value_name = "TOKENS", default_value_t = 0)]
    pub warm_up: u32,

    /// Type of weights that the file has in floats.
    #[arg(long, value_enum, default_value_t = DtypeChoice::F32)]
    pub dtype: DtypeChoice,

    /// Where to run: cpu, cuda, cuda:N or metal.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: String,

    /// Threads of the engine; the default is one per physical core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
}

/// Where the weights of `ctxbench bench` come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BenchWeights {
    /// What the file or folder holds.
    File,
    /// Seeded random weights of the model's exact shape; a card makes its own.
    Random,
}
