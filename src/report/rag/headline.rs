//! The first sentences of an experiment: how much RAG adds, what that is made of, and how the claims fared.

use super::super::document::Document;
use super::super::experiment::Pair;
use super::super::groups::groups;
use super::super::headline::{Headline, Sentence, percent};
use super::verdicts::count;
use crate::stats::paired::Paired;
use crate::units::{significant, span};
use crate::verdict::claims::Outcome;

/// The findings of the experiment; `None` for a document of `ctxbench run`.
pub fn headline(document: &Document) -> Option<Headline> {
    if !super::is_experiment(document) {
        return None;
    }
    let of = groups(document).first().map_or(String::new(), |group| format!(", {}", group.subject()));
    let sentences =
        [added(document), division(document), cached(document), output(document), claims(document)];
    Some(Headline {
        subject: format!("RAG against the same questions asked alone{of}"),
        sentences: sentences.into_iter().flatten().collect(),
    })
}

/// The pair of two arms in a metric, at the longest context.
fn pair<'a>(document: &'a Document, a: &str, b: &str, metric: &str) -> Option<&'a Pair> {
    let wanted =
        |pair: &&Pair| pair.a == a && pair.b == b && pair.metric == metric && pair.difference.is_some();
    document.experiment.pairs.iter().filter(wanted).max_by_key(|pair| pair.context_tokens)
}

fn difference(document: &Document, a: &str, b: &str) -> Option<Paired> {
    pair(document, a, b, "rag_ttft_ms")?.difference
}

/// Whether a difference is shown: its interval leaves out 0.
fn is_shown(difference: Paired) -> bool {
    let (low, high) = (difference.ci_low.unwrap_or(0.0), difference.ci_high.unwrap_or(0.0));
    low > 0.0 || high < 0.0
}

fn with_interval(p: Paired) -> String {
    match (p.ci_low, p.ci_high, p.ci_level) {
        (Some(low), Some(high), Some(level)) => {
            format!("n = {} pairs, {} interval {} to {}", p.n, percent(level), span(low), span(high))
        }
        _ => format!("n = {} pairs, too few for an interval", p.n),
    }
}

fn added(document: &Document) -> Option<Sentence> {
    let Some(p) = difference(document, "rag", "short") else {
        return Some(Sentence::new(
            "What RAG adds to the first token: ",
            "n/a",
            ", no question went through both arms.",
        ));
    };
    let beside = with_interval(p);
    if !is_shown(p) {
        let after = format!(" between RAG and the question alone is shown: {} ({beside}).", span(p.median));
        return Some(Sentence::new("", "No difference", after));
    }
    let times = pair(document, "rag", "short", "rag_ttft_ms")?.ratio;
    let times = times.map_or(String::new(), |ratio| format!(", {} times as long", significant(ratio.median)));
    let more = if p.median < 0.0 { "less" } else { "more" };
    let after = format!(" {more} than the same question asked alone{times} ({beside}).");
    Some(Sentence::new("To the first token RAG takes ", span(p.median.abs()), after))
}

/// Of what RAG adds, the long prompt's share and that of retrieval.
fn division(document: &Document) -> Option<Sentence> {
    let added = difference(document, "rag", "short").filter(|p| is_shown(*p) && p.median > 0.0)?;
    let (context, retrieval) =
        (difference(document, "padded", "short")?, difference(document, "rag", "padded")?);
    let share = |p: Paired| whole_percent(p.median / added.median);
    let stand_in = document.experiment.retrieval.as_ref().is_some_and(|r| r.stand_in_embedder);
    let but = match stand_in {
        true => "; the embedder is a stand-in that costs next to nothing, so a real one has more",
        false => "",
    };
    // Both are measured on their own; told apart, so that rounding need not add up.
    Some(Sentence::new(
        format!("Of the {} that RAG adds on this box, ", span(added.median)),
        format!("{} is the long prompt, {} retrieval", share(context), share(retrieval)),
        format!(" ({} and {}){but}.", span(context.median), span(retrieval.median)),
    ))
}

/// A share in whole per cent, with a decimal where that would say all or nothing of it.
fn whole_percent(share: f64) -> String {
    let percent = 100.0 * share;
    match percent.round() {
        0.0 | 100.0 => format!("{percent:.1} %"),
        whole => format!("{whole} %"),
    }
}

