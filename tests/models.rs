//! `ctxbench models` through the program.

use std::process::{Command, Output};

use serde_json::{Value, json};

fn models(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ctxbench"))
        .arg("models")
        .args(args)
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

fn listing(args: &[&str]) -> Value {
    let output = models(&[args, &["--format", "json"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("stdout is one JSON document")
}

fn by_id<'a>(listing: &'a Value, id: &str) -> &'a Value {
    let models = listing["models"].as_array().expect("models is a list");
    models.iter().find(|model| model["id"] == id).unwrap_or_else(|| panic!("{id} is not listed"))
}

/// A catalog file with one tiny model, in which `from` is replaced by `to`.
fn own_catalog(from: &str, to: &str) -> tempfile::NamedTempFile {
    let entry = r#"[[model]]
id = "tiny"
repo = "me/tiny"
license = "MIT"
[model.shape]
architecture = "qwen3"
vocab_size = 512
hidden_size = 64
layers = 4
heads = 4
kv_heads = 2
head_dim = 16
intermediate_size = 128
rope_theta = 1e6
rms_norm_eps = 1e-6
max_positions = 4096
tie_embeddings = true
"#;
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), entry.replace(from, to)).expect("it can be written");
    file
}

#[test]
fn the_table_fits_a_hundred_columns_and_ends_with_the_answer() {
    let output = models(&[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    let prose = |line: &&str| line.contains("] unverified: ") || line.contains(" fits this box ");
    let prose = |line: &&str| prose(line) || line.starts_with("By weight type");
    for line in table.lines().filter(|line| !prose(line)) {
        assert!(line.chars().count() <= 100, "{line}");
    }
    assert!(table.lines().any(|line| line.starts_with(" qwen3.5-0.8b *")), "{table}");
    let last = table.split("\n\n").last().expect("a last paragraph");
    assert!(last.contains("this box at 32k tokens"), "{last}");
}

#[test]
fn the_json_has_exact_bytes_and_one_default() {
    let listing = listing(&["--context", "512"]);
    let dense = by_id(&listing, "qwen3-0.6b");
    assert_eq!(dense["parameters"], 596_049_920_u64);
    assert_eq!(dense["native_bytes"], 1_503_300_328_u64);
    assert_eq!((&dense["kv_bytes_per_token"], &dense["constant_state_bytes"]), (&json!(114_688), &json!(0)));
    let hybrid = by_id(&listing, "qwen3.5-0.8b");
    assert_eq!(hybrid["parameters"], 752_393_024_u64);
    assert_eq!(hybrid["native_bytes"], 1_746_942_600_u64);
    assert_eq!(hybrid["kv_bytes_per_token"], 12_288);
    assert_eq!(hybrid["constant_state_bytes"], 20_201_472);
    assert_eq!((&hybrid["default"], &hybrid["family"]), (&json!(true), &json!("Qwen3.5")));
    let mixture = by_id(&listing, "qwen3.5-35b-a3b");
    assert_eq!(mixture["parameters_per_token"], 2_946_429_568_u64);
    let defaults = listing["models"].as_array().unwrap().iter().filter(|m| m["default"] == true);
    assert_eq!(defaults.count(), 1);
    assert_eq!(hybrid["fits"].as_array().unwrap().len(), 4);
}

#[test]
fn models_that_share_a_line_of_the_table_are_each_in_the_json() {
    let listing = listing(&[]);
    let table = text(&models(&[]).stdout);
    assert!(table.contains("qwen2.5-3b[-instruct]"), "{table}");
    for id in ["qwen2.5-3b", "qwen2.5-3b-instruct", "qwen3.5-397b-a17b", "qwen3.8-27b"] {
        assert_eq!(by_id(&listing, id)["repo"].as_str().unwrap().to_ascii_lowercase(), format!("qwen/{id}"));
    }
    assert_eq!(listing["models"].as_array().unwrap().len(), 45);
}

#[test]
fn embedders_are_listed_beside_the_models() {
    let listing = listing(&[]);
    let embedders = listing["embedders"].as_array().expect("embedders is a list");
    let ids: Vec<&str> = embedders.iter().map(|e| e["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["all-minilm-l6-v2", "bge-small-en-v1.5", "qwen3-embedding-0.6b"]);
    assert_eq!((&embedders[0]["dimensions"], &embedders[1]["pooling"]), (&json!(384), &json!("first")));
    assert_eq!(embedders[2]["shape"]["decoder"]["vocab_size"], 151_669);
    let table = text(&models(&[]).stdout);
    assert!(ids.iter().all(|id| table.contains(&format!("\n{id} "))), "{table}");
}

#[test]
fn the_question_is_answered_at_32k_with_a_quantization() {
    let listing = listing(&[]);
    assert_eq!(listing["context_tokens"], 32_768);
    let answer: Vec<&str> =
        listing["answer"].as_array().unwrap().iter().map(|sentence| sentence.as_str().unwrap()).collect();
    if answer.len() == 1 {
        assert!(
            answer[0].contains("No model of the catalog fits") || answer[0].contains("unknown"),
            "{answer:?}"
        );
        return;
    }
    assert!(answer[0].starts_with("Largest that fits this box at 32k tokens: "), "{answer:?}");
    assert!(answer[1].starts_with("By weight type: ") && answer[1].contains("q4_k."), "{answer:?}");
    assert!(answer[2].starts_with("The default, qwen3.5-0.8b, "), "{answer:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn what_fits_agrees_with_the_memory_it_names() {
    let listing = listing(&["--context", "512"]);
    let available = listing["available_bytes"].as_u64().expect("Linux tells its memory");
    for model in listing["models"].as_array().unwrap() {
        for fit in model["fits"].as_array().unwrap() {
            let fits = fit["needed_bytes"].as_u64().unwrap() <= available;
            assert_eq!(fit["fits"], fits, "{} {}", model["id"], fit["quantization"]);
        }
    }
}

#[test]
fn a_longer_context_needs_more() {
    let needed = |context| {
        by_id(&listing(&["--context", context]), "qwen3-0.6b")["fits"][0]["needed_bytes"].as_u64().unwrap()
    };
    assert!(needed("32k") - needed("16k") >= 16 * 1024 * 114_688);
}

#[test]
fn an_entry_of_the_users_is_listed_first() {
    let file = own_catalog("", "");
    let listing = listing(&["--catalog", file.path().to_str().unwrap()]);
    assert_eq!(listing["models"][0]["id"], "tiny");
    assert_eq!(by_id(&listing, "qwen3.5-0.8b")["default"], true);
}

#[test]
fn an_error_in_the_users_file_names_file_line_key_and_remedy() {
    let cases = [
        ("layers = 4", "layers = \"x\"", "line 9, at 'layers'"),
        ("rope_theta = 1e6\n", "", "missing field `rope_theta`"),
        ("\"qwen3\"", "\"mamba\"", "unknown variant `mamba`, expected"),
        ("me/tiny", "https://x/me/tiny", "repo of model 'tiny'"),
        ("[model.shape]", "[model.shape", "line 5"),
    ];
    for (from, to, part) in cases {
        let file = own_catalog(from, to);
        let path = file.path().to_str().unwrap();
        let output = models(&["--catalog", path]);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(path) && error.contains(part), "{error}");
        assert!(output.stdout.is_empty(), "nothing was listed, so stdout stays empty");
    }
}

#[test]
fn a_catalog_that_is_not_there_or_is_not_text_is_a_sentence() {
    let missing = models(&["--catalog", "nowhere.toml"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).contains("could not read catalog file 'nowhere.toml'"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), [0xff, 0xfe, 0x00]).unwrap();
    let binary = models(&["--catalog", file.path().to_str().unwrap()]);
    assert_eq!(binary.status.code(), Some(2));
    assert!(text(&binary.stderr).contains("could not read catalog file"));
}

#[test]
fn a_context_that_is_no_number_is_refused() {
    let output = models(&["--context", "many"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("not a token count"), "{}", text(&output.stderr));
}
