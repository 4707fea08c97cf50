//! What one copy says instead: a name for each name, a number for each number, the same wherever it stands.

use super::lexicon::Lexicon;
use super::numbers::ordinal_suffix;
use super::words::{CONSONANTS, ENDS, VOWELS};
use crate::prompts::mixing::mixed;

/// Syllables of a consonant and a vowel.
const SYLLABLES: u64 = (CONSONANTS.len() * VOWELS.len()) as u64;
/// Digits of the longest number that is exchanged.
const MOST_DIGITS: usize = 18;
/// Years that are moved as years, so that their order stays.
const YEARS: std::ops::RangeInclusive<u32> = 1900..=2099;
/// Most years that a copy goes back.
const YEARS_BACK: u64 = 25;
/// Minutes of a day, and the step by which a copy's clocks differ.
const DAY_MINUTES: u64 = 1440;
const CLOCK_STEP: u64 = 15;

/// The substitutions of copy `copy`; they follow from (seed, copy) alone.
pub(super) struct Cast<'a> {
    lexicon: &'a Lexicon,
    seed: u64,
    copy: u64,
    key: u64,
    /// Numbers of one and of two digits, each by its value. None stays; 0 and 1 do.
    ones: [u8; 10],
    twos: [u8; 100],
}

impl<'a> Cast<'a> {
    /// `copy` counts from 1.
    pub(super) fn new(lexicon: &'a Lexicon, seed: u64, copy: u64) -> Self {
        let key = mixed(seed, "copy", copy);
        let mut ones = std::array::from_fn(|value| value as u8);
        let mut twos = std::array::from_fn(|value| value as u8);
        make_cyclic(&mut ones[2..], mixed(key, "ones", 0));
        make_cyclic(&mut twos[10..], mixed(key, "twos", 0));
        Self { lexicon, seed, copy, key, ones, twos }
    }

    /// A number in `[1, of)` for one purpose of this copy; `of` is at least 2.
    fn step(&self, purpose: &str, index: u64, of: u64) -> u64 {
        1 + mixed(self.key, purpose, index) % (of - 1)
    }

    /// The place that stands for place `at` among `of` words of a kind; never itself.
    pub(super) fn turned(&self, kind: &str, group: usize, at: usize, of: usize) -> usize {
        (at + self.step(kind, group as u64, of as u64) as usize) % of
    }

    /// The name in a slot: unlike any word of the corpus, and unlike the name of any slot of any copy.
    pub(super) fn name(&self, slot: usize) -> String {
        let mut number = (self.copy - 1) * self.lexicon.slots() + slot as u64;
        let mut syllables = 2;
        while number >= space(syllables) {
            number -= space(syllables);
            syllables += 1;
        }
        let name = composed(shuffled(self.seed, number, space(syllables)), syllables);
        // No name of the list ends so.
        if self.lexicon.has(&name) { format!("{name}ix") } else { name }
    }

    /// The value of a number of one or two digits.
    pub(super) fn small(&self, value: u8) -> u8 {
        match value {
            0..10 => self.ones[usize::from(value)],
            _ => self.twos.get(usize::from(value)).copied().unwrap_or(value),
        }
    }

    /// A number in digits, with the marks inside it: as many digits as before, the same marks and zeros in
    /// front, and where it is long, the same zeros behind.
    pub(super) fn number(&self, text: &str) -> String {
        if text.matches('.').count() > 1 {
            return text.split('.').map(|part| self.number(part)).collect::<Vec<_>>().join(".");
        }
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        let mut new = self.digits(&digits).into_bytes().into_iter();
        let digit = |c: char| if c.is_ascii_digit() { new.next().map_or(c, char::from) } else { c };
        text.chars().map(digit).collect()
    }

    fn digits(&self, digits: &str) -> String {
        let value = digits.trim_start_matches('0');
        let zeros = &digits[..digits.len() - value.len()];
        let core = value.trim_end_matches('0');
        let core = &value[..core.len().max(2).min(value.len())];
        let new = match (value.len(), core.parse::<u64>()) {
            (1..=2, Ok(small)) => self.small(small as u8).to_string(),
            (3..=MOST_DIGITS, Ok(small)) if core.len() == 2 => self.small(small as u8).to_string(),
            (3..=MOST_DIGITS, Ok(large)) => self.large(large, core.len()).to_string(),
            _ => return digits.to_owned(),
        };
        format!("{zeros}{new}{}", &value[core.len()..])
    }

    /// Another number of so many digits, three or more, that does not end in 0 either.
    fn large(&self, value: u64, digits: usize) -> u64 {
        let lowest = 10u64.pow(digits as u32 - 2);
        let numbers = 9 * 9 * lowest;
        let place = (value / 10 - lowest) * 9 + value % 10 - 1;
        let place = (place + self.step("large", digits as u64, numbers)) % numbers;
        (place / 9 + lowest) * 10 + place % 9 + 1
    }

    /// A number with the ending of an ordinal.
    pub(super) fn ordinal(&self, digits: &str) -> String {
        let new = self.number(digits);
        let suffix = ordinal_suffix(&new);
        new + suffix
    }

