//! Reads [`FirstTimes`] off the warm-up of an arm. Takes no time itself: requests are timed as samples are.

use std::time::Duration;

use crate::engine::Steps;
use crate::sample::Sample;
use crate::sample::case::{CaseSpec, Kind};
use crate::sample::first_times::FirstTimes;

/// An arm that was just loaded for the first time.
#[derive(Debug)]
pub(super) struct Fresh {
    times: FirstTimes,
    steps: usize,
}

impl Fresh {
    /// Its load took `load`.
    pub fn loaded(load: Duration) -> Self {
        Self { times: FirstTimes { load_ms: ms(load), ..FirstTimes::default() }, steps: 0 }
    }

    /// The cache was filled with a prompt for decode steps; only the first prompt counts.
    pub fn filled(&mut self, prefill: Duration) {
        self.prompt(Some(ms(prefill)));
    }

    /// A request of the warm-up was served, by an engine whose steps run as `steps` from now on.
    pub fn served(&mut self, spec: &CaseSpec, request: &Sample, steps: Steps) {
        self.prompt(request.prefill_ms);
        // In scenario `decode` the clock starts with the first step, elsewhere the first token is the prompt's.
        let start = (spec.kind == Kind::Decode).then_some(0.0);
        let ready: Vec<f64> = start.into_iter().chain(request.token_ready_ms.iter().copied()).collect();
        for step in ready.windows(2).map(|pair| pair[1] - pair[0]) {
            match self.steps {
                0 => self.times.first_step_ms = Some(step),
                1 => self.times.capture_ms = (steps == Steps::Graph).then_some(step),
                _ => break,
            }
            self.steps += 1;
        }
    }

    /// What is known by now.
    pub fn times(&self) -> FirstTimes {
        self.times
    }

    fn prompt(&mut self, prefill_ms: Option<f64>) {
        self.times.first_prompt_ms = self.times.first_prompt_ms.or(prefill_ms);
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::case::Wish;

    const LOAD: Duration = Duration::from_millis(2500);

    fn spec(kind: Kind) -> CaseSpec {
        CaseSpec { kind, tokens: 8, output_tokens: 4, asked_for: Wish::User }
    }

    fn request(prefill_ms: f64, ready: &[f64]) -> Sample {
        Sample { prefill_ms: Some(prefill_ms), token_ready_ms: ready.to_vec(), ..Sample::default() }
    }

    #[test]
    fn the_first_request_after_a_load_tells_its_prompt_and_two_steps_and_later_ones_nothing() {
        let mut fresh = Fresh::loaded(LOAD);
        fresh.served(&spec(Kind::Short), &request(40.0, &[41.0, 51.0, 81.0, 83.0]), Steps::Graph);
        fresh.served(&spec(Kind::Short), &request(4.0, &[5.0, 7.0, 9.0, 11.0]), Steps::Graph);
        let expected = FirstTimes {
            load_ms: 2500.0,
            first_prompt_ms: Some(40.0),
            first_step_ms: Some(10.0),
            capture_ms: Some(30.0),
        };
        assert_eq!(fresh.times(), expected);
    }

    #[test]
    fn behind_a_filled_cache_the_first_step_begins_with_the_clock() {
        let mut fresh = Fresh::loaded(LOAD);
        fresh.filled(Duration::from_millis(70));
        let steps = Sample { prefill_ms: None, ..request(0.0, &[12.0, 20.0, 21.0]) };
        fresh.served(&spec(Kind::Decode), &steps, Steps::Graph);
        fresh.filled(Duration::from_millis(7));
        let FirstTimes { first_prompt_ms, first_step_ms, capture_ms, .. } = fresh.times();
        assert_eq!((first_prompt_ms, first_step_ms, capture_ms), (Some(70.0), Some(12.0), Some(8.0)));
    }

    #[test]
    fn a_capture_may_come_with_the_second_request_and_without_a_graph_there_is_none() {
        for (steps, capture_ms) in [(Steps::Graph, Some(9.0)), (Steps::Launched, None)] {
            let mut fresh = Fresh::loaded(LOAD);
            fresh.served(&spec(Kind::Rag), &request(40.0, &[41.0, 51.0]), Steps::Launched);
            fresh.served(&spec(Kind::Rag), &request(4.0, &[5.0, 14.0]), steps);
            fresh.served(&spec(Kind::Rag), &request(4.0, &[5.0, 6.0]), steps);
            assert_eq!((fresh.times().first_step_ms, fresh.times().capture_ms), (Some(10.0), capture_ms));
        }
    }

    #[test]
    fn one_token_of_output_has_no_step_and_a_load_alone_has_neither() {
        let mut fresh = Fresh::loaded(LOAD);
        assert_eq!(fresh.times(), FirstTimes { load_ms: 2500.0, ..FirstTimes::default() });
        fresh.served(&spec(Kind::Short), &request(40.0, &[41.0]), Steps::Graph);
        assert_eq!((fresh.times().first_prompt_ms, fresh.times().first_step_ms), (Some(40.0), None));
    }
}
