//! A text that can be said in the words of any copy, whole or in part.

use std::collections::HashMap;
use std::ops::Range;

use super::cast::Cast;
use super::lexicon::{Lexicon, Named};
use super::numbers::{Spelled, ordinal_suffix};
use super::pieces::{Kind, Piece, names_subject, paragraph_starts, pieces};
use super::words::{MONTHS, NOUNS, OTHERS, WEEKDAYS};
use crate::prompts::markers::{Mark, Marked};

/// A text and its pieces.
#[derive(Clone, Debug)]
pub(super) struct Template {
    source: Marked,
    pieces: Vec<Piece>,
}

/// What is said for a piece that changes.
pub(super) trait Substitution {
    /// The new text of a piece; `text` is what stands there.
    fn said(&self, kind: Kind, text: &str) -> String;

    /// The name of what the copy is about.
    fn subject(&self) -> String {
        self.said(Kind::Name(Named { slot: 0, plural: false }), "")
    }
}

/// A text said otherwise.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// With its marks.
    pub(super) marked: Marked,
    /// Where each piece begins in it.
    starts: Vec<Start>,
}

/// Where a piece begins.
#[derive(Clone, Copy, Debug)]
struct Start {
    said: usize,
    source: usize,
    /// Whether its bytes are those of the source.
    same: bool,
}

impl Template {
    /// A document. Its paragraphs name the copy unless they name the subject.
    pub(super) fn document(source: Marked, lexicon: &Lexicon) -> Self {
        let openings = paragraph_starts(&source.text, lexicon);
        Self { pieces: pieces(&source.text, lexicon, &openings), source }
    }

    /// A question, which always names the copy.
    pub(super) fn question(text: &str, lexicon: &Lexicon) -> Self {
        let openings: &[usize] = if names_subject(text, lexicon) { &[] } else { &[0] };
        Self {
            pieces: pieces(text, lexicon, openings),
            source: Marked { text: text.into(), marks: Vec::new() },
        }
    }

    /// Some words, such as an answer.
    pub(super) fn phrase(text: &str, lexicon: &Lexicon) -> Self {
        Self { pieces: pieces(text, lexicon, &[]), source: Marked { text: text.into(), marks: Vec::new() } }
    }

    /// The text that it was made of.
    pub(super) fn source(&self) -> &Marked {
        &self.source
    }

    /// All of it, said otherwise.
    pub(super) fn said(&self, cast: &dyn Substitution) -> Said {
        self.said_within(0..self.source.text.len(), cast)
    }

    /// What these bytes of the source are said as. A piece that changes belongs to the part it begins in.
    pub(super) fn said_within(&self, part: Range<usize>, cast: &dyn Substitution) -> Said {
        let mut said = Said::default();
        let mut marks =
            self.source.marks.iter().filter(|mark| mark.at > part.start && mark.at <= part.end).peekable();
        let first = self.pieces.partition_point(|piece| piece.range.end < part.start);
        for (at, piece) in self.pieces.iter().enumerate().skip(first) {
            if piece.range.start >= part.end {
                break;
            }
            let whole = piece.range.start >= part.start;
            let range = piece.range.start.max(part.start)..piece.range.end;
            match piece.kind {
                Kind::Plain => {
                    let range = range.start..range.end.min(part.end);
                    said.add_plain(&self.source.text, range, &mut marks);
                }
                _ if whole => {
                    let text = self.piece_said(at, cast);
                    said.add(piece.range.start, false, &text);
                    while let Some(mark) = marks.next_if(|mark| mark.at <= piece.range.end) {
                        said.mark(mark);
                    }
                }
                _ => {}
            }
        }
        said
    }

    fn piece_said(&self, at: usize, cast: &dyn Substitution) -> String {
        let piece = &self.pieces[at];
        let text = &self.source.text[piece.range.clone()];
        match piece.kind {
            Kind::Plain => text.to_owned(),
            Kind::Lowered => with_first(text, |c| c.to_lowercase().collect()),
            Kind::Opening => format!("At {}, ", cast.subject()),
            Kind::Article => self.article(at, cast),
            kind if self.stands_first(at) => {
                let said = cast.said(kind, text);
                let is_name =
                    matches!(kind, Kind::Name(_) | Kind::Month(_) | Kind::Weekday { .. } | Kind::Code);
                if is_name { said } else { with_first(&said, |c| c.to_lowercase().collect()) }
            }
            kind => cast.said(kind, text),
        }
    }

    /// Whether the copy's opening stands right before it, so that the sentence no longer begins here.
    fn stands_first(&self, at: usize) -> bool {
        at.checked_sub(1).is_some_and(|before| self.pieces[before].kind == Kind::Opening)
    }

