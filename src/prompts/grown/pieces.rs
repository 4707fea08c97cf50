//! A text as pieces: what a copy takes over, and what it says otherwise.

use std::ops::Range;

use super::lexicon::{Lexicon, Named, word_ranges};
use super::numbers::{Spelled, clock};
use super::words::{MONTHS, NOUNS, OTHERS, WEEKDAYS};

/// Some bytes of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) range: Range<usize>,
    pub(super) kind: Kind,
}

/// What the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Taken over.
    Plain,
    /// A first word that no longer stands first: its capital goes.
    Lowered,
    /// No bytes: here a copy says whose text this is.
    Opening,
    /// `a` or `an` before something that changes.
    Article,
    /// A name of the corpus.
    Name(Named),
    /// Digits, alone or with marks between them.
    Number,
    /// Digits with `st`, `nd`, `rd` or `th`.
    Ordinal,
    /// Digits among letters.
    Code,
    /// Day of a month that stands beside it.
    Day,
    /// Time of day, in minutes after midnight.
    Clock(u16),
    /// A number in words.
    Spelled(Spelled),
    /// Place in [`MONTHS`].
    Month(usize),
    /// Place in [`WEEKDAYS`].
    Weekday {
        /// The place.
        at: usize,
        /// Whether it is Mondays, not Monday.
        plural: bool,
    },
    /// A word of [`NOUNS`].
    Noun {
        /// Which list.
        group: usize,
        /// The place in it.
        at: usize,
        /// Whether it stands in the plural.
        plural: bool,
    },
    /// A word of [`OTHERS`].
    Other {
        /// Which list.
        group: usize,
        /// The place in it.
        at: usize,
    },
}

impl Kind {
    /// Whether a copy has other letters here.
    pub(super) fn changes(self) -> bool {
        !matches!(self, Self::Plain | Self::Lowered | Self::Opening | Self::Article)
    }
}

/// Cuts a text into pieces without a gap. `openings` are the places where a copy names itself.
pub(super) fn pieces(text: &str, lexicon: &Lexicon, openings: &[usize]) -> Vec<Piece> {
    let words = joined_words(text);
    let mut kinds: Vec<Kind> = (0..words.len()).map(|at| kind(text, &words, at, lexicon)).collect();
    mark_articles(text, &words, &mut kinds);
    for (word, kind) in words.iter().zip(&mut kinds) {
        let opens = *kind == Kind::Plain && openings.contains(&word.start);
        if opens && lexicon.is_plain(&text[word.clone()]) {
            *kind = Kind::Lowered;
        }
    }
    let mut cutter = Cutter { pieces: Vec::new(), done: 0 };
    for (word, kind) in words.into_iter().zip(kinds) {
        if openings.contains(&word.start) {
            cutter.push(word.start..word.start, Kind::Opening);
        }
        if kind != Kind::Plain {
            cutter.push(word, kind);
        }
    }
    cutter.push(text.len()..text.len(), Kind::Plain);
    cutter.pieces
}

struct Cutter {
    pieces: Vec<Piece>,
    done: usize,
}

impl Cutter {
    /// Adds a piece, and what lies before it as plain.
    fn push(&mut self, range: Range<usize>, kind: Kind) {
        if self.done < range.start {
            self.pieces.push(Piece { range: self.done..range.start, kind: Kind::Plain });
        }
        self.done = range.end;
        if !range.is_empty() || kind == Kind::Opening {
            self.pieces.push(Piece { range, kind });
        }
    }
}

/// The words, with `forty-five` as one.
fn joined_words(text: &str) -> Vec<Range<usize>> {
    let mut words: Vec<Range<usize>> = Vec::new();
    for range in word_ranges(text) {
        if let Some(last) = words.last_mut()
            && &text[last.end..range.start] == "-"
            && Spelled::read(&text[last.start..range.end].to_lowercase()).is_some()
        {
            last.end = range.end;
        } else {
            words.push(range);
        }
    }
    words
}

fn kind(text: &str, words: &[Range<usize>], at: usize, lexicon: &Lexicon) -> Kind {
    let word = &text[words[at].clone()];
    if let Some(named) = lexicon.name(word) {
        return Kind::Name(named);
    }
    if word.starts_with(|c: char| c.is_ascii_digit()) || word.contains(|c: char| c.is_ascii_digit()) {
        return digits_kind(text, words, at);
    }
    let singular = word.strip_suffix('s').unwrap_or(word);
    if let Some(at) = WEEKDAYS.iter().position(|day| *day == singular) {
        return Kind::Weekday { at, plural: singular != word };
    }
    if let Some(at) = MONTHS.iter().position(|month| *month == word) {
        return Kind::Month(at);
    }
    let lower = word.to_lowercase();
    Spelled::read(&lower).map(Kind::Spelled).or_else(|| listed(&lower)).unwrap_or(Kind::Plain)
}

fn listed(word: &str) -> Option<Kind> {
    for (group, nouns) in NOUNS.iter().enumerate() {
        if let Some(at) = nouns.iter().position(|(singular, plural)| [*singular, *plural].contains(&word)) {
            return Some(Kind::Noun { group, at, plural: nouns[at].1 == word });
        }
    }
    for (group, others) in OTHERS.iter().enumerate() {
        if let Some(at) = others.iter().position(|other| *other == word) {
            return Some(Kind::Other { group, at });
        }
    }
    None
}

