//! The fit section: what each arm must do as a function of context, and the small table that holds the
//! counted growth against the measured one. Text only, formatted once for every format.

use super::document::{Document, Fit};
use super::groups::groups;
use super::growth::Phase;
use super::headline::percent;
use super::rag::is_experiment;
use super::table::{Column, number, number_or_missing, text};
use super::theory::{Theory, WorkAt};
use super::{NOT_AVAILABLE, one_line};
use crate::stats::fit::Law;
use crate::units::{bytes, milliseconds, significant, thousands};

/// Heading of the section.
pub const HEADING: &str = "Growth with context: counted beside measured";

/// How to read it, in a sentence.
pub const HINT: &str = "Growth is what a token costs at this length over what it costs at the shortest (base). \
                        Counted: as if time were proportional to FLOPs in prefill, to bytes moved in a decode \
                        step. Measured: time per prompt token, and per decoded token.";

/// One measured length of one arm in one phase.
pub struct Entry {
    model: String,
    quantization: String,
    phase: Phase,
    at: WorkAt,
}

/// All columns, in the order shown.
pub const COLUMNS: &[Column<Entry>] = &[
    text("Model", 0, |entry| one_line(&entry.model)),
    text("Weights", 0, |entry| one_line(&entry.quantization)),
    text("Phase", 0, |entry| entry.phase.name().into()),
    number("Tokens", "", 0, |entry| thousands(entry.at.tokens.into())),
    number("Work", "counted", 2, work),
    number("Work/s", "achieved", 1, rate),
    number("Growth", "counted", 0, |entry| entry.at.growth.map_or(BASE.into(), |g| share(g.counted))),
    number("Growth", "measured", 0, measured),
    number("Interval", "measured", 3, interval),
];

/// Stands where there is nothing to hold a length against, since it is the shortest.
const BASE: &str = "base";

/// Rows of the table, arm by arm; none where nothing was counted, nor for an experiment, which is not about length.
pub fn rows(document: &Document) -> Vec<Vec<String>> {
    if is_experiment(document) {
        return Vec::new();
    }
    let entries = document.fits.iter().flat_map(entries);
    entries.map(|entry| COLUMNS.iter().map(|column| (column.cell)(&entry)).collect()).collect()
}

fn entries(fit: &Fit) -> Vec<Entry> {
    let Some(theory) = &fit.theory else { return Vec::new() };
    let entry = |phase: Phase, at: &WorkAt| Entry {
        model: fit.model.clone(),
        quantization: fit.quantization.clone(),
        phase,
        at: *at,
    };
    let prefill = theory.prefill.iter().map(|at| entry(Phase::Prefill, at));
    prefill.chain(theory.decode.iter().map(|at| entry(Phase::Decode, at))).collect()
}

fn work(entry: &Entry) -> String {
    match entry.phase {
        Phase::Prefill => flops(entry.at.work),
        Phase::Decode => bytes(entry.at.work as u64),
    }
}

fn rate(entry: &Entry) -> String {
    let unit = if entry.phase == Phase::Prefill { "FLOP/s" } else { "B/s" };
    let rate = entry.at.work_per_s.filter(|rate| rate.median.is_finite());
    rate.map_or(NOT_AVAILABLE.into(), |rate| format!("{} G{unit}", significant(rate.median / 1e9)))
}

fn measured(entry: &Entry) -> String {
    match entry.at.growth {
        None => BASE.into(),
        Some(growth) => growth.measured.map_or(NOT_AVAILABLE.into(), |ratio| share(ratio.value)),
    }
}

fn interval(entry: &Entry) -> String {
    match entry.at.growth.map(|growth| growth.measured) {
        None => BASE.into(),
        Some(None) => NOT_AVAILABLE.into(),
        Some(Some(ratio)) => {
            let level =
                if ratio.level < 0.949 { format!(", {}", percent(ratio.level)) } else { String::new() };
            format!("[{}, {}]{level}", share(ratio.low), share(ratio.high))
        }
    }
}

/// A ratio as what was added: 1.12 is `+12.0 %`.
fn share(ratio: f64) -> String {
    let added = 100.0 * (ratio - 1.0);
    match added.is_finite() {
        true if added >= 0.0 => format!("+{} %", significant(added)),
        true => format!("{} %", significant(added)),
        false => NOT_AVAILABLE.into(),
    }
}

fn flops(count: f64) -> String {
    let (value, unit) = match count {
        c if c >= 0.9995e12 => (c / 1e12, "TFLOP"),
        c if c >= 0.9995e9 => (c / 1e9, "GFLOP"),
        c => (c / 1e6, "MFLOP"),
    };
    format!("{} {unit}", number_or_missing(Some(value)))
}

