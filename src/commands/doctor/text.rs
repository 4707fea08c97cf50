//! The text of `ctxbench doctor`, at most 80 columns wide.

use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};

use super::checkup::Checkup;
use crate::report::card;
use crate::units;

/// Columns of the text.
const WIDTH: u16 = 80;

type Line = [String; 2];

/// Writes every section, then what to do.
pub(super) fn write(out: &mut dyn Write, checkup: &Checkup) -> io::Result<()> {
    section(out, "This box", machine(checkup))?;
    section(out, "Accelerators", accelerators(checkup))?;
    section(out, "Hub", hub(checkup))?;
    section(out, "This build", build(checkup))?;
    section(out, "Measured just now, best of several passes", measured(checkup))?;
    section(out, "What that means for the default model", implied(checkup))?;
    if checkup.remedies.is_empty() {
        return writeln!(out, "Nothing is missing.");
    }
    writeln!(out, "What to do")?;
    for (number, remedy) in checkup.remedies.iter().enumerate() {
        let text = format!("{}\n-> {}", remedy.found, remedy.remedy);
        table(out, vec![[format!("{}.", number + 1), text]], 3)?;
    }
    Ok(())
}

fn section(out: &mut dyn Write, title: &str, lines: Vec<Line>) -> io::Result<()> {
    writeln!(out, "{title}")?;
    table(out, lines, 16)?;
    writeln!(out)
}

/// Names on the left, values on the right, wrapped.
fn table(out: &mut dyn Write, lines: Vec<Line>, name_width: usize) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
    for [name, value] in lines {
        table.add_row([format!("  {name:<name_width$}"), value]);
    }
    if let Some(column) = table.column_mut(0) {
        column.set_padding((0, 0)).set_constraint(comfy_table::ColumnConstraint::Absolute(
            comfy_table::Width::Fixed(name_width as u16 + 2),
        ));
    }
    if let Some(column) = table.column_mut(1) {
        column.set_padding((0, 0));
    }
    for line in table.to_string().lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn line(name: &str, value: impl Into<String>) -> Line {
    [name.into(), value.into()]
}

fn known<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "n/a".into(), show)
}

fn machine(checkup: &Checkup) -> Vec<Line> {
    let environment = &checkup.environment;
    let count = |n: Option<u32>| known(n, |n| n.to_string());
    let cores = format!(
        "{} physical, {} logical; the engine uses {} threads",
        count(environment.physical_cores),
        count(environment.logical_cores),
        count(environment.threads)
    );
    let memory = format!(
        "{}, {} free; swap {}",
        known(environment.memory_bytes, units::bytes),
        known(checkup.available_bytes, units::bytes),
        known(checkup.swap_total_bytes, |bytes| if bytes == 0 { "none".into() } else { units::bytes(bytes) })
    );
    let features = environment.cpu_features.join(" ");
    vec![
        line("system", known(environment.os.clone(), |os| os)),
        line("processor", known(environment.cpu.clone(), |cpu| cpu)),
        line(
            "features",
            if features.is_empty() { "none of those that matter here".into() } else { features },
        ),
        line("cores", cores),
        line("clock", known(checkup.clock_mhz, |mhz| format!("{mhz:.0} MHz"))),
        line("memory", memory),
        line("load average", known(environment.load_average, |load| format!("{load:.2}"))),
    ]
}

fn accelerators(checkup: &Checkup) -> Vec<Line> {
    if checkup.accelerators.is_empty() && checkup.cards.is_empty() {
        return vec![line("found", "none: runs use the CPU")];
    }
    let status = |compiled| if compiled { "usable with --device" } else { "not compiled in" };
    let found = checkup.accelerators.iter();
    let mut lines: Vec<Line> =
        found.map(|a| line("found", format!("{} ({})", a.name, status(a.compiled_in)))).collect();
    for (number, status) in checkup.cards.iter().enumerate() {
        let name = known(status.identity.name.as_deref(), str::to_owned);
        lines.push(line(&format!("card {number}"), name));
        lines.extend(card::identity(&status.identity).into_iter().map(|(label, text)| line(label, text)));
        lines.push(line("now", card::state(&status.state)));
        let unread = card::unread(&status.identity.unread, &status.state.unread);
        lines.extend(unread.map(|text| line("not told", text)));
    }
    let has_nvidia = checkup.accelerators.iter().any(|a| a.feature == Some("cuda"));
    if let Some(why) = checkup.cards_unread.as_ref().filter(|_| has_nvidia) {
        lines.push(line("its state", format!("n/a: {why}")));
    }
    lines
}

fn hub(checkup: &Checkup) -> Vec<Line> {
    let hub = &checkup.hub;
    let answer = match (hub.reachable, &hub.reason) {
        (Some(true), _) => "answers".into(),
        (Some(false), reason) => format!("does not answer: {}", reason.as_deref().unwrap_or("n/a")),
        (None, reason) => reason.clone().unwrap_or_else(|| "not asked".into()),
    };
    let place = known(hub.cache.as_ref(), |folder| folder.display().to_string());
    let cache = if hub.cache_exists { place } else { format!("{place} (made by the first download)") };
    vec![
        line("endpoint", format!("{} ({answer})", hub.endpoint.as_deref().unwrap_or("n/a"))),
        line("cache", cache),
        line("free disk", known(hub.cache_free_bytes, units::bytes)),
    ]
}

