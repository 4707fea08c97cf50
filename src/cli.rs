//! What was typed: clap's view of the command line. What it means is [`crate::config`]'s.

mod bench;
mod rag;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::bench::{BenchArgs, BenchWeights};
pub use self::rag::{RagArgs, RagArm, RouterChoice};
use crate::units::{parse_percent, parse_tokens};

/// Tells what context length costs on this box.
///
/// Runs Qwen models through candle with short prompts (the fine-tuned case) and long,
/// context-stuffed prompts (the RAG case), and reports prefill time, TTFT and tokens per
/// second with intervals. Results go to stdout, everything else to stderr.
#[derive(Debug, Parser)]
#[command(name = "ctxbench", version, help_expected = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// Say more on stderr; twice for everything.
    #[arg(short, long, global = true, display_order = 900, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// Say nothing on stderr but errors.
    #[arg(short, long, global = true, display_order = 901, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measure models over context lengths; with no MODEL, the catalog's default.
    Run(Box<RunArgs>),
    /// Hold RAG against short prompts: paired arms over the same questions, with a verdict per claim.
    Rag(Box<RagArgs>),
    /// Hold reports side by side, case by case, with an interval on each ratio.
    Compare(CompareArgs),
    /// Render a result again, in any format.
    Report(ReportArgs),
    /// List the catalog: sizes, cache per token, and what fits this box.
    Models(ModelsArgs),
    /// Download and check a model's files, nothing else.
    Fetch(FetchArgs),
    /// Prove the engine on a model with reference logits.
    Verify(VerifyArgs),
    /// Say what this box is and can do.
    Doctor(DoctorArgs),
    /// Print the completion script of a shell.
    Completions(CompletionsArgs),
    /// Time one kind of work on one model and nothing else: for benches/peers.py and benches/gpu.sh.
    #[command(hide = true)]
    Bench(BenchArgs),
}

/// What the plan of a run is made of, which `--resume` takes from the run itself.
const NOT_WITH_RESUME: [&str; 23] = [
    "models",
    "scenario",
    "context",
    "output_tokens",
    "quant",
    "dtype",
    "device",
    "threads",
    "weights",
    "offline",
    "depth",
    "longest_context",
    "runs",
    "max_time",
    "seed",
    "dry_run",
    "output",
    "format",
    "prompts",
    "corpus",
    "catalog",
    "thinking",
    "strict",
];

/// Arguments of `ctxbench run`.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// Catalog id (qwen3.5-0.8b), hub repo (Qwen/Qwen3.5-0.8B, or with @revision behind it), folder,
    /// .gguf file, or hub GGUF (repo:file.gguf).
    #[arg(value_name = "MODEL")]
    pub models: Vec<String>,

    /// Which requests to send.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["short", "rag"])]
    pub scenario: Vec<Scenario>,

    /// Prompt lengths of the RAG case in tokens, exact; the default plan picks what fits its time.
    #[arg(long, value_name = "TOKENS", value_delimiter = ',', value_parser = parse_tokens)]
    pub context: Vec<u32>,

    /// Output tokens per request; the end-of-sequence token does not stop a timed run.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub output_tokens: u32,

    /// Weight types, made in place from one download; the default is q8_0 on CPU, else native.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub quant: Vec<Quantization>,

    /// Type of activations and unquantized weights; the default is f32 on CPU, else bf16.
    #[arg(long, value_enum)]
    pub dtype: Option<DtypeChoice>,

    /// Where to run: cpu, cuda, cuda:N or metal.
    #[arg(long, default_value = "cpu")]
    pub device: String,

    /// Threads of the engine on CPU; the default is one per physical core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,

    /// Where weights come from; `auto` falls back to random ones, loudly, where the hub is out of reach.
    #[arg(long, value_enum, default_value_t = WeightsChoice::Auto)]
    pub weights: WeightsChoice,

    /// Use only what is on this machine.
    #[arg(long)]
    pub offline: bool,

    /// Depths for scenario `decode`: tokens in the cache before the timed steps.
    #[arg(long, value_name = "TOKENS", value_delimiter = ',', value_parser = parse_tokens)]
    pub depth: Vec<u32>,

    /// Look for the longest context that really runs, per model and weight type, after the samples; up to TOKENS
    /// where they are given, else up to what the model and the device's free memory should hold.
    #[arg(long, value_name = "TOKENS", num_args = 0..=1, require_equals = true, value_parser = parse_tokens)]
    pub longest_context: Option<Option<u32>>,

    /// Timed samples per case; without it, samples are taken until the interval is narrow or time is up.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub runs: Option<u32>,

    /// Time budget of the whole run, e.g. 3m; what does not fit is left out and named.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub max_time: Option<Duration>,

    /// Seed of weights, prompts and order.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,

    /// Show the plan with its estimated time, memory and download; run nothing.
    #[arg(long)]
    pub dry_run: bool,

    /// Go on with the interrupted run in DIR, by the plan that it was begun with.
    #[arg(long, value_name = "DIR", conflicts_with_all = NOT_WITH_RESUME)]
    pub resume: Option<PathBuf>,

    /// Folder for the results, always with report.json; the default is `reports/run-TIME`.
    #[arg(long, short, value_name = "DIR")]
    pub output: Option<PathBuf>,

    /// Formats to write; `terminal` goes to stdout, the others into the output folder.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["terminal", "json", "md", "html"])]
    pub format: Vec<Format>,

    /// Scenario texts instead of the shipped ones.
    #[arg(long, value_name = "FILE.toml")]
    pub prompts: Option<PathBuf>,

    /// Your own documents (.md, .txt) instead of the shipped handbook.
    #[arg(long, value_name = "DIR")]
    pub corpus: Option<PathBuf>,

    /// Catalog entries of your own, added to the shipped ones.
    #[arg(long, value_name = "FILE.toml")]
    pub catalog: Option<PathBuf>,

    /// Let the chat template ask for thinking in the timed prompts.
    #[arg(long)]
    pub thinking: bool,

    /// Exit with 1 also when a result is flagged, not only when one failed.
    #[arg(long)]
    pub strict: bool,
}