    /// `a` or `an`, as the word after it asks for.
    fn article(&self, at: usize, cast: &dyn Substitution) -> String {
        let piece = &self.pieces[at];
        // Behind an article come a space and what changes.
        let next = self.pieces.get(at + 2).map(|_| self.piece_said(at + 2, cast)).unwrap_or_default();
        let is_upper = self.source.text[piece.range.clone()].starts_with('A') && !self.stands_first(at);
        let article = if begins_with_vowel(&next) { "an" } else { "a" };
        if is_upper { with_first(article, |c| c.to_uppercase().collect()) } else { article.to_owned() }
    }

    /// Values of the numbers in it, however they are written.
    pub(super) fn values(&self) -> Vec<String> {
        let value = |piece: &Piece| {
            let text = &self.source.text[piece.range.clone()];
            match piece.kind {
                Kind::Number => Some(text.replace(',', "")),
                Kind::Ordinal | Kind::Day => Some(text.trim_end_matches(char::is_alphabetic).to_owned()),
                Kind::Spelled(spelled) => Some(spelled.value.to_string()),
                Kind::Clock(minutes) => Some(format!("{minutes} minutes after midnight")),
                Kind::Code => Some(text.to_uppercase()),
                _ => None,
            }
        };
        self.pieces.iter().filter_map(value).collect()
    }
}

impl Said {
    fn add(&mut self, source: usize, same: bool, text: &str) {
        self.starts.push(Start { said: self.marked.text.len(), source, same });
        self.marked.text.push_str(text);
    }

    fn mark(&mut self, mark: &Mark) {
        self.marked.marks.push(Mark { fact: mark.fact.clone(), at: self.marked.text.trim_end().len() });
    }

    fn add_plain<'m>(
        &mut self,
        source: &str,
        range: Range<usize>,
        marks: &mut std::iter::Peekable<impl Iterator<Item = &'m Mark>>,
    ) {
        let mut from = range.start;
        while let Some(mark) = marks.next_if(|mark| mark.at <= range.end) {
            self.add(from, true, &source[from..mark.at.max(from)]);
            from = mark.at.max(from);
            self.mark(mark);
        }
        self.add(from, true, &source[from..range.end]);
    }

    /// The byte of the source that is said at byte `at`; inside a piece that changed, the piece's first.
    pub(super) fn source_of(&self, at: usize) -> usize {
        let next = self.starts.partition_point(|start| start.said <= at);
        let Some(start) = next.checked_sub(1).map(|last| self.starts[last]) else { return 0 };
        if start.same { start.source + (at - start.said) } else { start.source }
    }
}

impl Substitution for Cast<'_> {
    fn said(&self, kind: Kind, text: &str) -> String {
        let new = match kind {
            Kind::Name(named) => return with_plural(self.name(named.slot), named.plural),
            Kind::Number => return self.year(text).unwrap_or_else(|| self.number(text)),
            Kind::Ordinal => return self.ordinal(text.trim_end_matches(char::is_alphabetic)),
            Kind::Code => return self.code(text),
            Kind::Day => return self.day_said(text),
            Kind::Clock(minutes) => return clock_said(self.clock(minutes), text),
            Kind::Month(at) => return MONTHS[self.turned("month", 0, at, MONTHS.len())].to_owned(),
            Kind::Weekday { at, plural } => {
                let day = WEEKDAYS[self.turned("weekday", 0, at, WEEKDAYS.len())];
                return with_plural(day.to_owned(), plural);
            }
            Kind::Spelled(spelled) => Spelled { value: self.small(spelled.value), ..spelled }.written(),
            Kind::Noun { group, at, plural } => {
                let (singular, many) = NOUNS[group][self.turned("noun", group, at, NOUNS[group].len())];
                (if plural { many } else { singular }).to_owned()
            }
            Kind::Other { group, at } => {
                OTHERS[group][self.turned("other", group, at, OTHERS[group].len())].to_owned()
            }
            Kind::Plain | Kind::Lowered | Kind::Opening | Kind::Article => text.to_owned(),
        };
        let is_upper = text.starts_with(char::is_uppercase);
        if is_upper { with_first(&new, |c| c.to_uppercase().collect()) } else { new }
    }
}

impl Cast<'_> {
    fn day_said(&self, text: &str) -> String {
        let digits = text.trim_end_matches(char::is_alphabetic);
        let Ok(day) = digits.parse() else { return text.to_owned() };
        let new = self.day(day).to_string();
        let suffix = if digits == text { "" } else { ordinal_suffix(&new) };
        new + suffix
    }
}

