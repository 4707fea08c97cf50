//! Cuts an adjustable text so that the whole has an exact number of ids.
//!
//! First a search over the places where it may be cut, then short words one by one, then single
//! digits, which every Qwen tokenizer keeps apart. Each step counts the ids of the region anew.

use crate::tokenizer::{Tokenizer, TokenizerError};

/// Which end of the adjustable text is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// Cut from the end; fillers stand after what is kept.
    Head,
    /// Cut from the start; fillers stand before what is kept.
    Tail,
}

/// Where the adjustable text may be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Borders {
    /// Between words, and around ideographs.
    Words,
    /// Between any two characters.
    Characters,
}

/// A stretch of text with an adjustable middle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Region<'a> {
    pub(super) before: &'a str,
    pub(super) flexible: &'a str,
    /// Stands between the middle and `after`, where the middle is not empty; less where it does not fit.
    pub(super) joint: &'a str,
    pub(super) after: &'a str,
    pub(super) keep: Keep,
    pub(super) borders: Borders,
}

/// A region that has the length asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fitted {
    pub(super) text: String,
    /// Bytes of the adjustable text that are left.
    pub(super) kept: usize,
}

/// Short words that are one id in most vocabularies.
const FILLERS: [&str; 12] =
    [" and", " so", " on", " as", " well", " too", " then", " or", " not", " in", " due", " time"];
/// Single characters that are one id in any Qwen vocabulary.
const LAST_FILLERS: [&str; 3] = ["7", "4", "9"];
/// Words tried at each step before the digits.
const TRIES: usize = 4;
/// Shorter cuts that are tried where fillers do not reach the length.
const STEPS_BACK: usize = 12;

impl Region<'_> {
    /// The region with exactly `target` ids; `None` if even the empty middle has more, or nothing fits.
    pub(super) fn fit(
        &self,
        tokenizer: &dyn Tokenizer,
        target: usize,
    ) -> Result<Option<Fitted>, TokenizerError> {
        let cuts = self.cuts();
        // Invariant of the search: the cut at `low` has at most `target` ids.
        let (mut low, mut high) = (0, cuts.len());
        if self.count(tokenizer, cuts[0], "")? > target {
            return Ok(None);
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match self.count(tokenizer, cuts[middle], "")? <= target {
                true => low = middle,
                false => high = middle,
            }
        }
        for joint in [self.joint, " ", ""] {
            let region = Region { joint, ..*self };
            for cut in cuts[..=low].iter().rev().take(STEPS_BACK) {
                if let Some(filler) = region.filler(tokenizer, cut, target)? {
                    return Ok(Some(Fitted { text: region.assembled(cut, &filler), kept: cut.len() }));
                }
            }
        }
        Ok(None)
    }

    /// Every allowed cut, from nothing to all.
    fn cuts(&self) -> Vec<&str> {
        let text = self.flexible;
        let part = |at: usize| match self.keep {
            Keep::Head => text[..at].trim_end(),
            Keep::Tail => text[at..].trim_start(),
        };
        let mut cuts: Vec<&str> = self.places().into_iter().map(part).collect();
        if self.keep == Keep::Tail {
            cuts.reverse();
        }
        cuts.dedup();
        cuts
    }

    fn places(&self) -> Vec<usize> {
        let text = self.flexible;
        let breaks = |c: char| c.is_whitespace() || c >= '\u{2E80}';
        let mut places: Vec<usize> = vec![0];
        let mut previous = None;
        for (at, c) in text.char_indices() {
            let between_words = previous.is_some_and(|p| breaks(p) != breaks(c) || breaks(c));
            if at > 0 && (self.borders == Borders::Characters || between_words) {
                places.push(at);
            }
            previous = Some(c);
        }
        places.push(text.len());
        places.dedup();
        places
    }

    /// Words that bring the region with `cut` to `target` ids. Ends, since each adds at least one id.
    fn filler(
        &self,
        tokenizer: &dyn Tokenizer,
        cut: &str,
        target: usize,
    ) -> Result<Option<String>, TokenizerError> {
        let mut filler = String::new();
        let mut have = self.count(tokenizer, cut, "")?;
        let mut step = 0;
        while have != target {
            let words = (0..TRIES).map(|i| FILLERS[(step + i) % FILLERS.len()]);
            let mut found = false;
            for piece in words.chain(LAST_FILLERS) {
                let longer = format!("{filler}{piece}");
                let count = self.count(tokenizer, cut, &longer)?;
                if have < count && count <= target {
                    (filler, have, found) = (longer, count, true);
                    break;
                }
            }
            if !found {
                return Ok(None);
            }
            step += 1;
        }
        Ok(Some(filler))
    }

    fn count(&self, tokenizer: &dyn Tokenizer, cut: &str, filler: &str) -> Result<usize, TokenizerError> {
        Ok(tokenizer.encode(&self.assembled(cut, filler))?.len())
    }

    fn assembled(&self, cut: &str, filler: &str) -> String {
        let filler = if cut.is_empty() { filler.trim_start() } else { filler };
        let joint = if cut.is_empty() && filler.is_empty() { "" } else { self.joint };
        match self.keep {
            Keep::Head => [self.before, cut, filler, joint, self.after].concat(),
            Keep::Tail => {
                let space = if cut.is_empty() || filler.is_empty() { "" } else { " " };
                [self.before, filler.trim_start(), space, cut, joint, self.after].concat()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tokenizer::fixture;
    use crate::tokenizer::stand_in::StandIn;

    fn region(flexible: &str, keep: Keep) -> Region<'_> {
        Region { before: "Note: ", flexible, joint: "\n\n", after: "End.", keep, borders: Borders::Words }
    }

    #[test]
    fn words_stay_whole_and_the_joint_goes_with_the_middle() {
        let tokenizer = StandIn::new(1000);
        let text = "one two three four";
        let head = region(text, Keep::Head).fit(&tokenizer, 7).unwrap().unwrap();
        assert_eq!((head.text.as_str(), head.kept), ("Note: one two\n\nEnd.", 7));
        let tail = region(text, Keep::Tail).fit(&tokenizer, 7).unwrap().unwrap();
        assert_eq!(tail.text, "Note: three four\n\nEnd.");
        // No room for the joint: a single id goes without it.
        assert_eq!(region(text, Keep::Head).fit(&tokenizer, 5).unwrap().unwrap().text, "Note: and End.");
        assert_eq!(region(text, Keep::Head).fit(&tokenizer, 3).unwrap(), None);
    }

    #[test]
    fn what_the_text_does_not_fill_is_filled_with_words() {
        let tokenizer = StandIn::new(1000);
        let fitted = region("one two", Keep::Head).fit(&tokenizer, 10).unwrap().unwrap();
        assert_eq!(fitted.text, "Note: one two and so on\n\nEnd.");
        assert_eq!(tokenizer.encode(&fitted.text).unwrap().len(), 10);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_length_above_the_empty_middle_is_met(target in 12usize..160, start in 0usize..2000) {
            let text = include_str!("../../tests/fixtures/corpus/02-visits.md");
            let text = &text[text.ceil_char_boundary(start)..];
            let (stand_in, bpe) = (StandIn::new(512), fixture::bpe(fixture::QWEN2_REGEX));
            let tokenizers: [&dyn Tokenizer; 2] = [&stand_in, &bpe];
            for tokenizer in tokenizers {
                for keep in [Keep::Head, Keep::Tail] {
                    let fitted = region(text, keep).fit(tokenizer, target).unwrap().expect("it fits");
                    prop_assert_eq!(tokenizer.encode(&fitted.text).unwrap().len(), target);
                }
            }
        }
    }
}
