//! Searching the embedded store: 1,000,000 vectors of 384 numbers, one question at a time on one thread. Fails
//! at that size if p99 is 5 ms or more, or recall@10 against the exact search is below 0.95.
//!
//! `cargo bench --bench search -- [--rows N] [--folder FOLDER] [--vectors FILE]`
//!
//! The index stays in its folder and is used again. The vectors are those that `ctxbench rag` indexes: 10,000 of
//! an embedder, and perturbations of them. Without `--vectors` the 10,000 are drawn.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use ctxbench::clock::{Clock, SystemClock};
use ctxbench::retrieval::index::source::ChunkSource;
use ctxbench::retrieval::index::{BuildListener, BuildPhase, BuildPlan, BuildProgress, BuildRecord};
use ctxbench::retrieval::perturb::{gaussian, perturbed, unit};
use ctxbench::retrieval::store::embedded::EmbeddedStore;
use ctxbench::retrieval::{Embedder, RetrievalError, TextRole, VectorStore, index, recall};
use ctxbench::stats::percentile::supported_percentile;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

const DIMENSIONS: usize = 384;
const ROWS: u64 = 1_000_000;
/// Rows where nothing is to be measured.
const FEW_ROWS: u64 = 12_000;
/// Vectors of the embedder; beyond them, perturbations.
const REAL: u64 = 10_000;
const SEED: u64 = 42;
const SEARCHES: u64 = 4_000;
/// Questions that are also searched exactly.
const EXACT: usize = 200;
const NEAREST: usize = 10;
const LIMIT_MS: f64 = 5.0;
const LIMIT_RECALL: f64 = 0.95;

/// How long a search of the embedded store takes, and what it finds.
#[derive(Parser)]
struct Options {
    /// Vectors in the index; without it the million, or few where `cargo test --benches` only asks whether it runs.
    #[arg(long)]
    rows: Option<u64>,
    /// Where the index lies; empty, or an earlier run's.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Embeddings of real texts, `f32` little endian, 384 numbers each, at least 10,000 of them; those beyond are
    /// asked as questions.
    #[arg(long)]
    vectors: Option<PathBuf>,
    /// What `cargo bench` adds, and `cargo test` does not.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    fn rows(&self) -> u64 {
        self.rows.unwrap_or(if self.bench { ROWS } else { FEW_ROWS })
    }

    /// A few rows have a folder of their own: in one folder they would drop the million.
    fn folder(&self) -> PathBuf {
        let name = if self.bench { "search" } else { "search-few" };
        self.folder.clone().unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name))
    }
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let clock = SystemClock::default();
    let mut embedder = Vectors::read(options.vectors.as_deref())?;
    let mut store = EmbeddedStore::new(&options.folder());
    let mut phases = Phases::new(&clock);
    let began = clock.now();
    let record = build(&options, &mut embedder, &mut store, &mut phases)?;
    let opened = record.reused.then(|| clock.now() - began);
    let questions = questions(&embedder, &mut store)?;
    let found = Found::measure(&mut store, &questions, &clock)?;
    let bytes = store.size_bytes()?.context("the embedded store knows its size")?;
    show(&options, &record, &phases, &found, opened, bytes)?;
    let missed = found.p99_ms >= LIMIT_MS || found.recall < LIMIT_RECALL;
    anyhow::ensure!(
        options.rows() < ROWS || !missed,
        "missed: p99 below {LIMIT_MS} ms at recall@{NEAREST} of at least {LIMIT_RECALL}"
    );
    Ok(())
}

fn build(
    options: &Options,
    embedder: &mut Vectors,
    store: &mut EmbeddedStore,
    phases: &mut Phases<'_>,
) -> anyhow::Result<BuildRecord> {
    let chunks = Numbers { count: options.rows() };
    let plan = BuildPlan {
        identity: index::identity(&chunks, embedder, Some(REAL), SEED),
        chunks: &chunks,
        embedder,
        store,
        perturb_beyond: Some(REAL),
        seed: SEED,
        clock: phases.clock,
        stop: &AtomicBool::new(false),
    };
    Ok(index::build(plan, phases)?)
}

