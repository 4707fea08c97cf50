//! The arrows of `src/lib.rs`, held: which room may name which, and what may stand in one place only.
//!
//! Reads the sources as text. Test code is held to the same arrows as the rest: it needs no others
//! today. Comments are not code, and may name any room.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room, and the rooms it may name. A room stands below those that it names, so that no two can name
/// each other; a room missing from this list fails the test.
const MAY_USE: &[(&str, &[&str])] = &[
    // Vocabulary.
    ("clock", &[]),
    ("units", &[]),
    ("environment", &[]),
    ("sample", &["environment"]),
    // `Quantization`, `WeightsChoice` and `Scenario` are typed by users and meant everywhere else.
    ("cli", &["units"]),
    // Numbers alone, shapes alone, text alone, the machine alone.
    ("stats", &[]),
    ("cpu", &[]),
    ("cuda", &[]),
    ("model", &["cpu", "cuda"]),
    ("prompts", &[]),
    ("tokenizer", &[]),
    ("device", &["clock", "cpu", "cuda", "environment"]),
    // The work.
    ("workload", &["prompts", "tokenizer"]),
    // The model, from its name to its tokens.
    ("hub", &["clock", "units"]),
    ("catalog", &["cli", "cpu", "model", "units"]),
    ("weights", &["catalog", "cli", "cpu", "cuda", "hub", "model", "tokenizer"]),
    ("engine", &["cli", "cuda", "model", "weights"]),
    ("config", &["cli", "device", "weights"]),
    ("runner", &["cli", "clock", "config", "engine", "sample", "stats"]),
    // Embedders are read like models, and stores are searched; what is asked and timed is rag's.
    (
        "retrieval",
        &["catalog", "clock", "engine", "hub", "model", "prompts", "tokenizer", "units", "weights"],
    ),
    (
        "rag",
        &[
            "clock",
            "engine",
            "prompts",
            "retrieval",
            "runner",
            "sample",
            "stats",
            "tokenizer",
            "units",
            "workload",
        ],
    ),
    // The meaning.
    ("verdict", &["stats", "units"]),
    ("report", &["environment", "model", "sample", "stats", "units", "verdict"]),
    // The wiring.
    (
        "commands",
        &[
            "catalog",
            "cli",
            "clock",
            "config",
            "device",
            "engine",
            "environment",
            "hub",
            "model",
            "prompts",
            "rag",
            "report",
            "retrieval",
            "runner",
            "sample",
            "stats",
            "tokenizer",
            "units",
            "verdict",
            "weights",
            "workload",
        ],
    ),
];

/// A single module that a room may name although its room is not in the list, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "catalog",
        "weights::block_type",
        "one rule says which block a row gets; it looks at no tensor, and the catalog counts bytes by it",
    ),
    ("config", "runner::schedule", "`Budget` is what --runs and --max-time mean"),
    ("report", "weights::origin", "the record of what was read is part of the document"),
];

/// What the list above may never be widened to.
const NEVER: &[(&str, &[&str])] = &[
    ("report", &["runner", "engine", "hub", "commands"]),
    ("stats", &["engine", "report", "hub", "runner"]),
    ("model", &["hub", "catalog"]),
];

/// Words of code that stand in these files or folders only, tests included, and what for.
const ONLY_IN: &[(&str, &str, &str)] = &[
    (
        "feature = \"",
        "device/select.rs cuda/ engine/device_step.rs",
        "a build feature matters where a device is chosen, and where a card is told what to do",
    ),
    ("unsafe", "cpu/ cuda/ weights/safetensors.rs", "kernels and their memory, and the mapping of a file"),
    ("Instant::now", "clock.rs", "time enters in one place"),
    ("struct Rope", "model/rope.rs", "one rotary embedding"),
    ("fn rope", "model/rope.rs", "one rotary embedding"),
    ("struct RmsNorm", "model/norm.rs", "one RMSNorm"),
    ("fn rms_norm", "model/norm.rs cuda/rows.rs", "one RMSNorm"),
    ("ops::rms_norm", "model/norm.rs cuda/prepare/tests.rs", "one RMSNorm, and what a kernel is held to"),
    ("struct Attention", "model/attention.rs", "one attention"),
    ("softmax", "model/kernels/ cuda/", "one softmax over scores, and a card's"),
    ("exp::exp", "model/kernels/", "a fused kernel makes its softmax of it"),
];