fn build(checkup: &Checkup) -> Vec<Line> {
    let tool = &checkup.tool;
    let features = if tool.features.is_empty() { "none (CPU only)".into() } else { tool.features.join(", ") };
    let commit = tool.git_commit.as_deref().map_or("unknown", |hash| hash.get(..12).unwrap_or(hash));
    let mut lines = vec![
        line("version", format!("ctxbench {}, commit {commit}", tool.version)),
        line("profile", tool.profile.clone()),
        line("features", features),
    ];
    lines.extend(checkup.environment.versions.iter().map(|(name, version)| line(name, version.clone())));
    lines
}

fn measured(checkup: &Checkup) -> Vec<Line> {
    let environment = &checkup.environment;
    let giga = |rate: f64| units::significant(rate / 1e9);
    let bandwidth = known(environment.memory_bandwidth_bytes_per_s, |rate| format!("{} GB/s", giga(rate)));
    let threads = known(environment.threads, |count| count.to_string());
    let isa = known(environment.cpu_isa.as_deref(), str::to_owned);
    let mut lines = vec![
        line(
            "with",
            match environment.rates_are_of_a_card {
                true => "the card of --device".into(),
                false => format!("{threads} threads, instruction set {isa}"),
            },
        ),
        line("memory", format!("{bandwidth}, the better of reading and copying")),
    ];
    lines.extend(["int8", "bf16", "f32"].map(|name| {
        let rate = environment.matmul_flops_per_s.get(name);
        let rate =
            known(rate, |rate| format!("{} G{}/s", giga(*rate), if name == "int8" { "OP" } else { "FLOP" }));
        line(&format!("products {name}"), rate)
    }));
    let share =
        known(checkup.used_by_others, |share| format!("used {:.0} % of the CPU meanwhile", 100.0 * share));
    lines.push(line("others", share));
    lines
}

fn implied(checkup: &Checkup) -> Vec<Line> {
    let Some(implied) = &checkup.implied else {
        return vec![line("model", "n/a: the catalog names no default")];
    };
    let rate =
        known(implied.decode_tokens_per_s_ceiling, |rate| format!("{} tokens/s", units::significant(rate)));
    let decode = known(implied.tpot_floor_ms, |ms| {
        format!("{} a token or more, so at most {rate}", units::milliseconds(ms))
    });
    let prefill = known(implied.prefill_floor_ms, |ms| {
        format!(
            "{} or more for {} tokens, int8 products and f32 attention",
            units::milliseconds(ms),
            units::tokens(implied.prompt_tokens)
        )
    });
    vec![
        line(
            "model",
            format!(
                "{} in {}, {} read a token",
                implied.model,
                implied.quantization,
                units::bytes(implied.decode_read_bytes)
            ),
        ),
        line("decode", decode),
        line("prefill", prefill),
        line(
            "memory",
            format!(
                "{} at {} tokens",
                units::bytes(implied.needed_bytes),
                units::tokens(implied.prompt_tokens)
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::checkup::tests::healthy;
    use super::super::checkup::{self, AcceleratorStatus};
    use super::*;
    use crate::environment::card::{CardIdentity, CardState, Unread};

    fn shown(checkup: &Checkup) -> String {
        let mut out = Vec::new();
        write(&mut out, checkup).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn no_line_is_wider_than_eighty_columns() {
        let mut checkup = healthy();
        checkup.environment.cpu = Some("A processor with a rather long name ".repeat(5));
        checkup.hub.reachable = Some(false);
        checkup.hub.reason = Some("name resolution failed ".repeat(9));
        checkup.remedies = super::super::advice::remedies(&checkup);
        let text = shown(&checkup);
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH.into(), "{line}");
        }
        assert!(text.contains("What to do\n  1."), "{text}");
    }

    #[test]
    fn a_card_is_told_with_its_state_and_what_the_driver_did_not_tell() {
        let mut checkup = healthy();
        checkup.cards = vec![checkup::CardStatus {
            identity: CardIdentity {
                name: Some("NVIDIA L4".into()),
                driver_version: Some("580.1".into()),
                memory_total_bytes: Some(24 << 30),
                unread: Unread::from([("power_limit_w".into(), "not supported".into())]),
                ..CardIdentity::default()
            },
            state: CardState { memory_free_bytes: Some(20 << 30), ..CardState::default() },
        }];
        let text = shown(&checkup).split_whitespace().collect::<Vec<_>>().join(" ");
        for part in [
            "NVIDIA L4",
            "driver 580.1",
            "24.0 GiB memory",
            "20.0 GiB free",
            "power_limit_w: not supported",
            "power n/a",
        ] {
            assert!(text.contains(part), "'{part}' is not in {text}");
        }
        assert!(!text.contains(" 0 W") && !text.contains("0 MHz"), "{text}");
    }

    #[test]
    fn why_a_card_that_is_there_tells_nothing_is_said_and_only_then() {
        let mut checkup = healthy();
        checkup.cards_unread = Some("no library".into());
        assert!(!shown(&checkup).contains("no library"));
        let name = "NVIDIA GPU (/dev/nvidia0)".to_owned();
        checkup.accelerators = vec![AcceleratorStatus { name, compiled_in: false, feature: Some("cuda") }];
        assert!(shown(&checkup).contains("n/a: no library"));
    }

    #[test]
    fn what_is_unknown_is_not_available_and_never_zero() {
        let mut checkup = healthy();
        checkup.available_bytes = None;
        checkup.environment.memory_bytes = None;
        checkup.environment.memory_bandwidth_bytes_per_s = None;
        let text = shown(&checkup);
        assert!(text.contains("n/a, n/a free; swap none"), "{text}");
        assert!(
            text.lines().any(|line| line.trim_start().starts_with("memory") && line.contains(" n/a")),
            "{text}"
        );
    }
}