/// Vectors that are not in the index: of texts that were held out, where there are any, in turn with further
/// perturbations of those that are.
fn questions(embedder: &Vectors, store: &mut EmbeddedStore) -> anyhow::Result<Vec<Vec<f32>>> {
    let real = store.vectors(REAL)?.context("the embedded store gives vectors back")?;
    let held_out = embedder.held_out();
    let question = |number: u64| match held_out.get(number as usize / 2 % held_out.len().max(1)) {
        Some(vector) if number.is_multiple_of(2) => vector.clone(),
        // A large stride, so that neighbours in time are none in the index.
        _ => perturbed(&real, number.wrapping_mul(7_919), SEED + 1),
    };
    Ok((0..SEARCHES).map(question).collect())
}

/// What the searches took and found.
struct Found {
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    exact_p50_ms: f64,
    recall: f64,
}

impl Found {
    fn measure(store: &mut EmbeddedStore, questions: &[Vec<f32>], clock: &dyn Clock) -> anyhow::Result<Self> {
        let recall = recall::at_k(store, &questions[..EXACT], NEAREST)?.context("nothing was found")?;
        let (mut times, mut exact) = (Vec::new(), Vec::new());
        for question in questions {
            let began = clock.now();
            std::hint::black_box(store.search(question, NEAREST)?);
            times.push((clock.now() - began).as_secs_f64() * 1e3);
        }
        for question in &questions[..EXACT] {
            let began = clock.now();
            std::hint::black_box(store.search_exact(question, NEAREST)?);
            exact.push((clock.now() - began).as_secs_f64() * 1e3);
        }
        let at = |times: &[f64], p| supported_percentile(times, p).context("too few searches");
        Ok(Self {
            p50_ms: at(&times, 50.0)?,
            p95_ms: at(&times, 95.0)?,
            p99_ms: at(&times, 99.0)?,
            exact_p50_ms: at(&exact, 50.0)?,
            recall,
        })
    }
}

fn show(
    options: &Options,
    record: &BuildRecord,
    phases: &Phases<'_>,
    found: &Found,
    opened: Option<Duration>,
    bytes: u64,
) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let origin = if options.vectors.is_some() { "embeddings of texts" } else { "drawn" };
    let rows_ms = record.build_ms.zip(phases.indexing_at).map(|(_, at)| at.as_secs_f64() * 1e3);
    let graph_ms = record.build_ms.zip(rows_ms).map(|(build, rows)| build - rows);
    let opened_ms = opened.map(|opened| opened.as_secs_f64() * 1e3);
    let told = |ms: Option<f64>| ms.map_or("n/a".into(), |ms| format!("{:.1} s", ms / 1e3));
    writeln!(out, "| {} x {DIMENSIONS}, {origin} | |\n|:---|---:|", options.rows())?;
    writeln!(
        out,
        "| search p50 / p95 / p99 [ms] | {:.3} / {:.3} / {:.3} |",
        found.p50_ms, found.p95_ms, found.p99_ms
    )?;
    writeln!(out, "| recall@{NEAREST} | {:.4} |", found.recall)?;
    writeln!(out, "| exact search p50 [ms] | {:.1} |", found.exact_p50_ms)?;
    writeln!(out, "| rows written | {} |", told(rows_ms))?;
    writeln!(out, "| graph built and saved | {} |", told(graph_ms))?;
    writeln!(out, "| opened, checked and read | {} |", told(opened_ms))?;
    writeln!(out, "| on disk [MB] | {:.0} |\n", bytes as f64 / 1e6)?;
    let json = serde_json::json!({
        "rows": options.rows(), "dimensions": DIMENSIONS, "vectors": origin,
        "search_p50_ms": found.p50_ms, "search_p95_ms": found.p95_ms, "search_p99_ms": found.p99_ms,
        "recall_at_10": found.recall, "exact_p50_ms": found.exact_p50_ms,
        "rows_ms": rows_ms, "graph_ms": graph_ms, "open_ms": opened_ms, "index_bytes": bytes,
    });
    writeln!(out, "{json}")?;
    Ok(())
}

/// Chunks that are their own numbers.
struct Numbers {
    count: u64,
}

