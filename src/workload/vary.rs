//! Passages beyond the corpus: other names, other numbers, other order, so that nothing repeats.
//!
//! A copy speaks of other things by other names, so it does not contradict the passage that holds
//! the answer. It is prose of the same make, not text with a meaning.

use std::collections::{HashMap, HashSet};

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::words::{INSERTS, NAME_ENDS, NAME_STARTS, OPENINGS, SYNONYMS};
use crate::prompts::passages::{Passage, sentences};

/// Words in a row that may stay as they are, or have but one of a few forms.
const LONGEST_UNCHANGED: usize = 4;
/// Forms of a word that make it count as changed.
const MANY_FORMS: usize = 6;

/// What varying needs to know of a corpus.
pub(super) struct Variation {
    names: HashSet<String>,
    synonyms: HashMap<&'static str, &'static [&'static str]>,
}

/// Sentences that a request already holds.
pub(super) type Seen = HashSet<String>;

impl Variation {
    /// Finds the corpus's names: words with a capital inside a sentence that never occur without it.
    pub(super) fn new(passages: &[Passage]) -> Self {
        let inner =
            passages.iter().flat_map(|p| sentences(&p.text)).flat_map(|s| s.split_whitespace().skip(1));
        let (mut names, mut common) = (HashSet::new(), HashSet::new());
        for word in inner.map(bare).filter(|word| word.len() > 1) {
            let place = if word.starts_with(char::is_uppercase) { &mut names } else { &mut common };
            place.insert(word.to_owned());
        }
        names.retain(|name| !common.contains(&name.to_lowercase()));
        let synonyms = SYNONYMS.iter().flat_map(|group| group.iter().map(|word| (*word, *group)));
        Self { names, synonyms: synonyms.collect() }
    }

    /// A copy of `passage` that shares no sentence with `seen`, to which its own are added.
    pub(super) fn copy(&self, passage: &Passage, rng: &mut Xoshiro256PlusPlus, seen: &mut Seen) -> Passage {
        let mut cast = HashMap::new();
        let title =
            format!("{}, part {}", self.varied(&passage.title, rng, &mut cast), rng.random_range(2..9000));
        let mut paragraphs: Vec<String> = Vec::new();
        for paragraph in passage.text.split("\n\n") {
            let mut parts: Vec<&str> =
                sentences(paragraph).map(str::trim).filter(|s| !s.is_empty()).collect();
            parts.shuffle(rng);
            let varied = parts.into_iter().map(|s| unseen(self.varied(s, rng, &mut cast), rng, seen));
            paragraphs.push(varied.collect::<Vec<_>>().join(if paragraph.contains('\n') {
                "\n"
            } else {
                " "
            }));
        }
        let text = paragraphs.join("\n\n");
        Passage { id: format!("{}~", passage.id), title, text, facts: Vec::new() }
    }

    /// One sentence with its words exchanged. `cast` keeps a name the same within a passage.
    fn varied(
        &self,
        sentence: &str,
        rng: &mut Xoshiro256PlusPlus,
        cast: &mut HashMap<String, String>,
    ) -> String {
        let mut words: Vec<String> = Vec::new();
        let mut unchanged = 0;
        let mut rest = sentence.split_whitespace().peekable();
        while let Some(word) = rest.next() {
            let new = self.exchanged(word, rng, cast);
            let few_forms = self.synonyms.get(bare(word)).is_some_and(|group| group.len() < MANY_FORMS);
            unchanged = if new == word || few_forms { unchanged + 1 } else { 0 };
            words.push(new);
            if unchanged > LONGEST_UNCHANGED && rest.peek().is_some() {
                words.extend(INSERTS.choose(rng).map(|insert| insert.to_string()));
                unchanged = 0;
            }
        }
        words.join(" ")
    }