fn digits_kind(text: &str, words: &[Range<usize>], at: usize) -> Kind {
    let word = &text[words[at].clone()];
    let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let is_plain = digits.chars().all(|c| c.is_ascii_digit() || ".,:".contains(c));
    let is_ordinal = is_plain && ["st", "nd", "rd", "th"].contains(&&word[digits.len()..]);
    if !is_ordinal && (!is_plain || digits != word) {
        return Kind::Code;
    }
    let beside = |other: Option<&Range<usize>>| {
        other.is_some_and(|range| {
            let gap = if range.start < words[at].start {
                &text[range.end..words[at].start]
            } else {
                &text[words[at].end..range.start]
            };
            gap == " " && (text[range.clone()] == *"May" || MONTHS.contains(&&text[range.clone()]))
        })
    };
    let before = at.checked_sub(1).and_then(|before| words.get(before));
    let is_day = digits.parse().is_ok_and(|day: u8| (1..=31).contains(&day));
    if is_day && (beside(before) || beside(words.get(at + 1))) {
        return Kind::Day;
    }
    if is_ordinal {
        return Kind::Ordinal;
    }
    if word == "100" && is_percent(&text[words[at].end..]) {
        return Kind::Plain;
    }
    clock(word).map_or(Kind::Number, Kind::Clock)
}

/// Whether what follows a number makes it a percentage: all of something stays all of it.
fn is_percent(rest: &str) -> bool {
    let rest = rest.trim_start();
    ["%", "percent", "per cent"].iter().any(|mark| rest.starts_with(mark))
}

fn mark_articles(text: &str, words: &[Range<usize>], kinds: &mut [Kind]) {
    for at in 1..words.len() {
        let (before, word) = (words[at - 1].clone(), words[at].clone());
        let is_article = ["a", "an", "A", "An"].contains(&&text[before.clone()]);
        if is_article && kinds[at].changes() && &text[before.end..word.start] == " " {
            kinds[at - 1] = Kind::Article;
        }
    }
}

/// Where paragraphs of prose begin that do not name the subject: blocks between blank lines that start with a
/// letter. Headings, tables, lists and code of Markdown are none.
pub(super) fn paragraph_starts(text: &str, lexicon: &Lexicon) -> Vec<usize> {
    let (mut starts, mut offset, mut fresh, mut in_code) = (Vec::new(), 0, true, false);
    for line in text.split_inclusive('\n') {
        in_code ^= line.starts_with("```");
        if fresh
            && !in_code
            && line.starts_with(char::is_alphabetic)
            && !names_subject(&text[offset..], lexicon)
        {
            starts.push(offset);
        }
        fresh = line.trim().is_empty() || line.starts_with('#');
        offset += line.len();
    }
    starts
}

/// Whether the paragraph that begins here holds the subject's name.
pub(super) fn names_subject(text: &str, lexicon: &Lexicon) -> bool {
    let end = text.find("\n\n").or_else(|| text.find("\n\r\n")).unwrap_or(text.len());
    let Some(subject) = lexicon.subject() else { return false };
    word_ranges(&text[..end]).any(|range| text[range].trim_end_matches('s') == subject.trim_end_matches('s'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(&str, Kind)> {
        let lexicon = Lexicon::of(&["By Tern and by Tern."]);
        let pieces = pieces(text, &lexicon, &[]);
        assert_eq!(pieces.iter().map(|p| &text[p.range.clone()]).collect::<String>(), text);
        pieces.into_iter().filter(|p| p.kind != Kind::Plain).map(|p| (&text[p.range], p.kind)).collect()
    }

    #[test]
    fn every_kind_is_known_by_its_form_and_its_neighbours() {
        let text =
            "A Tern at 07:30 on 3 June 2019, Mondays, twenty-five pumps, the 3rd code E31, 1,400 red cr.";
        let found = kinds(text);
        let named: Vec<&str> = found.iter().map(|(word, _)| *word).collect();
        let expected = [
            "A",
            "Tern",
            "07:30",
            "3",
            "June",
            "2019",
            "Mondays",
            "twenty-five",
            "pumps",
            "3rd",
            "E31",
            "1,400",
            "red",
        ];
        assert_eq!(named, expected);
        assert_eq!(found[0].1, Kind::Article);
        assert_eq!([found[2].1, found[3].1, found[5].1], [Kind::Clock(450), Kind::Day, Kind::Number]);
        assert_eq!([found[9].1, found[10].1], [Kind::Ordinal, Kind::Code]);
        assert_eq!(found[6].1, Kind::Weekday { at: 0, plural: true });
    }

    #[test]
    fn paragraphs_of_prose_open_unless_they_name_the_subject() {
        let text =
            "# Title\n\nFirst one.\nGoes on.\n\n| a |\n\nTern here.\n\n## H\nSecond.\n\n```\ncode\n```\n";
        let lexicon = Lexicon::of(&["By Tern and by Tern."]);
        let starts = paragraph_starts(text, &lexicon);
        let starts: Vec<&str> = starts.into_iter().map(|at| text[at..].lines().next().unwrap()).collect();
        assert_eq!(starts, ["First one.", "Second."]);
    }
}
