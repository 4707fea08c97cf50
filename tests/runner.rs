//! The measurement, proved by a scripted engine with known times on a manual clock.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ctxbench::clock::{Clock, ManualClock};
use ctxbench::engine::{Engine, Steps};
use ctxbench::runner::arm::{Arms, LoadedArm, Prompt, Witness};
use ctxbench::runner::campaign::{Campaign, Event, Observer, Outcome};
use ctxbench::runner::schedule::Budget;
use ctxbench::sample::case::{CaseSpec, Kind, Observed, Wish};
use ctxbench::sample::first_times::FirstTimes;

/// What the scripted parts take.
const TOKENIZE: Duration = Duration::from_millis(3);
const PREFILL_PER_TOKEN: Duration = Duration::from_micros(500);
const SAMPLE: Duration = Duration::from_millis(1);
const STEP: Duration = Duration::from_millis(20);
/// The first two steps of an engine: what is loaded late, and a capture.
const FIRST_STEPS: [Duration; 2] = [Duration::from_millis(35), Duration::from_millis(55)];
const LOAD: Duration = Duration::from_secs(2);

struct ScriptedEngine {
    clock: Rc<ManualClock>,
    depth: usize,
    mark: Option<usize>,
    capacity: usize,
    fails_above: usize,
    steps: usize,
}

impl Engine for ScriptedEngine {
    fn reset(&mut self) -> anyhow::Result<()> {
        self.depth = 0;
        Ok(())
    }
    fn prefill(&mut self, ids: &[u32]) -> anyhow::Result<()> {
        anyhow::ensure!(ids.len() < self.fails_above, "out of memory");
        self.depth += ids.len();
        assert!(self.depth <= self.capacity, "the cache was made too small");
        self.clock.advance(PREFILL_PER_TOKEN * ids.len() as u32);
        Ok(())
    }
    fn sample(&mut self) -> anyhow::Result<u32> {
        self.clock.advance(SAMPLE);
        Ok(7)
    }
    fn decode(&mut self, _id: u32) -> anyhow::Result<u32> {
        self.depth += 1;
        self.clock.advance(FIRST_STEPS.get(self.steps).copied().unwrap_or(STEP));
        self.steps += 1;
        Ok(7)
    }
    fn depth(&self) -> usize {
        self.depth
    }
    fn mark(&mut self) -> anyhow::Result<()> {
        self.mark = Some(self.depth);
        Ok(())
    }
    fn rewind(&mut self) -> anyhow::Result<()> {
        let mark = self.mark.filter(|mark| *mark <= self.depth);
        self.depth = mark.ok_or_else(|| anyhow::anyhow!("there is no mark here"))?;
        Ok(())
    }
    fn capacity(&self) -> usize {
        self.capacity
    }
    fn attention_path(&self) -> &'static str {
        "scripted"
    }
    fn steps(&self) -> Steps {
        if self.steps < FIRST_STEPS.len() { Steps::Launched } else { Steps::Graph }
    }
    fn output_is_finite(&self) -> anyhow::Result<bool> {
        Ok(true)
    }
}

struct ScriptedArms {
    clock: Rc<ManualClock>,
    count: usize,
    loads: Rc<Cell<usize>>,
    fails_above: usize,
    /// Every prompt so far: a cache could serve one that comes again.
    sent: RefCell<HashSet<String>>,
}