impl ChunkSource for Numbers {
    fn count(&self) -> u64 {
        self.count
    }
    fn text(&self, chunk: u64) -> Result<String, RetrievalError> {
        Ok(chunk.to_string())
    }
    fn digest(&self) -> String {
        "numbers".into()
    }
}

/// Vectors by number: those of a file, or drawn ones.
struct Vectors {
    fingerprint: String,
    /// Empty where they are drawn.
    read: Vec<Vec<f32>>,
}

impl Vectors {
    fn read(path: Option<&std::path::Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Ok(Self { fingerprint: "clusters 1".into(), read: Vec::new() });
        };
        let bytes = std::fs::read(path).with_context(|| format!("could not read '{}'", path.display()))?;
        let number = |bytes: &[u8]| bytes.try_into().map_or(0.0, f32::from_le_bytes);
        let numbers: Vec<f32> = bytes.chunks_exact(4).map(number).collect();
        let read: Vec<Vec<f32>> = numbers.chunks_exact(DIMENSIONS).map(<[f32]>::to_vec).collect();
        anyhow::ensure!(read.len() as u64 >= REAL, "'{}' has fewer than {REAL} vectors", path.display());
        Ok(Self { fingerprint: ctxbench::hub::sha256(path)?, read })
    }

    fn held_out(&self) -> &[Vec<f32>] {
        self.read.get(REAL as usize..).unwrap_or_default()
    }

    /// One of 1,000 clusters. The numbers of a vector fall off, so that about as many directions matter as in
    /// embeddings of texts (a participation ratio near 91 of 384).
    fn drawn(number: u32) -> Option<Vec<f32>> {
        let fall = |place: usize| 1.0 / (1.0 + place as f32 / 40.0);
        let draw = |seed: u64| {
            let noise = gaussian(DIMENSIONS, &mut Xoshiro256PlusPlus::seed_from_u64(seed));
            unit(noise.iter().enumerate().map(|(place, noise)| noise * fall(place)).collect())
        };
        let (cluster, own) = (draw(u64::from(number) % 1_000)?, draw(1 << 40 | u64::from(number))?);
        unit(
            cluster
                .iter()
                .zip(&own)
                .map(|(cluster, own)| 0.55f32.sqrt() * cluster + 0.45f32.sqrt() * own)
                .collect(),
        )
    }
}

impl Embedder for Vectors {
    fn id(&self) -> &str {
        "bench"
    }
    fn dimensions(&self) -> usize {
        DIMENSIONS
    }
    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
    fn is_stand_in(&self) -> bool {
        self.read.is_empty()
    }
    fn tokenize(&self, text: &str, _: TextRole) -> Result<Vec<u32>, RetrievalError> {
        text.parse().map(|number| vec![number]).map_err(|_| RetrievalError::Text(format!("'{text}'")))
    }
    fn embed(&mut self, batch: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, RetrievalError> {
        let vector = |number: u32| match self.read.get(number as usize) {
            Some(vector) => Some(vector.clone()),
            None => Self::drawn(number),
        };
        let none = || RetrievalError::Model("a vector without a direction".into());
        batch.iter().map(|ids| ids.first().and_then(|number| vector(*number)).ok_or_else(none)).collect()
    }
}

/// When indexing began, and a line on stderr for each tenth of a phase.
struct Phases<'a> {
    clock: &'a dyn Clock,
    began: Duration,
    indexing_at: Option<Duration>,
    told: Option<(BuildPhase, u64)>,
}

impl<'a> Phases<'a> {
    fn new(clock: &'a dyn Clock) -> Self {
        Self { clock, began: clock.now(), indexing_at: None, told: None }
    }
}

impl BuildListener for Phases<'_> {
    fn on_progress(&mut self, progress: BuildProgress) {
        if progress.phase == BuildPhase::Indexing {
            self.indexing_at.get_or_insert(self.clock.now() - self.began);
        }
        let tenth = Some((progress.phase, progress.done * 10 / progress.total));
        if tenth != self.told {
            self.told = tenth;
            let seconds = (self.clock.now() - self.began).as_secs_f64();
            eprintln!("{seconds:6.1} s  {:?} {} of {}", progress.phase, progress.done, progress.total);
        }
    }
}
