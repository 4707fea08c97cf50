//! The waterfall of an experiment: median stages of each arm, stacked; and those of retrieval, enlarged.

use super::bars::{Bar, Bars, Part};
use crate::report::document::Document;
use crate::report::rag::stages::{Ledger, ledgers};
use crate::sample::Stages;
use crate::units::thousands;

/// Stages that share a colour: ten could not be told apart.
struct Kind {
    name: &'static str,
    look: usize,
    of: fn(&Stages) -> [Option<f64>; 3],
}

const KINDS: [Kind; 6] = [
    Kind { name: "route", look: 4, of: |s| [s.route, None, None] },
    Kind { name: "embed the question", look: 1, of: |s| [s.tokenize_query, s.embed, None] },
    Kind { name: "search and fetch", look: 2, of: |s| [s.search, s.fetch, None] },
    Kind { name: "rerank", look: 3, of: |s| [s.rerank, None, None] },
    Kind { name: "assemble and tokenize", look: 5, of: |s| [s.assemble, s.tokenize, None] },
    PREFILL,
];
const PREFILL: Kind =
    Kind { name: "prefill and first token", look: 0, of: |s| [s.prefill, s.first_token, None] };

/// Both charts, where there are stages.
pub fn charts(document: &Document) -> Vec<Bars> {
    let ledgers = ledgers(document);
    let whole = chart(
        "Where the time to the first token goes",
        "Median stages of each arm, from the question in hand to the first token; the number is the median of the whole.",
        &KINDS,
        &ledgers,
    );
    let before: Vec<Ledger> = ledgers.iter().filter(|l| l.stages.search.is_some()).cloned().collect();
    let enlarged = chart(
        "Retrieval alone, enlarged",
        "What retrieval itself takes: embedding the question, searching, fetching the texts, putting the prompt together.",
        &KINDS[1..KINDS.len() - 1],
        &before,
    );
    [whole, enlarged].into_iter().flatten().collect()
}

fn length(kind: &Kind, ledger: &Ledger) -> f64 {
    (kind.of)(&ledger.stages).into_iter().flatten().filter(|ms| ms.is_finite() && *ms > 0.0).sum()
}

fn chart(title: &str, caption: &str, kinds: &[Kind], ledgers: &[Ledger]) -> Option<Bars> {
    let used: Vec<&Kind> =
        kinds.iter().filter(|kind| ledgers.iter().any(|l| length(kind, l) > 0.0)).collect();
    let bar = |ledger: &Ledger| {
        let lengths_ms: Vec<f64> = used.iter().map(|kind| length(kind, ledger)).collect();
        let sum = lengths_ms.iter().sum();
        let whole = used.iter().any(|kind| kind.name == PREFILL.name);
        Bar {
            name: format!("{} ({} tokens)", ledger.arm, thousands(ledger.prompt_tokens.into())),
            total_ms: ledger.rag_ttft_ms.filter(|_| whole).unwrap_or(sum),
            lengths_ms,
        }
    };
    (!used.is_empty()).then(|| Bars {
        title: title.into(),
        caption: caption.into(),
        parts: used.iter().map(|kind| Part { name: kind.name, look: kind.look }).collect(),
        bars: ledgers.iter().map(bar).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::charts::bars::svg;
    use crate::report::fixture;

    #[test]
    fn every_arm_is_a_bar_of_its_stages_and_a_stage_that_none_has_is_no_colour() {
        let charts = charts(&fixture::experiment());
        let [whole, retrieval] = charts.as_slice() else { panic!("{charts:?}") };
        assert_eq!((whole.bars.len(), retrieval.bars.len()), (7, 4));
        for bar in &whole.bars {
            assert!((bar.lengths_ms.iter().sum::<f64>() / bar.total_ms - 1.0).abs() < 0.01, "{bar:?}");
        }
        let parts: Vec<&str> = retrieval.parts.iter().map(|part| part.name).collect();
        assert_eq!(parts, ["embed the question", "search and fetch", "assemble and tokenize"]);
        let drawn = svg(whole, "w").unwrap();
        assert!(drawn.contains("RAG (1,913 tokens): 4.04 s, of which") && !drawn.contains("http"), "{drawn}");
    }

    #[test]
    fn stages_that_are_not_finite_draw_and_do_not_panic() {
        let mut document = fixture::experiment();
        for sample in document.cases.iter_mut().flat_map(|case| &mut case.samples) {
            let stages = sample.stages_ms.as_mut().unwrap();
            (stages.prefill, stages.embed, stages.search) = (Some(f64::NAN), Some(-1.0), Some(0.0));
            sample.rag_ttft_ms = Some(f64::INFINITY);
        }
        for chart in charts(&document) {
            svg(&chart, "w").unwrap();
        }
    }
}
