//! A device that runs out of memory, and one that counts its energy: scripted, on a manual clock.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ctxbench::clock::ManualClock;
use ctxbench::engine::Engine;
use ctxbench::runner::arm::{Arms, LoadedArm, Prompt, Witness};
use ctxbench::runner::campaign::{Campaign, Event, Observer, Outcome};
use ctxbench::runner::longest::{Bound, Search};
use ctxbench::runner::schedule::Budget;
use ctxbench::sample::case::{CaseProgress, CaseSpec, Kind, Observed, Wish};
use ctxbench::sample::longest::{Longest, StoppedBy};

const OUT_OF_MEMORY: &str = "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")";
const PER_TOKEN: Duration = Duration::from_millis(1);
const STEP: Duration = Duration::from_millis(10);
const OUTPUT: u32 = 4;

/// What the device does, and how often it was asked.
#[derive(Clone, Default)]
struct Device {
    clock: Rc<ManualClock>,
    /// Joules used so far; 3 a prompt token and 5 a step.
    joules: Rc<Cell<f64>>,
    /// Loads so far.
    loads: Rc<Cell<usize>>,
    /// Prefills so far.
    prefills: Rc<Cell<usize>>,
    /// Caches above this many tokens cannot be allocated.
    largest_cache: Option<usize>,
    /// Prompts above this many tokens fail in prefill.
    largest_prompt: Option<usize>,
    /// From this prefill on, memory is short for the largest prompts.
    short_from: usize,
    /// What the device says then.
    says: Option<&'static str>,
}

impl Device {
    fn refuse(&self) -> anyhow::Error {
        anyhow::anyhow!(self.says.unwrap_or(OUT_OF_MEMORY))
    }
}

struct ScriptedEngine {
    device: Device,
    depth: usize,
    mark: usize,
    capacity: usize,
}

impl Engine for ScriptedEngine {
    fn reset(&mut self) -> anyhow::Result<()> {
        self.depth = 0;
        Ok(())
    }
    fn prefill(&mut self, ids: &[u32]) -> anyhow::Result<()> {
        let prefills = self.device.prefills.get() + 1;
        self.device.prefills.set(prefills);
        let too_long = self.device.largest_prompt.is_some_and(|most| ids.len() > most);
        anyhow::ensure!(!too_long || prefills < self.device.short_from, self.device.refuse());
        self.depth += ids.len();
        assert!(self.depth <= self.capacity, "the cache was made too small");
        self.device.clock.advance(PER_TOKEN * ids.len() as u32);
        self.device.joules.set(self.device.joules.get() + 3.0 * ids.len() as f64);
        Ok(())
    }
    fn sample(&mut self) -> anyhow::Result<u32> {
        Ok(7)
    }
    fn decode(&mut self, _id: u32) -> anyhow::Result<u32> {
        self.depth += 1;
        assert!(self.depth <= self.capacity, "the cache was made too small");
        self.device.clock.advance(STEP);
        self.device.joules.set(self.device.joules.get() + 5.0);
        Ok(7)
    }
    fn depth(&self) -> usize {
        self.depth
    }
    fn mark(&mut self) -> anyhow::Result<()> {
        self.mark = self.depth;
        Ok(())
    }
    fn rewind(&mut self) -> anyhow::Result<()> {
        self.depth = self.mark;
        Ok(())
    }
    fn capacity(&self) -> usize {
        self.capacity
    }
    fn attention_path(&self) -> &'static str {
        "scripted"
    }
    fn output_is_finite(&self) -> anyhow::Result<bool> {
        Ok(true)
    }
}

struct ScriptedArms(Device);

impl Arms for ScriptedArms {
    fn count(&self) -> usize {
        1
    }
    fn name(&self, _index: usize) -> String {
        "arm".into()
    }
    fn prefill_flops(&self, _index: usize, tokens: u64) -> f64 {
        tokens as f64
    }
    fn prompt(&self, _index: usize, case: &CaseSpec, _number: u32) -> anyhow::Result<Prompt> {
        Ok(Prompt { text: case.tokens.to_string(), ..Prompt::default() })
    }
    fn encode(&self, _index: usize, text: &str) -> anyhow::Result<Vec<u32>> {
        Ok(vec![1; text.parse()?])
    }
    fn load(&mut self, _index: usize, capacity: usize) -> anyhow::Result<LoadedArm> {
        self.0.loads.set(self.0.loads.get() + 1);
        anyhow::ensure!(self.0.largest_cache.is_none_or(|most| capacity <= most), self.0.refuse());
        let engine = ScriptedEngine { device: self.0.clone(), depth: 0, mark: 0, capacity };
        Ok(LoadedArm { engine: Box::new(engine), decode_weight_bytes: None })
    }
}

