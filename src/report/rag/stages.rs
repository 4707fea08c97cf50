//! The stage ledger: where the time of each arm's first token went.

use super::super::document::{Case, Document};
use super::super::table::{Column, Grid, number, text};
use super::super::{NOT_AVAILABLE, one_line};
use super::{NONE, Section, arm_name, complete};
use crate::sample::{Sample, Stages};
use crate::stats::percentile::median;
use crate::units::{significant, thousands};

/// Median stages of one arm.
#[derive(Clone, Debug, PartialEq)]
pub struct Ledger {
    /// In words.
    pub arm: String,
    /// Prompt tokens of its case.
    pub prompt_tokens: u32,
    /// Complete samples.
    pub n: u32,
    /// Median of each stage, in ms; `None` for a stage that no sample has.
    pub stages: Stages,
    /// Median of the whole, by clock reads of its own.
    pub rag_ttft_ms: Option<f64>,
    /// Largest deviation of the sum of the stages from the whole, as a share of it.
    pub worst_gap: Option<f64>,
}

const COLUMNS: &[Column<Ledger>] = &[
    text("Arm", 0, |l| l.arm.clone()),
    number("Prompt", "tokens", 3, |l| thousands(l.prompt_tokens.into())),
    number("n", "", 2, |l| l.n.to_string()),
    number("Route", "ms", 1, |l| ms(l.stages.route)),
    number("Query ids", "ms", 7, |l| ms(l.stages.tokenize_query)),
    number("Embed", "ms", 0, |l| ms(l.stages.embed)),
    number("Search", "ms", 0, |l| ms(l.stages.search)),
    number("Fetch", "ms", 5, |l| ms(l.stages.fetch)),
    number("Rerank", "ms", 1, |l| ms(l.stages.rerank)),
    number("Assemble", "ms", 6, |l| ms(l.stages.assemble)),
    number("Tokenize", "ms", 4, |l| ms(l.stages.tokenize)),
    number("Prefill", "ms", 0, |l| ms(l.stages.prefill)),
    number("First id", "ms", 8, |l| ms(l.stages.first_token)),
    number("All", "ms", 0, |l| l.rag_ttft_ms.map_or(NOT_AVAILABLE.into(), significant)),
];

/// The table of all arms; `None` where no sample has stages.
pub fn section(document: &Document) -> Option<Section> {
    let ledgers = ledgers(document);
    let worst = ledgers.iter().filter_map(|l| l.worst_gap).reduce(f64::max);
    let told = |worst: f64| {
        format!(
            "The stages of a request add up to its whole time within {} % in the worst of all samples; the whole has \
             clock reads of its own.",
            significant(100.0 * worst)
        )
    };
    (!ledgers.is_empty()).then(|| Section {
        heading: "Where the time to the first token goes",
        hint: format!(
            "Median of each stage, from the question in hand to the first token. {NONE} stands where an arm has no such \
             stage. Medians of stages need not add up to the median of the whole."
        ),
        grid: Some(Grid::of(COLUMNS, &ledgers).without_columns_of(NONE)),
        lines: worst.map(told).into_iter().collect(),
    })
}

/// One per case with stages; a hybrid has one for routed requests and one for the others.
pub fn ledgers(document: &Document) -> Vec<Ledger> {
    document.cases.iter().flat_map(of_case).collect()
}

fn of_case(case: &Case) -> Vec<Ledger> {
    let samples: Vec<&Sample> = complete(case).filter(|sample| sample.stages_ms.is_some()).collect();
    let some = |wanted: Option<bool>, suffix: &str| {
        let of: Vec<&Sample> = samples.iter().copied().filter(|s| s.routed == wanted).collect();
        let name = format!("{}{suffix}", arm_name(&case.scenario));
        (!of.is_empty()).then(|| ledger(case, name, &of))
    };
    [some(None, ""), some(Some(false), ", not routed"), some(Some(true), ", routed")]
        .into_iter()
        .flatten()
        .collect()
}

fn ledger(case: &Case, arm: String, samples: &[&Sample]) -> Ledger {
    let of = |stage: fn(&Stages) -> Option<f64>| {
        let values: Vec<f64> = samples.iter().filter_map(|s| stage(s.stages_ms.as_ref()?)).collect();
        median(&values)
    };
    let all: Vec<f64> = samples.iter().filter_map(|s| s.rag_ttft_ms).collect();
    let gap = |s: &&Sample| {
        let (stages, all) = (s.stages_ms?, s.rag_ttft_ms.filter(|all| *all > 0.0)?);
        Some((stages.sum() - all).abs() / all)
    };
    let tokens: Vec<f64> = samples.iter().map(|s| f64::from(s.prompt_tokens)).collect();
    Ledger {
        arm: one_line(&arm),
        prompt_tokens: median(&tokens).map_or(case.prompt_tokens, |n| n.round() as u32),
        n: samples.len() as u32,
        stages: Stages {
            route: of(|s| s.route),
            tokenize_query: of(|s| s.tokenize_query),
            embed: of(|s| s.embed),
            search: of(|s| s.search),
            fetch: of(|s| s.fetch),
            rerank: of(|s| s.rerank),
            assemble: of(|s| s.assemble),
            tokenize: of(|s| s.tokenize),
            prefill: of(|s| s.prefill),
            first_token: of(|s| s.first_token),
        },
        rag_ttft_ms: median(&all),
        worst_gap: samples.iter().filter_map(gap).reduce(f64::max),
    }
}

fn ms(value: Option<f64>) -> String {
    value.map_or(NONE.into(), significant)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn the_hybrid_has_a_row_for_each_way_and_failed_samples_are_in_none() {
        let mut document = fixture::experiment();
        let hybrid = document.cases.iter_mut().find(|case| case.scenario == "hybrid").unwrap();
        hybrid.samples[0].error = Some("no".into());
        let rows = ledgers(&document);
        let n = |name: &str| rows.iter().find(|row| row.arm.ends_with(name)).map(|row| row.n);
        assert_eq!((n(", not routed"), n(", routed")), (Some(6), Some(5)));
    }

    #[test]
    fn a_stage_that_no_arm_has_has_no_column_and_missing_stages_are_no_zeros() {
        let grid = section(&fixture::experiment()).unwrap().grid.unwrap();
        assert!(!grid.heads.iter().any(|head| head.name == "Rerank"));
        let embed = grid.heads.iter().position(|head| head.name == "Embed").unwrap();
        assert_eq!(grid.rows[0][embed], NONE);
        assert!(grid.rows.iter().all(|row| row.len() == grid.heads.len()));
    }

    #[test]
    fn the_worst_gap_between_stages_and_whole_is_told() {
        let mut document = fixture::experiment();
        let sample = &mut document.cases[0].samples[3];
        sample.rag_ttft_ms = sample.stages_ms.map(|stages| 2.0 * stages.sum());
        let lines = section(&document).unwrap().lines;
        assert!(lines[0].contains("within 50.0 %"), "{lines:?}");
    }
}
