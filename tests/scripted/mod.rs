//! A scripted engine, embedder, store and reranker on a manual clock, and the experiment run on them.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ctxbench::clock::{Clock, ManualClock};
use ctxbench::engine::Engine;
use ctxbench::prompts::corpus::Corpus;
use ctxbench::prompts::questions::Question;
use ctxbench::prompts::scenarios::Scenarios;
use ctxbench::rag::arm::{Arm, Length};
use ctxbench::rag::bench::Bench;
use ctxbench::rag::blocks::{Blocks, Observer, Taken};
use ctxbench::rag::choice::Routing;
use ctxbench::rag::pipeline::Pipeline;
use ctxbench::rag::sizes::Size;
use ctxbench::retrieval::{Embedder, Hit, Identity, Reranker, RetrievalError, Row, TextRole, VectorStore};
use ctxbench::runner::arm::Witness;
use ctxbench::runner::schedule::Budget;
use ctxbench::sample::case::{CaseProgress, CaseSpec, Kind, Observed, Wish};
use ctxbench::tokenizer::Tokenizer;
use ctxbench::tokenizer::chat::Thinking;
use ctxbench::tokenizer::stand_in::StandIn;
use ctxbench::workload::RequestBuilder;

/// What the scripted parts take, in ms; ids of a prompt half a millisecond each.
pub const TOKENIZE_QUERY: f64 = 2.0;
pub const EMBED: f64 = 5.0;
pub const SEARCH: f64 = 3.0;
pub const FETCH: f64 = 4.0;
pub const RERANK: f64 = 6.0;
pub const PER_TOKEN: f64 = 0.5;
pub const SAMPLE: f64 = 1.0;
pub const STEP: f64 = 20.0;
/// Cosine of every hit.
pub const SCORE: f32 = 0.5;
/// Ids that are sampled where nothing is scripted.
pub const ANY_ID: u32 = 7;

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Reset,
    Prefill(Vec<u32>),
    Sample,
    Decode(u32),
    Mark,
    Rewind,
}

/// What all parts share: the clock, the script, and what happened.
#[derive(Default)]
pub struct World {
    pub clock: ManualClock,
    pub events: RefCell<Vec<Event>>,
    pub queries: RefCell<Vec<String>>,
    pub searches: Cell<usize>,
    pub fetches: Cell<usize>,
    /// The store is out of reach.
    pub is_down: Cell<bool>,
    /// Each fetch brings other texts than the one before.
    pub shifts: bool,
    /// Ids of each pass of a request, the same for every request.
    pub passes: Vec<Vec<u32>>,
}

impl World {
    fn takes(&self, ms: f64) {
        self.clock.advance(Duration::from_secs_f64(ms / 1000.0));
    }

    /// Events of each request.
    pub fn requests(&self) -> Vec<Vec<Event>> {
        let events = self.events.borrow();
        events.split(|event| *event == Event::Reset).skip(1).map(<[Event]>::to_vec).collect()
    }
}

pub struct ScriptedEngine {
    pub world: Rc<World>,
    depth: usize,
    mark: Option<usize>,
    pass: usize,
    step: usize,
}

impl ScriptedEngine {
    pub fn new(world: &Rc<World>) -> Self {
        Self { world: world.clone(), depth: 0, mark: None, pass: 0, step: 0 }
    }

    fn log(&self, event: Event) {
        self.world.events.borrow_mut().push(event);
    }

    fn next(&self) -> u32 {
        let pass = self.pass.checked_sub(1).and_then(|pass| self.world.passes.get(pass));
        pass.and_then(|ids| ids.get(self.step)).copied().unwrap_or(ANY_ID)
    }
}

