//! Markers of facts, `[F-0412]`: taken out of a text with their places remembered, and put back in.

/// A text without markers, and where they stood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marked {
    /// The text.
    pub text: String,
    /// In the order of their places.
    pub marks: Vec<Mark>,
}

/// A fact that the text before this place states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Id of the fact.
    pub fact: String,
    /// Byte after the last character before the marker that is not white space.
    pub at: usize,
}

impl Marked {
    /// Takes `[F-0412]` and the space before it out of a text. `is_fact` tells which bracketed words are markers.
    pub fn read(text: &str, is_fact: &dyn Fn(&str) -> bool) -> Self {
        let (mut clean, mut marks) = (String::with_capacity(text.len()), Vec::new());
        let mut rest = text;
        while let Some(open) = rest.find('[') {
            let inside = rest[open + 1..].split_once(']').map(|(inside, _)| inside);
            let Some(id) = inside.filter(|id| is_fact(id)) else {
                clean.push_str(&rest[..=open]);
                rest = &rest[open + 1..];
                continue;
            };
            clean.push_str(rest[..open].trim_end_matches(' '));
            marks.push(Mark { fact: id.to_owned(), at: clean.trim_end().len() });
            rest = &rest[open + 2 + id.len()..];
        }
        clean.push_str(rest);
        Self { text: clean, marks }
    }

    /// The text with its markers, as [`Self::read`] takes it.
    pub fn written(&self) -> String {
        let mut text = String::with_capacity(self.text.len() + 16 * self.marks.len());
        let mut from = 0;
        for mark in &self.marks {
            text.push_str(&self.text[from..mark.at]);
            text.push_str(&format!(" [{}]", mark.fact));
            from = mark.at;
        }
        text.push_str(&self.text[from..]);
        text
    }

    /// Ids of the facts whose markers stand in these bytes, or right behind them.
    pub fn facts_within(&self, start: usize, end: usize) -> Vec<String> {
        let inside = self.marks.iter().filter(|mark| mark.at.max(1) > start && mark.at <= end);
        inside.map(|mark| mark.fact.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_fact(id: &str) -> bool {
        id.starts_with("F-")
    }

    #[test]
    fn a_text_is_the_same_after_its_markers_are_read_and_written() {
        let text = "It lasts 38 months. [F-1] See [1].\n\nTen. [F-2]\n\n| a | b | [F-3]";
        let marked = Marked::read(text, &is_fact);
        assert_eq!(marked.text, "It lasts 38 months. See [1].\n\nTen.\n\n| a | b |");
        assert_eq!(marked.written(), text);
    }

    #[test]
    fn a_fact_belongs_to_the_bytes_that_end_at_its_marker_or_hold_it() {
        let marked = Marked::read("[F-0] One. [F-1] Two.\n\n[F-2] Three", &is_fact);
        assert_eq!(marked.text, " One. Two.\n\n Three");
        assert_eq!(marked.facts_within(0, 5), ["F-0", "F-1"]);
        assert_eq!(marked.facts_within(5, 10), ["F-2"]);
        assert!(marked.facts_within(11, marked.text.len()).is_empty());
    }
}
