//! What the arguments of `rag` mean, after every default is filled in. Looks at no file.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::{RagArgs, RagArm, RouterChoice, RunArgs, Scenario};
use crate::clock::Clock;
use crate::config::RunConfig;
use crate::runner::schedule::Budget;
use crate::sample::case::Kind;

/// Time for the blocks of an experiment that sets neither time nor number.
const BLOCKS_TIME: Duration = Duration::from_secs(150);
/// Share that is routed where the model cannot decide and nobody said how much.
const FORCED_SHARE: f64 = 0.5;

/// An experiment, as it is meant.
pub struct RagConfig {
    /// Everything that it shares with a run.
    pub run: RunConfig,
    /// Embedder by name.
    pub embedder: String,
    /// Reranker by name.
    pub rerank: Option<String>,
    /// Store as typed.
    pub store: String,
    /// Hits per question.
    pub top_k: u32,
    /// Longest chunk.
    pub chunk_tokens: u32,
    /// What neighbours share at most.
    pub chunk_overlap: u32,
    /// Retrieved lengths, each once, rising.
    pub contexts: Vec<u32>,
    /// Chunks to grow the corpus to.
    pub chunks: Option<u64>,
    /// Whether every chunk is embedded.
    pub embed_all: bool,
    /// Other corpus sizes; empty for those that follow from the corpus.
    pub corpus_sizes: Vec<u64>,
    /// Folder of indexes.
    pub index: Option<PathBuf>,
    /// LoRA adapter.
    pub adapter: Option<PathBuf>,
    /// Arms in order.
    pub arms: Vec<Kind>,
    /// Who decides in the hybrid.
    pub router: RouterChoice,
    /// Share that is forced.
    pub route: Option<f64>,
    /// Requests of retrieval alone.
    pub retrievals: u32,
    /// Questions whose answers are scored.
    pub answers: u32,
}

impl RagConfig {
    /// Fills in what was not typed. Errors on numbers that cannot go together.
    pub fn new(args: &RagArgs) -> anyhow::Result<Self> {
        anyhow::ensure!(
            args.chunk_overlap < args.chunk_tokens,
            "--chunk-overlap {} leaves nothing new in a chunk of {} tokens; make it smaller than --chunk-tokens",
            args.chunk_overlap,
            args.chunk_tokens
        );
        let mut run = RunConfig::new(&run_args(args))?;
        run.budget = budget(args, run.budget);
        let mut contexts = args.context.clone();
        contexts.sort();
        contexts.dedup();
        Ok(Self {
            run,
            embedder: args.embedder.clone(),
            rerank: args.rerank.clone(),
            store: args.store.clone(),
            top_k: args.top_k,
            chunk_tokens: args.chunk_tokens,
            chunk_overlap: args.chunk_overlap,
            contexts,
            chunks: args.chunks.map(u64::from),
            embed_all: args.embed_all,
            corpus_sizes: args.corpus_sizes.iter().copied().map(u64::from).collect(),
            index: args.index.clone(),
            adapter: args.adapter.clone(),
            arms: arms(&args.arms),
            router: args.router,
            route: args.route,
            retrievals: args.retrievals,
            answers: args.answers,
        })
    }

    /// What is left for the blocks: a limit that the user set is one of the whole run, since the clock's start.
    pub fn blocks_budget(&self, clock: &dyn Clock) -> Budget {
        let budget = self.run.budget;
        let spent = if budget.time_is_strict { clock.now() } else { Duration::ZERO };
        Budget { time: budget.time.map(|time| time.saturating_sub(spent)), ..budget }
    }

    /// Whether a limit of time that the user set is up.
    pub fn is_over(&self, clock: &dyn Clock) -> bool {
        let budget = self.run.budget;
        budget.time_is_strict && budget.time.is_some_and(|time| clock.now() >= time)
    }

    /// The share to force: what was typed, or a default where random weights cannot decide anything.
    pub fn forced_share(&self, random_weights: bool) -> Option<f64> {
        let cannot = random_weights && self.router == RouterChoice::ToolCall;
        self.route.or(cannot.then_some(FORCED_SHARE))
    }
}