impl Engine for ScriptedEngine {
    fn reset(&mut self) -> anyhow::Result<()> {
        (self.depth, self.mark, self.pass) = (0, None, 0);
        self.log(Event::Reset);
        Ok(())
    }
    fn prefill(&mut self, ids: &[u32]) -> anyhow::Result<()> {
        self.depth += ids.len();
        self.world.takes(PER_TOKEN * ids.len() as f64);
        self.log(Event::Prefill(ids.to_vec()));
        Ok(())
    }
    fn sample(&mut self) -> anyhow::Result<u32> {
        (self.pass, self.step) = (self.pass + 1, 0);
        self.world.takes(SAMPLE);
        self.log(Event::Sample);
        Ok(self.next())
    }
    fn decode(&mut self, id: u32) -> anyhow::Result<u32> {
        (self.depth, self.step) = (self.depth + 1, self.step + 1);
        self.world.takes(STEP);
        self.log(Event::Decode(id));
        Ok(self.next())
    }
    fn depth(&self) -> usize {
        self.depth
    }
    fn mark(&mut self) -> anyhow::Result<()> {
        self.mark = Some(self.depth);
        self.log(Event::Mark);
        Ok(())
    }
    fn rewind(&mut self) -> anyhow::Result<()> {
        self.depth = self.mark.ok_or_else(|| anyhow::anyhow!("there is no mark here"))?;
        self.log(Event::Rewind);
        Ok(())
    }
    fn capacity(&self) -> usize {
        10_000
    }
    fn attention_path(&self) -> &'static str {
        "scripted"
    }
    fn output_is_finite(&self) -> anyhow::Result<bool> {
        Ok(true)
    }
}

pub struct ScriptedEmbedder(pub Rc<World>);

impl Embedder for ScriptedEmbedder {
    fn id(&self) -> &str {
        "scripted"
    }
    fn dimensions(&self) -> usize {
        1
    }
    fn fingerprint(&self) -> &str {
        "scripted"
    }
    fn is_stand_in(&self) -> bool {
        true
    }
    fn tokenize(&self, text: &str, role: TextRole) -> Result<Vec<u32>, RetrievalError> {
        assert_eq!(role, TextRole::Query);
        self.0.takes(TOKENIZE_QUERY);
        self.0.queries.borrow_mut().push(text.to_owned());
        Ok(vec![1])
    }
    fn embed(&mut self, batch: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, RetrievalError> {
        self.0.takes(EMBED);
        Ok(vec![vec![1.0]; batch.len()])
    }
}

pub struct ScriptedStore(pub Rc<World>);

impl VectorStore for ScriptedStore {
    fn kind(&self) -> &'static str {
        "scripted"
    }
    fn open(&mut self, identity: &Identity) -> Result<u64, RetrievalError> {
        Ok(identity.chunks)
    }
    fn add(&mut self, _rows: &[Row]) -> Result<(), RetrievalError> {
        Ok(())
    }
    fn finish(&mut self) -> Result<(), RetrievalError> {
        Ok(())
    }
    fn search(&mut self, _vector: &[f32], k: usize) -> Result<Vec<Hit>, RetrievalError> {
        self.0.takes(SEARCH);
        self.0.searches.set(self.0.searches.get() + 1);
        match self.0.is_down.get() {
            true => Err(RetrievalError::Store("the store is out of reach".into())),
            false => Ok((0..k as u64).map(|chunk| Hit { chunk, score: SCORE }).collect()),
        }
    }
    fn search_exact(&mut self, _vector: &[f32], _k: usize) -> Result<Option<Vec<Hit>>, RetrievalError> {
        Ok(None)
    }
    fn fetch(&mut self, chunks: &[u64]) -> Result<Vec<String>, RetrievalError> {
        self.0.takes(FETCH);
        self.0.fetches.set(self.0.fetches.get() + 1);
        let edition = if self.0.shifts { self.0.fetches.get() } else { 0 };
        let text =
            |chunk| format!("Edition {edition}, chunk {chunk}: {}", "the pump stops at night. ".repeat(9));
        Ok(chunks.iter().map(text).collect())
    }
    fn size_bytes(&mut self) -> Result<Option<u64>, RetrievalError> {
        Ok(None)
    }
}

/// Likes the last passage best.
pub struct ScriptedReranker(pub Rc<World>);

impl Reranker for ScriptedReranker {
    fn id(&self) -> &str {
        "scripted"
    }
    fn score(&mut self, _question: &str, passages: &[String]) -> Result<Vec<f32>, RetrievalError> {
        self.0.takes(RERANK);
        Ok((0..passages.len()).map(|place| place as f32).collect())
    }
}

struct NobodyElse;

impl Witness for NobodyElse {
    fn begin(&mut self) {}
    fn end(&mut self) -> Observed {
        Observed::default()
    }
}

/// Counts samples; stops the run or takes the store down when told.
struct Director<'a> {
    world: Rc<World>,
    stop: &'a AtomicBool,
    stop_after: Option<usize>,
    down_after: Option<u32>,
    samples: usize,
    lefts: Vec<Option<Duration>>,
}

