//! The real all-MiniLM-L6-v2, from its package.

use std::time::Duration;

use ctxbench::clock::{Clock, SystemClock};
use ctxbench::retrieval::embedder::embed_texts;
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
    let ids = embedder.tokenize(text, TextRole::Document).unwrap();
    embedder.embed(&[ids]).unwrap().remove(0)
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

/// A question of the handbook's kind, 20 ids.
const QUESTION: &str =
    "How often does the committee have the water pump of the north field inspected, and by whom?";

/// A measurement, to be run alone on a quiet machine with optimised code of our own too.
#[test]
#[ignore = "a measurement: it wants an optimised build and a machine that does nothing else"]
fn one_question_is_embedded_within_10_ms() {
    let Some(folder) = packages::minilm() else { return };
    let (mut embedder, clock) = (embedder(folder), SystemClock::default());
    let ids = embedder.tokenize(QUESTION, TextRole::Query).unwrap();
    let mut took: Vec<Duration> = Vec::new();
    for _ in 0..300 {
        let start = clock.now();
        vector(embedder.as_mut(), QUESTION);
        took.push(clock.now() - start);
    }
    took.sort();
    let ms = |at: usize| took[at].as_secs_f64() * 1e3;
    println!("{} ids: best {:.2} ms, median {:.2} ms, p99 {:.2} ms", ids.len(), ms(0), ms(150), ms(297));
    let chunk =
        "The north pump is checked before each harvest, and the key hangs in the storehouse. ".repeat(40);
    for texts in [8, 64] {
        let chunks = vec![chunk.clone(); texts];
        let runs =
            (0..3).map(|_| embed_texts(embedder.as_mut(), &chunks, TextRole::Document, &clock).unwrap());
        let best = runs.map(|run| run.tokens as f64 / run.ms * 1e3).fold(0.0, f64::max);
        println!("{texts} chunks of 256 ids: at best {best:.0} tokens/s");
    }
    assert!(ms(0) < 10.0, "one question takes {:.2} ms", ms(0));
}