impl Arms for ScriptedArms {
    fn count(&self) -> usize {
        self.count
    }
    fn name(&self, index: usize) -> String {
        format!("arm {index}")
    }
    fn prefill_flops(&self, _index: usize, tokens: u64) -> f64 {
        tokens as f64
    }
    fn prompt(&self, _index: usize, case: &CaseSpec, number: u32) -> anyhow::Result<Prompt> {
        // Making a prompt takes long, and must not be counted.
        self.clock.advance(Duration::from_secs(1));
        Ok(Prompt { text: format!("{number} {}", case.tokens), ..Prompt::default() })
    }
    fn encode(&self, _index: usize, text: &str) -> anyhow::Result<Vec<u32>> {
        self.clock.advance(TOKENIZE);
        assert!(self.sent.borrow_mut().insert(text.to_owned()), "'{text}' is sent twice");
        let tokens = text.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("a length");
        Ok(vec![1; tokens])
    }
    fn load(&mut self, _index: usize, capacity: usize) -> anyhow::Result<LoadedArm> {
        self.loads.set(self.loads.get() + 1);
        self.clock.advance(LOAD);
        let clock = self.clock.clone();
        let fails_above = self.fails_above;
        let engine = ScriptedEngine { clock, depth: 0, mark: None, capacity, fails_above, steps: 0 };
        Ok(LoadedArm { engine: Box::new(engine), decode_weight_bytes: None })
    }
}

struct NobodyElse;

impl Witness for NobodyElse {
    fn begin(&mut self) {}
    fn end(&mut self) -> Observed {
        Observed::default()
    }
}

/// Writes down what it is told, and may stop the run after some samples.
struct Log<'a> {
    taken: Vec<String>,
    stop_after: Option<usize>,
    stop: &'a AtomicBool,
}

impl Observer for Log<'_> {
    fn event(&mut self, event: &Event<'_>, _outcome: &Outcome, _left: Option<Duration>) {
        if let Event::Sampling { arm, spec, .. } = event {
            self.taken.push(format!("{arm} {}", spec.label()));
            if self.stop_after.is_some_and(|n| self.taken.len() >= n) {
                self.stop.store(true, Ordering::Relaxed);
            }
        }
    }
}

struct Setup {
    arms: usize,
    budget: Budget,
    stop_after: Option<usize>,
    fails_above: usize,
}

struct Seen {
    outcome: Outcome,
    taken: Vec<String>,
    loads: usize,
    elapsed: Duration,
}

fn budget(time_s: Option<u64>, runs: Option<u32>) -> Budget {
    Budget { time: time_s.map(Duration::from_secs), time_is_strict: false, runs, target_half_width: 0.05 }
}

fn setup(budget: Budget) -> Setup {
    Setup { arms: 1, budget, stop_after: None, fails_above: usize::MAX }
}

fn run(setup: Setup, specs: &[CaseSpec]) -> Seen {
    let clock = Rc::new(ManualClock::default());
    let loads = Rc::new(Cell::new(0));
    let mut arms = ScriptedArms {
        clock: clock.clone(),
        count: setup.arms,
        loads: loads.clone(),
        fails_above: setup.fails_above,
        sent: RefCell::default(),
    };
    let stop = AtomicBool::new(false);
    let mut log = Log { taken: Vec::new(), stop_after: setup.stop_after, stop: &stop };
    let campaign = Campaign {
        arms: &mut arms,
        budget: setup.budget,
        seed: 1,
        clock: clock.as_ref(),
        witness: &mut NobodyElse,
        observer: &mut log,
        stop: &stop,
    };
    let outcome = campaign.run(Outcome::new(vec![specs.to_vec(); setup.arms]));
    Seen { outcome, taken: log.taken, loads: loads.get(), elapsed: clock.now() }
}

fn spec(kind: Kind, tokens: u32, asked_for: Wish) -> CaseSpec {
    CaseSpec { kind, tokens, output_tokens: 5, asked_for }
}

