//! The fixtures' reference logits, held by whole models as they run on a card: the nearest to `verify --device cuda`
//! that a machine without one can have.

use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};

use crate::cli::Quantization;
use crate::cuda::on_host;
use crate::engine::Engine as _;
use crate::engine::candle::CandleEngine;
use crate::engine::load::OpenModel;
use crate::engine::reference::{Prompt, Reference};
use crate::engine::verification::noise;
use crate::weights::precision::Precision;

/// Fixtures whose heads attention's kernels know, so that their steps are the device's own.
const KNOWN: [&str; 3] = ["qwen3_heads_64", "qwen3_heads_128", "qwen3_5_heads_256"];

/// Those of other heads, whose attention is candle's: every other kernel runs.
const OTHERS: [&str; 14] = [
    "qwen2",
    "qwen2_moe",
    "qwen3",
    "qwen3_5",
    "qwen3_5_even",
    "qwen3_5_irregular",
    "qwen3_5_moe",
    "qwen3_5_moe_wrapped",
    "qwen3_5_uneven",
    "qwen3_5_wrapped",
    "qwen3_moe",
    "qwen3_moe_raw",
    "qwen3_next",
    "qwen3_untied",
];

/// Largest difference of a logit in f32: a tenth of what `verify` asks for.
const EXACT: f64 = 1e-4;

fn folder(kind: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(kind)
}

fn reference(kind: &str) -> Reference {
    Reference::read(&folder(kind)).unwrap()
}

fn engine(kind: &str, dtype: DType, capacity: usize) -> CandleEngine {
    let precision = Precision { quantization: Quantization::Native, dtype };
    let decoder = OpenModel::folder(&folder(kind)).unwrap().decoder(precision, &Device::Cpu, &mut |_, _| {});
    CandleEngine::new(decoder.unwrap(), capacity).unwrap()
}

/// How far an engine is from a prompt's reference, at most.
struct Held<'a> {
    engine: CandleEngine,
    prompt: &'a Prompt,
    tolerance: f64,
}

impl Held<'_> {
    /// The first `count` ids, in pieces of `sizes` and then the rest.
    fn pieces(&mut self, count: usize, sizes: &[usize]) {
        self.engine.reset().unwrap();
        let (mut at, mut parts) = (0, Vec::new());
        for size in sizes.iter().copied().chain([count - sizes.iter().sum::<usize>()]) {
            parts.push(self.engine.logits_of_all(&self.prompt.ids[at..at + size]).unwrap());
            at += size;
        }
        self.check(0, &Tensor::cat(&parts, 0).unwrap(), &format!("{sizes:?}, then the rest of {count}"));
    }

    /// The first `at_once` ids, and up to `count` one by one as a card takes its steps.
    fn steps(&mut self, count: usize, at_once: usize) {
        self.engine.reset().unwrap();
        self.engine.prefill(&self.prompt.ids[..at_once]).unwrap();
        let mut rows = vec![self.engine.logits().unwrap().copy().unwrap()];
        for id in &self.prompt.ids[at_once..count] {
            self.engine.decode(*id).unwrap();
            rows.push(self.engine.logits().unwrap().copy().unwrap());
        }
        self.check(
            at_once - 1,
            &Tensor::stack(&rows, 0).unwrap(),
            &format!("steps from {at_once} to {count}"),
        );
    }

    /// `got`: logits of positions from `first` on, of which the reference has some.
    fn check(&self, first: usize, got: &Tensor, path: &str) {
        let end = first + got.dim(0).unwrap();
        let kept =
            |(row, at): (usize, &usize)| (first..end).contains(at).then(|| (row as u32, (at - first) as u32));
        let positions = self.prompt.positions.iter().enumerate();
        let (theirs, ours): (Vec<u32>, Vec<u32>) = positions.filter_map(kept).unzip();
        assert!(!ours.is_empty(), "{path}: the reference has no logits there");
        let rows =
            |of: &Tensor, at: Vec<u32>| of.index_select(&Tensor::new(at, &Device::Cpu).unwrap(), 0).unwrap();
        let off = noise(&rows(&self.prompt.logits, theirs), &rows(got, ours)).unwrap().max_abs_diff;
        assert!(off <= self.tolerance, "{}, {path}: {off:e} off, of {:e}", self.prompt.name, self.tolerance);
    }
}

#[test]
fn heads_that_kernels_know_agree_with_the_references() {
    for kind in KNOWN {
        let reference = reference(kind);
        on_host::with(|| {
            let mut engine = engine(kind, DType::F32, reference.longest());
            assert!(engine.decoder().has_cuda_kernels(), "kernels know all of {kind}");
            for prompt in reference.exact() {
                let count = prompt.ids.len();
                let mut held = Held { engine, prompt: &prompt, tolerance: EXACT };
                held.pieces(count, &[]);
                if prompt.name == "short" {
                    held.pieces(24, &[7, 1, 1, 1, 13]);
                    held.steps(24, 16);
                    held.steps(4, 1);
                }
                engine = held.engine;
            }
        });
    }
}

#[test]
fn the_devices_own_choice_of_tokens_is_transformers() {
    for kind in KNOWN {
        let prompt = reference(kind).exact().remove(0);
        let greedy = &prompt.greedy.as_ref().unwrap()[..8];
        let chosen = on_host::with(|| {
            let mut engine = engine(kind, DType::F32, prompt.ids.len() + greedy.len());
            engine.prefill(&prompt.ids).unwrap();
            let mut chosen = vec![engine.sample().unwrap()];
            while chosen.len() < greedy.len() {
                chosen.push(engine.decode(chosen[chosen.len() - 1]).unwrap());
            }
            chosen
        });
        assert_eq!(chosen, greedy, "{kind}");
    }
}

/// In bf16, whose attention takes the kernels for tensor cores: within 1.5 times what rounding moves transformers' own.
#[test]
fn half_precision_stays_within_the_noise_of_transformers_own() {
    for kind in KNOWN {
        let reference = reference(kind);
        let (exact, rounded) = (&reference.exact()[0], &reference.rounded()[0]);
        let tolerance = 1.5 * noise(&exact.logits, &rounded.logits).unwrap().max_abs_diff;
        on_host::with(|| {
            let engine = engine(kind, DType::BF16, exact.ids.len());
            let mut held = Held { engine, prompt: exact, tolerance };
            held.pieces(exact.ids.len(), &[]);
            held.steps(24, 18);
        });
    }
}

#[test]
fn every_other_fixture_agrees_with_the_references() {
    for kind in OTHERS {
        let prompt = &reference(kind).exact()[0];
        on_host::with(|| {
            let engine = engine(kind, DType::F32, prompt.ids.len());
            assert!(!engine.decoder().has_cuda_kernels(), "{kind} belongs to the others");
            let mut held = Held { engine, prompt, tolerance: EXACT };
            held.pieces(12, &[9, 1]);
        });
    }
}
