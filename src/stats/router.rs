//! A router's decisions against labels: precision, recall, and the threshold that was best on one half.
//!
//! Comes in: scores and decisions, each with whether retrieval was needed. Goes out: numbers, `None` where one is
//! not defined. Not here: what a score is, and what routing costs ([`super::mix`]).

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;

/// A question's score, and whether it needs retrieval. The higher the score, the likelier it is routed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Labelled {
    /// E.g. the cosine to the nearest chunk.
    pub score: f64,
    /// Whether the answer is in the documents only.
    pub needs: bool,
}

/// What was done with a question, and what it needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it was routed to retrieval.
    pub routed: bool,
    /// Whether it needed retrieval.
    pub needs: bool,
}

/// How decisions agree with needs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PrecisionRecall {
    /// Share of the routed questions that needed it; `None` if none was routed.
    pub precision: Option<f64>,
    /// Share of the questions that needed it that were routed; `None` if none needed it.
    pub recall: Option<f64>,
    /// Harmonic mean of both, 2 · hits / (routed + needing); `None` if nothing was routed or needed.
    pub f1: Option<f64>,
    /// Decisions in all.
    pub judged: u32,
}

/// Precision and recall of decisions.
pub fn precision_recall(decisions: &[Decision]) -> PrecisionRecall {
    let count = |of: fn(&Decision) -> bool| decisions.iter().filter(|decision| of(decision)).count() as f64;
    let (routed, needing) = (count(|d| d.routed), count(|d| d.needs));
    let hits = count(|d| d.routed && d.needs);
    let share = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
    PrecisionRecall {
        precision: share(hits, routed),
        recall: share(hits, needing),
        f1: share(2.0 * hits, routed + needing),
        judged: decisions.len() as u32,
    }
}

/// What a threshold decides: scores from `threshold` on are routed.
pub fn decide(labelled: &[Labelled], threshold: f64) -> Vec<Decision> {
    labelled.iter().map(|one| Decision { routed: one.score >= threshold, needs: one.needs }).collect()
}

/// The threshold with the best F1 of those that route some questions and not all: the middle of the gap between two scores, the lowest of equally good ones,
/// since a question that is routed in vain costs time and one that is not routed costs the answer.
///
/// `None` if the questions are all of one kind, all scores are equal, or one is not finite: there is nothing to fit.
pub fn fit_threshold(labelled: &[Labelled]) -> Option<f64> {
    let needing = labelled.iter().filter(|one| one.needs).count();
    let finite = labelled.iter().all(|one| one.score.is_finite());
    if needing == 0 || needing == labelled.len() || !finite {
        return None;
    }
    let mut sorted = labelled.to_vec();
    sorted.sort_by(|a, b| b.score.total_cmp(&a.score));
    let (mut hits, mut best) = (0, None::<Candidate>);
    for (index, pair) in sorted.windows(2).enumerate() {
        hits += usize::from(pair[0].needs);
        if pair[0].score == pair[1].score {
            continue;
        }
        let f1 = 2.0 * hits as f64 / (index + 1 + needing) as f64;
        // From high to low, so that the last of equals is the lowest.
        if best.is_none_or(|best| f1 >= best.f1) {
            best = Some(Candidate { threshold: middle(pair[1].score, pair[0].score), f1 });
        }
    }
    best.map(|best| best.threshold)
}

#[derive(Clone, Copy)]
struct Candidate {
    threshold: f64,
    f1: f64,
}

/// Above `low` and not above `high`, even where no number lies between them.
fn middle(low: f64, high: f64) -> f64 {
    let middle = low + (high - low) / 2.0;
    if middle > low { middle } else { high }
}

/// Two halves of the same things.
#[derive(Clone, Debug, PartialEq)]
pub struct Halves<T> {
    /// To fit on; the larger one if the count is odd.
    pub fit: Vec<T>,
    /// To judge by.
    pub judge: Vec<T>,
}