/// For each piece the longest of what several copies say, as `cost` has it.
pub(super) struct Costliest<'a> {
    casts: Vec<Cast<'a>>,
    cost: &'a dyn Fn(&str) -> usize,
    known: std::cell::RefCell<HashMap<String, String>>,
}

impl<'a> Costliest<'a> {
    pub(super) fn new(casts: Vec<Cast<'a>>, cost: &'a dyn Fn(&str) -> usize) -> Self {
        Self { casts, cost, known: Default::default() }
    }
}

impl Substitution for Costliest<'_> {
    fn said(&self, kind: Kind, text: &str) -> String {
        // The name of the subject is asked for without a text.
        let key = format!("{kind:?} {text}");
        if let Some(known) = self.known.borrow().get(&key) {
            return known.clone();
        }
        let said = self.casts.iter().map(|cast| cast.said(kind, text));
        let costliest = said.max_by_key(|said| (self.cost)(&format!(" {said}"))).unwrap_or_default();
        self.known.borrow_mut().insert(key, costliest.clone());
        costliest
    }
}

fn clock_said(minutes: u16, like: &str) -> String {
    let (hour, minute) = (minutes / 60, minutes % 60);
    if like.starts_with('0') || like.len() == 5 {
        format!("{hour:02}:{minute:02}")
    } else {
        format!("{hour}:{minute:02}")
    }
}

fn with_plural(mut word: String, plural: bool) -> String {
    if plural {
        word.push('s');
    }
    word
}

fn with_first(word: &str, change: impl Fn(char) -> String) -> String {
    let mut chars = word.chars();
    chars.next().map_or(String::new(), |first| change(first) + chars.as_str())
}

fn begins_with_vowel(word: &str) -> bool {
    let number = word.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    word.starts_with(['a', 'e', 'i', 'o', 'A', 'E', 'I', 'O'])
        || number.starts_with('8')
        || ["11", "18"].contains(&number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_fact(id: &str) -> bool {
        id.starts_with("F-")
    }

    const TEXT: &str = "# Terms\n\nAn hour of an eight-man team costs 64 cr on 3 June. [F-1] The Tern lasts 38 months. [F-2]\n\n\
        Ask Mara: \"The Tern is an Elm by Mara.\" It opens at 06:30, and Mara has 1,400 pumps.\n\n\
        The team has eight men, the team has 8. [F-3]";

    fn template() -> (Template, Lexicon) {
        let source = Marked::read(TEXT, &is_fact);
        let lexicon = Lexicon::of(&[&source.text]);
        (Template::document(source, &lexicon), lexicon)
    }

    #[test]
    fn a_copy_says_every_name_and_number_otherwise_and_always_the_same_way() {
        let (template, lexicon) = template();
        for copy in 1..50 {
            let cast = Cast::new(&lexicon, 5, copy);
            let said = template.said(&cast).marked.written();
            assert!(!said.contains("Tern") && !said.contains("Mara") && !said.contains(" 38"), "{said}");
            assert_eq!(said.matches(&cast.name(0)).count(), 3, "{said}");
            let (word, digit) = (said.rfind("has ").unwrap(), cast.small(8));
            let expected = format!("has {digit}. [F-3]");
            assert_eq!(&said[word..], expected);
            assert!(!said.contains("an b") && !said.contains("a eight") && said.contains("[F-1]"), "{said}");
        }
    }

    #[test]
    fn the_parts_of_a_text_make_the_whole_wherever_it_is_cut() {
        let (template, lexicon) = template();
        let cast = Cast::new(&lexicon, 5, 3);
        let whole = template.said(&cast);
        let length = template.source().text.len();
        for cut in 0..=length {
            let parts = [template.said_within(0..cut, &cast), template.said_within(cut..length, &cast)];
            assert_eq!(
                parts.iter().map(|part| part.marked.text.as_str()).collect::<String>(),
                whole.marked.text
            );
            let facts = parts.iter().flat_map(|part| part.marked.marks.iter().map(|mark| mark.fact.clone()));
            assert_eq!(facts.collect::<Vec<_>>(), ["F-1", "F-2", "F-3"], "{cut}");
        }
    }

    #[test]
    fn places_in_a_copy_are_found_in_the_source() {
        let (template, lexicon) = template();
        let said = template.said(&Cast::new(&lexicon, 5, 3));
        for word in ["team costs", "lasts", "It opens", "men,"] {
            let at = said.source_of(said.marked.text.find(word).unwrap());
            assert!(template.source().text[at..].starts_with(word), "{word}");
        }
    }
}
