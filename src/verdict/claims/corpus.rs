//! H7 and H9: what the size of the corpus does to the short prompt, and a search to a promised TTFT.

use super::decide::{Rule, percent};
use super::{Evidence, SizePoint, Verdict};
use crate::stats::paired::Paired;
use crate::stats::percentile::median;
use crate::stats::percentile_interval::percentile_interval;
use crate::units::{span, thousands};

/// Requests that a p99 needs.
const NEEDED_FOR_P99: usize = 662;

/// Smallest factor between the corpora, so that a slope per factor of 10 lies inside what was measured.
const LEAST_SPAN: f64 = 10.0;

/// H7: growth of the short TTFT per decade of corpus size, as a share of its median.
pub(super) fn size(evidence: &Evidence, rule: Rule) -> Verdict {
    let blocks: Vec<Vec<SizePoint>> = evidence.short_by_size.iter().map(|block| usable(block)).collect();
    let all: Vec<SizePoint> = blocks.concat();
    let sizes = all.iter().map(|point| point.chunks);
    let (Some(least), Some(most)) = (sizes.clone().min(), sizes.max()) else {
        return rule.untested(
            "the short prompt was not measured beside corpora of several sizes; give --corpus-sizes",
        );
    };
    if (most as f64) < LEAST_SPAN * least as f64 {
        return rule.untested(format!(
            "the corpora, {} to {} chunks, do not lie a factor of {LEAST_SPAN:.0} apart; give --corpus-sizes that do",
            thousands(least as i64),
            thousands(most as i64)
        ));
    }
    let Some(typical) = median(&all.iter().map(|point| point.ttft_ms).collect::<Vec<_>>()) else {
        return rule.untested("the short prompt has no TTFT");
    };
    let shares: Vec<f64> = blocks.iter().filter_map(|block| slope(block)).map(|ms| ms / typical).collect();
    let Some(growth) = Paired::of(&shares) else {
        return rule.untested("no block has the short prompt beside corpora of two sizes");
    };
    let told = format!(
        "From {} to {} chunks, each factor of 10 changes the short prompt's TTFT of {} by {} (n = {} blocks).",
        thousands(least as i64),
        thousands(most as i64),
        span(typical),
        percent(growth.median),
        growth.n
    );
    rule.decide_paired(growth, &told)
}

fn usable(block: &[SizePoint]) -> Vec<SizePoint> {
    let good = |point: &&SizePoint| point.chunks > 0 && point.ttft_ms.is_finite() && point.ttft_ms > 0.0;
    block.iter().filter(good).copied().collect()
}

/// Least squares of TTFT on log10 of the chunks, in ms per decade; `None` for fewer than two sizes.
fn slope(block: &[SizePoint]) -> Option<f64> {
    let n = block.len() as f64;
    let x = |point: &SizePoint| (point.chunks as f64).log10();
    let mean_x = block.iter().map(x).sum::<f64>() / n;
    let mean_y = block.iter().map(|point| point.ttft_ms).sum::<f64>() / n;
    let spread: f64 = block.iter().map(|point| (x(point) - mean_x).powi(2)).sum();
    let joint: f64 = block.iter().map(|point| (x(point) - mean_x) * (point.ttft_ms - mean_y)).sum();
    (spread > 1e-6).then(|| joint / spread)
}

/// H9: p99 of embedding and searching, as a share of the strictest promise.
pub(super) fn service_level(evidence: &Evidence, rule: Rule) -> Verdict {
    if evidence.stand_in_embedder {
        return rule.untested(
            "the embedder is a stand-in, which costs next to nothing. Fetch one, e.g. `ctxbench fetch all-minilm-l6-v2`",
        );
    }
    let (requests, slas) = (evidence.embed_search_ms.len(), &rule.claim.sla_ms);
    let strictest = slas.iter().copied().filter(|sla| *sla > 0.0).reduce(f64::min);
    let Some(strictest) = strictest else { return rule.untested("the rules name no promised TTFT") };
    if requests < NEEDED_FOR_P99 {
        return rule.untested(format!(
            "too few: {requests} requests of retrieval alone, and a p99 needs {NEEDED_FOR_P99}"
        ));
    }
    let Some(p99) = percentile_interval(&evidence.embed_search_ms, 99.0) else {
        return rule.untested("not every request of retrieval alone has a time");
    };
    let each: Vec<String> = slas
        .iter()
        .map(|sla| {
            format!(
                "{} of {} ms ({})",
                percent(p99.value / sla),
                thousands(*sla as i64),
                side(p99.low, p99.high, rule.claim.margin * sla)
            )
        })
        .collect();
    let told = format!(
        "99 of 100 searches, embedding included, end within {} (interval {} to {}, n = {requests}): {}.",
        span(p99.value),
        span(p99.low),
        span(p99.high),
        each.join(", ")
    );
    let share = crate::stats::estimate::Interval {
        value: p99.value / strictest,
        low: p99.low / strictest,
        high: p99.high / strictest,
        level: p99.level,
    };
    rule.decide(share, &told)
}

