//! The same checkpoint through candle-transformers' own models: two implementations, one answer.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{qwen2, qwen3};
use ctxbench::engine::candle::CandleEngine;
use ctxbench::engine::load::OpenModel;
use serde_json::Value;

use crate::models::{KINDS, NATIVE, decoder, difference, folder, ids, reference};

fn weights(kind: &str) -> HashMap<String, Tensor> {
    let path = folder(kind).join("model.safetensors");
    candle_core::safetensors::load(path, &Device::Cpu).expect("the fixture holds tensors")
}

fn config(kind: &str) -> Value {
    let text = std::fs::read_to_string(folder(kind).join("config.json")).expect("the fixture is there");
    serde_json::from_str(&text).expect("the fixture is JSON")
}

/// Logits of the last position, (1, vocabulary), by candle's model.
fn theirs(kind: &str, config: &Value, tensors: &HashMap<String, Tensor>, ids: &[u32]) -> Tensor {
    let tensors = tensors.iter().map(|(name, t)| (name.clone(), t.to_dtype(DType::F32).expect("floats")));
    let weights = VarBuilder::from_tensors(tensors.collect(), DType::F32, &Device::Cpu);
    let input = Tensor::new(ids, &Device::Cpu).and_then(|ids| ids.unsqueeze(0)).expect("ids");
    let logits = match kind {
        "qwen2" => {
            let config = serde_json::from_value(config.clone()).expect("candle reads the configuration");
            qwen2::ModelForCausalLM::new(&config, weights).and_then(|mut model| model.forward(&input, 0))
        }
        _ => {
            let config = serde_json::from_value(config.clone()).expect("candle reads the configuration");
            qwen3::ModelForCausalLM::new(&config, weights).and_then(|mut model| model.forward(&input, 0))
        }
    };
    logits.and_then(|logits| logits.squeeze(0)).expect("candle's model runs")
}

/// The same by ours.
fn ours(config: &Value, tensors: &HashMap<String, Tensor>, ids: &[u32]) -> Tensor {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("config.json"), config.to_string()).expect("a file can be written");
    candle_core::safetensors::save(tensors, folder.path().join("model.safetensors")).expect("tensors");
    let model = decoder(&mut OpenModel::folder(folder.path()).expect("the model opens"), NATIVE);
    let mut engine = CandleEngine::new(model, ids.len()).expect("the engine starts");
    let all = engine.logits_of_all(ids).expect("the pass runs");
    all.narrow(0, ids.len() - 1, 1).expect("a last row")
}

#[test]
fn tied_models_agree() {
    for kind in KINDS {
        let (config, tensors, reference) = (config(kind), weights(kind), reference(kind));
        for prompt in ["short_ids", "long_ids"] {
            let ids = ids(&reference[prompt]);
            let worst = difference(&theirs(kind, &config, &tensors, &ids), &ours(&config, &tensors, &ids));
            assert!(worst <= 1e-4, "{kind} {prompt}: {worst}");
        }
    }
}

#[test]
fn models_with_a_head_of_their_own_agree() {
    for kind in KINDS {
        let (mut config, mut tensors) = (config(kind), weights(kind));
        let ids = ids(&reference(kind)["short_ids"]);
        let tied = ours(&config, &tensors, &ids);
        config["tie_word_embeddings"] = Value::from(false);
        let head = tensors["model.embed_tokens.weight"].affine(-0.5, 0.01).expect("a head");
        tensors.insert("lm_head.weight".into(), head);
        let got = ours(&config, &tensors, &ids);
        let worst = difference(&theirs(kind, &config, &tensors, &ids), &got);
        assert!(worst <= 1e-4 && difference(&tied, &got) > 1.0, "{kind}: {worst}");
    }
}