/// The laws of one arm in words, counted and fitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Laws {
    /// As in the headline.
    pub subject: String,
    /// One law each.
    pub lines: Vec<String>,
}

/// The laws of every arm that was counted.
pub fn laws(document: &Document) -> Vec<Laws> {
    if is_experiment(document) {
        return Vec::new();
    }
    let groups = groups(document);
    let of_group = |group: &super::groups::Group| {
        let (fit, theory) = group.fit.and_then(|fit| Some((fit, fit.theory.as_ref()?)))?;
        let lines = [Some(prefill_law(theory)), decode_law(theory), fitted(fit)];
        Some(Laws { subject: group.subject(), lines: lines.into_iter().flatten().collect() })
    };
    groups.iter().filter_map(of_group).collect()
}

/// For k thousands of tokens, the unit of every slope in a report.
fn prefill_law(theory: &Theory) -> String {
    let law = &theory.prefill_flops;
    let [constant, linear, square] =
        [law.constant, 1e3 * law.per_token, 1e6 * law.per_token_squared].map(flops);
    let meeting = theory.crossover_tokens.prefill.map_or(String::new(), |tokens| {
        format!("; attention, the last term, equals the one before it at {} tokens", count(tokens))
    });
    format!("Counted, prefill of k thousand tokens: {constant} + {linear} k + {square} k²{meeting}.")
}

fn decode_law(theory: &Theory) -> Option<String> {
    let law = theory.decode_bytes.as_ref()?;
    let [constant, linear] = [law.constant, 1e3 * law.per_token].map(|count| bytes(count as u64));
    let meeting = theory.crossover_tokens.decode.map_or(String::new(), |tokens| {
        format!("; keys and values equal weights and state at {} tokens", count(tokens))
    });
    Some(format!("Counted, decode step at k thousand tokens: {constant} + {linear} k{meeting}."))
}

fn fitted(fit: &Fit) -> Option<String> {
    let law = |name: &str, law: &Law| {
        let powers = ["", " k", " k²"];
        let term = |(at, power): (usize, &&str)| {
            let value = law.coefficients.get(at)?.value * 1000_f64.powi(at as i32);
            let sign = match (at, value < 0.0) {
                (0, false) => "",
                (0, true) => "-",
                (_, false) => " + ",
                (_, true) => " - ",
            };
            Some(format!("{sign}{}{power}", milliseconds(value.abs())))
        };
        let terms: String = powers.iter().enumerate().filter_map(term).collect();
        let [low, high] = law.range_tokens.map(|tokens| thousands(tokens.into()));
        format!("{name} {terms} from {low} to {high} tokens")
    };
    let laws = [fit.ttft.as_ref().map(|l| law("TTFT", l)), fit.tpot.as_ref().map(|l| law("TPOT", l))];
    let laws: Vec<String> = laws.into_iter().flatten().collect();
    (!laws.is_empty()).then(|| format!("Fitted: {}.", laws.join("; ")))
}

fn count(tokens: u64) -> String {
    thousands(tokens.try_into().unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;
    use crate::stats::estimate::Interval;

    #[test]
    fn the_shortest_length_is_the_base_and_the_others_are_held_against_it() {
        let document = fixture::document();
        let rows = rows(&document);
        let theory = document.fits[0].theory.as_ref().unwrap();
        assert_eq!(rows.len(), theory.prefill.len() + theory.decode.len());
        let prefill: Vec<&Vec<String>> = rows.iter().filter(|row| row[2] == "prefill").collect();
        assert_eq!(prefill[0][6..], ["base", "base", "base"]);
        assert_eq!(prefill[2][3], "2,048");
        // 880,803,840 + 114,688 n + 311,164,928 / n FLOPs per token, at 2,048 over 512.
        assert_eq!(prefill[2][6], "+18.7 %");
    }

    #[test]
    fn shares_and_work_keep_their_sign_and_their_unit() {
        assert_eq!([1.12, 0.9, f64::NAN].map(share), ["+12.0 %", "-10.0 %", "n/a"]);
        assert_eq!([4.69e12, 5.41e11, 2e5].map(flops), ["4.69 TFLOP", "541 GFLOP", "0.200 MFLOP"]);
    }

    #[test]
    fn a_fitted_law_is_written_per_thousand_tokens_with_its_signs() {
        let mut fit = fixture::document().fits[0].clone();
        let law = fit.ttft.as_mut().unwrap();
        let around = |value: f64| Interval { value, low: value, high: value, level: 0.95 };
        law.coefficients = vec![around(-6.0), around(1.9), around(-0.0002)];
        fit.tpot = None;
        let expected = "Fitted: TTFT -6.00 ms + 1,900 ms k - 200 ms k² from 64 to 2,048 tokens.";
        assert_eq!(fitted(&fit).unwrap(), expected);
    }
}
