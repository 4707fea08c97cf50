//! What each arm asks in a block, and who decides in the hybrid.
//!
//! Comes in: an arm and the number of a request. Goes out: the request, made. Not here: when it is made, and what
//! is kept of it ([`super::blocks`]); how it is timed ([`super::request`], [`super::hybrid`]).

use super::arm::Arm;
use super::bench::Bench;
use super::blocks::Blocks;
use super::hybrid::{self, Decision};
use super::rehearsal::{Asked, Rehearsed, rehearse};
use super::request::{in_hand, through_pipeline};
use super::similarity;
use crate::sample::Sample;
use crate::sample::case::Kind;

/// Who decides in the hybrid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Routing {
    /// The model.
    Model,
    /// This share of the questions is routed, whatever they are.
    Forced(f64),
    /// Questions at least this similar to a chunk are.
    Similarity(f64),
}

/// A question through the hybrid: what it needed and where it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routed {
    /// Whether only the handbook can answer it.
    pub needs: bool,
    /// Whether it was retrieved for.
    pub routed: bool,
}

/// A request that was made.
pub(super) struct Done {
    /// What was timed.
    pub(super) sample: Sample,
    /// Whether it failed by its model's doing: the next question may go well.
    looped: bool,
    /// What the hybrid decided, where the decision was its own.
    pub(super) decided: Option<Routed>,
    /// Whether a tool call could not be read.
    pub(super) malformed: bool,
}

impl Done {
    /// Why its arm is given up, if it is.
    pub(super) fn ends_arm(&self) -> Option<String> {
        self.sample.error.clone().filter(|_| !self.looped)
    }
}

impl From<Sample> for Done {
    fn from(sample: Sample) -> Self {
        Self { sample, looped: false, decided: None, malformed: false }
    }
}

impl Blocks<'_> {
    /// One request of an arm, its preparation included.
    pub(super) fn request(&mut self, arm: Arm, number: u32) -> Done {
        let asked = self.asked(arm, number);
        let outcome = match arm.kind {
            Kind::Short => self.short(number).map(|text| in_hand(&mut self.bench, &asked, &text)),
            Kind::Padded => self.padded(&asked).map(|text| in_hand(&mut self.bench, &asked, &text)),
            Kind::Hybrid => {
                return self.hybrid(&asked).unwrap_or_else(|error| Done::from(failed(&asked, &error)));
            }
            kind => self.rehearsed(&asked, kind).map(|rehearsed| {
                through_pipeline(&mut self.bench, &mut self.pipeline, &asked, kind, &rehearsed.cached)
            }),
        };
        Done::from(outcome.unwrap_or_else(|error| failed(&asked, &error)))
    }

    fn asked(&self, arm: Arm, number: u32) -> Asked {
        let question = self.bench.builder.question(number);
        let length = self.lengths[arm.length];
        Asked {
            id: question.id.clone(),
            text: question.text.clone(),
            number,
            hits: length.hits,
            context_tokens: length.asked.unwrap_or(0),
        }
    }

    fn short(&self, number: u32) -> anyhow::Result<String> {
        Ok(self.bench.builder.short(number)?.text)
    }

    fn padded(&mut self, asked: &Asked) -> anyhow::Result<String> {
        let twin = self.rehearsed(asked, Kind::Rag)?;
        Ok(self.bench.builder.rag(twin.prompt_tokens as u32, asked.number)?.text)
    }

    fn rehearsed(&mut self, asked: &Asked, kind: Kind) -> anyhow::Result<Rehearsed> {
        let Bench { builder, tokenizer, clock, .. } = &self.bench;
        rehearse(builder, *tokenizer, *clock, &mut self.pipeline, asked, kind)
    }

    fn hybrid(&mut self, asked: &Asked) -> anyhow::Result<Done> {
        let (asked, needs) = self.hybrid_question(asked);
        let (bench, pipeline) = (&mut self.bench, &mut self.pipeline);
        let own = |sample: &Sample| sample.routed.map(|routed| Routed { needs, routed });
        Ok(match self.routing {
            Routing::Forced(share) => {
                let decision =
                    if is_routed(share, asked.number) { Decision::Forced } else { Decision::ForcedNot };
                Done::from(hybrid::ask(bench, pipeline, &asked, decision).sample)
            }
            Routing::Model => {
                let hybrid::Routed { sample, malformed, looped, .. } =
                    hybrid::ask(bench, pipeline, &asked, Decision::Model);
                Done { decided: own(&sample), sample, looped, malformed }
            }
            Routing::Similarity(threshold) => {
                let alone = bench.builder.alone(&asked.text, asked.serial(Kind::Hybrid))?;
                let sample = similarity::ask(bench, pipeline, &asked, &alone, threshold);
                Done { decided: own(&sample), ..Done::from(sample) }
            }
        })
    }

    /// A hybrid that decides is asked both kinds of question in turn.
    fn hybrid_question(&self, asked: &Asked) -> (Asked, bool) {
        let forced = matches!(self.routing, Routing::Forced(_));
        if forced || self.general.is_empty() || asked.number.is_multiple_of(2) {
            return (asked.clone(), true);
        }
        let question = &self.general[asked.number as usize / 2 % self.general.len()];
        (Asked { id: question.id.clone(), text: question.text.clone(), ..asked.clone() }, false)
    }
}

/// Whether request `number` belongs to the routed share: spread evenly, whatever the share.
pub fn is_routed(share: f64, number: u32) -> bool {
    let upto = |n: u32| (share * f64::from(n) + 1e-9).floor();
    upto(number + 1) > upto(number)
}

fn failed(asked: &Asked, error: &anyhow::Error) -> Sample {
    let id = Some(asked.id.clone());
    Sample { question_id: id, error: Some(format!("{error:#}")), ..Sample::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forced_share_is_met_within_one_question() {
        for share in [0.0, 0.05, 0.25, 0.5, 0.9, 1.0] {
            for n in 1..400u32 {
                let routed = (0..n).filter(|number| is_routed(share, *number)).count() as f64;
                assert!((routed - share * f64::from(n)).abs() < 1.0, "{share} of {n}: {routed}");
            }
        }
    }
}
