//! Sections cut into passages of the size a retriever would return.

use super::documents::{Document, Section};
use super::markers::Marked;

/// Words that a passage has at most; only a short rest may push it a little further.
const MOST_WORDS: usize = 250;
/// A rest below this joins the passage before it.
const FEWEST_WORDS: usize = 60;
/// Bytes that count as a word where text has no borders at all.
const BYTES_PER_UNBROKEN_WORD: usize = 32;
/// Bytes of a part of such text.
const BYTES_PER_PART: usize = 1000;
/// First code point of scripts that are written without spaces.
const WIDE_FROM: char = '\u{2E80}';

/// A piece of the corpus that can stand in a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Document, section and number inside it, e.g. `04-returns.md/Returns: Return windows/1`.
    pub id: String,
    /// Title of document and section.
    pub title: String,
    /// The text, without fact markers.
    pub text: String,
    /// Ids of the facts that the text states.
    pub facts: Vec<String>,
}

/// Cuts a document into passages. `is_fact` tells which bracketed words are markers of facts.
pub fn cut(document: &Document, is_fact: &dyn Fn(&str) -> bool) -> Vec<Passage> {
    let mut passages = Vec::new();
    for section in document.sections() {
        for (number, text) in (1..).zip(grouped(&section)) {
            let marked = Marked::read(&text, is_fact);
            let facts = marked.marks.into_iter().map(|mark| mark.fact).collect();
            let id = format!("{}/{}/{number}", document.name, section.title);
            passages.push(Passage { id, title: section.title.clone(), text: marked.text, facts });
        }
    }
    passages.retain(|passage| !passage.text.trim().is_empty());
    passages
}

/// Paragraphs joined up to [`MOST_WORDS`]; one that is longer is cut between sentences first.
fn grouped(section: &Section) -> Vec<String> {
    let mut groups: Vec<String> = Vec::new();
    let pieces = section.paragraphs.iter().flat_map(|paragraph| split_long(paragraph));
    for piece in pieces {
        match groups.last_mut() {
            Some(group) if words(group) + words(&piece) <= MOST_WORDS => {
                group.push_str("\n\n");
                group.push_str(&piece);
            }
            _ => groups.push(piece),
        }
    }
    if groups.len() > 1
        && let Some(rest) = groups.pop_if(|last| words(last) < FEWEST_WORDS)
        && let Some(before) = groups.last_mut()
    {
        before.push_str("\n\n");
        before.push_str(&rest);
    }
    groups
}

fn split_long(paragraph: &str) -> Vec<String> {
    if words(paragraph) <= MOST_WORDS {
        return vec![paragraph.to_owned()];
    }
    let mut parts: Vec<String> = vec![String::new()];
    for piece in sentences(paragraph).flat_map(split_hard) {
        match parts.last_mut() {
            Some(part) if part.is_empty() || words(part) + words(piece) <= MOST_WORDS => part.push_str(piece),
            _ => parts.push(piece.to_owned()),
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// Cuts what has no sentence border, wherever a character ends.
fn split_hard(sentence: &str) -> Vec<&str> {
    let (mut parts, mut rest) = (Vec::new(), sentence);
    while words(rest) > MOST_WORDS {
        let at = rest.floor_char_boundary(BYTES_PER_PART);
        let border = rest[..at].rfind(char::is_whitespace).filter(|border| *border > 0).unwrap_or(at);
        let (part, tail) = rest.split_at(border);
        parts.push(part);
        rest = tail;
    }
    parts.push(rest);
    parts
}

/// The sentences of a paragraph, each with the space after it.
pub fn sentences(paragraph: &str) -> impl Iterator<Item = &str> {
    let mut rest = paragraph;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (sentence, tail) = rest.split_at(sentence_end(rest));
        rest = tail;
        Some(sentence)
    })
}

/// Byte after the first sentence: at a full stop and a space before a capital, a wide full stop, or a line's end.
fn sentence_end(text: &str) -> usize {
    let mut chars = text.char_indices().peekable();
    while let Some((_, c)) = chars.next() {
        let after = chars.peek().map_or(text.len(), |(at, _)| *at);
        match c {
            '\n' | '。' | '！' | '？' => return after,
            '.' | '!' | '?' if text[after..].starts_with(' ') => {
                let next = text[after..].trim_start().chars().next();
                if !next.is_some_and(|c| c.is_lowercase() || c.is_numeric()) {
                    return after + 1;
                }
            }
            _ => {}
        }
    }
    text.len()
}

/// Length in words; two ideographs count as one, and text without any border by its bytes.
fn words(text: &str) -> usize {
    let wide = text.chars().filter(|c| *c >= WIDE_FROM).count();
    (text.split_whitespace().count() + wide / 2).max(text.len() / BYTES_PER_UNBROKEN_WORD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passages(text: &str) -> Vec<Passage> {
        cut(&Document { name: "d.md".into(), text: text.into() }, &|id| ["F-0101", "F-0102"].contains(&id))
    }

    #[test]
    fn markers_are_taken_out_and_remembered() {
        let text = "# T\n## S\nIt lasts 38 months. [F-0101] See [1] and [F-x\n\nTen. [F-0102]";
        let [passage] = &passages(text)[..] else { panic!("one passage") };
        assert_eq!(passage.text, "It lasts 38 months. See [1] and [F-x\n\nTen.");
        assert_eq!(passage.facts, ["F-0101", "F-0102"]);
        assert_eq!((passage.id.as_str(), passage.title.as_str()), ("d.md/T: S/1", "T: S"));
    }

    #[test]
    fn passages_end_at_paragraphs_and_lose_no_word() {
        let paragraph = |n: usize| format!("P{n} {}", "word ".repeat(89).trim_end());
        let text = (0..7).map(paragraph).collect::<Vec<_>>().join("\n\n");
        let found = passages(&text);
        let counts: Vec<usize> = found.iter().map(|p| words(&p.text)).collect();
        assert_eq!(counts, [180, 180, 180, 90]);
        assert_eq!(found.iter().map(|p| p.text.as_str()).collect::<Vec<_>>().join("\n\n"), text);
    }

    #[test]
    fn long_paragraphs_are_cut_between_sentences_in_any_script() {
        let english = "One two three four five, as no. 3 says. ".repeat(100);
        assert!(passages(&english).iter().all(|p| words(&p.text) <= MOST_WORDS + FEWEST_WORDS));
        assert!(passages(&english).iter().all(|p| p.text.starts_with("One") && p.text.ends_with('.')));
        let chinese = "水泵每九十天检查一次。".repeat(300);
        let found = passages(&chinese);
        assert!(found.len() > 3 && found.iter().all(|p| p.text.ends_with('。')));
        let unbroken = "x".repeat(20_000);
        let found = passages(&unbroken);
        assert_eq!(found.iter().map(|p| p.text.matches('x').count()).sum::<usize>(), 20_000);
    }
}
