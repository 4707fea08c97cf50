//! What was typed after `ctxbench rag`. What it means is `commands::rag::config`'s.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{DtypeChoice, Format, Quantization, WeightsChoice};
use crate::units::{parse_count, parse_share, parse_tokens};

/// Arguments of `ctxbench rag`.
#[derive(Args, Clone, Debug)]
pub struct RagArgs {
    /// The model that answers: catalog id, hub repo, folder or .gguf file, as in `run`; the catalog's default.
    #[arg(value_name = "MODEL")]
    pub model: Option<String>,

    /// What turns texts into vectors: an embedder of the catalog, a folder with one, or `stand-in`.
    #[arg(long, value_name = "EMBEDDER", default_value = "all-minilm-l6-v2")]
    pub embedder: String,

    /// A cross-encoder (hub repo or folder) that puts the hits into a better order; none unless named.
    #[arg(long, value_name = "MODEL")]
    pub rerank: Option<String>,

    /// Where vectors lie: `embedded`, `pgvector=URL` or `pinecone=INDEX` (its key from PINECONE_API_KEY).
    #[arg(long, value_name = "STORE", default_value = "embedded")]
    pub store: String,

    /// Hits per question.
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub top_k: u32,

    /// Longest chunk, in tokens of the model that answers.
    #[arg(long, value_name = "TOKENS", default_value = "256", value_parser = parse_tokens)]
    pub chunk_tokens: u32,

    /// Tokens that neighbouring chunks share at most.
    #[arg(long, value_name = "TOKENS", default_value_t = 32)]
    pub chunk_overlap: u32,

    /// Retrieved contexts in tokens, one set of arms for each; hits are added until one is full. Without
    /// it, all hits of --top-k stand in the prompt.
    #[arg(long, value_name = "TOKENS", value_delimiter = ',', value_parser = parse_tokens)]
    pub context: Vec<u32>,

    /// Your own documents (.md, .txt) instead of the shipped handbook.
    #[arg(long, value_name = "DIR")]
    pub corpus: Option<PathBuf>,

    /// Grow the corpus to this many chunks by varied copies of its documents.
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub chunks: Option<u32>,

    /// Embed every chunk; without it, vectors beyond 10,000 are seeded perturbations of real ones, stamped.
    #[arg(long)]
    pub embed_all: bool,

    /// Other corpus sizes, in chunks, at which the short prompt and the search are timed.
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = parse_count)]
    pub corpus_sizes: Vec<u32>,

    /// Folder for indexes, kept for the next run; the default is below the user's cache folder.
    #[arg(long, value_name = "DIR")]
    pub index: Option<PathBuf>,

    /// A PEFT LoRA adapter, merged into the weights at load.
    #[arg(long, value_name = "FOLDER")]
    pub adapter: Option<PathBuf>,

    /// Arms to run.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub arms: Vec<RagArm>,

    /// Who decides in the hybrid whether to retrieve.
    #[arg(long, value_enum, default_value_t = RouterChoice::ToolCall)]
    pub router: RouterChoice,

    /// Share of questions that the hybrid is made to route, 0 to 1; needed where weights are random, which
    /// take 0.5 unless told.
    #[arg(long, value_name = "R", value_parser = parse_share)]
    pub route: Option<f64>,

    /// Requests of retrieval alone, from which its percentiles come; 662 support a p99.
    #[arg(long, value_name = "N", default_value_t = 662)]
    pub retrievals: u32,

    /// Held-out paraphrases whose answers are scored, closed-book, with retrieval and by the hybrid; only
    /// with real weights.
    #[arg(long, value_name = "N", default_value_t = 40)]
    pub answers: u32,

    /// Output tokens per request; the end-of-sequence token does not stop a timed run.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub output_tokens: u32,

    /// Weight type of the model that answers; the default is q8_0 on CPU, else native.
    #[arg(long, value_enum)]
    pub quant: Option<Quantization>,

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

    /// Blocks: each takes one question through every arm. Without it, until intervals are narrow or time is up.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub runs: Option<u32>,

    /// Time budget of the whole run, e.g. 10m.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub max_time: Option<Duration>,

    /// Seed of weights, questions, corpus and order.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,

    /// Folder for the results, always with report.json; the default is `reports/run-TIME`.
    #[arg(long, short, value_name = "DIR")]
    pub output: Option<PathBuf>,

    /// Formats to write; `terminal` goes to stdout, the others into the output folder.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["terminal", "json", "md", "html"])]
    pub format: Vec<Format>,

    /// Scenario texts instead of the shipped ones.
    #[arg(long, value_name = "FILE.toml")]
    pub prompts: Option<PathBuf>,

    /// Catalog entries of your own, added to the shipped ones.
    #[arg(long, value_name = "FILE.toml")]
    pub catalog: Option<PathBuf>,

    /// Exit with 1 also when a result is flagged, not only when one failed.
    #[arg(long)]
    pub strict: bool,
}

/// Arms of the experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum RagArm {
    /// The question alone.
    Short,
    /// As long as `rag`, without retrieval.
    Padded,
    /// The whole pipeline.
    Rag,
    /// The pipeline with the static system text in the cache.
    RagWarmPrefix,
    /// The pipeline with system text and first document in the cache.
    RagWarmDocument,
    /// A router decides whether to retrieve.
    Hybrid,
}

/// Who decides in the hybrid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RouterChoice {
    /// The model, by calling a search tool.
    ToolCall,
    /// The similarity of the question to the nearest chunk.
    Similarity,
}
