//! The names of a corpus: words with a capital inside sentences that hardly ever occur without it.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::words::{MONTHS, WEEKDAYS};

/// How often a name occurs with a capital for each time it occurs without one.
const CAPITALS_PER_PLAIN: usize = 5;
/// Letters of the shortest name.
const SHORTEST_NAME: usize = 3;
/// The corpus is about a name that stands in one of so many documents.
const DOCUMENTS_PER_SUBJECT: usize = 3;

/// What copying has to know of the words of a corpus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lexicon {
    /// Place of each name among the names; the subject's is 0, also where there is none.
    names: HashMap<String, usize>,
    subject: Option<String>,
    /// Every word, in lower case.
    words: HashSet<String>,
    /// Words that occur without a capital.
    plain: HashSet<String>,
}

/// A word and where it stands.
struct Place<'a> {
    word: &'a str,
    document: usize,
    /// Whether a capital here means a name, not the start of a sentence.
    inside: bool,
}

impl Lexicon {
    /// Reads the texts of a corpus, without markers.
    pub(super) fn of(texts: &[&str]) -> Self {
        let places: Vec<Place<'_>> =
            (0..).zip(texts).flat_map(|(document, text)| places(text, document)).collect();
        let names = names(&places);
        let subject = subject(&names, &places, texts.len());
        let slots = subject.iter().chain(names.iter().filter(|name| Some(*name) != subject.as_ref()));
        let first = usize::from(subject.is_none());
        let plain = places.iter().filter(|place| !is_capital(place.word));
        Self {
            names: slots.cloned().zip(first..).collect(),
            words: places.iter().map(|place| place.word.to_lowercase()).collect(),
            plain: plain.map(|place| place.word.to_owned()).collect(),
            subject,
        }
    }

    /// What the corpus is about, e.g. the company: the first name it mentions that stands in a third of its
    /// documents. `None` where no name does.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Every name, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// Names that a copy needs.
    pub(super) fn slots(&self) -> u64 {
        self.names.len() as u64 + u64::from(self.subject.is_none())
    }

    /// Place of a name, and whether it stands in the plural; `None` for other words.
    pub(super) fn name(&self, word: &str) -> Option<Named> {
        if let Some(slot) = self.names.get(word) {
            return Some(Named { slot: *slot, plural: false });
        }
        let slot = self.names.get(word.strip_suffix('s')?)?;
        Some(Named { slot: *slot, plural: true })
    }

    /// Whether the corpus has this word, in whatever case.
    pub(super) fn has(&self, word: &str) -> bool {
        self.words.contains(&word.to_lowercase())
    }

    /// Whether this word, which has a capital here, occurs without it.
    pub(super) fn is_plain(&self, word: &str) -> bool {
        self.plain.contains(&word.to_lowercase())
    }
}

/// A name as it stands in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) slot: usize,
    pub(super) plural: bool,
}

/// The words of a text: runs of letters and digits; a number keeps the marks between its digits.
pub(super) fn word_ranges(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + text[from..].find(char::is_alphanumeric)?;
        let mut end = start + run(&text[start..]);
        while text[start..end].ends_with(|c: char| c.is_ascii_digit())
            && continues(&text[start..], end - start)
        {
            end += 1 + run(&text[end + 1..]);
        }
        from = end;
        Some(start..end)
    })
}

fn run(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len())
}

/// Whether a number that ends here goes on after one mark.
fn continues(text: &str, end: usize) -> bool {
    let is_number = text[..end].chars().all(|c| c.is_ascii_digit() || ".,:".contains(c));
    is_number
        && text[end..].starts_with(['.', ',', ':'])
        && text[end + 1..].starts_with(|c: char| c.is_ascii_digit())
}

fn places(text: &str, document: usize) -> impl Iterator<Item = Place<'_>> {
    word_ranges(text).map(move |range| {
        let before = &text[..range.start];
        let joined = before.strip_suffix(' ').unwrap_or_default();
        let inside = joined.ends_with(|c: char| c.is_alphanumeric() || ",;)".contains(c));
        Place { word: &text[range], document, inside }
    })
}

fn is_capital(word: &str) -> bool {
    word.starts_with(char::is_uppercase)
}

fn has_calendar(word: &str) -> bool {
    let singular = word.strip_suffix('s').unwrap_or(word);
    MONTHS.contains(&word) || WEEKDAYS.contains(&singular)
}

/// The names, in the order in which they first stand inside a sentence.
fn names(places: &[Place<'_>]) -> Vec<String> {
    let (mut capitals, mut plain) = (HashMap::<&str, usize>::new(), HashMap::<&str, usize>::new());
    let mut order = Vec::new();
    for place in places {
        let has_lower = place.word.contains(char::is_lowercase);
        if !is_capital(place.word) {
            *plain.entry(place.word).or_default() += 1;
        } else if place.inside && has_lower && place.word.chars().all(char::is_alphabetic) {
            let count = capitals.entry(place.word).or_default();
            *count += 1;
            if *count == 1 {
                order.push(place.word);
            }
        }
    }
    let is_name = |word: &str| {
        let lower = plain.get(word.to_lowercase().as_str()).copied().unwrap_or(0);
        let capital = capitals.get(word).copied().unwrap_or(0);
        capital > 0 && capital >= CAPITALS_PER_PLAIN * lower
    };
    let singular = |word: &str| word.strip_suffix('s').is_some_and(&is_name);
    let long = |word: &str| word.chars().count() >= SHORTEST_NAME;
    let kept = order.into_iter().filter(|word| long(word) && is_name(word) && !singular(word));
    kept.filter(|word| !has_calendar(word)).map(String::from).collect()
}

fn subject(names: &[String], places: &[Place<'_>], documents: usize) -> Option<String> {
    let known: HashSet<&str> = names.iter().map(String::as_str).collect();
    let (mut order, mut within) = (Vec::new(), HashMap::<&str, HashSet<usize>>::new());
    for place in places.iter().filter(|place| known.contains(place.word)) {
        let found = within.entry(place.word).or_default();
        if found.is_empty() {
            order.push(place.word);
        }
        found.insert(place.document);
    }
    let often = |name: &&str| within[name].len() * DOCUMENTS_PER_SUBJECT >= documents;
    order.into_iter().find(often).map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_letters_and_digits_and_numbers_keep_their_marks() {
        let text = "At 07:30, Kite's E-903 costs 1,400.50 (v3.6.2) or 19C. 水泵 5. 7";
        let words: Vec<&str> = word_ranges(text).map(|range| &text[range]).collect();
        let expected = [
            "At", "07:30", "Kite", "s", "E", "903", "costs", "1,400.50", "v3", "6.2", "or", "19C", "水泵",
            "5", "7",
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn names_are_told_from_first_words_months_and_shorthand() {
        let texts =
            ["The Tern is made by Quarry on Monday. Boilers of the Tern have a PIN. Two Terns in March."];
        let lexicon = Lexicon::of(&texts);
        let mut names: Vec<&str> = lexicon.names().collect();
        names.sort_unstable();
        assert_eq!(names, ["Quarry", "Tern"]);
        assert_eq!(lexicon.subject(), Some("Tern"));
        assert_eq!(lexicon.name("Terns"), Some(Named { slot: 0, plural: true }));
        assert!(lexicon.is_plain("Made") && !lexicon.is_plain("Boilers"));
    }

    #[test]
    fn a_text_without_names_has_room_for_one() {
        let lexicon = Lexicon::of(&["水泵停止。", "all in lower case"]);
        assert_eq!((lexicon.subject(), lexicon.slots()), (None, 1));
    }
}