fn cached(document: &Document) -> Option<Sentence> {
    let added = difference(document, "rag", "short").filter(|p| is_shown(*p) && p.median > 0.0)?;
    let told = |arm: &str| {
        let saved = difference(document, arm, "rag")?;
        let share = -100.0 * saved.median / added.median;
        Some(if is_shown(saved) { format!("{share:.0} %") } else { "nothing that is shown".to_owned() })
    };
    let prefix = told("rag_warm_prefix");
    let document = told("rag_warm_document");
    let (key, first) = match (document, prefix) {
        (Some(document), Some(prefix)) => (document, format!(", its fixed beginning alone {prefix}")),
        (Some(document), None) => (document, String::new()),
        (None, Some(prefix)) => {
            return Some(Sentence::new(
                "Of that, a cached fixed beginning of the prompt takes off ",
                prefix,
                ".",
            ));
        }
        (None, None) => return None,
    };
    let before = "Of that, a prompt whose beginning and first document are cached takes off ";
    Some(Sentence::new(before, key, format!("{first}.")))
}

fn output(document: &Document) -> Option<Sentence> {
    let pair = pair(document, "rag", "short", "tpot_ms")?;
    let (p, ratio) = (pair.difference?, pair.ratio?);
    let beside = with_interval(p);
    if !is_shown(p) {
        return Some(Sentence::new(
            "Each further token: ",
            "no difference",
            format!(" is shown ({beside})."),
        ));
    }
    let slower = if p.median < 0.0 { "faster" } else { "slower" };
    let key = format!("{} % {slower}", significant(100.0 * (ratio.median - 1.0).abs()));
    Some(Sentence::new("Each further token comes ", key, format!(" after the long prompt ({beside}).")))
}

fn claims(document: &Document) -> Option<Sentence> {
    let verdicts = &document.experiment.verdicts;
    if verdicts.is_empty() {
        return None;
    }
    let [yes, no, open] = [Outcome::Supported, Outcome::NotSupported, Outcome::NotTestable]
        .map(|outcome| count(verdicts, outcome));
    let key = format!("{yes} supported, {no} not supported");
    let after = format!(", {open} not testable here.");
    Some(Sentence::new(format!("Of {} claims of the article: ", verdicts.len()), key, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn told(document: &Document) -> String {
        let headline = headline(document).expect("an experiment");
        headline.sentences.iter().map(|sentence| sentence.text() + "\n").collect()
    }

    #[test]
    fn the_answer_comes_first_and_its_parts_behind_it() {
        let told = told(&fixture::experiment());
        assert!(told.starts_with("To the first token RAG takes 3.91 s more than"), "{told}");
        assert!(told.contains("that RAG adds on this box, 99 % is the long prompt, 1 % retrieval"), "{told}");
        assert!(told.contains("Of 8 claims of the article: 5 supported, 1 not supported, 2 not"), "{told}");
        assert_eq!(headline(&fixture::document()), None);
    }

    #[test]
    fn a_share_near_all_or_nothing_keeps_a_decimal() {
        let told = [0.9996, 0.004, 0.31].map(whole_percent);
        assert_eq!(told, ["100.0 %", "0.4 %", "31 %"]);
    }

    #[test]
    fn a_stand_in_embedder_is_said_beside_the_division() {
        let mut document = fixture::experiment();
        document.experiment.retrieval.as_mut().unwrap().stand_in_embedder = true;
        assert!(told(&document).contains("the embedder is a stand-in"));
    }

    #[test]
    fn an_interval_across_zero_claims_nothing_and_divides_nothing() {
        let mut document = fixture::experiment();
        for pair in document.experiment.pairs.iter_mut().filter(|pair| pair.b == "short") {
            let of = pair.difference.as_mut().unwrap();
            (of.median, of.ci_low, of.ci_high) = (1.0, Some(-2.0), Some(4.0));
        }
        let told = told(&document);
        assert!(
            told.starts_with("No difference between RAG and the question alone is shown: 1.00 ms"),
            "{told}"
        );
        assert!(
            !told.contains("is the long prompt") && told.contains("Each further token: no difference"),
            "{told}"
        );
    }

    #[test]
    fn what_was_not_measured_is_not_available_and_nothing_is_made_up() {
        let mut document = fixture::experiment();
        document.experiment.pairs.clear();
        document.experiment.verdicts.clear();
        let lines = told(&document);
        assert_eq!(lines, "What RAG adds to the first token: n/a, no question went through both arms.\n");
    }
}