/// Functions that are called in these files only: the kernels of the one attention, and their cache.
const CALLED_IN: &[(&str, &[&str])] = &[
    ("causal_softmax(", &["model/attention.rs", "model/kernels/causal_softmax.rs"]),
    ("KvCache::new(", &["cpu/attention/tests.rs", "model/attention/tests.rs", "model/cache.rs"]),
];

/// One source file: its path below `src`, and its text without comments.
struct Source {
    path: String,
    code: String,
}

impl Source {
    fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// How many `super::` lead from this file to the crate itself.
    fn depth(&self) -> usize {
        self.path.trim_end_matches("/mod.rs").split('/').count()
    }
}

/// All sources but the map and the program's main, which are no rooms.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    let source = |path: PathBuf| Source {
        path: path.strip_prefix(&root).expect("it is below src").to_string_lossy().replace('\\', "/"),
        code: without_comments(&fs::read_to_string(&path).expect("a source can be read")),
    };
    let all = paths.into_iter().map(source);
    all.filter(|source| !["lib.rs", "main.rs"].contains(&source.path.as_str())).collect()
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources can be read").flatten() {
        match entry.path() {
            path if path.is_dir() => collect(&path, into),
            path if path.extension().is_some_and(|extension| extension == "rs") => into.push(path),
            _ => {}
        }
    }
}

fn without_comments(text: &str) -> String {
    let code = |line: &str| match line.trim_start().starts_with("//") {
        true => String::new(),
        false => line.split(" // ").next().unwrap_or_default().to_owned(),
    };
    text.lines().map(code).collect::<Vec<_>>().join("\n")
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// What follows each `prefix` in the code, where `prefix` does not continue a longer path or word.
fn after<'a>(code: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    let starts_here = |at: usize| !code[..at].ends_with(|c| is_word(c) || c == ':');
    code.match_indices(prefix)
        .filter(move |(at, _)| starts_here(*at))
        .map(|(at, found)| &code[at + found.len()..])
}

/// Paths that a file names from the crate's root, e.g. `hub::Hub`.
fn named<'a>(source: &'a Source, up: &'a str) -> impl Iterator<Item = &'a str> {
    let path = |rest: &'a str| rest.split(|c| !is_word(c) && c != ':').next().unwrap_or_default();
    after(&source.code, "crate::").chain(after(&source.code, up)).map(path)
}

fn list_of(room: &str) -> Option<&'static [&'static str]> {
    MAY_USE.iter().find(|(name, _)| *name == room).map(|(_, may)| *may)
}

/// What one file names and may not.
fn trespasses(source: &Source) -> Vec<String> {
    let room = source.room();
    let Some(may) = list_of(room) else {
        return vec![format!("{}: room '{room}' is not in MAY_USE", source.path)];
    };
    let up = "super::".repeat(source.depth());
    let mut wrong = Vec::new();
    for path in named(source, &up) {
        let other = path.split("::").next().unwrap_or_default();
        let excepted = EXCEPTIONS.iter().any(|(from, module, _)| *from == room && path.starts_with(module));
        if other != room && list_of(other).is_some() && !may.contains(&other) && !excepted {
            wrong.push(format!("{}: '{room}' may not name '{path}'", source.path));
        }
    }
    // A list in braces, or everything at once, hides what is named from this test.
    if after(&source.code, "crate::").any(|rest| !rest.starts_with(is_word)) {
        wrong.push(format!("{}: name one room per line after `crate::`", source.path));
    }
    wrong
}

