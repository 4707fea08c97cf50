//! The real all-MiniLM-L6-v2, from its package.

use ctxbench::retrieval::{Embedder, TextRole};
use serde::Deserialize;

use super::common::packages;
use super::reference::Reference;
use super::{NEAR, cosine, difference, embedder, fixture};

#[derive(Deserialize)]
struct Text {
    text: String,
    document: Reference,
}

fn texts() -> Vec<Text> {
    serde_json::from_slice(&std::fs::read(fixture("minilm.json")).expect("the reference")).expect("its form")
}

fn vector(embedder: &mut dyn Embedder, text: &str) -> Vec<f32> {
    let ids = embedder.tokenize(text, TextRole::Document).expect("ids");
    embedder.embed(&[ids]).expect("a vector").remove(0)
}

#[test]
fn the_real_model_gives_the_vectors_of_transformers() {
    let Some(folder) = packages::minilm() else { return };
    let mut embedder = embedder(folder);
    assert_eq!(embedder.dimensions(), 384);
    assert!(
        embedder
            .fingerprint()
            .starts_with("53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db/mean/256")
    );
    for text in texts() {
        let ids = embedder.tokenize(&text.text, TextRole::Document).unwrap();
        assert_eq!(ids, text.document.ids, "{}", text.text);
        let off = difference(&embedder.embed(&[ids]).unwrap()[0], &text.document.vector);
        assert!(off < NEAR, "'{}' is off by {off}", text.text);
    }
}

#[test]
fn a_paraphrase_is_nearer_than_another_sentence() {
    let Some(folder) = packages::minilm() else { return };
    let (mut embedder, texts) = (embedder(folder), texts());
    let vectors: Vec<_> = texts[..3].iter().map(|text| vector(embedder.as_mut(), &text.text)).collect();
    let (paraphrase, other) = (cosine(&vectors[0], &vectors[1]), cosine(&vectors[0], &vectors[2]));
    assert!(paraphrase > 0.5 && other < 0.2, "{paraphrase} and {other}");
}
