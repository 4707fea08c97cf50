use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use super::fixture::{FakeEmbedder, Numbered};
use super::*;
use crate::clock::ManualClock;
use crate::retrieval::store::embedded::EmbeddedStore;
use crate::retrieval::{Hit, recall};

const DIMENSIONS: usize = 8;
const ROW_FILES: [&str; 3] = ["vectors.f32", "ends.u64", "texts.bin"];

/// Notes what it is told, and asks for a stop at a certain word.
struct Watch<'a> {
    told: Vec<BuildProgress>,
    stop: &'a AtomicBool,
    stop_when: Option<(BuildPhase, u64)>,
}

impl BuildListener for Watch<'_> {
    fn on_progress(&mut self, progress: BuildProgress) {
        self.told.push(progress);
        if self.stop_when.is_some_and(|(phase, done)| progress.phase == phase && progress.done >= done) {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

/// One run of the builder over `chunks` texts, and everything that tests look at.
struct Run {
    record: BuildRecord,
    told: Vec<BuildProgress>,
    asked: u64,
    embedded: u64,
}

fn run_in(
    store: &mut dyn VectorStore,
    chunks: u64,
    beyond: Option<u64>,
    stop_when: Option<(BuildPhase, u64)>,
) -> Result<Run, RetrievalError> {
    let (texts, mut embedder) = (Numbered::new(chunks), FakeEmbedder::new(DIMENSIONS));
    let (clock, stop) = (ManualClock::default(), AtomicBool::new(false));
    let mut watch = Watch { told: Vec::new(), stop: &stop, stop_when };
    let identity = identity(&texts, &embedder, beyond, 5);
    let plan = BuildPlan {
        chunks: &texts,
        embedder: &mut embedder,
        store,
        identity,
        perturb_beyond: beyond,
        seed: 5,
        clock: &clock,
        stop: &stop,
    };
    let record = build(plan, &mut watch)?;
    Ok(Run { record, told: watch.told, asked: texts.asked.get(), embedded: embedder.embedded })
}

fn run(
    folder: &Path,
    chunks: u64,
    beyond: Option<u64>,
    stop_when: Option<(BuildPhase, u64)>,
) -> Result<Run, RetrievalError> {
    run_in(&mut EmbeddedStore::new(folder), chunks, beyond, stop_when)
}

fn rows_of(folder: &Path) -> [Vec<u8>; 3] {
    ROW_FILES.map(|name| fs::read(folder.join(name)).unwrap())
}

#[test]
fn a_second_build_embeds_nothing_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let first = run(folder.path(), 100, None, None).unwrap();
    assert_eq!((first.asked, first.embedded, first.record.reused), (100, 100, false));
    assert!(first.record.complete && first.record.build_ms.is_some() && first.record.tokens > 0);
    let second = run(folder.path(), 100, None, None).unwrap();
    assert_eq!((second.asked, second.embedded, second.told.len()), (0, 0, 0));
    let expected =
        BuildRecord { reused: true, resumed_from: 100, build_ms: None, tokens: 0, ..first.record.clone() };
    assert_eq!(second.record, expected);
}

#[test]
fn each_phase_is_told_from_its_beginning_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let told = run(folder.path(), 130, None, None).unwrap().told;
    let done = |phase| {
        let of_phase = told.iter().filter(move |progress: &&BuildProgress| progress.phase == phase);
        of_phase.map(|progress| progress.done).collect::<Vec<u64>>()
    };
    assert_eq!(done(BuildPhase::Embedding), [0, 64, 128, 130]);
    assert_eq!(done(BuildPhase::Indexing).last(), Some(&130));
    assert!(told.iter().all(|progress| progress.total == 130));
}

#[test]
fn chunks_beyond_the_limit_get_a_perturbed_vector_and_their_own_text() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = EmbeddedStore::new(folder.path());
    let built = run_in(&mut store, 200, Some(70), None).unwrap();
    assert_eq!((built.record.perturbed, built.embedded, built.asked), (130, 70, 200));
    assert_eq!(store.fetch(&[3, 150]).unwrap(), ["3 of textsééé", "150 of textsééé"]);
    let vectors = store.vectors(200).unwrap().unwrap();
    assert_eq!(vectors[150], perturbed(&vectors[..70], 150, 5));
}

