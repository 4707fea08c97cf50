//! What a mix of routed and unrouted questions takes, at every share r, and where it crosses plain RAG.
//!
//! Comes in: requests measured routed and unrouted. Goes out: means and percentiles of the mixture, exact and
//! without drawing: F = r · F_routed + (1 − r) · F_unrouted, where each F is the distribution of which NumPy's
//! interpolated percentile is the inverse. So at r = 0 and r = 1 a percentile is that of the side alone. Not here:
//! who decides ([`super::router`]), and intervals.

use super::percentile::{needed_values, sorted};

/// One measured request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Request {
    /// Question in hand to first token, retrieval included.
    pub ttft_ms: f64,
    /// Time that the box was busy with it.
    pub busy_ms: f64,
    /// Tokens prefilled for it, over all its passes.
    pub prompt_tokens: u32,
}

/// A mix of which the share `r` is routed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MixPoint {
    /// Share of routed questions, 0 to 1.
    pub r: f64,
    /// Mean TTFT.
    pub ttft_ms_mean: Option<f64>,
    /// Median TTFT; `None` below 3 requests of a side that has weight.
    pub ttft_ms_p50: Option<f64>,
    /// 95th percentile; `None` below 130 requests of a side that has weight.
    pub ttft_ms_p95: Option<f64>,
    /// Tokens prefilled per question, on average.
    pub prompt_tokens_mean: Option<f64>,
    /// Seconds of the box per 1,000 questions, one after the other.
    pub box_seconds_per_1k: Option<f64>,
}

/// A number of a [`MixPoint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MixMetric {
    /// `ttft_ms_mean`
    TtftMean,
    /// `ttft_ms_p50`
    TtftP50,
    /// `ttft_ms_p95`
    TtftP95,
    /// `prompt_tokens_mean`
    PromptTokens,
    /// `box_seconds_per_1k`
    BoxSeconds,
}

impl MixMetric {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::TtftMean, Self::TtftP50, Self::TtftP95, Self::PromptTokens, Self::BoxSeconds];

    /// The field's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::TtftMean => "ttft_ms_mean",
            Self::TtftP50 => "ttft_ms_p50",
            Self::TtftP95 => "ttft_ms_p95",
            Self::PromptTokens => "prompt_tokens_mean",
            Self::BoxSeconds => "box_seconds_per_1k",
        }
    }
}

/// Where a mix equals plain RAG.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MixCrossing {
    /// What is compared.
    pub metric: MixMetric,
    /// Its value of plain RAG.
    pub plain_rag: f64,
    /// The share of routed questions; `None` if r = 0 and r = 1 lie on the same side of plain RAG.
    pub r: Option<f64>,
    /// Whether the mix is below plain RAG at r = 0.
    pub below_at_zero: bool,
}

/// Requests of both kinds, sorted once for any number of shares.
#[derive(Clone, Debug)]
pub struct Mixture {
    routed: Side,
    unrouted: Side,
}

impl Mixture {
    /// Of the requests that were routed and those that were not.
    pub fn new(routed: &[Request], unrouted: &[Request]) -> Self {
        Self { routed: Side::of(routed), unrouted: Side::of(unrouted) }
    }

    /// The mix at the share `r`; all `None` if `r` is no share.
    pub fn at(&self, r: f64) -> MixPoint {
        let value = |metric| self.value(metric, r);
        MixPoint {
            r,
            ttft_ms_mean: value(MixMetric::TtftMean),
            ttft_ms_p50: value(MixMetric::TtftP50),
            ttft_ms_p95: value(MixMetric::TtftP95),
            prompt_tokens_mean: value(MixMetric::PromptTokens),
            box_seconds_per_1k: value(MixMetric::BoxSeconds),
        }
    }

    /// One number of the mix at the share `r`.
    pub fn value(&self, metric: MixMetric, r: f64) -> Option<f64> {
        match metric {
            MixMetric::TtftMean => self.mean(r, |side| side.ttft_mean),
            MixMetric::TtftP50 => self.percentile(r, 50.0),
            MixMetric::TtftP95 => self.percentile(r, 95.0),
            MixMetric::PromptTokens => self.mean(r, |side| side.prompt_mean),
            // Milliseconds a question are seconds per thousand.
            MixMetric::BoxSeconds => self.mean(r, |side| side.busy_mean),
        }
    }