/// Knows the device's counter, where it is to have one.
struct Counter(Option<Device>);

impl Witness for Counter {
    fn begin(&mut self) {}
    fn end(&mut self) -> Observed {
        Observed { peak_memory_bytes: Some(77), ..Observed::default() }
    }
    fn energy_j(&mut self) -> Option<f64> {
        self.0.as_ref().map(|device| device.joules.get())
    }
}

struct Nobody;

impl Observer for Nobody {
    fn event(&mut self, _event: &Event<'_>, _outcome: &Outcome, _left: Option<Duration>) {}
}

fn run(device: &Device, mut witness: Counter, lengths: &[u32]) -> (Outcome, Vec<CaseProgress>) {
    let spec = |tokens: &u32| CaseSpec {
        kind: Kind::Rag,
        tokens: *tokens,
        output_tokens: OUTPUT,
        asked_for: Wish::User,
    };
    let campaign = Campaign {
        arms: &mut ScriptedArms(device.clone()),
        budget: Budget { time: None, time_is_strict: false, runs: Some(3), target_half_width: 0.05 },
        seed: 1,
        clock: device.clock.as_ref(),
        witness: &mut witness,
        observer: &mut Nobody,
        stop: &AtomicBool::new(false),
    };
    let outcome = campaign.run(Outcome::new(vec![lengths.iter().map(spec).collect()]));
    let cases = outcome.arms[0].cases.clone();
    (outcome, cases)
}

fn error(case: &CaseProgress) -> &str {
    case.error.as_deref().unwrap_or_default()
}

#[test]
fn a_prompt_that_does_not_fit_ends_its_case_and_says_what_has_fitted() {
    let device = Device { largest_prompt: Some(500), ..Device::default() };
    let (outcome, cases) = run(&device, Counter(None), &[100, 400, 900]);
    assert_eq!(outcome.arms[0].error, None);
    let samples: Vec<usize> = cases.iter().map(|case| case.samples.len()).collect();
    assert_eq!(samples, [3, 3, 0]);
    assert!(cases[2].out_of_memory && !cases[1].out_of_memory);
    for part in
        ["out of memory with 900 tokens", "what has fitted here is 400 tokens", "CUDA_ERROR_OUT_OF_MEMORY"]
    {
        assert!(error(&cases[2]).contains(part), "'{part}' is not in: {}", error(&cases[2]));
    }
}

#[test]
fn memory_that_runs_out_later_ends_the_case_and_keeps_its_samples() {
    // Warm-ups of both cases, then blocks of both; from the eighth prefill on, long prompts fail.
    let device = Device { largest_prompt: Some(500), short_from: 8, ..Device::default() };
    let (_, cases) = run(&device, Counter(None), &[100, 900]);
    let complete = |case: &CaseProgress| case.samples.iter().filter(|sample| sample.is_complete()).count();
    assert_eq!((complete(&cases[0]), cases[0].error.as_deref()), (3, None));
    assert!((1..3).contains(&complete(&cases[1])), "{} samples", complete(&cases[1]));
    assert_eq!(cases[1].samples.len(), complete(&cases[1]) + 1, "one failed, and none was begun after it");
    assert!(cases[1].out_of_memory && error(&cases[1]).contains("what has fitted here is 100 tokens"));
}

#[test]
fn a_cache_that_cannot_be_allocated_costs_the_longest_cases_only() {
    let device = Device { largest_cache: Some(600), ..Device::default() };
    let (outcome, cases) = run(&device, Counter(None), &[100, 400, 900]);
    assert_eq!((outcome.arms[0].error.as_deref(), device.loads.get()), (None, 2));
    assert_eq!((cases[0].samples.len(), cases[1].samples.len(), cases[2].samples.len()), (3, 3, 0));
    assert!(error(&cases[2]).contains("nothing shorter had been run here"), "{}", error(&cases[2]));
}

#[test]
fn an_arm_that_does_not_load_at_all_ends_after_few_attempts() {
    let nothing = Device { largest_cache: Some(0), ..Device::default() };
    let (outcome, cases) = run(&nothing, Counter(None), &[100, 400, 900]);
    assert!(outcome.arms[0].error.is_none() && cases.iter().all(|case| case.out_of_memory));
    assert_eq!(nothing.loads.get(), 3);
    let broken = Device { says: Some("the file is damaged"), ..nothing.clone() };
    let (outcome, _) = run(&broken, Counter(None), &[100, 900]);
    assert_eq!(outcome.arms[0].error.as_deref(), Some("the file is damaged"));
}

#[test]
fn energy_is_counted_in_passes_of_two_seconds_that_are_no_samples() {
    let device = Device::default();
    let (_, cases) = run(&device, Counter(Some(device.clone())), &[100, 3000]);
    for case in &cases {
        assert_eq!(case.samples.len(), 3);
        let energy = case.energy.expect("the device counts");
        let (prefill, output) = (energy.prefill.unwrap(), energy.output.unwrap());
        assert_eq!((prefill.j_per_token, output.j_per_token), (3.0, 5.0));
        assert_eq!(
            prefill.tokens,
            u64::from(case.spec.tokens).max(2000),
            "as many passes as two seconds take"
        );
        assert_eq!((output.tokens, output.seconds), (200, 2.0));
    }
    let uncounted = Device::default();
    let (_, cases) = run(&uncounted, Counter(None), &[100]);
    assert_eq!((cases[0].energy, uncounted.joules.get() > 0.0), (None, true));
}

#[test]
fn a_counter_that_stands_still_gives_no_energy() {
    let (device, other) = (Device::default(), Device::default());
    let (_, cases) = run(&device, Counter(Some(other)), &[100]);
    let energy = cases[0].energy.expect("it was asked");
    assert_eq!((energy.prefill, energy.output), (None, None));
}

fn longest(device: &Device, most: u32, stop_after: usize) -> Longest {
    let tried = Cell::new(0);
    Search {
        arms: &mut ScriptedArms(device.clone()),
        index: 0,
        bound: Bound { tokens: most, by: StoppedBy::ModelLimit },
        first_prompt: 0,
        witness: &mut Counter(None),
        stopped: &|| tried.get() >= stop_after,
        trying: &mut |_| tried.set(tried.get() + 1),
    }
    .run()
}

#[test]
fn what_should_fit_and_runs_is_found_at_once() {
    let found = longest(&Device::default(), 5000, usize::MAX);
    assert_eq!((found.tokens, found.memory_bytes), (Some(5000), Some(77)));
    assert_eq!((found.stopped_by, found.attempts.len()), (StoppedBy::ModelLimit, 1));
}

#[test]
fn the_longest_length_of_the_grid_that_runs_is_found_by_halving() {
    for fits in [1, 2, 5, 767, 768, 3000, 4999] {
        for device in [
            Device { largest_prompt: Some(fits), ..Device::default() },
            Device { largest_cache: Some(fits + 1), ..Device::default() },
        ] {
            let found = longest(&device, 5000, usize::MAX);
            let grid = (0..13).flat_map(|bit| [1 << bit, (1 << bit) + (1 << bit) / 2]);
            let expected = grid.filter(|tokens| *tokens <= fits).max().unwrap() as u32;
            assert_eq!((found.tokens, found.stopped_by), (Some(expected), StoppedBy::OutOfMemory), "{fits}");
            assert!(found.attempts.len() <= 7 && found.attempts[0].tokens == 5000, "{:?}", found.attempts);
        }
    }
}

#[test]
fn nothing_that_runs_and_other_failures_are_told_as_what_they_are() {
    let found = longest(&Device { largest_cache: Some(0), ..Device::default() }, 5000, usize::MAX);
    assert_eq!((found.tokens, found.memory_bytes, found.stopped_by), (None, None, StoppedBy::OutOfMemory));
    let says = Some("the shape is refused");
    let found = longest(&Device { largest_prompt: Some(100), says, ..Device::default() }, 5000, usize::MAX);
    assert_eq!((found.tokens, found.stopped_by), (Some(96), StoppedBy::Failed));
    assert!(found.attempts[0].error.as_deref().is_some_and(|error| error.contains("shape is refused")));
    assert_eq!(longest(&Device::default(), 0, usize::MAX).attempts, []);
}

#[test]
fn a_search_that_is_stopped_keeps_what_ran() {
    let device = Device { largest_prompt: Some(3000), ..Device::default() };
    let found = longest(&device, 5000, 2);
    assert_eq!((found.attempts.len(), found.stopped_by), (2, StoppedBy::Interrupted));
    assert!(found.tokens.is_some_and(|tokens| tokens < 3000));
}
