//! The part of a visit before its first sample: warming up, and leaving out what cannot fit.

use std::time::Duration;

use super::arm::LoadedArm;
use super::campaign::{Dropped, Event};
use super::schedule::{Known, Warm, predict_s, warm};
use super::visit::{Visit, seconds};
use crate::sample::Sample;
use crate::sample::case::CaseSpec;

/// Most of an arm's time that warming up its smallest case may take.
const WARM_UP_SHARE: f64 = 0.15;

impl Visit<'_, '_> {
    /// Cases from short to long, each as often as it needs; what cannot fit is left out.
    pub(super) fn warm_up(&mut self, loaded: &mut LoadedArm, open: &[usize]) {
        let mut order = open.to_vec();
        order.sort_by_key(|i| (self.cases()[*i].spec.tokens, self.cases()[*i].spec.kind));
        let smallest = order.first().copied();
        let mut known = None;
        for index in order {
            if self.stopped() || (self.turn.round > 0 && Some(index) != smallest) {
                break;
            }
            if self.must_drop(index, known) {
                continue;
            }
            known = self.warm_case(loaded, index, Some(index) == smallest).or(known);
        }
    }

    fn warm_case(&mut self, loaded: &mut LoadedArm, index: usize, until_settled: bool) -> Option<Known> {
        let mut seconds = Vec::new();
        let mut fastest: Option<(f64, Known)> = None;
        loop {
            let spec = self.cases()[index].spec.clone();
            self.tell(Event::WarmUp { arm: &self.name.clone(), spec: &spec });
            let before = self.campaign.clock.now();
            let sample = self.request(loaded, index);
            let took = (self.campaign.clock.now() - before).as_secs_f64();
            if let Some(fresh) = &mut self.fresh {
                fresh.served(&spec, &sample, loaded.engine.steps());
            }
            seconds.push(took);
            let case = &mut self.outcome.arms[self.turn.arm].cases[index];
            case.warmups_s.push(took);
            if let Some(error) = sample.error {
                if !self.end_for_want_of_memory(index, &error) {
                    self.outcome.arms[self.turn.arm].cases[index].error = Some(error);
                }
                return None;
            }
            if fastest.is_none_or(|(best, _)| took < best) {
                fastest = Some((took, known(&spec, &sample, took)));
            }
            let state = warm(&seconds);
            if !until_settled || state != Warm::NotYet || self.is_long_enough(&seconds) || self.stopped() {
                let case = &mut self.outcome.arms[self.turn.arm].cases[index];
                case.settled = until_settled.then_some(state == Warm::Settled).or(case.settled);
                case.output_finite = loaded.engine.output_is_finite().ok();
                return fastest.map(|(_, known)| known);
            }
        }
    }

    /// Whether warming up took its share of the time that this arm has.
    fn is_long_enough(&self, seconds: &[f64]) -> bool {
        let Some(end) = self.turn.end else { return false };
        let spent: f64 = seconds.iter().sum();
        let left = end.saturating_sub(self.campaign.clock.now()).as_secs_f64() / self.turn.arms_left as f64;
        spent > WARM_UP_SHARE * (spent + left)
    }

    /// Whether a case is left out, now or before: predicted from the longest one `known` so far.
    fn must_drop(&mut self, index: usize, known: Option<Known>) -> bool {
        let spec = self.cases()[index].spec.clone();
        if self.is_dropped(&spec) {
            return true;
        }
        let (Some(end), Some(known)) = (self.turn.end, known) else { return false };
        if !self.campaign.budget.may_drop(&spec) || !self.cases()[index].samples.is_empty() {
            return false;
        }
        let arm = self.turn.arm;
        let flops = |tokens| self.campaign.arms.prefill_flops(arm, tokens);
        let least = f64::from(self.campaign.budget.least());
        let own = predict_s(&known, &spec, &flops) * (least + 1.0);
        let others: f64 = self.cases().iter().map(|case| seconds(case) * least).sum();
        let left = end.saturating_sub(self.campaign.clock.now()).as_secs_f64();
        if own + others <= left / self.turn.arms_left as f64 {
            return false;
        }
        let needs = Duration::from_secs_f64((own * self.campaign.arms.count() as f64).min(1e9));
        self.outcome.left_out.push(Dropped { spec, needs });
        true
    }
}

/// What a request that took `seconds` in all tells about others.
fn known(spec: &CaseSpec, sample: &Sample, seconds: f64) -> Known {
    let step_s = sample.tpot_ms().unwrap_or(0.0) / 1000.0;
    let steps = f64::from(spec.output_tokens.saturating_sub(1));
    Known { tokens: spec.tokens, prefill_s: (seconds - step_s * steps).max(0.0), step_s }
}