    /// Where `metric` of the mix equals that of `plain` RAG, within 1e-9 of r, by halving [0, 1].
    ///
    /// `None` if plain RAG or one end has no value. If neither side is faster throughout, the mix may cross more
    /// than once: one crossing is found then, if the ends differ.
    pub fn crossing(&self, plain: &[Request], metric: MixMetric) -> Option<MixCrossing> {
        let plain_rag = Self::new(plain, &[]).value(metric, 1.0)?;
        let above = |r: f64| self.value(metric, r).map(|value| value - plain_rag);
        let (at_zero, at_one) = (above(0.0)?, above(1.0)?);
        let below_at_zero = at_zero < 0.0;
        let r = if at_zero == 0.0 {
            Some(0.0)
        } else if at_one == 0.0 {
            Some(1.0)
        } else if below_at_zero == (at_one < 0.0) {
            None
        } else {
            Some(halved(|r| Some((above(r)? < 0.0) == below_at_zero))?)
        };
        Some(MixCrossing { metric, plain_rag, r, below_at_zero })
    }

    /// The sides that have weight at `r`; `None` if `r` is no share.
    fn weighted(&self, r: f64) -> Option<Vec<Weighted<'_>>> {
        if !(0.0..=1.0).contains(&r) {
            return None;
        }
        let both =
            [(r, &self.routed), (1.0 - r, &self.unrouted)].map(|(weight, side)| Weighted { weight, side });
        Some(both.into_iter().filter(|side| side.weight > 0.0).collect())
    }

    fn mean(&self, r: f64, of: fn(&Side) -> Option<f64>) -> Option<f64> {
        self.weighted(r)?.iter().map(|one| of(one.side).map(|mean| one.weight * mean)).sum()
    }

    /// Each side that has weight must have the values that the percentile needs of one sample, and 3 at least.
    /// Which side a percentile of a mix rests on changes with r, and where one side is far above the other it
    /// rests on the extremes of both, so a count that would do for the pooled sample is not enough.
    fn percentile(&self, r: f64, p: f64) -> Option<f64> {
        let needed = needed_values(p)?.max(3);
        let sides = self.weighted(r)?;
        match sides.iter().all(|one| one.side.ttft.len() >= needed) {
            true => quantile(&sides, p / 100.0),
            false => None,
        }
    }
}

/// Where in [0, 1] `still` stops to hold, by halving; `None` where it has no answer.
fn halved(still: impl Fn(f64) -> Option<bool>) -> Option<f64> {
    let (mut low, mut high) = (0.0, 1.0);
    while high - low > 1e-9 {
        let middle = low + (high - low) / 2.0;
        match still(middle)? {
            true => low = middle,
            false => high = middle,
        }
    }
    Some(low + (high - low) / 2.0)
}

/// Requests of one kind; what is missing or not finite is `None` or empty.
#[derive(Clone, Debug)]
struct Side {
    /// Rising.
    ttft: Vec<f64>,
    ttft_mean: Option<f64>,
    busy_mean: Option<f64>,
    prompt_mean: Option<f64>,
}

impl Side {
    fn of(requests: &[Request]) -> Self {
        let mean = |of: fn(&Request) -> f64| {
            let mean = requests.iter().map(of).sum::<f64>() / requests.len() as f64;
            mean.is_finite().then_some(mean)
        };
        let ttft: Vec<f64> = requests.iter().map(|request| request.ttft_ms).collect();
        Self {
            ttft: sorted(&ttft).unwrap_or_default(),
            ttft_mean: mean(|request| request.ttft_ms),
            busy_mean: mean(|request| request.busy_ms),
            prompt_mean: mean(|request| f64::from(request.prompt_tokens)),
        }
    }

    /// Share of the distribution up to `x`, given how many values lie below the step that `x` is on.
    fn share(&self, x: f64, below: usize) -> f64 {
        let count = self.ttft.len();
        match below {
            0 => 0.0,
            below if below == count => 1.0,
            below => {
                let (left, right) = (self.ttft[below - 1], self.ttft[below]);
                ((below - 1) as f64 + (x - left) / (right - left)) / (count - 1) as f64
            }
        }
    }