/// Kinds of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Scenario {
    /// The fine-tuned case: a question alone.
    Short,
    /// The RAG case: system text, retrieved passages, the same question.
    Rag,
    /// Tokens per second with a given number of tokens already in the cache.
    Decode,
}

/// Weight types made in place. Named for what they are: `q4_k` is uniform, not a Q4_K_M file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Quantization {
    /// As the file stores them.
    Native,
    /// 8.5 bits a weight.
    #[value(name = "q8_0")]
    Q8_0,
    /// 6.56 bits a weight.
    #[value(name = "q6_k")]
    Q6K,
    /// 5.5 bits a weight.
    #[value(name = "q5_k")]
    Q5K,
    /// 4.5 bits a weight, with minima.
    #[value(name = "q4_k")]
    Q4K,
    /// 4.5 bits a weight, symmetric.
    #[value(name = "q4_0")]
    Q4_0,
}

impl Quantization {
    /// As it is typed, and as reports name it.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// Types of activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DtypeChoice {
    /// 32-bit float.
    F32,
    /// bfloat16.
    Bf16,
    /// 16-bit float.
    F16,
}

/// Where weights come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WeightsChoice {
    /// The hub or its cache; seeded random weights where it cannot be reached.
    Auto,
    /// The hub or its cache, or an error.
    Hub,
    /// Seeded random weights of the exact shape; nothing is downloaded.
    Random,
}

/// Formats of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Table for people, on stdout.
    Terminal,
    /// Everything, for programs.
    Json,
    /// Markdown tables.
    Md,
    /// One self-contained page with plots.
    Html,
    /// One row a sample.
    Csv,
}

/// Arguments of `ctxbench compare`.
#[derive(Args, Clone, Debug)]
pub struct CompareArgs {
    /// Reports (report.json, or the folder that holds it); the first is the baseline.
    #[arg(value_name = "REPORT", num_args = 2.., required = true)]
    pub reports: Vec<PathBuf>,

    /// Exit with 1 if any case is shown to be slower by more than this, e.g. 5%.
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    pub fail_above: Option<f64>,

    /// How to print the comparison.
    #[arg(long, value_enum, default_value_t = TextFormat::Terminal)]
    pub format: TextFormat,
}

/// Formats of small answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TextFormat {
    /// Table for people.
    Terminal,
    /// For programs.
    Json,
}

/// Arguments of `ctxbench report`.
#[derive(Args, Clone, Debug)]
pub struct ReportArgs {
    /// A report.json, or the folder that holds it.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// The format to print on stdout.
    #[arg(long, value_enum, default_value_t = Format::Terminal)]
    pub format: Format,
}

/// Arguments of `ctxbench models`.
#[derive(Args, Clone, Debug)]
pub struct ModelsArgs {
    /// Context length that has to fit.
    #[arg(long, value_name = "TOKENS", default_value = "32k", value_parser = parse_tokens)]
    pub context: u32,

    /// Catalog entries of your own, added to the shipped ones.
    #[arg(long, value_name = "FILE.toml")]
    pub catalog: Option<PathBuf>,

    /// How to print the list.
    #[arg(long, value_enum, default_value_t = TextFormat::Terminal)]
    pub format: TextFormat,
}

/// Arguments of `ctxbench fetch`.
#[derive(Args, Clone, Debug)]
pub struct FetchArgs {
    /// Catalog id of a model or embedder, hub repo (with @revision behind it if not main), or repo:file.gguf.
    #[arg(value_name = "MODEL")]
    pub model: String,

    /// Import files already at hand from this folder, checked like a download.
    #[arg(long, value_name = "FOLDER")]
    pub from: Option<PathBuf>,

    /// Catalog entries of your own, added to the shipped ones.
    #[arg(long, value_name = "FILE.toml")]
    pub catalog: Option<PathBuf>,

    /// Use only what is on this machine: check the cache, download nothing.
    #[arg(long)]
    pub offline: bool,
}

/// Arguments of `ctxbench verify`.
#[derive(Args, Clone, Debug)]
pub struct VerifyArgs {
    /// Folder with a model (config.json + model.safetensors, and/or .gguf) and reference.safetensors.
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,

    /// Where to run: cpu, cuda, cuda:N or metal.
    #[arg(long, default_value = "cpu")]
    pub device: String,

    /// Type to compute in.
    #[arg(long, value_enum, default_value_t = DtypeChoice::F32)]
    pub dtype: DtypeChoice,

    /// Largest absolute difference of a logit that passes.
    #[arg(long, default_value_t = 1e-3)]
    pub tolerance: f64,

    /// Threads of the engine on CPU; the default is one per physical core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,

    /// How to print the result.
    #[arg(long, value_enum, default_value_t = TextFormat::Terminal)]
    pub format: TextFormat,
}

/// Arguments of `ctxbench doctor`.
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// Whose bandwidth and peaks to measure: cpu, cuda, cuda:N or metal.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: String,

    /// Do not ask whether the hub answers.
    #[arg(long)]
    pub offline: bool,

    /// How to print the answers.
    #[arg(long, value_enum, default_value_t = TextFormat::Terminal)]
    pub format: TextFormat,
}

/// Arguments of `ctxbench completions`.
#[derive(Args, Clone, Debug)]
pub struct CompletionsArgs {
    /// The shell to write for.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