#[test]
fn a_scripted_engine_yields_exact_times() {
    let seen = run(setup(budget(None, Some(4))), &[spec(Kind::Rag, 200, Wish::User)]);
    let case = &seen.outcome.arms[0].cases[0];
    assert_eq!(case.samples.len(), 4);
    for sample in &case.samples {
        assert_eq!(sample.error, None);
        assert_eq!(sample.prompt_tokens, 200);
        assert_eq!(sample.tokenize_ms, Some(3.0));
        assert_eq!(sample.prefill_ms, Some(100.0));
        assert_eq!(sample.ttft_ms, Some(104.0));
        assert_eq!(sample.token_ready_ms, [104.0, 124.0, 144.0, 164.0, 184.0]);
        assert_eq!(sample.tpot_ms(), Some(20.0));
        assert_eq!(sample.decode_tokens_per_s(), Some(50.0));
        assert_eq!(sample.prefill_tokens_per_s(), Some(2000.0));
    }
    assert_eq!(case.settled, Some(true));
    assert_eq!(seen.outcome.arms[0].attention_path.as_deref(), Some("scripted"));
}

#[test]
fn what_comes_before_the_first_sample_is_told_of_the_first_load_and_is_in_no_sample() {
    let specs = [spec(Kind::Rag, 200, Wish::User), spec(Kind::Short, 50, Wish::User)];
    let seen = run(Setup { arms: 2, ..setup(budget(None, Some(3))) }, &specs);
    assert_eq!(seen.loads, 6);
    let shortest_first = FirstTimes {
        load_ms: 2000.0,
        first_prompt_ms: Some(25.0),
        first_step_ms: Some(35.0),
        capture_ms: Some(55.0),
    };
    for arm in &seen.outcome.arms {
        assert_eq!(arm.first_times, Some(shortest_first));
        let samples = arm.cases.iter().flat_map(|case| &case.samples);
        assert!(samples.map(|sample| sample.tpot_ms()).all(|ms| ms == Some(20.0)));
    }
    let behind = run(setup(budget(None, Some(3))), &[spec(Kind::Decode, 1000, Wish::User)]);
    let deep = FirstTimes { first_prompt_ms: Some(500.0), ..shortest_first };
    assert_eq!(behind.outcome.arms[0].first_times, Some(deep));
}

#[test]
fn decode_at_a_depth_is_repeated_after_one_prefill() {
    let seen = run(
        setup(budget(None, Some(3))),
        &[spec(Kind::Decode, 1000, Wish::User), spec(Kind::Decode, 0, Wish::User)],
    );
    for case in &seen.outcome.arms[0].cases {
        assert_eq!(case.samples.len(), 3);
        for sample in &case.samples {
            assert_eq!((sample.error.as_deref(), sample.ttft_ms, sample.prefill_ms), (None, None, None));
            assert_eq!(sample.token_ready_ms, [20.0, 40.0, 60.0, 80.0, 100.0]);
        }
    }
    // Each case was announced once: its three samples share one filling of the cache.
    assert_eq!(seen.taken.len(), 2);
}

#[test]
fn arms_take_turns_and_cases_come_in_changing_order() {
    let specs: Vec<_> = [100, 200, 300].map(|n| spec(Kind::Rag, n, Wish::User)).into();
    let seen = run(Setup { arms: 2, ..setup(budget(None, Some(6))) }, &specs);
    assert_eq!(seen.loads, 6, "two arms in three rounds");
    let arms: Vec<&str> = seen.taken.iter().map(|line| &line[..5]).collect();
    let switches = arms.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(switches >= 3, "arms must alternate: {arms:?}");
    let blocks: HashSet<&[String]> = seen.taken.chunks(3).collect();
    assert!(blocks.len() > 2, "the order must change from block to block");
    for arm in &seen.outcome.arms {
        assert!(arm.cases.iter().all(|case| case.samples.len() == 6));
    }
    let mut orders: Vec<u32> =
        seen.outcome.arms.iter().flat_map(|a| &a.cases).flat_map(|c| &c.samples).map(|s| s.order).collect();
    orders.sort();
    assert_eq!(orders, (0..36).collect::<Vec<_>>());
}

#[test]
fn loading_that_takes_most_of_the_time_is_done_once() {
    let specs = [spec(Kind::Short, 50, Wish::Plan)];
    let seen = run(Setup { arms: 2, ..setup(budget(Some(30), None)) }, &specs);
    assert_eq!(seen.loads, 2);
}

