//! The cross-encoder against transformers.

use std::path::Path;

use candle_core::Device;
use ctxbench::retrieval::Reranker;
use ctxbench::retrieval::embedder::EmbedderError;
use ctxbench::retrieval::rerank::CrossEncoder;
use serde::Deserialize;

use super::{NEAR, Silent, fixture, offline};

#[derive(Deserialize)]
struct Scored {
    question: String,
    passage: String,
    score: f32,
}

fn cross_encoder(name: &str) -> Result<CrossEncoder, EmbedderError> {
    CrossEncoder::obtain(name, &offline(Path::new("nowhere")), &Device::Cpu, &mut Silent)
}

#[test]
fn a_cross_encoder_gives_the_scores_of_transformers() {
    let folder = fixture("cross_encoder");
    let text = std::fs::read(folder.join("reference.json")).unwrap();
    let mut reranker = cross_encoder(&folder.display().to_string()).unwrap();
    for pair in serde_json::from_slice::<Vec<Scored>>(&text).unwrap() {
        let score = reranker.score(&pair.question, std::slice::from_ref(&pair.passage)).unwrap()[0];
        assert!((score - pair.score).abs() < NEAR, "{} | {}: {score}", pair.question, pair.passage);
    }
}

#[test]
fn many_passages_are_scored_as_each_alone() {
    let mut reranker = cross_encoder(&fixture("cross_encoder").display().to_string()).unwrap();
    let passages: Vec<String> =
        (1..100).map(|i| "The pump is old. ".repeat(i % 5 + 1) + &i.to_string()).collect();
    let together = reranker.score("Is it old?", &passages).unwrap();
    assert_eq!(together.len(), passages.len());
    for (passage, score) in passages.iter().zip(&together).step_by(17) {
        let alone = reranker.score("Is it old?", std::slice::from_ref(passage)).unwrap()[0];
        assert!((alone - score).abs() < 1e-5, "{passage}: {alone} and {score}");
    }
    assert!(reranker.score("Is it old?", &[]).unwrap().is_empty());
}

#[test]
fn what_is_no_reranker_is_told_so() {
    for (name, part) in [
        (fixture("bert_mean").display().to_string(), "no tensor 'classifier.weight'"),
        (fixture("qwen3_embedding").display().to_string(), "an architecture 'qwen3'"),
        ("ms-marco".into(), "name a folder, or a repository"),
        ("o/n:m.gguf".into(), "with safetensors"),
        ("cross-encoder/none".into(), "not on this machine"),
    ] {
        let message = cross_encoder(&name).err().expect("it is refused").to_string();
        assert!(message.contains(part), "{name}: {message}");
    }
}
