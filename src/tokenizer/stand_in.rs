//! Ids without a tokenizer, for random weights and for model files that bring none.
//!
//! Speed does not depend on which ids are fed, only on how many. This cuts text into pieces about
//! as long as Qwen's and hashes each into the vocabulary; no id has a text, so nothing decodes.

use super::{Tokenizer, TokenizerError};

/// Longest run of ASCII letters that is one piece; longer words are cut evenly.
const LATIN_PIECE: usize = 8;
/// Letters of other alphabets in a piece.
const OTHER_PIECE: usize = 3;
/// Ideographs, kana, hangul and emoji in a piece.
const WIDE_PIECE: usize = 2;
/// How far a run is looked at, in pieces, so that a megabyte without a space takes no longer.
const SEEN_PIECES: usize = 64;
/// First code point that counts as wide.
const WIDE_FROM: char = '\u{2E80}';

/// Deterministic pieces, hashed into `[0, vocab_size)`.
#[derive(Clone, Copy, Debug)]
pub struct StandIn {
    vocab_size: u32,
}

impl StandIn {
    /// A stand-in for a model with that many ids; at least one.
    pub fn new(vocab_size: usize) -> Self {
        Self { vocab_size: u32::try_from(vocab_size).unwrap_or(u32::MAX).max(1) }
    }
}

impl Tokenizer for StandIn {
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        Ok(Pieces { rest: text }
            .map(|piece| (stable_hash(piece) % u64::from(self.vocab_size)) as u32)
            .collect())
    }

    fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        Ok(format!("[{} ids of the stand-in tokenizer, which have no text]", ids.len()))
    }

    fn name(&self) -> &str {
        "stand-in"
    }

    fn vocab_size(&self) -> usize {
        self.vocab_size as usize
    }
}

/// What a character can be joined with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Latin,
    Other,
    Wide,
    Digit,
    Newline,
    Space,
    Mark,
}

impl Class {
    fn of(c: char) -> Self {
        match c {
            '\n' | '\r' => Self::Newline,
            _ if c.is_whitespace() => Self::Space,
            _ if c.is_numeric() => Self::Digit,
            _ if c.is_ascii_alphabetic() => Self::Latin,
            _ if c >= WIDE_FROM => Self::Wide,
            _ if c.is_alphabetic() => Self::Other,
            _ if c.is_ascii() => Self::Mark,
            // Combining marks and the like stay with their word.
            _ => Self::Other,
        }
    }

    fn longest(self) -> usize {
        match self {
            Self::Latin => LATIN_PIECE,
            Self::Other => OTHER_PIECE,
            Self::Wide => WIDE_PIECE,
            Self::Digit | Self::Mark => 1,
            Self::Newline | Self::Space => usize::MAX,
        }
    }
}

/// Cuts text from the left. One space goes with the word or mark after it; digits stand alone.
struct Pieces<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let first = Class::of(self.rest.chars().next()?);
        let length = match first {
            Class::Space => self.after_spaces(),
            class => run(self.rest, class),
        };
        let (piece, rest) = self.rest.split_at(length);
        self.rest = rest;
        Some(piece)
    }
}

impl Pieces<'_> {
    /// Spaces are one piece, but the last one is left to a word that follows; a lone space joins it.
    fn after_spaces(&self) -> usize {
        let spaces = run(self.rest, Class::Space);
        let last = self.rest[..spaces].chars().next_back().map_or(0, char::len_utf8);
        match self.rest[spaces..].chars().next().map(Class::of) {
            None | Some(Class::Newline | Class::Digit | Class::Space) => spaces,
            Some(_) if spaces > last => spaces - last,
            Some(class) => spaces + run(&self.rest[spaces..], class),
        }
    }
}

/// Bytes of the next piece of `class` in `text`: a long run is cut into even parts.
fn run(text: &str, class: Class) -> usize {
    let seen = class.longest().saturating_mul(SEEN_PIECES);
    let all = text.chars().take(seen).take_while(|c| Class::of(*c) == class).count();
    let parts = all.div_ceil(class.longest());
    let chars = all.div_ceil(parts.max(1));
    text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at)
}

/// FNV-1a with a final mix: the same on every platform and in every release.
fn stable_hash(piece: &str) -> u64 {
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = piece.bytes().fold(0xcbf2_9ce4_8422_2325, fnv);
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pieces(text: &str) -> Vec<&str> {
        Pieces { rest: text }.collect()
    }

    #[test]
    fn words_take_their_space_and_digits_stand_alone() {
        assert_eq!(pieces("It costs 42 cr."), ["It", " costs", " ", "4", "2", " cr", "."]);
        assert_eq!(pieces("a\n\nb  c "), ["a", "\n\n", "b", " ", " c", " "]);
        assert_eq!(pieces("refrigerator"), ["refrig", "erator"]);
        assert_eq!(pieces("你好世"), ["你好", "世"]);
    }

    #[test]
    fn english_has_four_to_five_characters_a_token() {
        let text = include_str!("../../tests/fixtures/corpus/02-visits.md");
        let ids = StandIn::new(151_936).encode(text).unwrap();
        let per_token = text.chars().count() as f64 / ids.len() as f64;
        assert!((4.0..5.0).contains(&per_token), "{per_token}");
    }

    #[test]
    fn ids_are_the_same_in_every_release() {
        let ids = StandIn::new(151_936).encode("The pump restarts.").unwrap();
        assert_eq!(ids, [51566, 126090, 42373, 11344]);
    }

    #[test]
    fn decoding_says_that_there_is_no_text() {
        assert!(StandIn::new(10).decode(&[1, 2]).unwrap().contains("2 ids of the stand-in"));
    }

    proptest! {
        #[test]
        fn pieces_cover_any_text_and_ids_stay_in_range(text in any::<String>(), vocab in 0usize..600) {
            prop_assert_eq!(pieces(&text).concat(), text.clone());
            let tokenizer = StandIn::new(vocab);
            prop_assert!(tokenizer.encode(&text).unwrap().iter().all(|id| (*id as usize) < tokenizer.vocab_size()));
        }
    }
}
