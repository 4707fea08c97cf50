//! What this box can do at most, measured: bytes read per second, and products per second by type of number.
//!
//! All threads of [`crate::cpu::pool`] at once, with the instruction set that the kernels use. Best of many short
//! passes: everything that disturbs a pass makes it slower, and short passes find quiet moments. Not here: cards
//! ([`super::card_roofline`]), the loops themselves ([`crate::cpu::peak`]), and what a model reaches of it (`report`).

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use candle_core::{Device, Result};

use crate::clock::Clock;
use crate::cpu::buffer::Buffer;
use crate::cpu::isa::{Isa, isa};
use crate::cpu::peak::{self, Operand};
use crate::cpu::pool;
use crate::environment::Environment;

/// Bytes of the buffer that is read: larger than any last-level cache it is likely to meet.
const BUFFER_BYTES: u64 = 512 << 20;

/// Bytes of one pass over memory; the next pass reads the next part of the buffer.
const WINDOW_BYTES: usize = 64 << 20;

/// Bytes that one thread copies at a time.
const COPY_BYTES: usize = 1 << 20;

/// Places that a thread reads at once. Which is best depends on the processor's prefetchers: all are tried.
const STREAMS: [usize; 3] = [1, 2, 4];

/// Time for each of the measurements; at least one pass is always taken.
const TIME_EACH: Duration = Duration::from_millis(500);

/// A pass over registers lasts at least this long: far above what waking the threads takes.
const SHORTEST_PASS: Duration = Duration::from_micros(400);

/// Turns of a loop at most, whatever the clock says.
const MOST_TURNS: u32 = 1 << 20;

/// Passes after which more tell nothing.
const MAX_PASSES: u32 = 2000;

/// A rate that was measured here and now.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Per second: bytes, or FLOPs (2 per multiply-add).
    pub per_s: f64,
    /// Passes it is the best of.
    pub passes: u32,
    /// What ran.
    pub what: String,
}

/// The measured limits of the device that a model runs on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Roofline {
    /// The better of reading, and of copying (bytes read and written).
    pub bandwidth: Option<Measured>,
    /// Rates of products by the type of the numbers: `int8`, `bf16` where the processor has it, `f32`.
    pub matmul: BTreeMap<String, Measured>,
    /// Threads of the processor that ran at once; 0 for a card.
    pub threads: usize,
    /// Instruction set that ran, by its name; empty for a card.
    pub isa: String,
}

impl Roofline {
    /// Measures with the threads that [`super::threads::settle`] has set; takes about two seconds.
    ///
    /// `available_bytes` of memory bound the buffer.
    pub fn probe(clock: &dyn Clock, available_bytes: Option<u64>) -> Self {
        let isa = isa();
        let bytes = available_bytes.map_or(BUFFER_BYTES, |bytes| BUFFER_BYTES.min(bytes / 8));
        let rate = |operand: Operand| Some((operand.name().to_owned(), products(clock, isa, operand)?));
        Self {
            bandwidth: bandwidth(clock, isa, bytes as usize),
            matmul: Operand::ALL.into_iter().filter_map(rate).collect(),
            threads: pool::threads(),
            isa: isa.name().into(),
        }
    }

    /// Measures `device`: the processor as [`Self::probe`] does, or a card.
    ///
    /// Errors if the card fails.
    pub fn of(device: &Device, clock: &dyn Clock, available_bytes: Option<u64>) -> Result<Self> {
        match device {
            Device::Cpu => Ok(Self::probe(clock, available_bytes)),
            card => super::card_roofline::probe(clock, card),
        }
    }

    /// Writes the rates into the record of the box.
    pub fn fill(&self, environment: &mut Environment) {
        environment.memory_bandwidth_bytes_per_s = self.bandwidth.as_ref().map(|rate| rate.per_s);
        let rates = self.matmul.iter().map(|(name, rate)| (name.clone(), rate.per_s));
        environment.matmul_flops_per_s = rates.collect();
        environment.cpu_isa = Some(if self.isa.is_empty() { isa().name().into() } else { self.isa.clone() });
        environment.rates_are_of_a_card = self.isa.is_empty();
    }
}

/// The fastest of several runs of a pass, and how many there were.
struct Best {
    time: Duration,
    passes: u32,
}

impl Best {
    /// Runs `pass`, which is told its number, until `limit` is over or [`MAX_PASSES`] are done.
    fn of(clock: &dyn Clock, limit: Duration, mut pass: impl FnMut(usize)) -> Self {
        let start = clock.now();
        let mut best = Self { time: Duration::MAX, passes: 0 };
        while best.passes == 0 || (best.passes < MAX_PASSES && clock.now() - start < limit) {
            let before = clock.now();
            pass(best.passes as usize);
            best.time = best.time.min(clock.now() - before);
            best.passes += 1;
        }
        best
    }