    /// F(x).
    fn up_to(&self, x: f64) -> f64 {
        self.share(x, self.ttft.partition_point(|value| *value <= x))
    }

    /// F just below x: less than F(x) where values repeat.
    fn below(&self, x: f64) -> f64 {
        self.share(x, self.ttft.partition_point(|value| *value < x))
    }
}

struct Weighted<'a> {
    weight: f64,
    side: &'a Side,
}

/// The smallest x with F(x) ≥ `p` of the mixture. Between two values of either side, F is a straight line.
fn quantile(sides: &[Weighted], p: f64) -> Option<f64> {
    let sum = |of: &dyn Fn(&Side) -> f64| sides.iter().map(|one| one.weight * of(one.side)).sum::<f64>();
    let mut values: Vec<f64> = sides.iter().flat_map(|one| one.side.ttft.iter().copied()).collect();
    values.sort_by(f64::total_cmp);
    let at =
        values.partition_point(|value| sum(&|side| side.up_to(*value)) < p).min(values.len().checked_sub(1)?);
    let right = values[at];
    let Some(left) = at.checked_sub(1).map(|before| values[before]) else { return Some(right) };
    let (low, high) = (sum(&|side| side.up_to(left)), sum(&|side| side.below(right)));
    match high >= p && high > low {
        true => Some(left + (p - low) / (high - low) * (right - left)),
        false => Some(right),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::percentile::percentile;
    use proptest::prelude::*;

    fn requests(ttft: impl IntoIterator<Item = f64>) -> Vec<Request> {
        let request = |ttft_ms| Request { ttft_ms, busy_ms: 2.0 * ttft_ms, prompt_tokens: ttft_ms as u32 };
        ttft.into_iter().map(request).collect()
    }

    fn routed() -> Vec<Request> {
        requests((0..41).map(|i| 100.0 + f64::from(37 * i % 41) * 3.5))
    }

    fn unrouted() -> Vec<Request> {
        requests((0..67).map(|i| 20.0 + f64::from(29 * i % 67).powf(1.5) / 6.0))
    }

    /// Without the rule on counts.
    fn bare(mixture: &Mixture, r: f64, p: f64) -> f64 {
        quantile(&mixture.weighted(r).unwrap(), p / 100.0).unwrap()
    }

    #[test]
    fn percentiles_match_numpy() {
        // u = (arange(2e6) + 0.5) / 2e6; x = concatenate([quantile(routed, u), quantile(unrouted, u)])
        // quantile(x, [0.5, 0.95], weights=[r, ..., 1 - r, ...], method="inverted_cdf"); numpy 2.4.6
        let mixture = Mixture::new(&routed(), &unrouted());
        for (r, p50, p95) in [
            (0.0, 51.595071, 102.748208),
            (0.1, 57.006932, 170.000035),
            (0.25, 68.643839, 212.000035),
            (0.5, 104.805006, 226.000035),
            (0.8, 152.500035, 231.250035),
            (1.0, 169.999965, 232.999965),
        ] {
            let got = (bare(&mixture, r, 50.0), bare(&mixture, r, 95.0));
            assert!((got.0 - p50).abs() < 1e-3 && (got.1 - p95).abs() < 1e-3, "r = {r}: {got:?}");
        }
        // numpy.percentile(concatenate([routed, unrouted]), [50, 95]): the pooled sample, which interpolates
        // between other neighbours; both lie within one step of it.
        let pooled = 41.0 / 108.0;
        assert!((bare(&mixture, pooled, 50.0) - 85.22193).abs() < 2.5);
        assert!((bare(&mixture, pooled, 95.0) - 221.275).abs() < 3.5);
    }

    #[test]
    fn means_are_weighted_and_time_becomes_seconds_per_thousand() {
        // numpy: r * routed.mean() + (1 - r) * unrouted.mean()
        let point = Mixture::new(&routed(), &unrouted()).at(0.25);
        assert!((point.ttft_ms_mean.unwrap() - 84.411_208_589_852_1).abs() < 1e-9);
        assert!((point.box_seconds_per_1k.unwrap() - 2.0 * 84.411_208_589_852_1).abs() < 1e-9);
        let few = Mixture::new(&requests([300.0]), &requests([100.0])).at(0.5);
        assert_eq!((few.prompt_tokens_mean, few.ttft_ms_p50), (Some(200.0), None));
    }

    #[test]
    fn a_percentile_needs_its_count_of_each_side_that_has_weight() {
        let many = |count: u32| requests((0..count).map(f64::from));
        let p50 =
            |routed: u32, unrouted: u32, r| Mixture::new(&many(routed), &many(unrouted)).at(r).ttft_ms_p50;
        assert!(p50(3, 3, 0.5).is_some() && p50(3, 0, 1.0).is_some() && p50(2, 3, 0.0).is_some());
        assert!(p50(2, 300, 0.5).is_none() && p50(300, 2, 0.5).is_none() && p50(3, 0, 0.5).is_none());
        let p95 =
            |routed: u32, unrouted: u32, r| Mixture::new(&many(routed), &many(unrouted)).at(r).ttft_ms_p95;
        assert!(p95(130, 130, 0.1).is_some() && p95(129, 130, 0.1).is_none() && p95(129, 130, 0.0).is_some());
        let broken = Mixture::new(&requests([f64::NAN, 1.0, 2.0, 3.0]), &many(3)).at(0.5);
        assert_eq!((broken.ttft_ms_mean, broken.ttft_ms_p50), (None, None));
        assert_eq!(Mixture::new(&many(3), &many(3)).at(1.5).ttft_ms_mean, None);
    }

    #[test]
    fn a_mix_crosses_plain_rag_once_or_not_at_all() {
        let (short, rag, hybrid) = (requests([100.0; 5]), requests([500.0; 5]), requests([700.0; 5]));
        let mixture = Mixture::new(&hybrid, &short);
        let mean = mixture.crossing(&rag, MixMetric::TtftMean).unwrap();
        assert!((mean.r.unwrap() - 2.0 / 3.0).abs() < 1e-6 && mean.below_at_zero && mean.plain_rag == 500.0);
        // More than half of the requests take 700 ms from r = 0.5 on.
        let median = mixture.crossing(&rag, MixMetric::TtftP50).unwrap();
        assert!((median.r.unwrap() - 0.5).abs() < 1e-6);
        assert_eq!(mixture.crossing(&rag, MixMetric::TtftP95), None);
        let below =
            Mixture::new(&requests([400.0; 5]), &short).crossing(&rag, MixMetric::BoxSeconds).unwrap();
        assert_eq!((below.r, below.below_at_zero), (None, true));
        let above = Mixture::new(&hybrid, &hybrid).crossing(&rag, MixMetric::TtftMean).unwrap();
        assert_eq!((above.r, above.below_at_zero), (None, false));
        assert_eq!(Mixture::new(&rag, &short).crossing(&rag, MixMetric::TtftMean).unwrap().r, Some(1.0));
    }

    proptest! {
        #[test]
        fn at_the_ends_a_mix_is_one_side_alone(
            a in prop::collection::vec(0..50u32, 3..40), b in prop::collection::vec(0..50u32, 3..40), p in 0.0..100.0f64,
        ) {
            let values = |side: &[u32]| sorted(&side.iter().map(|v| f64::from(*v)).collect::<Vec<_>>()).unwrap();
            let (a, b) = (values(&a), values(&b));
            let mixture = Mixture::new(&requests(a.clone()), &requests(b.clone()));
            prop_assert!((bare(&mixture, 1.0, p) - percentile(&a, p)).abs() < 1e-6);
            prop_assert!((bare(&mixture, 0.0, p) - percentile(&b, p)).abs() < 1e-6);
        }

        #[test]
        fn where_routing_is_slower_throughout_a_larger_share_is_never_faster(
            pairs in prop::collection::vec((1.0..1e3f64, 0.0..1e3f64), 3..60), r in 0.0..1.0f64, s in 0.0..1.0f64,
        ) {
            let unrouted = requests(pairs.iter().map(|(short, _)| *short));
            let routed = requests(pairs.iter().map(|(short, more)| short + more));
            let mixture = Mixture::new(&routed, &unrouted);
            for p in [50.0, 95.0] {
                let (less, more) = (bare(&mixture, r.min(s), p), bare(&mixture, r.max(s), p));
                prop_assert!(less <= more + 1e-6, "p{}: {} > {}", p, less, more);
            }
        }
    }
}