fn side(low: f64, high: f64, margin: f64) -> &'static str {
    match (low > margin, high < margin) {
        (true, _) => "above the margin",
        (_, true) => "below the margin",
        _ => "inconclusive",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::claims::Outcome;
    use crate::verdict::claims::testing::judged;

    /// Six blocks of a short prompt that takes 100 ms, and `growth` ms more with each decade, by block.
    fn sized(growth: &[f64]) -> Evidence {
        let block = |ms: &f64| {
            let at =
                |chunks: u64| SizePoint { chunks, ttft_ms: 100.0 + ms * ((chunks as f64).log10() - 2.0) };
            vec![at(10_000), at(100), at(1_000)]
        };
        Evidence { short_by_size: growth.iter().map(block).collect(), ..Evidence::default() }
    }

    #[test]
    fn a_level_ttft_is_supported_a_growing_one_is_not_and_a_scattered_one_is_inconclusive() {
        let level = judged(&sized(&[0.1, -0.2, 0.0, 0.3, -0.1, 0.2]), "H7");
        assert_eq!(level.status, Outcome::Supported, "{level:?}");
        let grows = judged(&sized(&[5.0, 4.0, 6.0, 5.5, 4.5, 5.0]), "H7");
        assert_eq!(grows.status, Outcome::NotSupported);
        assert!((grows.value.unwrap() - 0.05).abs() < 0.003, "{grows:?}");
        let scattered = judged(&sized(&[0.1, 2.0, 0.5, -3.0, 4.0, 1.0]), "H7");
        assert!(scattered.reason.starts_with("inconclusive"), "{scattered:?}");
    }

    #[test]
    fn sizes_too_near_to_each_other_say_nothing() {
        let mut near = sized(&[0.0; 6]);
        near.short_by_size.iter_mut().for_each(|block| block.retain(|point| point.chunks >= 10_000));
        let v = judged(&near, "H7");
        assert!(v.status == Outcome::NotTestable && v.reason.contains("factor of 10"), "{v:?}");
    }

    fn searches(n: usize, slowest_ms: f64) -> Evidence {
        let ms = (0..n).map(|i| if i % 50 == 0 { slowest_ms } else { 2.0 });
        Evidence { embed_search_ms: ms.collect(), ..Evidence::default() }
    }

    #[test]
    fn a_slow_search_breaks_the_promise_a_fast_one_does_not_and_one_at_the_margin_is_inconclusive() {
        assert_eq!(judged(&searches(700, 60.0), "H9").status, Outcome::Supported);
        let fast = judged(&searches(700, 8.0), "H9");
        assert_eq!(fast.status, Outcome::NotSupported);
        assert!((fast.value.unwrap() - 0.04).abs() < 1e-9, "{fast:?}");
        assert!(fast.reason.contains("0.800 % of 1,000 ms (below the margin)"), "{fast:?}");
        // Sorted, the p99's interval runs over the slowest 2 %: from 15 to 29 ms against a margin of 20.
        let at_margin = Evidence {
            embed_search_ms: (0..700)
                .map(|i| if i < 686 { 2.0 } else { 15.0 + f64::from(i - 686) })
                .collect(),
            ..Evidence::default()
        };
        assert!(judged(&at_margin, "H9").reason.starts_with("inconclusive"));
    }

    #[test]
    fn few_requests_and_a_stand_in_embedder_support_no_p99() {
        assert!(judged(&searches(661, 8.0), "H9").reason.contains("needs 662"));
        let v = judged(&Evidence { stand_in_embedder: true, ..searches(700, 8.0) }, "H9");
        assert!(v.status == Outcome::NotTestable && v.reason.contains("stand-in"), "{v:?}");
    }
}
