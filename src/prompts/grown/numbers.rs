//! Numbers as digits and as words: which value a word has, and how a value is spelled.

use super::words::{BELOW_TWENTY, ORDINALS, TENS, TENTHS};

/// A number in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spelled {
    pub(super) value: u8,
    pub(super) ordinal: bool,
}

impl Spelled {
    /// Reads `seven`, `forty-five`, `twelfth` and the like, in lower case. From two and fourth on: the numbers
    /// before are mostly other words (one another, second of all).
    pub(super) fn read(word: &str) -> Option<Self> {
        let found =
            |list: &[&str], word: &str| list.iter().position(|entry| *entry == word).map(|at| at as u8);
        if let Some(value) = found(BELOW_TWENTY, word).filter(|value| *value >= 2) {
            return Some(Self { value, ordinal: false });
        }
        if let Some(value) = found(ORDINALS, word).filter(|value| *value >= 4) {
            return Some(Self { value, ordinal: true });
        }
        if let Some(tens) = found(TENS, word).filter(|tens| *tens >= 2) {
            return Some(Self { value: 10 * tens, ordinal: false });
        }
        if let Some(tens) = found(TENTHS, word).filter(|tens| *tens >= 2) {
            return Some(Self { value: 10 * tens, ordinal: true });
        }
        let (tens, ones) = word.split_once('-')?;
        let tens = found(TENS, tens).filter(|tens| *tens >= 2)?;
        if let Some(ones) = found(&BELOW_TWENTY[..10], ones).filter(|ones| *ones >= 1) {
            return Some(Self { value: 10 * tens + ones, ordinal: false });
        }
        let ones = found(&ORDINALS[..10], ones).filter(|ones| *ones >= 1)?;
        Some(Self { value: 10 * tens + ones, ordinal: true })
    }

    /// The word, in lower case.
    pub(super) fn written(self) -> String {
        let last = if self.ordinal { ORDINALS } else { BELOW_TWENTY };
        let tens = if self.ordinal { TENTHS } else { TENS };
        let (first, ones) = (usize::from(self.value / 10), usize::from(self.value % 10));
        match (self.value, ones) {
            (0..20, _) => last[usize::from(self.value)].to_owned(),
            (_, 0) => tens[first].to_owned(),
            _ => format!("{}-{}", TENS[first], last[ones]),
        }
    }
}

/// The ending of an ordinal in digits.
pub(super) fn ordinal_suffix(digits: &str) -> &'static str {
    let teen = digits.len() >= 2 && digits.as_bytes()[digits.len() - 2] == b'1';
    match digits.as_bytes().last() {
        Some(b'1') if !teen => "st",
        Some(b'2') if !teen => "nd",
        Some(b'3') if !teen => "rd",
        _ => "th",
    }
}

/// Minutes after midnight of `7:30` or `07:30`.
pub(super) fn clock(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let (hour, minute): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    (minutes.len() == 2 && hours.len() <= 2 && hour < 24 && minute < 60).then_some(60 * hour + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_word_is_read_as_it_is_written() {
        for value in 4..100 {
            for ordinal in [false, true] {
                let spelled = Spelled { value, ordinal };
                assert_eq!(Spelled::read(&spelled.written()), Some(spelled), "{}", spelled.written());
            }
        }
        assert_eq!(Spelled::read("forty-five"), Some(Spelled { value: 45, ordinal: false }));
        assert!(
            ["one", "second", "forty-", "ten-two", "kite"].iter().all(|word| Spelled::read(word).is_none())
        );
    }

    #[test]
    fn ordinals_and_clocks_follow_their_rules() {
        let suffixes = ["1", "12", "22", "113", "4"].map(ordinal_suffix);
        assert_eq!(suffixes, ["st", "th", "nd", "th", "th"]);
        assert_eq!(
            [clock("06:30"), clock("6:30"), clock("25:00"), clock("3:1")],
            [Some(390), Some(390), None, None]
        );
    }
}
