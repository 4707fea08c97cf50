//! What has to be read beside the numbers: stamps with their reasons, failures, and the box. Text only.

use super::card;
use super::document::{Document, ModelRecord, WeightsOrigin};
use super::table::status_name;
use super::{NOT_AVAILABLE, one_line, start_up};
use crate::units::{bytes, significant, thousands};
use crate::verdict::validity::{Reason, Status};

/// Cases that a note names before it only counts them.
const NAMED_CASES: usize = 3;

/// A reason for doubt, and where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The most that it weighs anywhere.
    pub status: Status,
    /// Stable name of the reason.
    pub code: String,
    /// What was seen, and what to do; of the worst case, where cases differ.
    pub text: String,
    /// Ids of the cases; empty for the run as a whole.
    pub cases: Vec<String>,
    /// Whether other cases say it with other numbers.
    pub differs: bool,
}

/// Every reason once, the worst first: those of the run as a whole, and those of cases with their ids.
///
/// A run's own stamp repeats the reasons of its cases; those are told once, by their cases.
pub fn notes(document: &Document) -> Vec<Note> {
    let of_cases = case_notes(document);
    let told = |reason: &&Reason| !of_cases.iter().any(|note| note.code == one_line(&reason.code));
    let mut notes: Vec<Note> =
        document.validity.reasons.iter().filter(told).map(|reason| note(reason, Vec::new())).collect();
    notes.extend(of_cases);
    notes.sort_by_key(|note| std::cmp::Reverse(note.status));
    notes
}

fn case_notes(document: &Document) -> Vec<Note> {
    let mut notes: Vec<Note> = Vec::new();
    for case in &document.cases {
        for reason in &case.validity.reasons {
            let new = note(reason, vec![one_line(&case.id)]);
            match notes.iter_mut().find(|old| old.code == new.code) {
                Some(old) => join(old, new),
                None => notes.push(new),
            }
        }
    }
    notes
}

fn join(old: &mut Note, new: Note) {
    old.differs |= old.text != new.text;
    if new.status > old.status {
        (old.status, old.text) = (new.status, new.text);
    }
    old.cases.extend(new.cases);
}

fn note(reason: &Reason, cases: Vec<String>) -> Note {
    let (code, text) = (one_line(&reason.code), one_line(&reason.text));
    Note { status: reason.status, code, text, cases, differs: false }
}

impl Note {
    /// Stamp, reason and place: what comes before the text.
    pub fn label(&self) -> String {
        let named = match self.cases.len() {
            0 => String::new(),
            some if some <= NAMED_CASES => format!(" ({})", self.cases.join(", ")),
            many => format!(" ({} cases, {} among them)", many, self.cases[0]),
        };
        format!("{} {}{named}", status_name(self.status), self.code)
    }

    /// The note in one line.
    pub fn line(&self) -> String {
        let one = if self.differs { "one of them: " } else { "" };
        format!("{}: {one}{}", self.label(), self.text)
    }
}

/// What failed, by case id: whole cases, and single samples of cases that otherwise finished.
pub fn failures(document: &Document) -> Vec<String> {
    let mut failures = Vec::new();
    for case in &document.cases {
        if let Some(error) = &case.error {
            failures.push(format!("{}: {}", one_line(&case.id), one_line(error)));
        }
        for sample in &case.samples {
            if let Some(error) = &sample.error {
                failures.push(format!(
                    "{}, sample {}: {}",
                    one_line(&case.id),
                    sample.order,
                    one_line(error)
                ));
            }
        }
    }
    failures
}

/// What was planned and not run, one line each.
pub fn left_out(document: &Document) -> Vec<String> {
    document
        .left_out
        .iter()
        .map(|left| format!("{}: {}", one_line(&left.what), one_line(&left.why)))
        .collect()
}

/// The box and the program, as label and value.
pub fn environment(document: &Document) -> Vec<(&'static str, String)> {
    let e = &document.environment;
    let text = |value: &Option<String>| value.as_deref().map_or(NOT_AVAILABLE.into(), one_line);
    let count = |value: Option<u32>| value.map_or(NOT_AVAILABLE.into(), |n| n.to_string());
    let cores = format!("{} physical, {} logical", count(e.physical_cores), count(e.logical_cores));
    let mut facts = vec![
        ("Processor", text(&e.cpu)),
        ("Cores", cores),
        ("Threads of the engine", count(e.threads)),
        ("Instruction sets", list(&e.cpu_features)),
        ("Instruction set of the kernels", text(&e.cpu_isa)),
        ("Memory", e.memory_bytes.map_or(NOT_AVAILABLE.into(), bytes)),
        (
            "Memory bandwidth, measured",
            e.memory_bandwidth_bytes_per_s.map_or(NOT_AVAILABLE.into(), giga("B/s")),
        ),
        ("Peaks of products, measured", matmul(document)),
        ("Accelerators", list(&e.accelerators)),
        ("Operating system", text(&e.os)),
        ("Load average at start", e.load_average.map_or(NOT_AVAILABLE.into(), significant)),
    ];
    let versions: Vec<String> =
        e.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    if let Some(card) = &e.card {
        facts.extend(card::facts(card));
    }
    facts.extend(start_up::facts(document));
    facts.push(("Versions", list(&versions)));
    facts.push(("Measured with", how(document)));
    facts.push(("Program", program(document)));
    facts.push(("Started", one_line(&document.started_at)));
    facts.push(("Seed", document.seed.to_string()));
    facts
}