    /// Digits between letters, as in `E-903` or `K0277310`.
    pub(super) fn code(&self, text: &str) -> String {
        let mut new = String::with_capacity(text.len());
        for part in text.split_inclusive(|c: char| !c.is_ascii_digit()) {
            let digits = part.trim_end_matches(|c: char| !c.is_ascii_digit());
            new.push_str(&self.digits(digits));
            new.push_str(&part[digits.len()..]);
        }
        new
    }

    /// Another day of the month, up to the 28th.
    pub(super) fn day(&self, day: u8) -> u8 {
        ((u64::from(day) - 1 + self.step("day", 0, 28)) % 28 + 1) as u8
    }

    /// An earlier year; `None` for a number that is no year.
    pub(super) fn year(&self, text: &str) -> Option<String> {
        let year = text.parse().ok().filter(|year| text.len() == 4 && YEARS.contains(year))?;
        Some((year - self.step("year", 0, YEARS_BACK) as u32).to_string())
    }

    /// Another time of the day, in minutes after midnight.
    pub(super) fn clock(&self, minutes: u16) -> u16 {
        let steps = self.step("clock", 0, DAY_MINUTES / CLOCK_STEP);
        ((u64::from(minutes) + steps * CLOCK_STEP) % DAY_MINUTES) as u16
    }
}

/// Makes a list a permutation of itself in one cycle (Sattolo), so that no entry keeps its place.
fn make_cyclic(values: &mut [u8], key: u64) {
    for at in (1..values.len()).rev() {
        values.swap(at, (mixed(key, "", at as u64) % at as u64) as usize);
    }
}

/// Names of so many syllables before their end.
fn space(syllables: u32) -> u64 {
    SYLLABLES.saturating_pow(syllables).saturating_mul(ENDS.len() as u64)
}

/// A permutation of `[0, space)` in which neighbours lie far apart. `space` has no prime factors but 2, 3 and 5.
fn shuffled(seed: u64, number: u64, space: u64) -> u64 {
    let golden = (space as f64 * 0.618_033_988_75) as u64 | 1;
    let step = (golden..).step_by(2).find(|step| step % 3 != 0 && step % 5 != 0).unwrap_or(1);
    let place = u128::from(number) * u128::from(step) + u128::from(mixed(seed, "names", space));
    (place % u128::from(space)) as u64
}

fn composed(mut place: u64, syllables: u32) -> String {
    let end = ENDS[(place % ENDS.len() as u64) as usize];
    place /= ENDS.len() as u64;
    let mut name = String::new();
    for _ in 0..syllables {
        let syllable = (place % SYLLABLES) as usize;
        place /= SYLLABLES;
        let consonant = CONSONANTS[syllable / VOWELS.len()];
        let first = if name.is_empty() { consonant.to_ascii_uppercase() } else { consonant };
        name.push(char::from(first));
        name.push(char::from(VOWELS[syllable % VOWELS.len()]));
    }
    name + end
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_name_is_given_twice() {
        let lexicon = Lexicon::of(&["We ask Ansa and Tobin, Kite and Loom."]);
        assert_eq!(lexicon.slots(), 4);
        let copies = [1..8001, 1_000_000..1_008_000];
        let cast = copies.into_iter().flatten().map(|copy| Cast::new(&lexicon, 7, copy));
        let names: Vec<String> = cast.flat_map(|cast| (0..4).map(move |slot| cast.name(slot))).collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), 64_000);
        let within = |end: &&&str| ENDS.iter().any(|other| other != *end && other.ends_with(**end));
        assert_eq!(ENDS.iter().find(within), None);
        assert_eq!(space(2) % 30, 0);
    }

    #[test]
    fn numbers_keep_their_form() {
        let lexicon = Lexicon::default();
        let cast = Cast::new(&lexicon, 3, 9);
        let form =
            |text: &str| text.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect::<String>();
        for text in ["2,300", "18.5", "0.4", "120,000", "3.6.2", "1.40", "007", "1860"] {
            let new = cast.number(text);
            assert!(new != text && form(&new) == form(text), "{text} -> {new}");
        }
        assert_eq!(cast.number("2,300").replace(',', ""), cast.number("2300"));
        assert!(cast.number("120,000").ends_with("0,000") && cast.number("0.4").starts_with("0."));
        assert_eq!([cast.number("1"), cast.number("0")], ["1", "0"]);
        assert_eq!(cast.code("K0277310").len(), 8);
        assert!(cast.year("1820").is_none() && cast.year("2017").unwrap().as_str() < "2017");
    }

    proptest! {
        #[test]
        fn two_numbers_never_become_one_and_none_stays(a in 2u64..2_000_000, b in 2u64..2_000_000, copy in 1u64..500) {
            let lexicon = Lexicon::default();
            let cast = Cast::new(&lexicon, 1, copy);
            let (new_a, new_b) = (cast.number(&a.to_string()), cast.number(&b.to_string()));
            prop_assert_ne!(&new_a, &a.to_string());
            prop_assert_eq!(a == b, new_a == new_b);
        }

        #[test]
        fn days_and_clocks_always_change(day in 1u8..32, minutes in 0u16..1440, copy in 1u64..500) {
            let lexicon = Lexicon::default();
            let cast = Cast::new(&lexicon, 1, copy);
            prop_assert!(cast.day(day) != day && (1..=28).contains(&cast.day(day)));
            prop_assert!(cast.clock(minutes) != minutes && cast.clock(minutes) < 1440);
        }
    }
}
