//! What a card can do at most, measured: bytes copied per second, bytes of weights read by a product of one row, and
//! products per second by type of number.
//!
//! Medians would tell of the neighbours, and a card has none: the best of some passes, each between two waits for the
//! device. Not here: the processor's limits ([`super::roofline`]), and what a model reaches (`report`).

use std::time::Duration;

use candle_core::{DType, Device, Result, Tensor};

use super::roofline::{Measured, Roofline};
use crate::clock::Clock;
use crate::cuda::gemv::{self, Factor, Weights};

/// How much is moved and multiplied in a pass.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    /// Bytes that are copied.
    copied: usize,
    /// Shape of the matrix that one row is multiplied with.
    gemv: [usize; 2],
    /// Rows and columns of the square matrices that are multiplied.
    square: usize,
}

/// Far beyond any cache of a card; the matrix has about 400 MB in 16 bits.
const OF_A_CARD: Sizes = Sizes { copied: 1 << 30, gemv: [49_152, 4_096], square: 8_192 };

/// Passes of each measurement, after one that is not counted.
const PASSES: u32 = 20;

/// Types of numbers whose products a card is asked for.
const OPERANDS: [(&str, DType); 3] = [("bf16", DType::BF16), ("f16", DType::F16), ("f32", DType::F32)];

/// Measures the limits of `device`; takes about a second, and needs 2 GiB of its memory.
///
/// What a card cannot do, bf16 on old ones or more than its memory holds, is missing. Errors if the device
/// fails otherwise.
pub fn probe(clock: &dyn Clock, device: &Device) -> Result<Roofline> {
    probe_with(clock, device, OF_A_CARD)
}

fn probe_with(clock: &dyn Clock, device: &Device, sizes: Sizes) -> Result<Roofline> {
    let matmul = OPERANDS.into_iter().filter_map(|(name, dtype)| {
        let rate = products(clock, device, dtype, sizes.square).ok().flatten();
        rate.map(|rate| (name.to_owned(), rate))
    });
    let matmul = matmul.collect();
    let moved =
        [copy(clock, device, sizes.copied).ok().flatten(), gemv(clock, device, sizes.gemv).ok().flatten()];
    let bandwidth = moved.into_iter().flatten().max_by(|a, b| a.per_s.total_cmp(&b.per_s));
    device.synchronize()?;
    Ok(Roofline { bandwidth, matmul, threads: 0, isa: String::new() })
}

/// Bytes read and written by a copy from memory of the device to another part of it.
fn copy(clock: &dyn Clock, device: &Device, bytes: usize) -> Result<Option<Measured>> {
    let (from, to) = (Tensor::zeros(bytes, DType::U8, device)?, Tensor::zeros(bytes, DType::U8, device)?);
    let time = best(clock, device, || to.slice_set(&from, 0, 0))?;
    Ok(rate(2.0 * bytes as f64, time, "copy"))
}

/// Bytes of a bf16 matrix that one row is multiplied with.
fn gemv(clock: &dyn Clock, device: &Device, [rows, columns]: [usize; 2]) -> Result<Option<Measured>> {
    let matrix = Tensor::zeros((rows, columns), DType::BF16, device)?;
    let x = Tensor::zeros((1, columns), DType::BF16, device)?;
    let factor = Factor { weights: Weights::Dense(&matrix), rows, bias: None };
    let time = best(clock, device, || gemv::multiply(&x, &[factor]).map(|_| ()))?;
    Ok(rate((2 * rows * columns) as f64, time, "bf16 matrix times one row"))
}

/// FLOPs of a product of two square matrices.
fn products(clock: &dyn Clock, device: &Device, dtype: DType, size: usize) -> Result<Option<Measured>> {
    let a = Tensor::rand(-1f32, 1.0, (size, size), device)?.to_dtype(dtype)?;
    let b = Tensor::rand(-1f32, 1.0, (size, size), device)?.to_dtype(dtype)?;
    let time = best(clock, device, || a.matmul(&b).map(|_| ()))?;
    let what = format!("{} matrix product", dtype.as_str());
    Ok(rate(2.0 * (size as f64).powi(3), time, &what))
}