fn giga(unit: &'static str) -> impl Fn(f64) -> String {
    move |value| format!("{} G{unit}", significant(value / 1e9))
}

fn matmul(document: &Document) -> String {
    let rates = &document.environment.matmul_flops_per_s;
    let rates: Vec<String> = rates.iter().map(|(operand, rate)| peak_text(operand, *rate)).collect();
    list(&rates)
}

/// A peak with its type: `int8 2,083 GOP/s`, `f32 517 GFLOP/s`.
pub fn peak_text(operand: &str, rate: f64) -> String {
    format!("{operand} {}", giga(if operand == "int8" { "OP/s" } else { "FLOP/s" })(rate))
}

/// Device, activation type and attention path of every case, each once.
fn how(document: &Document) -> String {
    let mut ways: Vec<String> = Vec::new();
    for case in &document.cases {
        let way = format!("{}, activations {}, attention {}", case.device, case.dtype, case.attention_path);
        if !ways.contains(&way) {
            ways.push(way);
        }
    }
    one_line(&if ways.is_empty() { NOT_AVAILABLE.into() } else { ways.join("; ") })
}

fn program(document: &Document) -> String {
    let tool = &document.tool;
    let commit = tool.git_commit.as_deref().map_or(String::new(), |commit| format!(", commit {commit}"));
    let features = match tool.features.is_empty() {
        true => String::new(),
        false => format!(", features {}", tool.features.join(" ")),
    };
    one_line(&format!("ctxbench {}{commit}, {} build{features}", tool.version, tool.profile))
}

fn list(items: &[String]) -> String {
    if items.is_empty() { NOT_AVAILABLE.into() } else { one_line(&items.join(", ")) }
}

/// The command that was typed, quoted for a POSIX shell where it must be.
pub fn command(document: &Document) -> String {
    let quoted = document.command.iter().map(|word| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@+%".contains(c);
        match !word.is_empty() && word.chars().all(plain) {
            true => word.clone(),
            false => format!("'{}'", one_line(word).replace('\'', r"'\''")),
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// Where a model came from, in one line.
pub fn provenance(model: &ModelRecord) -> String {
    let mut parts = vec![match model.weights {
        WeightsOrigin::Hub => "From the hub".to_owned(),
        WeightsOrigin::Local => "From this machine".to_owned(),
        WeightsOrigin::Random => "Seeded random weights of the exact shape".to_owned(),
    }];
    if let Some(repo) = &model.repo {
        parts.push(match &model.revision {
            Some(revision) => format!("{repo} at {revision}"),
            None => repo.clone(),
        });
    }
    parts.push(format!("{} parameters", thousands(model.parameters.try_into().unwrap_or(i64::MAX))));
    parts.push(format!("architecture {}", model.architecture));
    parts.push(format!("longest context {}", thousands(model.max_positions.try_into().unwrap_or(i64::MAX))));
    parts.push(format!("KV cache {} per token", bytes(model.kv_bytes_per_token)));
    parts.push(format!("tokenizer {}", model.tokenizer));
    parts.push(format!("licence {}", model.license.as_deref().unwrap_or(NOT_AVAILABLE)));
    one_line(&parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_reason_of_many_cases_is_told_once_and_names_them() {
        let mut document = fixture::document();
        let reason = Reason { code: "hot".into(), status: Status::Caveat, text: "It was hot.".into() };
        document.cases.iter_mut().for_each(|case| case.validity.add(reason.clone()));
        document.validity.add(Reason { text: "In all cases: it was hot.".into(), ..reason });
        let hot: Vec<Note> = notes(&document).into_iter().filter(|note| note.code == "hot").collect();
        assert_eq!((hot.len(), hot[0].cases.len(), hot[0].differs), (1, document.cases.len(), false));
        assert!(hot[0].line().starts_with("CAVEAT hot (11 cases, "), "{}", hot[0].line());
    }

    #[test]
    fn the_worst_reason_comes_first_and_the_runs_own_is_kept() {
        let mut document = fixture::document();
        let text = "The build is not optimised.".to_owned();
        document.validity.add(Reason { code: "debug_build".into(), status: Status::Invalid, text });
        let notes = notes(&document);
        assert!(notes.is_sorted_by_key(|note| std::cmp::Reverse(note.status)));
        assert!(notes.iter().any(|note| note.line() == "INVALID debug_build: The build is not optimised."));
    }

    #[test]
    fn a_command_can_be_pasted_into_a_shell() {
        let mut document = fixture::document();
        document.command = ["ctxbench", "run", "it's", "", "a b"].map(String::from).to_vec();
        assert_eq!(command(&document), r"ctxbench run 'it'\''s' '' 'a b'");
    }
}
