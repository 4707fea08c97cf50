//! Whole models as they run on a card, launch by launch, against the CPU's engine: the same kernels, compiled for this
//! processor.

use candle_core::{DType, Device};

use crate::cli::Quantization;
use crate::cuda::on_host;
use crate::engine::Engine as _;
use crate::engine::candle::CandleEngine;
use crate::engine::load::OpenModel;
use crate::model::shape::{
    AttentionLayers, DeltaNetShape, ExpertsShape, ModelShape, qwen3_0_6b, qwen3_5_0_8b,
};
use crate::weights::precision::Precision;

mod fixtures;

const IDS: [u32; 7] = [3, 141, 59, 26, 53, 58, 97];
const CAPACITY: usize = 40;

fn dense() -> ModelShape {
    let small =
        ModelShape { vocab_size: 200, hidden_size: 256, layers: 2, heads: 4, kv_heads: 2, ..qwen3_0_6b() };
    ModelShape { head_dim: 64, intermediate_size: Some(256), ..small }
}

fn hybrid() -> ModelShape {
    let net = DeltaNetShape {
        key_heads: 2,
        value_heads: 4,
        key_dim: 32,
        value_dim: 32,
        conv_width: 4,
        attention_layers: AttentionLayers::Every(2),
    };
    ModelShape {
        delta_net: Some(net),
        architecture: qwen3_5_0_8b().architecture,
        rotary_dim: Some(32),
        ..dense()
    }
}

fn mixture() -> ModelShape {
    let experts = ExpertsShape { count: 6, used: 2, width: 256, shared_width: Some(256), renormalise: true };
    let architecture = crate::model::shape::qwen3_5_35b_a3b().architecture;
    ModelShape { architecture, intermediate_size: None, experts: Some(experts), ..hybrid() }
}

fn engine(shape: &ModelShape, precision: Precision) -> CandleEngine {
    let decoder = OpenModel::random(shape.clone(), 7).decoder(precision, &Device::Cpu, &mut |_, _| {});
    CandleEngine::new(decoder.expect("it loads"), CAPACITY).expect("it starts")
}

/// Logits of a prompt's end and of three steps behind it, with the tokens that `forced` says.
fn run(engine: &mut CandleEngine, forced: &[u32]) -> Vec<Vec<f32>> {
    let last = |engine: &CandleEngine| engine.logits().unwrap().to_vec1::<f32>().unwrap();
    engine.prefill(&IDS).unwrap();
    let mut logits = vec![last(engine)];
    for id in forced {
        engine.decode(*id).unwrap();
        logits.push(last(engine));
    }
    logits
}

/// The length of the difference over the length of `b`.
fn apart(a: &[f32], b: &[f32]) -> f64 {
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    let difference = norm(&mut a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    difference / norm(&mut b.iter().map(|b| f64::from(*b)))
}

/// How far a card's logits may be from those of the CPU, by quantization and type of the activations.
fn agree(shape: &ModelShape, quantization: Quantization, dtype: DType, bar: f64) {
    let forced = [11, 12, 150];
    let expected = run(&mut engine(shape, Precision { quantization, dtype: DType::F32 }), &forced);
    let got = on_host::with(|| {
        let mut engine = engine(shape, Precision { quantization, dtype });
        assert!(engine.decoder().has_cuda_kernels(), "kernels know all of this model");
        run(&mut engine, &forced)
    });
    for (step, (got, expected)) in got.iter().zip(&expected).enumerate() {
        let apart = apart(got, expected);
        assert!(apart < bar, "{quantization:?} {dtype:?}, step {step}: {apart:e} apart");
    }
}

#[test]
fn models_of_attention_agree_with_the_cpu() {
    agree(&dense(), Quantization::Native, DType::F32, 1e-5);
    agree(&dense(), Quantization::Native, DType::BF16, 2e-2);
    agree(&dense(), Quantization::Native, DType::F16, 3e-3);
}

#[test]
fn hybrids_agree_with_the_cpu() {
    agree(&hybrid(), Quantization::Native, DType::F32, 1e-5);
    agree(&hybrid(), Quantization::Native, DType::BF16, 2e-2);
}

#[test]
fn mixtures_agree_with_the_cpu() {
    agree(&mixture(), Quantization::Native, DType::F32, 1e-5);
}

#[test]
fn blocks_agree_with_the_cpu_within_the_rounding_of_activations() {
    for quantization in [Quantization::Q8_0, Quantization::Q4K, Quantization::Q6K] {
        agree(&dense(), quantization, DType::F32, 2e-2);
        agree(&mixture(), quantization, DType::F32, 3e-2);
    }
}

#[test]
fn steps_go_back_to_a_mark_and_choose_as_the_host_does() {
    on_host::with(|| {
        let mut engine =
            engine(&hybrid(), Precision { quantization: Quantization::Native, dtype: DType::F32 });
        engine.prefill(&IDS).unwrap();
        engine.mark().unwrap();
        let first = four(&mut engine);
        assert_eq!(engine.sample().unwrap(), first[3]);
        engine.rewind().unwrap();
        assert_eq!(four(&mut engine), first);
        assert_eq!(engine.depth(), IDS.len() + 4);
    });
}

/// Four steps, each with the token that the last one chose.
fn four(engine: &mut CandleEngine) -> Vec<u32> {
    let mut chosen = vec![engine.decode(5).unwrap()];
    while chosen.len() < 4 {
        chosen.push(engine.decode(chosen[chosen.len() - 1]).unwrap());
    }
    chosen
}

#[test]
fn a_full_cache_is_an_error_before_anything_runs() {
    on_host::with(|| {
        let mut engine =
            engine(&dense(), Precision { quantization: Quantization::Native, dtype: DType::F32 });
        engine.prefill(&[1; CAPACITY]).unwrap();
        let error = engine.decode(2).unwrap_err().to_string();
        assert!(error.contains("do not fit the cache"), "{error}");
        assert_eq!(engine.depth(), CAPACITY);
    });
}