/// Whether `word` stands in the code and is not a part of a longer word.
fn holds_word(code: &str, word: &str) -> bool {
    let goes_on = |at: usize| word.ends_with(is_word) && code[at + word.len()..].starts_with(is_word);
    code.match_indices(word).any(|(at, _)| !goes_on(at) && !code[..at].ends_with(is_word))
}

#[test]
fn every_room_names_only_rooms_it_may_name() {
    let wrong: Vec<String> = sources().iter().flat_map(trespasses).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_room_is_in_the_list_and_on_the_map() {
    let map = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let declared = map.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let listed: BTreeSet<&str> = MAY_USE.iter().map(|(room, _)| *room).collect();
    assert_eq!(listed, declared.collect());
    for room in listed {
        assert!(map.contains(&format!("[`{room}`]")), "'{room}' is missing from the map in src/lib.rs");
    }
}

#[test]
fn data_flows_one_way() {
    for (place, (room, may)) in MAY_USE.iter().enumerate() {
        for other in *may {
            let below = MAY_USE[..place].iter().any(|(name, _)| name == other);
            assert!(below, "'{room}' names '{other}', which does not stand below it in MAY_USE");
        }
    }
    for (room, never) in NEVER {
        let may = list_of(room).unwrap();
        assert!(never.iter().all(|other| !may.contains(other)), "'{room}' was widened to one of {never:?}");
    }
}

#[test]
fn every_exception_is_still_needed() {
    for (room, module, why) in EXCEPTIONS {
        let name = format!("crate::{module}");
        let used = sources().iter().any(|source| source.room() == *room && source.code.contains(&name));
        assert!(used, "'{room}' no longer names {module} ({why}): take the exception away");
    }
}

#[test]
fn what_belongs_in_one_place_is_in_that_place_only() {
    let sources = sources();
    let mut wrong = Vec::new();
    for (word, home, why) in ONLY_IN {
        let at_home = |source: &Source| home.split(' ').any(|home| source.path.starts_with(home));
        let elsewhere = |source: &&Source| !at_home(source) && holds_word(&source.code, word);
        let told = |source: &Source| format!("{}: `{word}` belongs in {home} only: {why}", source.path);
        wrong.extend(sources.iter().filter(elsewhere).map(told));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (call, expected) in CALLED_IN {
        let callers = sources.iter().filter(|source| holds_word(&source.code, call));
        let callers: BTreeSet<&str> = callers.map(|source| source.path.as_str()).collect();
        assert_eq!(callers, expected.iter().copied().collect(), "{call}");
    }
}

#[test]
fn the_reader_sees_every_way_of_naming_a_room() {
    let wrong = |path: &str, text: &str| {
        trespasses(&Source { path: path.into(), code: without_comments(text) }).len()
    };
    assert_eq!(wrong("stats/fit.rs", "use crate::report::json;\nlet x = crate::hub::Hub::new();"), 2);
    assert_eq!(wrong("stats/fit.rs", "use super::super::report::json;"), 1);
    assert_eq!(wrong("stats/fit.rs", "use super::estimate; use crate::stats::fit; // crate::report"), 0);
    assert_eq!(wrong("stats.rs", "use super::report;"), 1);
    assert_eq!(wrong("stats/mod.rs", "use crate::{report, hub};"), 1);
    assert_eq!(wrong("report/mod.rs", "use crate::weights::origin::FileRecord;"), 0);
    assert_eq!(wrong("report/mod.rs", "use crate::weights::gguf;"), 1);
    assert_eq!(wrong("scheduler.rs", ""), 1);
    assert!(holds_word("#[cfg(any(feature = \"cuda\"))]", ONLY_IN[0].0));
    assert!(holds_word("unsafe {", "unsafe") && !holds_word("unsafe_code", "unsafe"));
    assert!(!holds_word("fn rope_theta()", "fn rope") && !holds_word("log_softmax(x)", "softmax"));
}