#[test]
fn an_index_of_other_texts_is_dropped_and_built_anew() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 100, None, None).unwrap();
    let other = run(folder.path(), 90, None, None).unwrap();
    assert_eq!((other.embedded, other.record.resumed_from), (90, 0));
    let fresh = tempfile::tempdir().unwrap();
    run(fresh.path(), 90, None, None).unwrap();
    assert_eq!(rows_of(folder.path()), rows_of(fresh.path()));
}

#[test]
fn a_stop_while_indexing_keeps_the_rows_and_the_next_run_makes_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let stopped = run(folder.path(), 3000, None, Some((BuildPhase::Indexing, 1))).unwrap();
    assert!(!stopped.record.complete && stopped.record.build_ms.is_none());
    let next = run(folder.path(), 3000, None, None).unwrap();
    assert_eq!((next.embedded, next.record.resumed_from), (0, 3000));
    assert!(next.record.complete && !next.record.reused && next.record.build_ms.is_some());
}

#[test]
fn no_chunks_and_no_real_vectors_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(run(folder.path(), 0, None, None).is_err());
    assert!(run(folder.path(), 10, Some(0), None).is_err());
}

/// Forgets vectors, as a store does that cannot give them back.
struct Forgetful(EmbeddedStore);

impl VectorStore for Forgetful {
    fn kind(&self) -> &'static str {
        self.0.kind()
    }
    fn open(&mut self, identity: &Identity) -> Result<u64, RetrievalError> {
        self.0.open(identity)
    }
    fn add(&mut self, rows: &[Row]) -> Result<(), RetrievalError> {
        self.0.add(rows)
    }
    fn finish(&mut self) -> Result<(), RetrievalError> {
        self.0.finish()
    }
    fn search(&mut self, vector: &[f32], k: usize) -> Result<Vec<Hit>, RetrievalError> {
        self.0.search(vector, k)
    }
    fn search_exact(&mut self, vector: &[f32], k: usize) -> Result<Option<Vec<Hit>>, RetrievalError> {
        self.0.search_exact(vector, k)
    }
    fn fetch(&mut self, chunks: &[u64]) -> Result<Vec<String>, RetrievalError> {
        self.0.fetch(chunks)
    }
    fn size_bytes(&mut self) -> Result<Option<u64>, RetrievalError> {
        self.0.size_bytes()
    }
}

#[test]
fn a_store_that_cannot_give_vectors_back_gets_the_same_ones() {
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(whole.path(), 300, Some(100), None).unwrap();
    let mut store = Forgetful(EmbeddedStore::new(parts.path()));
    run_in(&mut store, 300, Some(100), Some((BuildPhase::Embedding, 192))).unwrap();
    let rest = run_in(&mut store, 300, Some(100), None).unwrap();
    assert_eq!((rest.record.resumed_from, rest.embedded), (192, 100));
    assert_eq!(rows_of(whole.path()), rows_of(parts.path()));
}

#[test]
fn what_was_built_finds_nearly_all_of_the_nearest() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = EmbeddedStore::new(folder.path());
    run_in(&mut store, 2000, Some(500), None).unwrap();
    let queries: Vec<Vec<f32>> = store.vectors(50).unwrap().unwrap();
    let recall = recall::at_k(&mut store, &queries, 10).unwrap().unwrap();
    // Vectors this short are near each other, and bf16 swaps some.
    assert!(recall > 0.95, "{recall}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn an_interrupted_build_gets_the_bytes_of_an_uninterrupted_one(
        chunks in 1u64..400, beyond in prop::option::of(1u64..300),
        stop_at in 0u64..400, torn in prop::sample::select(&ROW_FILES[..]), bytes in 0u64..2000,
    ) {
        let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        run(whole.path(), chunks, beyond, None).unwrap();
        let stopped = run(parts.path(), chunks, beyond, Some((BuildPhase::Embedding, stop_at))).unwrap();
        if !stopped.record.complete {
            tear(&parts.path().join(torn), bytes);
        }
        let rest = run(parts.path(), chunks, beyond, None).unwrap();
        prop_assert!(rest.record.complete);
        prop_assert_eq!(rows_of(whole.path()), rows_of(parts.path()));
    }
}

/// Cuts bytes off a file's end, as a kill while writing does.
fn tear(path: &Path, bytes: u64) {
    let file = fs::OpenOptions::new().write(true).open(path).expect("the file is there");
    let length = file.metadata().expect("it has a length").len();
    file.set_len(length.saturating_sub(bytes)).expect("it can be cut");
}
