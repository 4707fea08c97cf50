//! An embedder without weights: texts that share words lie near each other. It knows no meaning, so no figure
//! of quality may rest on it; it keeps the pipeline running where no real one is at hand.
//!
//! Each word is an id: a hash of its lower-cased letters, with its length in the lowest bits. A vector is the sum
//! over the words, each spread by signs over a few dimensions.

use std::collections::BTreeMap;

use crate::retrieval::{Embedder, RetrievalError, TextRole};

/// Its name.
pub const STAND_IN: &str = "stand-in";

/// Numbers in a vector: those of a small real embedder.
const DIMENSIONS: usize = 384;

/// Words that are read of one text.
const MAX_WORDS: usize = 8192;

/// Dimensions that a word takes.
const SPREAD: u64 = 8;

/// Low bits of an id that hold the word's length.
const LENGTH_BITS: u32 = 4;

/// Words up to this many letters say little ("the", "of", "is"), and weigh less.
const SHORT: u32 = 3;
const SHORT_WEIGHT: f32 = 0.2;

/// The embedder without weights.
#[derive(Clone, Copy, Debug, Default)]
pub struct StandInEmbedder;

impl Embedder for StandInEmbedder {
    fn id(&self) -> &str {
        STAND_IN
    }

    fn dimensions(&self) -> usize {
        DIMENSIONS
    }

    fn fingerprint(&self) -> &str {
        "stand-in/words/1"
    }

    fn is_stand_in(&self) -> bool {
        true
    }

    fn tokenize(&self, text: &str, _role: TextRole) -> Result<Vec<u32>, RetrievalError> {
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        Ok(words.take(MAX_WORDS).map(|word| word_id(&word.to_lowercase())).collect())
    }

    fn embed(&mut self, batch: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, RetrievalError> {
        Ok(batch.iter().map(|ids| vector(ids)).collect())
    }
}

/// FNV-1a over the word without a plural's ending, and its length.
fn word_id(word: &str) -> u32 {
    let letters = word.chars().count() as u32;
    let stem = if letters > SHORT + 1 { word.strip_suffix('s').unwrap_or(word) } else { word };
    let hash =
        stem.bytes().fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let length = (stem.chars().count() as u32).min((1 << LENGTH_BITS) - 1);
    (hash << LENGTH_BITS) | length
}

/// Sum over the distinct words, a repeated one weighing by the logarithm of its count; of length 1.
fn vector(ids: &[u32]) -> Vec<f32> {
    let mut counts: BTreeMap<u32, f32> = BTreeMap::new();
    for id in ids {
        *counts.entry(*id).or_default() += 1.0;
    }
    let mut sum = vec![0f32; DIMENSIONS];
    for (id, count) in counts {
        let short = id & ((1 << LENGTH_BITS) - 1) <= SHORT;
        let weight = (1.0 + count.ln()) * if short { SHORT_WEIGHT } else { 1.0 };
        for k in 0..SPREAD {
            let bits = mixed(u64::from(id) * SPREAD + k);
            let sign = if bits >> 63 == 0 { weight } else { -weight };
            sum[(bits % DIMENSIONS as u64) as usize] += sign;
        }
    }
    let length = sum.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length == 0.0 {
        // No word at all: any direction will do, as long as it is always the same.
        sum[0] = 1.0;
        return sum;
    }
    sum.into_iter().map(|x| x / length).collect()
}

/// The finalizer of SplitMix64: every bit of the result depends on every bit of `x`.
fn mixed(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedded(text: &str) -> Vec<f32> {
        let mut embedder = StandInEmbedder;
        let ids = embedder.tokenize(text, TextRole::Document).unwrap();
        embedder.embed(&[ids]).unwrap().remove(0)
    }

    fn cosine(a: &str, b: &str) -> f32 {
        embedded(a).iter().zip(embedded(b)).map(|(x, y)| x * y).sum()
    }

    #[test]
    fn texts_that_share_words_are_near_and_others_are_not() {
        let question = "Which pump must be checked before the harvest?";
        let answer = "Before each harvest, the north pumps are checked by hand.";
        let other = "The library opens at nine and lends films to members.";
        assert!(cosine(question, answer) > 0.4, "{}", cosine(question, answer));
        assert!(cosine(question, other).abs() < 0.2, "{}", cosine(question, other));
    }

    #[test]
    fn case_and_marks_do_not_matter_and_every_vector_has_length_1() {
        assert!(cosine("Pumps, CHECKED", "checked pumps!") > 0.9999);
        for text in ["", "...", "a", "one two two three"] {
            let length: f32 = embedded(text).iter().map(|x| x * x).sum();
            assert!((length - 1.0).abs() < 1e-5, "'{text}': {length}");
        }
    }

    /// Its vectors stand in stored indexes: what changes them needs another fingerprint.
    #[test]
    fn the_numbers_stay_what_they_are() {
        let first: Vec<f32> = embedded("water pump").iter().filter(|x| **x != 0.0).take(2).copied().collect();
        assert_eq!((word_id("pump"), word_id("pumps")), (word_id("pump"), word_id("pump")));
        assert_eq!(
            first,
            embedded("pump water").iter().filter(|x| **x != 0.0).take(2).copied().collect::<Vec<_>>()
        );
    }
}
