//! Whether an answer is right: compared with the gold answer after both have lost what does not matter.
//!
//! Comes in: the text a model generated, the gold answer, other wordings that count. Goes out: exact, correct.
//! Not here: shares and intervals; they are [`crate::stats::proportion`]'s. The rules are those of SQuAD's scoring
//! (lower case, no punctuation, no articles), and for numbers: `1,400` is `1400`, `06:30` is `6:30`, `5 cr` is
//! `5 crowns`.

/// What an answer is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scored {
    /// It is the gold answer, or one of the other wordings, and nothing else.
    pub exact: bool,
    /// One of them stands in it, word for word.
    pub correct: bool,
}

/// Written forms of units; they count as one behind a number only.
const UNITS: &[(&str, &[&str])] = &[
    ("seconds", &["s", "sec", "secs", "second"]),
    ("minutes", &["min", "mins", "minute"]),
    ("hours", &["h", "hr", "hrs", "hour"]),
    ("days", &["day"]),
    ("weeks", &["week"]),
    ("months", &["month"]),
    ("years", &["year"]),
    ("millimetres", &["mm", "millimetre", "millimeter", "millimeters"]),
    ("centimetres", &["cm", "centimetre", "centimeter", "centimeters"]),
    ("metres", &["m", "metre", "meter", "meters"]),
    ("kilometres", &["km", "kilometre", "kilometer", "kilometers"]),
    ("grams", &["g", "gram", "gramme", "grammes"]),
    ("kilograms", &["kg", "kilogram", "kilo", "kilos"]),
    ("litres", &["l", "litre", "liter", "liters"]),
    ("volts", &["v", "volt"]),
    ("amperes", &["a", "amp", "amps", "ampere"]),
    ("watts", &["w", "watt"]),
    ("kilowatts", &["kw", "kilowatt"]),
    ("decibels", &["db", "decibel"]),
    ("crowns", &["cr", "crown"]),
    ("degrees", &["°", "°c", "degree"]),
    ("percent", &["%"]),
];

/// Words that say nothing.
const ARTICLES: [&str; 3] = ["a", "an", "the"];

/// Scores an answer. Thinking is left out; an answer of nothing else is wrong.
pub fn score(answer_text: &str, answer: &str, accept: &[String]) -> Scored {
    let given = words(without_thinking(answer_text));
    let mut scored = Scored { exact: false, correct: false };
    for right in accept.iter().map(String::as_str).chain([answer]).map(words) {
        if !right.is_empty() {
            scored.exact |= given == right;
            scored.correct |= given.windows(right.len()).any(|part| part == right);
        }
    }
    scored
}

/// The text without `<think>…</think>`; thinking that was cut off, or begun in the prompt, goes too.
fn without_thinking(text: &str) -> &str {
    let after = text.rsplit_once("</think>").map_or(text, |(_, after)| after);
    after.split_once("<think>").map_or(after, |(before, _)| before)
}

/// The words that matter, numbers in one form.
fn words(text: &str) -> Vec<String> {
    let spaced = spaced(&folded(text));
    let mut words: Vec<String> = Vec::new();
    for word in spaced.split_whitespace() {
        let is_number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
        let after_number = words.last().is_some_and(|last| is_number(last.trim_start_matches('-')));
        match (after_number, unit(word)) {
            (true, Some(unit)) => words.push(unit.to_owned()),
            _ if ARTICLES.contains(&word) => {}
            // One word, so that 22 is not found in it.
            _ if is_number(word) && words.pop_if(|last| last == "minus").is_some() => {
                words.push(format!("-{}", number(word)));
            }
            _ => words.push(number(word)),
        }
    }
    words
}

fn unit(word: &str) -> Option<&'static str> {
    UNITS.iter().find(|(_, forms)| forms.contains(&word)).map(|(unit, _)| *unit)
}

/// Lower case, with wide letters, special spaces and small digits as plain ones.
fn folded(text: &str) -> String {
    let plain = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        '\u{2080}'..='\u{2089}' => char::from_u32(c as u32 - 0x2080 + '0' as u32).unwrap_or(c),
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '\u{2019}' => '\'',
        _ if c.is_whitespace() && c != '\u{a0}' && c != '\u{202f}' && c != '\u{2009}' => ' ',
        _ => c,
    };
    let lower = text.chars().map(plain).flat_map(char::to_lowercase).collect::<String>();
    lower.replace("per cent", "percent")
}

/// Punctuation made spaces, except where it is part of a number or code.
fn spaced(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let is_digit = |at: usize| chars.get(at).is_some_and(char::is_ascii_digit);
    let mut out = String::with_capacity(text.len());
    for (at, c) in chars.iter().copied().enumerate() {
        let behind_digit = at > 0 && is_digit(at - 1);
        let behind_letter = at > 0 && chars[at - 1].is_alphabetic();
        let between_digits = behind_digit && is_digit(at + 1);
        match c {
            // 186g is 186 g.
            _ if c.is_alphabetic() && behind_digit => out.extend([' ', c]),
            _ if c.is_alphanumeric() => out.push(c),
            ',' | '\'' | '\u{a0}' | '\u{202f}' | '\u{2009}' if between_digits && is_group(&chars, at) => {}
            '.' | ':' if between_digits => out.push(c),
            ',' if between_digits => out.push('.'),
            '%' | '°' => out.extend([' ', c]),
            // E-903 is E903, and -22 is not 22.
            '-' if behind_letter && is_digit(at + 1) => {}
            '-' if !behind_digit && is_digit(at + 1) => out.push_str(" minus "),
            '\'' if behind_letter => {}
            _ => out.push(' '),
        }
    }
    out
}

