//! What this box can do at most, measured: bytes read per second, and matmul rates through candle.
//!
//! Best of several passes, since everything that disturbs a pass makes it slower. CPU only for now.
//! There is no bf16 rate: candle-core 0.11.1 widens both operands on the CPU, so it would not be the
//! machine's. Not here: what a model reaches of it (`stats`).

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use candle_core::quantized::{GgmlDType, QMatMul, QTensor};
use candle_core::{Device, Module, Tensor};
use rayon::prelude::*;

use crate::clock::Clock;
use crate::environment::Environment;

/// Bytes of the buffer that is read: larger than any last-level cache it is likely to meet.
const BUFFER_BYTES: u64 = 512 << 20;

/// Time for each of the measurements; at least one pass is always taken.
const TIME_EACH: Duration = Duration::from_millis(700);

/// Passes after which more tell nothing.
const MAX_PASSES: u32 = 64;

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

/// The measured limits of the CPU.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Roofline {
    /// The better of reading, and of copying (bytes read and written), with all engine threads.
    pub bandwidth: Option<Measured>,
    /// Matmul rates by weight type, e.g. `f32`, `q8_0`.
    pub matmul: BTreeMap<String, Measured>,
}

impl Roofline {
    /// Measures with the threads that [`super::threads::settle`] has set; takes about three seconds.
    ///
    /// `available_bytes` of memory bound the buffers. Errors only if candle fails at a plain matmul.
    pub fn probe(clock: &dyn Clock, available_bytes: Option<u64>) -> candle_core::Result<Self> {
        let buffer = available_bytes.map_or(BUFFER_BYTES, |bytes| BUFFER_BYTES.min(bytes / 8));
        let mut matmul = BTreeMap::new();
        let rates = [("f32", f32_matmul(clock)?), ("q8_0", q8_0_matmul(clock)?)];
        for (name, rate) in rates {
            matmul.extend(rate.map(|rate| (name.to_owned(), rate)));
        }
        Ok(Self { bandwidth: bandwidth(clock, buffer as usize), matmul })
    }

    /// Writes the rates into the record of the box.
    pub fn fill(&self, environment: &mut Environment) {
        environment.memory_bandwidth_bytes_per_s = self.bandwidth.as_ref().map(|rate| rate.per_s);
        let rates = self.matmul.iter().map(|(name, rate)| (name.clone(), rate.per_s));
        environment.matmul_flops_per_s = rates.collect();
    }
}

/// The fastest of several runs of `pass`, and how many there were.
struct Best {
    time: Duration,
    passes: u32,
}

impl Best {
    /// Runs `pass` until `limit` is over or [`MAX_PASSES`] are done.
    fn of(
        clock: &dyn Clock,
        limit: Duration,
        mut pass: impl FnMut() -> candle_core::Result<()>,
    ) -> candle_core::Result<Self> {
        let start = clock.now();
        let mut best = Self { time: Duration::MAX, passes: 0 };
        while best.passes == 0 || (best.passes < MAX_PASSES && clock.now() - start < limit) {
            let before = clock.now();
            pass()?;
            best.time = best.time.min(clock.now() - before);
            best.passes += 1;
        }
        Ok(best)
    }

    /// `None` if the clock did not move: no rate can be told.
    fn rate(&self, work: f64, what: &str) -> Option<Measured> {
        let seconds = self.time.as_secs_f64();
        (seconds > 0.0).then(|| Measured { per_s: work / seconds, passes: self.passes, what: what.into() })
    }
}

fn bandwidth(clock: &dyn Clock, buffer_bytes: usize) -> Option<Measured> {
    let words = buffer_bytes / size_of::<u64>() / 2 * 2; // two halves of one length
    let share = (words / 2).div_ceil(rayon::current_num_threads()).max(1);
    // Touched by all threads, so that each page lies near the thread that reads it.
    let mut buffer = vec![0_u64; words];
    buffer.par_chunks_mut(share).for_each(|part| part.fill(1));
    let read = Best::of(clock, TIME_EACH, || {
        black_box(black_box(&buffer).par_chunks(share).map(sum).reduce(|| 0, u64::wrapping_add));
        Ok(())
    });
    let (source, target) = buffer.split_at_mut(words / 2);
    let copy = Best::of(clock, TIME_EACH / 2, || {
        let pairs = target.par_chunks_mut(share).zip(source.par_chunks(share));
        pairs.for_each(|(to, from)| to.copy_from_slice(from));
        black_box(&target);
        Ok(())
    });
    let bytes = (words * size_of::<u64>()) as f64;
    let rates = [read.ok()?.rate(bytes, "read"), copy.ok()?.rate(bytes, "copy")];
    rates.into_iter().flatten().max_by(|a, b| a.per_s.total_cmp(&b.per_s))
}

