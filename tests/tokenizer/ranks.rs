//! Byte-pair encoding by ranks, as tiktoken does it, written for these tests alone: no merges, no
//! characters, bytes only. Slow and short.

use std::collections::HashMap;
use std::path::Path;

use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{
    NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    SplitDelimiterBehavior,
};

/// The pieces of a vocabulary, in the order in which they are joined.
pub struct Ranks {
    pieces: Vec<Vec<u8>>,
    rank: HashMap<Vec<u8>, u32>,
}

impl Ranks {
    /// Reads a `.tiktoken` file: a line for each piece, in base64, and its rank.
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("a text file");
        let lines = text.lines().map(|line| line.split_once(' ').expect("a piece and a rank"));
        let pieces: Vec<Vec<u8>> = lines
            .enumerate()
            .map(|(n, (piece, rank))| {
                assert_eq!(rank.parse(), Ok(n), "ranks without a gap");
                from_base64(piece)
            })
            .collect();
        let rank = pieces.iter().cloned().zip(0..).collect();
        Self { pieces, rank }
    }

    /// All pieces by rank.
    pub fn pieces(&self) -> &[Vec<u8>] {
        &self.pieces
    }

    /// Parts of a piece when only ranks below `limit` are joined: always the lowest first.
    fn parts<'a>(&self, piece: &'a [u8], limit: u32) -> Vec<&'a [u8]> {
        let mut ends: Vec<usize> = (0..=piece.len()).collect();
        loop {
            let pairs = ends.windows(3).enumerate();
            let ranked = pairs.filter_map(|(n, e)| Some((*self.rank.get(&piece[e[0]..e[2]])?, n)));
            match ranked.min() {
                Some((rank, n)) if rank < limit => ends.remove(n + 1),
                _ => return ends.windows(2).map(|e| &piece[e[0]..e[1]]).collect(),
            };
        }
    }

    /// The merges that give the same pieces, one for each that ends in two parts when the pieces before it are
    /// joined, and the pieces for which there is none.
    pub fn merges(&self) -> Merges {
        let (mut lines, mut without) = (Vec::new(), Vec::new());
        for (piece, rank) in self.pieces.iter().zip(0..).filter(|(piece, _)| piece.len() > 1) {
            match self.parts(piece, rank)[..] {
                [left, right] => lines.push(format!("{} {}", printable(left), printable(right))),
                _ => without.push(rank),
            }
        }
        Merges { lines, without }
    }

    /// Ids of a text that has no special tokens in it, cut by `rule`.
    pub fn encode(&self, text: &str, rule: &Rule) -> Vec<u32> {
        rule.words(text).iter().flat_map(|word| self.encode_word(word.as_bytes())).collect()
    }

    /// As tiktoken: a word that is a piece is taken whole, however it would have been joined.
    fn encode_word(&self, word: &[u8]) -> Vec<u32> {
        match self.rank.get(word) {
            Some(rank) => vec![*rank],
            None => self.parts(word, u32::MAX).into_iter().map(|part| self.rank[part]).collect(),
        }
    }
}

/// What a converter makes of ranks.
pub struct Merges {
    /// As a GGUF has them.
    pub lines: Vec<String>,
    /// Ranks of pieces that no merge makes.
    pub without: Vec<u32>,
}

/// A rule that cuts text into words.
pub struct Rule(Split);

impl Rule {
    /// The rule that a regular expression states.
    pub fn new(regex: &str) -> Self {
        let pattern = SplitPattern::Regex(regex.into());
        Self(Split::new(pattern, SplitDelimiterBehavior::Isolated, false).expect("a regex"))
    }

    /// The composed text, cut.
    pub fn words(&self, text: &str) -> Vec<String> {
        let mut composed = NormalizedString::from(text);
        NFC.normalize(&mut composed).expect("NFC");
        let mut cut = PreTokenizedString::from(composed.get());
        self.0.pre_tokenize(&mut cut).expect("words");
        let words = cut.get_splits(OffsetReferential::Original, OffsetType::Byte);
        words.into_iter().map(|(word, _, _)| word.to_owned()).collect()
    }
}

/// Bytes as GPT-2's vocabularies print them: what is visible as itself, the rest from U+0100 on.
pub fn printable(bytes: &[u8]) -> String {
    let visible = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let hidden_before = |byte: u8| (0..byte).filter(|b| !visible(b)).count() as u32;
    let print = |byte: &u8| match visible(byte) {
        true => char::from(*byte),
        false => char::from_u32(0x100 + hidden_before(*byte)).expect("a character"),
    };
    bytes.iter().map(print).collect()
}

fn from_base64(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits = text.bytes().filter(|c| *c != b'=').map(digit).collect::<Vec<u8>>();
    let group = |group: &[u8]| {
        let bits = group.iter().enumerate().fold(0u32, |bits, (n, d)| bits | u32::from(*d) << (18 - 6 * n));
        bits.to_be_bytes()[1..group.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}
