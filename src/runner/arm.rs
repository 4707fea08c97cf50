//! An arm: one model in one weight type on one device, loaded when its turn comes.

use crate::engine::Engine;
use crate::sample::case::{CaseSpec, Observed};

/// Everything that is compared: loads one arm at a time, so that memory is each arm's own.
pub trait Arms {
    /// How many there are.
    fn count(&self) -> usize;

    /// The name of arm `index`, e.g. `qwen3-0.6b q8_0`.
    fn name(&self, index: usize) -> String;

    /// FLOPs that a prefill of `tokens` must do on arm `index`: what predictions scale by.
    fn prefill_flops(&self, index: usize, tokens: u64) -> f64;

    /// The prompt of request `number` of a case of arm `index`; made before the clock starts.
    fn prompt(&self, index: usize, case: &CaseSpec, number: u32) -> anyhow::Result<Prompt>;

    /// Text to ids, by arm `index`: the step that is timed as tokenisation.
    fn encode(&self, index: usize, text: &str) -> anyhow::Result<Vec<u32>>;

    /// Loads arm `index` with room for `capacity` tokens.
    fn load(&mut self, index: usize, capacity: usize) -> anyhow::Result<LoadedArm>;
}

/// A loaded arm.
pub struct LoadedArm {
    /// The model.
    pub engine: Box<dyn Engine>,
    /// Bytes of weights that a decode step must read.
    pub decode_weight_bytes: Option<u64>,
}

/// A prompt in hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// What is sent.
    pub text: String,
    /// Whether parts had to be cut to meet the length.
    pub truncated: bool,
    /// Whether it is plain text for want of a chat template.
    pub no_chat_template: bool,
}

/// Watches the box from outside while a sample runs.
pub trait Witness {
    /// Called right before the sample.
    fn begin(&mut self);

    /// Called right after it.
    fn end(&mut self) -> Observed;

    /// Joules that the device has used so far; `None` where it has no counter. Never asked between two clock reads.
    fn energy_j(&mut self) -> Option<f64> {
        None
    }
}