fn arms(named: &[RagArm]) -> Vec<Kind> {
    const ALL: [(RagArm, Kind); 6] = [
        (RagArm::Short, Kind::Short),
        (RagArm::Padded, Kind::Padded),
        (RagArm::Rag, Kind::Rag),
        (RagArm::RagWarmPrefix, Kind::RagWarmPrefix),
        (RagArm::RagWarmDocument, Kind::RagWarmDocument),
        (RagArm::Hybrid, Kind::Hybrid),
    ];
    let wanted = |arm: &RagArm| named.is_empty() || named.contains(arm);
    ALL.iter().filter(|(arm, _)| wanted(arm)).map(|(_, kind)| *kind).collect()
}

fn budget(args: &RagArgs, of_run: Budget) -> Budget {
    match (args.runs, args.max_time) {
        (None, None) => Budget { time: Some(BLOCKS_TIME), ..of_run },
        _ => of_run,
    }
}

fn run_args(args: &RagArgs) -> RunArgs {
    RunArgs {
        models: args.model.iter().cloned().collect(),
        scenario: vec![Scenario::Short, Scenario::Rag],
        context: Vec::new(),
        output_tokens: args.output_tokens,
        quant: args.quant.into_iter().collect(),
        dtype: args.dtype,
        device: args.device.clone(),
        threads: args.threads,
        weights: args.weights,
        offline: args.offline,
        depth: Vec::new(),
        longest_context: None,
        runs: args.runs,
        max_time: args.max_time,
        seed: args.seed,
        dry_run: false,
        resume: None,
        output: args.output.clone(),
        format: args.format.clone(),
        prompts: args.prompts.clone(),
        corpus: args.corpus.clone(),
        catalog: args.catalog.clone(),
        thinking: false,
        strict: args.strict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use crate::clock::ManualClock;
    use clap::Parser;

    fn config(line: &str) -> anyhow::Result<RagConfig> {
        let words = ["ctxbench", "rag"].into_iter().chain(line.split_whitespace());
        match Cli::try_parse_from(words)?.command {
            Command::Rag(args) => RagConfig::new(&args),
            _ => panic!("not an experiment"),
        }
    }

    #[test]
    fn a_bare_experiment_has_every_arm_and_its_own_time() {
        let bare = config("").unwrap();
        assert_eq!(bare.arms.len(), 6);
        assert_eq!((bare.run.budget.time, bare.run.budget.time_is_strict), (Some(BLOCKS_TIME), false));
        assert_eq!((bare.forced_share(true), bare.forced_share(false)), (Some(FORCED_SHARE), None));
        assert_eq!(config("--runs 4").unwrap().run.budget.time, None);
        assert!(config("--max-time 9m").unwrap().run.budget.time_is_strict);
    }

    #[test]
    fn a_limit_of_the_user_holds_for_the_whole_run_and_ours_for_the_blocks() {
        let clock = ManualClock::default();
        clock.advance(Duration::from_secs(200));
        let left = |line| config(line).unwrap().blocks_budget(&clock).time;
        assert_eq!(left("--max-time 5m"), Some(Duration::from_secs(100)));
        assert_eq!(left("--max-time 2m"), Some(Duration::ZERO));
        assert_eq!((left(""), left("--runs 4")), (Some(BLOCKS_TIME), None));
        let is_over = |line| config(line).unwrap().is_over(&clock);
        assert_eq!(
            ["--max-time 5m", "--max-time 2m", "", "--runs 4"].map(is_over),
            [false, true, false, false]
        );
    }

    #[test]
    fn a_router_that_needs_no_model_is_not_forced_by_random_weights() {
        assert_eq!(config("--router similarity").unwrap().forced_share(true), None);
        assert_eq!(config("--route 10%").unwrap().forced_share(false), Some(0.1));
    }

    #[test]
    fn nonsense_is_refused_with_a_sentence() {
        let error = config("--chunk-tokens 64 --chunk-overlap 64").err().unwrap().to_string();
        assert!(error.contains("--chunk-overlap 64"), "{error}");
        assert!(
            config("--route 2").is_err() && config("--chunks 0").is_err() && config("--top-k 0").is_err()
        );
    }
}