/// The shortest of [`PASSES`] passes.
fn best(clock: &dyn Clock, device: &Device, mut pass: impl FnMut() -> Result<()>) -> Result<Duration> {
    pass()?;
    let mut best = Duration::MAX;
    for _ in 0..PASSES {
        device.synchronize()?;
        let before = clock.now();
        pass()?;
        device.synchronize()?;
        best = best.min(clock.now() - before);
    }
    Ok(best)
}

/// `None` if the clock did not move.
fn rate(work: f64, time: Duration, what: &str) -> Option<Measured> {
    let seconds = time.as_secs_f64();
    (seconds > 0.0).then(|| Measured { per_s: work / seconds, passes: PASSES, what: what.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::cuda::on_host;

    #[test]
    fn every_pass_is_timed_and_the_shortest_counts() {
        let clock = ManualClock::default();
        let mut times = (0..=PASSES).map(|pass| Duration::from_millis(if pass == 7 { 2 } else { 9 }));
        let shortest = best(&clock, &Device::Cpu, || {
            clock.advance(times.next().unwrap());
            Ok(())
        });
        assert_eq!(shortest.unwrap(), Duration::from_millis(2));
        assert_eq!(times.next(), None);
        assert_eq!(rate(1e9, Duration::from_millis(2), "work").unwrap().per_s, 5e11);
        assert_eq!(rate(1e9, Duration::ZERO, "work"), None);
    }

    /// A clock that goes on by a millisecond whenever it is read.
    #[derive(Default)]
    struct Ticking(ManualClock);

    impl Clock for Ticking {
        fn now(&self) -> Duration {
            self.0.advance(Duration::from_millis(1));
            self.0.now()
        }
    }

    #[test]
    fn a_copy_counts_what_is_read_and_what_is_written_a_row_its_weights_and_a_product_its_flops() {
        let clock = Ticking::default();
        let per_s = |rate: Result<Option<Measured>>| rate.unwrap().unwrap().per_s;
        let near = |got: f64, expected: f64| assert!((got / expected - 1.0).abs() < 1e-9, "{got} {expected}");
        near(per_s(copy(&clock, &Device::Cpu, 1 << 16)), 1000.0 * f64::from(2 << 16));
        let row = on_host::with(|| gemv(&clock, &Device::Cpu, [8, 64]));
        near(per_s(row), 1000.0 * (8.0 * 64.0 * 2.0));
        near(per_s(products(&clock, &Device::Cpu, DType::F32, 16)), 1000.0 * (2.0 * 16.0 * 16.0 * 16.0));
    }

    #[test]
    fn the_faster_way_to_move_bytes_is_the_bandwidth_and_each_type_has_its_products() {
        let probe = |sizes| on_host::with(|| probe_with(&Ticking::default(), &Device::Cpu, sizes)).unwrap();
        let of = |copied, gemv| Sizes { copied, gemv, square: 16 };
        let copied = probe(of(1 << 16, [8, 64])).bandwidth.unwrap();
        assert_eq!((copied.what.as_str(), copied.passes), ("copy", PASSES));
        let few = probe(of(16, [8, 64]));
        assert_eq!(few.bandwidth.unwrap().what, "bf16 matrix times one row");
        assert!(few.matmul.keys().eq(["bf16", "f16", "f32"]) && few.threads == 0 && few.isa.is_empty());
    }

    #[test]
    fn where_the_clock_does_not_move_nothing_is_known() {
        let sizes = Sizes { copied: 16, gemv: [8, 64], square: 16 };
        let still = on_host::with(|| probe_with(&ManualClock::default(), &Device::Cpu, sizes)).unwrap();
        assert!(still.bandwidth.is_none() && still.matmul.is_empty());
    }
}