/// Splits at random by `seed`; each half keeps the order.
pub fn halves<T: Clone>(all: &[T], seed: u64) -> Halves<T> {
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(seed));
    let (fit, judge) = order.split_at_mut(all.len().div_ceil(2));
    fit.sort_unstable();
    judge.sort_unstable();
    let take = |half: &[usize]| half.iter().map(|index| all[*index].clone()).collect();
    Halves { fit: take(fit), judge: take(judge) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labelled(scores: &[(f64, bool)]) -> Vec<Labelled> {
        scores.iter().map(|(score, needs)| Labelled { score: *score, needs: *needs }).collect()
    }

    fn f1(labelled: &[Labelled], threshold: f64) -> f64 {
        precision_recall(&decide(labelled, threshold)).f1.unwrap_or(0.0)
    }

    #[test]
    fn matches_scikit_learn() {
        // sklearn 1.9.1, precision_recall_fscore_support([1,1,0,1,0,0,1], [1,0,1,1,0,1,1], average="binary"): 0.6, 0.75, 0.6667
        let needs = [true, true, false, true, false, false, true];
        let routed = [true, false, true, true, false, true, true];
        let decisions: Vec<Decision> =
            needs.into_iter().zip(routed).map(|(needs, routed)| Decision { routed, needs }).collect();
        let got = precision_recall(&decisions);
        assert_eq!((got.precision, got.recall, got.judged), (Some(0.6), Some(0.75), 7));
        assert!((got.f1.unwrap() - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn what_is_not_defined_is_absent() {
        let none = precision_recall(&[Decision { routed: false, needs: true }]);
        assert_eq!((none.precision, none.recall, none.f1), (None, Some(0.0), Some(0.0)));
        let vain = precision_recall(&[Decision { routed: true, needs: false }]);
        assert_eq!((vain.precision, vain.recall), (Some(0.0), None));
        assert_eq!(precision_recall(&[Decision { routed: false, needs: false }]).f1, None);
        assert_eq!(precision_recall(&[]), PrecisionRecall::default());
    }

    #[test]
    fn the_threshold_lies_in_the_middle_of_the_gap() {
        let apart = labelled(&[(0.9, true), (0.2, false), (0.6, true), (0.4, false)]);
        assert_eq!(fit_threshold(&apart), Some(0.5));
        // 0.8 alone: F1 2/3; down to 0.3, one in vain: 4/5.
        let mixed = labelled(&[(0.8, true), (0.5, false), (0.3, true), (0.1, false)]);
        assert!((fit_threshold(&mixed).unwrap() - 0.2).abs() < 1e-12);
        // F1 2/3 above and 2/3 below: the lower one, which misses nothing.
        let even = labelled(&[(0.9, true), (0.8, false), (0.7, false), (0.6, true), (0.1, false)]);
        assert!((fit_threshold(&even).unwrap() - 0.35).abs() < 1e-12);
    }

    #[test]
    fn without_both_kinds_or_two_scores_there_is_no_threshold() {
        for nothing in [
            &[][..],
            &[(0.5, true), (0.1, true)],
            &[(0.5, false), (0.1, false)],
            &[(0.5, true), (0.5, false)],
            &[(f64::NAN, true), (0.5, false)],
        ] {
            assert_eq!(fit_threshold(&labelled(nothing)), None, "{nothing:?}");
        }
        let neighbours = labelled(&[(1.0, true), (1.0_f64.next_down(), false)]);
        assert_eq!(fit_threshold(&neighbours), Some(1.0));
    }

    proptest! {
        #[test]
        fn no_other_threshold_between_two_scores_is_better(
            scores in prop::collection::vec((0..20u32, any::<bool>()), 2..30), other in 0.0..19.0f64,
        ) {
            let labelled: Vec<Labelled> =
                scores.iter().map(|(score, needs)| Labelled { score: f64::from(*score), needs: *needs }).collect();
            if let Some(threshold) = fit_threshold(&labelled) {
                let all_routed = labelled.iter().all(|one| one.score >= other);
                prop_assert!(all_routed || f1(&labelled, threshold) >= f1(&labelled, other) - 1e-12);
            }
        }

        #[test]
        fn halves_hold_everything_once_and_repeat_by_seed(n in 0..40u32, seed: u64) {
            let all: Vec<u32> = (0..n).collect();
            let split = halves(&all, seed);
            prop_assert_eq!(split.fit.len(), all.len().div_ceil(2));
            prop_assert_eq!(&halves(&all, seed), &split);
            let mut joined = [split.fit, split.judge].concat();
            joined.sort_unstable();
            prop_assert_eq!(joined, all);
        }
    }
}
