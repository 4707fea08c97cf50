//! A mix of routed and unrouted questions over plain RAG, with an interval.
//!
//! Comes in: requests of each kind, and the routed share. Goes out: the ratio of one number of the mix to that of
//! plain RAG. Not here: what a mix is ([`super::mix`]).

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::estimate::{Interval, LEVEL};
use super::mix::{MixMetric, Mixture, Request};
use super::percentile::{percentile, sorted};

/// Bootstrap draws per interval: the ends then move by under 3 % of the width from seed to seed.
const DRAWS: usize = 1000;

/// Requests of the three kinds, and the routed share.
#[derive(Clone, Copy, Debug)]
pub struct Against<'a> {
    /// Hybrid requests that were routed.
    pub routed: &'a [Request],
    /// Hybrid requests that were not.
    pub unrouted: &'a [Request],
    /// Plain RAG.
    pub plain: &'a [Request],
    /// Share of questions that are routed.
    pub r: f64,
}

/// `metric` of the mix over that of plain RAG, with a seeded bootstrap interval over requests.
///
/// `None` where either has no such number (see [`Mixture::value`]), or that of plain RAG is not above 0.
pub fn ratio(of: Against<'_>, metric: MixMetric, seed: u64) -> Option<Interval> {
    let value = value(of, metric)?;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let draw = |_| {
        let [routed, unrouted, plain] =
            [of.routed, of.unrouted, of.plain].map(|kind| redrawn(kind, &mut rng));
        self::value(Against { routed: &routed, unrouted: &unrouted, plain: &plain, ..of }, metric)
    };
    let drawn = sorted(&(0..DRAWS).filter_map(draw).collect::<Vec<f64>>())?;
    let (low, high) = (percentile(&drawn, 2.5).min(value), percentile(&drawn, 97.5).max(value));
    Some(Interval { value, low, high, level: LEVEL })
}

fn value(of: Against<'_>, metric: MixMetric) -> Option<f64> {
    let plain = Mixture::new(of.plain, &[]).value(metric, 1.0).filter(|plain| *plain > 0.0)?;
    let ratio = Mixture::new(of.routed, of.unrouted).value(metric, of.r)? / plain;
    ratio.is_finite().then_some(ratio)
}

fn redrawn(requests: &[Request], rng: &mut Xoshiro256PlusPlus) -> Vec<Request> {
    let n = requests.len();
    (0..n).map(|_| requests[rng.random_range(0..n)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(ttft: impl IntoIterator<Item = f64>) -> Vec<Request> {
        let request = |ttft_ms| Request { ttft_ms, busy_ms: 2.0 * ttft_ms, prompt_tokens: 9 };
        ttft.into_iter().map(request).collect()
    }

    #[test]
    fn a_mix_weighs_its_kinds_by_share_and_not_by_samples() {
        let (routed, unrouted, plain) = (requests([1000.0; 3]), requests([10.0; 300]), requests([100.0; 7]));
        let of = Against { routed: &routed, unrouted: &unrouted, plain: &plain, r: 0.1 };
        let i = ratio(of, MixMetric::TtftMean, 1).unwrap();
        assert!((i.value - 1.09).abs() < 1e-9 && (i.low, i.high) == (i.value, i.value), "{i:?}");
    }

    #[test]
    fn what_has_no_value_has_no_ratio() {
        let (some, zero, odd) = (requests([1.0; 5]), requests([0.0; 5]), requests([f64::NAN; 5]));
        let none = Vec::new();
        let of = |routed, plain| Against { routed, unrouted: &[], plain, r: 1.0 };
        assert!(ratio(of(&some, &some), MixMetric::BoxSeconds, 1).is_some());
        for (routed, plain) in [(&some, &zero), (&odd, &some), (&some, &odd), (&none, &some)] {
            assert_eq!(ratio(of(routed, plain), MixMetric::BoxSeconds, 1), None);
        }
        assert_eq!(ratio(of(&some, &some), MixMetric::TtftP95, 1), None, "5 requests support no p95");
        assert_eq!(ratio(Against { r: 2.0, ..of(&some, &some) }, MixMetric::TtftMean, 1), None);
    }

    #[test]
    fn simulated_ratios_lie_in_their_intervals_nearly_as_often_as_claimed() {
        const TRIALS: u64 = 100;
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(9);
        let mut exponential =
            || requests((0..130).map(|_| 1.0 - 0.1 * (1.0 - rng.random::<f64>()).ln()).collect::<Vec<_>>());
        let hits = (0..TRIALS).filter(|seed| {
            let (routed, unrouted, plain) = (exponential(), exponential(), exponential());
            let of = Against { routed: &routed, unrouted: &unrouted, plain: &plain, r: 0.3 };
            let i = ratio(of, MixMetric::TtftP95, *seed).expect("a ratio");
            i.low <= 1.0 && 1.0 <= i.high
        });
        let real = hits.count() as f64 / TRIALS as f64;
        println!("{real}");
        assert!(real >= 0.90, "{real}");
    }
}