    /// `None` if the clock did not move: no rate can be told.
    fn rate(&self, work: f64, what: &str) -> Option<Measured> {
        let seconds = self.time.as_secs_f64();
        (seconds > 0.0).then(|| Measured { per_s: work / seconds, passes: self.passes, what: what.into() })
    }
}

/// Products in registers; `None` if the processor has none of that type, or the clock does not move.
fn products(clock: &dyn Clock, isa: Isa, operand: Operand) -> Option<Measured> {
    let pass = |turns: u32| peak::multiply(isa, operand, turns).map(black_box);
    let mut turns = 256;
    loop {
        let before = clock.now();
        pass(turns)?;
        let took = clock.now() - before;
        if took >= SHORTEST_PASS || turns >= MOST_TURNS {
            break;
        }
        turns *= 2;
    }
    let operations = pass(turns)?.operations as f64;
    let best = Best::of(clock, TIME_EACH, |_| {
        pass(turns);
    });
    best.rate(operations, &format!("{} products in registers", operand.name()))
}

fn bandwidth(clock: &dyn Clock, isa: Isa, bytes: usize) -> Option<Measured> {
    let window = WINDOW_BYTES.min(bytes);
    // Written to by all threads: pages that were never touched are all the same one.
    let mut buffer = Buffer::zeroed(bytes);
    pool::run_chunks(&mut buffer, COPY_BYTES, |_, part| part.fill(1));
    let windows = (bytes / window.max(1)).max(1);
    let read = Best::of(clock, TIME_EACH, |pass| {
        // Another window each time: what was read last may still lie in a cache.
        let (at, streams) = (pass % windows * window, STREAMS[pass / windows % STREAMS.len()]);
        black_box(peak::read(isa, black_box(&buffer[at..at + window]), streams));
    });
    let (half, pairs) = (window / 2, (bytes / window.max(1) / 2).max(1));
    let (source, target) = buffer.split_at_mut(bytes / 2);
    let copy = Best::of(clock, TIME_EACH / 2, |pass| {
        let at = pass % pairs * half;
        let from = black_box(&source[at..at + half]);
        pool::run_chunks(&mut target[at..at + half], COPY_BYTES, |chunk, to| {
            to.copy_from_slice(&from[chunk * COPY_BYTES..][..to.len()]);
        });
    });
    let rates = [read.rate(window as f64, "read"), copy.rate(2.0 * half as f64, "copy")];
    let moved = rates.into_iter().flatten().filter(|rate| rate.per_s > 0.0);
    moved.max_by(|a, b| a.per_s.total_cmp(&b.per_s))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, SystemClock};

    #[test]
    fn the_best_pass_counts_and_the_limit_ends_it() {
        let clock = ManualClock::default();
        let times = [40, 10, 30, 50];
        let best = Best::of(&clock, Duration::from_millis(60), |pass| {
            clock.advance(Duration::from_millis(times[pass]));
        });
        let rate = best.rate(1e9, "work").unwrap();
        assert_eq!((rate.per_s, rate.passes), (1e11, 3));
    }

    #[test]
    fn a_clock_that_stands_still_ends_and_gives_no_rate() {
        let best = Best::of(&ManualClock::default(), TIME_EACH, |_| ());
        assert_eq!((best.passes, best.rate(1.0, "work")), (MAX_PASSES, None));
        assert_eq!(bandwidth(&ManualClock::default(), isa(), 1 << 12), None);
    }

    #[test]
    fn buffers_of_any_size_are_read_and_wider_numbers_multiply_slower() {
        for bytes in [0, 1, 4097, (3 << 20) + 5] {
            assert_eq!(bandwidth(&SystemClock::default(), isa(), bytes).is_some(), bytes > 0, "{bytes}");
        }
        let rate = |operand| products(&SystemClock::default(), isa(), operand).map(|rate| rate.per_s);
        assert!(rate(Operand::F32).is_some_and(|rate| rate > 1e6));
        if isa() != Isa::Portable {
            assert!(rate(Operand::Int8) > rate(Operand::F32));
        }
    }

    #[test]
    fn rates_fill_the_record_of_the_box() {
        let rate = |per_s| Measured { per_s, passes: 1, what: "test".into() };
        let matmul = BTreeMap::from([("f32".to_owned(), rate(2.0))]);
        let mut environment = Environment::default();
        Roofline { bandwidth: Some(rate(1.0)), matmul, threads: 1, isa: "avx2".into() }
            .fill(&mut environment);
        assert_eq!(environment.memory_bandwidth_bytes_per_s, Some(1.0));
        assert_eq!(environment.matmul_flops_per_s["f32"], 2.0);
        assert_eq!(environment.cpu_isa.as_deref(), Some("avx2"));
    }
}
