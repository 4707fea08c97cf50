//! Tiny models for the engine's tests: the fixtures, and random ones.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use ctxbench::cli::Quantization;
use ctxbench::engine::Engine as _;
use ctxbench::engine::candle::CandleEngine;
use ctxbench::engine::load::OpenModel;
use ctxbench::model::decoder::Decoder;
use ctxbench::model::shape::{Architecture, ModelShape};
use ctxbench::weights::precision::Precision;

pub const KINDS: [&str; 2] = ["qwen2", "qwen3"];
pub const NATIVE: Precision = Precision { quantization: Quantization::Native, dtype: DType::F32 };

pub fn folder(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(kind)
}

pub fn reference(kind: &str) -> HashMap<String, Tensor> {
    let path = folder(kind).join("reference.safetensors");
    candle_core::safetensors::load(path, &Device::Cpu).expect("the fixture holds tensors")
}

pub fn ids(tensor: &Tensor) -> Vec<u32> {
    tensor.to_dtype(DType::U32).and_then(|ids| ids.to_vec1()).expect("ids")
}

pub fn decoder(model: &mut OpenModel, precision: Precision) -> Decoder {
    model.decoder(precision, &Device::Cpu, &mut |_, _| {}).expect("the model loads")
}

pub fn fixture(kind: &str) -> Decoder {
    decoder(&mut OpenModel::folder(&folder(kind)).expect("the fixture opens"), NATIVE)
}

pub fn fixture_engine(kind: &str, capacity: usize) -> CandleEngine {
    CandleEngine::new(fixture(kind), capacity).expect("the engine starts")
}

pub fn random_engine(shape: &ModelShape, seed: u64, capacity: usize) -> CandleEngine {
    quantized_engine(shape, Quantization::Native, seed, capacity)
}

pub fn quantized_engine(
    shape: &ModelShape,
    quantization: Quantization,
    seed: u64,
    capacity: usize,
) -> CandleEngine {
    let precision = Precision { quantization, dtype: DType::F32 };
    let decoder = decoder(&mut OpenModel::random(shape.clone(), seed), precision);
    CandleEngine::new(decoder, capacity).expect("the engine starts")
}

/// Two layers, 300 ids.
pub fn shape(architecture: Architecture) -> ModelShape {
    ModelShape {
        architecture,
        vocab_size: 300,
        hidden_size: 64,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 16,
        intermediate_size: Some(96),
        rotary_dim: None,
        delta_net: None,
        experts: None,
        rope_theta: 1e6,
        rms_norm_eps: 1e-6,
        max_positions: 4096,
        tie_embeddings: true,
    }
}

/// Logits of all `ids`, fed in pieces of the given sizes, repeated, to an empty cache.
pub fn all_logits(engine: &mut CandleEngine, ids: &[u32], pieces: &[usize]) -> Tensor {
    engine.reset().expect("an engine can be reset");
    let (mut rest, mut parts) = (ids, Vec::new());
    for size in pieces.iter().cycle() {
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        parts.push(engine.logits_of_all(piece).expect("the pass runs"));
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    Tensor::cat(&parts, 0).expect("rows of one width")
}

/// Largest absolute difference; infinite if any number is not finite.
pub fn difference(a: &Tensor, b: &Tensor) -> f32 {
    let all = (a - b).and_then(|d| d.flatten_all()?.to_vec1::<f32>()).expect("tensors of one shape");
    all.into_iter().fold(0.0, |worst, d| if d.is_finite() { worst.max(d.abs()) } else { f32::INFINITY })
}