/// Sum of all words; 32 lanes, so that the compiler uses vectors and no add waits for another.
fn sum(words: &[u64]) -> u64 {
    let mut lanes = [0_u64; 32];
    let chunks = words.chunks_exact(lanes.len());
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, word) in lanes.iter_mut().zip(chunk) {
            *lane = lane.wrapping_add(*word);
        }
    }
    lanes.iter().chain(rest).fold(0, |total, word| total.wrapping_add(*word))
}

/// (1024, 1024) × (1024, 1024) in f32: as fast as larger ones, and short passes find quiet moments.
fn f32_matmul(clock: &dyn Clock) -> candle_core::Result<Option<Measured>> {
    let n = 1024;
    let (a, b) = (ramp(n, n)?, ramp(n, n)?);
    let best = Best::of(clock, TIME_EACH, || a.matmul(&b).map(|c| drop(black_box(c))))?;
    Ok(best.rate(2.0 * (n as f64).powi(3), "1024 x 1024 x 1024"))
}

/// A prefill chunk of 512 rows against a (4096, 4096) matrix in Q8_0.
fn q8_0_matmul(clock: &dyn Clock) -> candle_core::Result<Option<Measured>> {
    let (rows, n) = (512, 4096);
    let weights = QMatMul::from_qtensor(QTensor::quantize(&ramp(n, n)?, GgmlDType::Q8_0)?)?;
    let x = ramp(rows, n)?;
    drop(weights.forward(&x)?); // packs the weights, once
    let best = Best::of(clock, TIME_EACH, || weights.forward(&x).map(|y| drop(black_box(y))))?;
    Ok(best.rate(2.0 * (rows * n * n) as f64, "512 x 4096 x 4096"))
}

/// A matrix of small, differing numbers, cheaper to make than random ones.
fn ramp(rows: usize, columns: usize) -> candle_core::Result<Tensor> {
    let values: Vec<f32> = (0..rows * columns).map(|i| (i % 251) as f32 / 251.0 - 0.5).collect();
    Tensor::from_vec(values, (rows, columns), &Device::Cpu)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn the_best_pass_counts_and_the_limit_ends_it() {
        let clock = ManualClock::default();
        let mut times = [40, 10, 30, 50].into_iter();
        let best = Best::of(&clock, Duration::from_millis(60), || {
            clock.advance(Duration::from_millis(times.next().unwrap_or(1000)));
            Ok(())
        });
        let rate = best.unwrap().rate(1e9, "work").unwrap();
        assert_eq!((rate.per_s, rate.passes), (1e11, 3));
    }

    #[test]
    fn a_clock_that_stands_still_ends_and_gives_no_rate() {
        let best = Best::of(&ManualClock::default(), TIME_EACH, || Ok(())).unwrap();
        assert_eq!((best.passes, best.rate(1.0, "work")), (MAX_PASSES, None));
        assert_eq!(bandwidth(&ManualClock::default(), 1 << 12), None);
    }

    #[test]
    fn every_word_is_summed() {
        let words: Vec<u64> = (0..1001).collect();
        assert_eq!(sum(&words), 1000 * 1001 / 2);
        assert_eq!(sum(&[u64::MAX, 2]), 1);
    }

    #[test]
    fn rates_fill_the_record_of_the_box() {
        let rate = |per_s| Measured { per_s, passes: 1, what: "test".into() };
        let matmul = BTreeMap::from([("f32".to_owned(), rate(2.0))]);
        let mut environment = Environment::default();
        Roofline { bandwidth: Some(rate(1.0)), matmul }.fill(&mut environment);
        assert_eq!(environment.memory_bandwidth_bytes_per_s, Some(1.0));
        assert_eq!(environment.matmul_flops_per_s["f32"], 2.0);
    }
}