    fn exchanged(
        &self,
        word: &str,
        rng: &mut Xoshiro256PlusPlus,
        cast: &mut HashMap<String, String>,
    ) -> String {
        let core = bare(word);
        if core.contains(|c: char| c.is_ascii_digit()) {
            return other_digits(word, rng);
        }
        let lower = core.to_lowercase();
        let new = if let Some(group) = self.synonyms.get(lower.as_str()) {
            let choice = group.choose(rng).copied().unwrap_or(core);
            if core.starts_with(char::is_uppercase) { capitalised(choice) } else { choice.to_owned() }
        } else if self.names.contains(core) {
            cast.entry(core.to_owned()).or_insert_with(|| invented_name(rng)).clone()
        } else {
            return word.to_owned();
        };
        // `core` is a slice of `word`, so it is found; the marks around it stay.
        word.replacen(core, &new, 1)
    }
}

/// The word without the marks around it, and without a possessive.
fn bare(word: &str) -> &str {
    let core = word.trim_matches(|c: char| !c.is_alphanumeric());
    core.strip_suffix("'s").or(core.strip_suffix("’s")).unwrap_or(core)
}

fn other_digits(word: &str, rng: &mut Xoshiro256PlusPlus) -> String {
    let mut first = true;
    let digit = |c: char| {
        let from = if std::mem::replace(&mut first, !c.is_ascii_digit()) { '1' } else { '0' };
        if c.is_ascii_digit() { rng.random_range(from as u8..=b'9') as char } else { c }
    };
    word.chars().map(digit).collect()
}

fn invented_name(rng: &mut Xoshiro256PlusPlus) -> String {
    let start = NAME_STARTS.choose(rng).copied().unwrap_or("Al");
    let end = NAME_ENDS.choose(rng).copied().unwrap_or("ton");
    format!("{start}{end}")
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

/// The sentence, behind an opening of its own where the request already has it.
fn unseen(sentence: String, rng: &mut Xoshiro256PlusPlus, seen: &mut Seen) -> String {
    let mut candidate = sentence.clone();
    while !seen.insert(candidate.clone()) {
        let opening = OPENINGS.choose(rng).copied().unwrap_or("# ");
        let number = rng.random_range(100..1_000_000u32).to_string();
        candidate = format!("{}{sentence}", opening.replace('#', &number));
    }
    candidate
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompts::corpus::mini;
    use crate::prompts::scenarios::Scenarios;
    use crate::workload::seeded::stream;

    #[test]
    fn copies_share_no_sentence_and_no_long_run_of_words() {
        let corpus = mini(&Scenarios::shipped().unwrap());
        let variation = Variation::new(&corpus.passages);
        let (mut rng, mut seen) = (stream(1, "test", 0), Seen::new());
        let mut texts: Vec<String> = corpus.passages.iter().map(|p| p.text.clone()).collect();
        for _ in 0..30 {
            texts.extend(corpus.passages.iter().map(|p| variation.copy(p, &mut rng, &mut seen).text));
        }
        let mut runs = HashSet::new();
        let (mut all, mut repeated) = (0, 0);
        for text in &texts {
            let words: Vec<&str> = text.split_whitespace().collect();
            for run in words.windows(32) {
                all += 1;
                repeated += u32::from(!runs.insert(run.join(" ")));
            }
        }
        assert!(all > 20_000 && repeated == 0, "{repeated} of {all} runs of 32 words are repeated");
    }

    #[test]
    fn names_stay_the_same_within_a_copy_and_numbers_keep_their_form() {
        let text = "Ask Mara at 07:30. We know that Mara pays 1.40 for it, and Mara's list has 210 lines.";
        let passage = Passage { id: "x".into(), title: "T".into(), text: text.into(), facts: vec![] };
        let variation = Variation::new(std::slice::from_ref(&passage));
        let copy = variation.copy(&passage, &mut stream(3, "test", 0), &mut Seen::new());
        let shape = |t: &str| t.chars().filter(|c| c.is_ascii_digit() || ":.".contains(*c)).count();
        assert!(!copy.text.contains("Mara"), "{}", copy.text);
        assert_eq!(shape(&copy.text), shape(text), "{}", copy.text);
        assert!(copy.facts.is_empty());
    }

    #[test]
    fn a_sentence_without_anything_to_exchange_still_never_repeats() {
        let passage =
            Passage { id: "x".into(), title: "水".into(), text: "水泵停止。".into(), facts: vec![] };
        let variation = Variation::new(std::slice::from_ref(&passage));
        let (mut rng, mut seen) = (stream(3, "test", 0), Seen::from(["水泵停止。".to_owned()]));
        let copies: HashSet<String> =
            (0..500).map(|_| variation.copy(&passage, &mut rng, &mut seen).text).collect();
        assert_eq!(copies.len(), 500);
    }
}