/// Whether the mark at `at` stands between thousands: one to three digits before it or before the same mark,
/// exactly three behind it.
fn is_group(chars: &[char], at: usize) -> bool {
    let behind = chars[at + 1..].iter().take_while(|c| c.is_ascii_digit()).count();
    let before = chars[..at].iter().rev().take_while(|c| c.is_ascii_digit()).count();
    behind == 3 && (1..=3).contains(&before)
}

/// A number without zeros that do not count: those behind a point, and the one before an hour.
fn number(word: &str) -> String {
    let is_decimal = word.matches('.').count() == 1 && word.chars().all(|c| c.is_ascii_digit() || c == '.');
    if is_decimal {
        return word.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let is_clock = word.len() == 5 && word.starts_with('0') && word[1..].contains(':');
    word[usize::from(is_clock)..].to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::prompts::corpus::Corpus;
    use crate::prompts::scenarios::Scenarios;

    fn scored(text: &str, answer: &str) -> Scored {
        score(text, answer, &[])
    }

    fn is_correct(text: &str, answer: &str) -> bool {
        scored(text, answer).correct
    }

    #[test]
    fn an_answer_is_exact_or_holds_the_gold_answer_or_is_wrong() {
        assert_eq!(scored("The  38 Months.", "38 months"), Scored { exact: true, correct: true });
        assert_eq!(
            scored("It lasts 38 months, I think", "38 months"),
            Scored { exact: false, correct: true }
        );
        assert_eq!(scored("It lasts 83 months", "38 months"), Scored { exact: false, correct: false });
        let accept = ["thirty-eight months".to_owned()];
        assert!(score("Thirty eight months", "38 months", &accept).exact);
    }

    #[test]
    fn a_number_is_not_found_inside_another() {
        for text in ["112", "12.5", "1,200", "12:30", "3.12", "-12", "E12"] {
            assert!(!is_correct(text, "12"), "{text}");
        }
        for text in ["12", "It is 12.", "12, or so", "(12)", "12%", "about 12mm"] {
            assert!(is_correct(text, "12"), "{text}");
        }
    }

    #[test]
    fn forms_of_a_number_are_one() {
        let pairs = [
            ("1,400", "1400"),
            ("120\u{a0}000 crowns", "120,000 cr"),
            ("06:30", "6:30"),
            ("186g", "186 grams"),
            ("86 per cent", "86%"),
            ("45 min.", "45 minutes"),
            ("-22 °C", "minus 22 degrees"),
            ("3 A", "3 amperes"),
            ("E903", "E-903"),
            ("1.40", "1.4"),
            ("1,234,567", "1234567"),
            ("12,5 bar", "12.5 bar"),
            ("H₂O", "H2O"),
            ("１２ ｍ", "12 metres"),
        ];
        for (given, gold) in pairs {
            assert!(
                scored(given, gold).exact && scored(gold, given).exact,
                "{given}: {:?} {:?}",
                words(given),
                words(gold)
            );
        }
    }

    #[test]
    fn thinking_is_no_answer() {
        assert!(!is_correct("<think>Perhaps 12?</think> 13", "12"));
        assert!(!is_correct("<think>Perhaps 12", "12"));
        assert!(is_correct("so it must be</think>\n\n12", "12"));
        assert_eq!(scored("<think>12</think>", "12"), Scored { exact: false, correct: false });
    }

    #[test]
    fn nothing_is_never_right() {
        let accept = [String::new(), "the".to_owned()];
        for text in ["", " ", "the", "...", "<think></think>"] {
            assert_eq!(score(text, "", &accept), Scored { exact: false, correct: false });
        }
    }

    #[test]
    fn every_gold_answer_of_the_handbook_is_right_and_hardly_any_other_one() {
        let scenarios = Scenarios::shipped().unwrap();
        let corpus = Corpus::shipped(&scenarios).unwrap();
        let golds: Vec<_> = corpus.questions.iter().filter_map(|question| question.gold.as_ref()).collect();
        let mut mistaken = 0;
        for (at, gold) in golds.iter().enumerate() {
            for right in gold.accept.iter().chain([&gold.answer]) {
                assert!(score(right, &gold.answer, &gold.accept).exact, "{right}");
            }
            let next = &golds[(at + 1) % golds.len()].answer;
            mistaken += usize::from(score(next, &gold.answer, &gold.accept).correct);
        }
        assert!(mistaken * 50 < golds.len(), "{mistaken} of {}", golds.len());
    }

    proptest! {
        #[test]
        fn any_text_can_be_scored_and_holds_itself(text in any::<String>(), before in "[a-z ]{0,20}") {
            let text = text.replace("think>", "");
            let itself = scored(&text, &text);
            prop_assert_eq!(itself.exact, !words(&text).is_empty());
            if itself.exact && text.starts_with(|c: char| c.is_ascii_alphabetic()) && before.ends_with(' ') {
                let longer = before + &text;
                prop_assert!(is_correct(&longer, &text));
            }
        }
    }
}
