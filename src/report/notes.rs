//! What has to be read beside the numbers: stamps with their reasons, failures, and the box. Text only.

use super::document::{Document, ModelRecord, WeightsOrigin};
use super::{NOT_AVAILABLE, one_line};
use crate::units::{bytes, significant, thousands};
use crate::verdict::validity::{Reason, Status};

/// A reason for doubt, and the cases that it was found in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// How much it weighs.
    pub status: Status,
    /// Stable name of the reason.
    pub code: String,
    /// What was seen, and what to do.
    pub text: String,
    /// Ids of the cases; empty for the run as a whole.
    pub cases: Vec<String>,
}

/// The reasons of the whole run.
pub fn run_notes(document: &Document) -> Vec<Note> {
    document.validity.reasons.iter().map(|reason| note(reason, Vec::new())).collect()
}

/// The reasons found in single cases, each once, without those that are the whole run's already.
pub fn case_notes(document: &Document) -> Vec<Note> {
    let mut notes: Vec<Note> = Vec::new();
    for case in &document.cases {
        for reason in case.validity.reasons.iter().filter(|r| !document.validity.reasons.contains(r)) {
            let new = note(reason, vec![one_line(&case.id)]);
            let same = |n: &&mut Note| (&n.code, &n.text, n.status) == (&new.code, &new.text, new.status);
            match notes.iter_mut().find(same) {
                Some(old) => old.cases.extend(new.cases),
                None => notes.push(new),
            }
        }
    }
    notes
}

fn note(reason: &Reason, cases: Vec<String>) -> Note {
    Note { status: reason.status, code: one_line(&reason.code), text: one_line(&reason.text), cases }
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
        ("Memory", e.memory_bytes.map_or(NOT_AVAILABLE.into(), bytes)),
        (
            "Memory bandwidth, measured",
            e.memory_bandwidth_bytes_per_s.map_or(NOT_AVAILABLE.into(), giga("B/s")),
        ),
        ("Matmul rate, measured", matmul(document)),
        ("Accelerators", list(&e.accelerators)),
        ("Operating system", text(&e.os)),
        ("Load average at start", e.load_average.map_or(NOT_AVAILABLE.into(), significant)),
    ];
    let versions: Vec<String> =
        e.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
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
    let rates: Vec<String> =
        rates.iter().map(|(dtype, rate)| format!("{dtype} {}", giga("FLOP/s")(*rate))).collect();
    list(&rates)
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
        WeightsOrigin::Hub => "from the hub".to_owned(),
        WeightsOrigin::Local => "from this machine".to_owned(),
        WeightsOrigin::Random => "seeded random weights of the exact shape".to_owned(),
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
        let cases = document.cases.len();
        assert!(case_notes(&document).iter().any(|note| note.code == "hot" && note.cases.len() == cases));
        document.validity.add(reason);
        assert!(!case_notes(&document).iter().any(|note| note.code == "hot"));
    }

    #[test]
    fn a_command_can_be_pasted_into_a_shell() {
        let mut document = fixture::document();
        document.command = ["ctxbench", "run", "it's", "", "a b"].map(String::from).to_vec();
        assert_eq!(command(&document), r"ctxbench run 'it'\''s' '' 'a b'");
    }
}