#[test]
fn fewer_contexts_come_before_fewer_samples() {
    let lengths = [512, 2048, 32_768, 65_536];
    let specs: Vec<_> = lengths.map(|n| spec(Kind::Rag, n, Wish::Plan)).into();
    let seen = run(setup(budget(Some(60), None)), &specs);
    let dropped: Vec<u32> = seen.outcome.left_out.iter().map(|d| d.spec.tokens).collect();
    assert_eq!(dropped, [32_768, 65_536]);
    assert!(seen.outcome.left_out[0].needs > Duration::from_secs(60));
    let taken: Vec<usize> = seen.outcome.arms[0].cases.iter().map(|c| c.samples.len()).collect();
    assert!(taken[0] >= 3 && taken[1] >= 3 && taken[2] == 0 && taken[3] == 0, "{taken:?}");
    assert!(seen.elapsed <= Duration::from_secs(60), "{:?}", seen.elapsed);
}

#[test]
fn a_length_asked_for_by_name_is_measured_even_if_it_takes_longer() {
    let specs = [spec(Kind::Rag, 512, Wish::User), spec(Kind::Rag, 32_768, Wish::User)];
    let seen = run(setup(budget(Some(30), None)), &specs);
    assert!(seen.outcome.left_out.is_empty());
    assert!(seen.outcome.arms[0].cases.iter().all(|c| c.samples.len() >= 3));
}

#[test]
fn a_time_limit_set_by_the_user_is_kept_even_then() {
    let specs = [spec(Kind::Rag, 512, Wish::User), spec(Kind::Rag, 32_768, Wish::User)];
    let strict = Budget { time_is_strict: true, ..budget(Some(30), None) };
    let seen = run(setup(strict), &specs);
    assert_eq!(seen.outcome.left_out.len(), 1);
    assert!(seen.elapsed <= Duration::from_secs(30), "{:?}", seen.elapsed);
}

#[test]
fn a_limit_set_by_the_user_ends_the_run_though_samples_are_missing() {
    let strict = Budget { time_is_strict: true, ..budget(Some(12), None) };
    let seen = run(Setup { arms: 3, ..setup(strict) }, &[spec(Kind::Short, 50, Wish::User)]);
    // No request may begin after the limit; the one in progress takes a little more than a second.
    assert!(seen.elapsed <= Duration::from_secs(14), "{:?}", seen.elapsed);
    let taken: Vec<usize> = seen.outcome.arms.iter().map(|arm| arm.cases[0].samples.len()).collect();
    assert!(taken.iter().any(|n| *n > 0), "{taken:?}");
}

#[test]
fn stopping_keeps_what_was_taken() {
    let specs: Vec<_> = [100, 200, 300].map(|n| spec(Kind::Rag, n, Wish::User)).into();
    let seen = run(Setup { stop_after: Some(4), ..setup(budget(None, Some(6))) }, &specs);
    assert!(seen.outcome.interrupted);
    let taken: usize = seen.outcome.arms[0].cases.iter().map(|c| c.samples.len()).sum();
    assert_eq!(taken, 4);
}

#[test]
fn a_case_that_fails_says_why_and_the_others_go_on() {
    let specs = [spec(Kind::Rag, 100, Wish::User), spec(Kind::Rag, 900, Wish::User)];
    let seen = run(Setup { fails_above: 500, ..setup(budget(None, Some(3))) }, &specs);
    let [good, bad] = &seen.outcome.arms[0].cases[..] else { panic!("two cases") };
    assert_eq!((good.error.as_deref(), good.samples.len()), (None, 3));
    assert!(bad.error.as_deref().is_some_and(|error| error.starts_with("out of memory with 900 tokens")));
    assert_eq!((bad.out_of_memory, good.out_of_memory, bad.samples.len()), (true, false, 0));
}
