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
use crate::engine::verification::{Bar, Noise, noise, verify};
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

/// Logits from position `at_once` − 1 on: so many ids together, the others one by one as a card takes its steps.
fn stepped(engine: &mut CandleEngine, prompt: &Prompt, at_once: usize) -> Tensor {
    engine.reset().unwrap();
    engine.prefill(&prompt.ids[..at_once]).unwrap();
    let mut rows = vec![engine.logits().unwrap().copy().unwrap()];
    for id in &prompt.ids[at_once..] {
        engine.decode(*id).unwrap();
        rows.push(engine.logits().unwrap().copy().unwrap());
    }
    Tensor::stack(&rows, 0).unwrap()
}

/// What the reference has from position `at_once` − 1 on.
fn expected(prompt: &Prompt, at_once: usize) -> Tensor {
    assert!(prompt.positions.iter().copied().eq(0..prompt.ids.len()), "every position has logits");
    prompt.logits.narrow(0, at_once - 1, prompt.ids.len() + 1 - at_once).unwrap()
}

#[test]
fn every_path_of_heads_that_kernels_know_agrees_with_the_references() {
    for kind in KNOWN {
        let reference = reference(kind);
        let rows = on_host::with(|| {
            let mut engine = engine(kind, DType::F32, reference.longest());
            assert!(engine.decoder().has_cuda_kernels(), "kernels know all of {kind}");
            verify(kind, &mut engine, &reference, Bar::Exact { tolerance: EXACT }).unwrap().rows
        });
        assert!(rows.len() >= 8 && rows.iter().all(|row| row.pass), "{rows:#?}");
    }
}

#[test]
fn steps_of_the_device_agree_with_the_references() {
    for kind in KNOWN {
        let prompt = &reference(kind).exact()[0];
        for at_once in [1, 20] {
            let got =
                on_host::with(|| stepped(&mut engine(kind, DType::F32, prompt.ids.len()), prompt, at_once));
            let off = noise(&expected(prompt, at_once), &got).unwrap().max_abs_diff;
            assert!(off <= EXACT, "{kind}, {at_once} at once: {off:e} off");
        }
    }
}

/// In bf16, whose attention takes the kernels for tensor cores: within 1.5 times what rounding moves transformers' own.
#[test]
fn half_precision_stays_within_the_noise_of_transformers_own() {
    for kind in KNOWN {
        let reference = reference(kind);
        let (exact, rounded) = (&reference.exact()[0], &reference.rounded()[0]);
        let theirs = noise(&exact.logits, &rounded.logits).unwrap();
        let bar = Noise { max_abs_diff: 1.5 * theirs.max_abs_diff, mean_kl: 2.25 * theirs.mean_kl };
        on_host::with(|| {
            let mut engine = engine(kind, DType::BF16, exact.ids.len());
            let rows = verify(kind, &mut engine, &reference, Bar::Rounded(bar)).unwrap().rows;
            assert!(rows.len() == 3 && rows.iter().all(|row| row.pass), "{rows:#?}");
            let got = noise(&expected(exact, 20), &stepped(&mut engine, exact, 20)).unwrap();
            assert!(got.max_abs_diff <= bar.max_abs_diff, "{kind}: {got:?} of {bar:?}");
        });
    }
}

#[test]
fn prompts_and_steps_of_every_other_fixture_agree_with_the_references() {
    for kind in OTHERS {
        let prompt = &reference(kind).exact()[0];
        let at_once = prompt.ids.len() - 3;
        let [whole, steps] = on_host::with(|| {
            let mut engine = engine(kind, DType::F32, prompt.ids.len());
            assert!(!engine.decoder().has_cuda_kernels(), "{kind} belongs to the others");
            let whole = engine.logits_of_all(&prompt.ids).unwrap();
            [whole, stepped(&mut engine, prompt, at_once)]
        });
        for (expected, got) in [(prompt.logits.clone(), whole), (expected(prompt, at_once), steps)] {
            let off = noise(&expected, &got).unwrap().max_abs_diff;
            assert!(off <= EXACT, "{kind}: {off:e} off");
        }
    }
}
