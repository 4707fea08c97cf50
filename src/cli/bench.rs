//! The arguments of `ctxbench bench`, which is hidden: benches/peers.py is its only user.

use std::path::PathBuf;

use clap::Args;

use super::DtypeChoice;

/// Arguments of `ctxbench bench`.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// A .gguf file, or a folder with safetensors.
    pub model: PathBuf,

    /// Time prompts of this many tokens.
    #[arg(long, value_name = "TOKENS", conflicts_with = "depth", required_unless_present = "depth")]
    pub prefill: Option<u32>,

    /// Time decode steps behind this many tokens.
    #[arg(long, value_name = "TOKENS")]
    pub depth: Option<u32>,

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