impl Observer for Director<'_> {
    fn about_to(&mut self, what: &str, _taken: &Taken, left: Option<Duration>) {
        self.lefts.push(left);
        self.samples += usize::from(what.starts_with("block "));
        if self.stop_after.is_some_and(|n| self.samples >= n) {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
    fn block_done(&mut self, taken: &Taken, _sizes: &[Size]) {
        self.world.is_down.set(self.down_after.is_some_and(|n| taken.blocks >= n));
    }
}

pub struct Setup {
    pub arms: Vec<Kind>,
    pub routing: Routing,
    pub budget: Budget,
    pub reranks: bool,
    pub sizes: usize,
    pub general: Vec<Question>,
    pub stop_after: Option<usize>,
    pub down_after: Option<u32>,
    pub tokenizer: Box<dyn Tokenizer>,
    pub world: World,
}

pub struct Seen {
    pub taken: Taken,
    pub sizes: Vec<Size>,
    pub world: Rc<World>,
    pub elapsed: Duration,
    /// Time left, as it was told before each request.
    pub lefts: Vec<Option<Duration>>,
}

pub const OUTPUT: u32 = 16;
pub const HITS: usize = 3;

pub fn setup(arms: &[Kind], runs: u32) -> Setup {
    Setup {
        arms: arms.to_vec(),
        routing: Routing::Forced(0.5),
        budget: Budget { time: None, time_is_strict: false, runs: Some(runs), target_half_width: 0.05 },
        reranks: false,
        sizes: 0,
        general: Vec::new(),
        stop_after: None,
        down_after: None,
        tokenizer: Box::new(StandIn::new(151_936)),
        world: World::default(),
    }
}

/// Calls `with` with a builder over the small corpus and no chat template.
pub fn with_builder<T>(tokenizer: &dyn Tokenizer, with: impl FnOnce(&RequestBuilder<'_>) -> T) -> T {
    let scenarios = Scenarios::shipped().expect("shipped scenarios");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/corpus");
    let corpus = Corpus::from_folder(&folder, &scenarios).expect("the small corpus");
    with(&RequestBuilder::new(tokenizer, None, &corpus, &scenarios, 7, Thinking::Off))
}

pub fn run(setup: Setup) -> Seen {
    let tokenizer = setup.tokenizer.as_ref();
    let world = Rc::new(setup.world);
    let mut sizes: Vec<Size> = (1..=setup.sizes as u64)
        .map(|n| Size::new(n * 100, Some(Box::new(ScriptedStore(world.clone())))))
        .collect();
    let spec =
        |kind: &Kind| CaseSpec { kind: *kind, tokens: 0, output_tokens: OUTPUT, asked_for: Wish::User };
    let cases = setup.arms.iter().map(|kind| CaseProgress::new(spec(kind))).collect();
    let stop = AtomicBool::new(false);
    let (stop_after, down_after) = (setup.stop_after, setup.down_after);
    let mut director =
        Director { world: world.clone(), stop: &stop, stop_after, down_after, samples: 0, lefts: Vec::new() };
    let mut reranker = setup.reranks.then(|| ScriptedReranker(world.clone()));
    let taken = with_builder(tokenizer, |builder| {
        let engine = &mut ScriptedEngine::new(&world);
        let reranker = reranker.as_mut().map(|r| r as &mut dyn Reranker);
        let (embedder, store) = (&mut ScriptedEmbedder(world.clone()), &mut ScriptedStore(world.clone()));
        let mut blocks = Blocks {
            bench: Bench { engine, tokenizer, builder, clock: &world.clock, output_tokens: OUTPUT },
            pipeline: Pipeline { embedder, store, reranker },
            lengths: vec![Length { asked: None, hits: HITS }],
            arms: setup.arms.iter().map(|kind| Arm { kind: *kind, length: 0 }).collect(),
            routing: setup.routing,
            general: &setup.general,
            sizes: &mut sizes,
            budget: setup.budget,
            seed: 1,
            witness: &mut NobodyElse,
            observer: &mut director,
            stop: &stop,
        };
        blocks.run(cases)
    });
    let elapsed = world.clock.now();
    let lefts = director.lefts;
    Seen { taken, sizes, world, elapsed, lefts }
}

pub fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-6, "{a} is not {b}");
}
