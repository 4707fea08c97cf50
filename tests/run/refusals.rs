//! What cannot be run: a sentence, a remedy, exit code 2, and no output folder.

use std::fs;

use crate::place::{Place, SMALL, fixture, fixture_bytes, samples, word};

fn with<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [words, &SMALL[..]].concat()
}

/// A copy of the fixture `qwen3` in which `change` was made.
fn broken(place: &Place, change: impl FnOnce(&mut String, &mut Vec<u8>)) -> String {
    broken_kind(place, "qwen3", change)
}

/// A copy of a fixture in which `change` was made.
fn broken_kind(place: &Place, kind: &str, change: impl FnOnce(&mut String, &mut Vec<u8>)) -> String {
    let config = fixture_bytes(&format!("{kind}/config.json"));
    let mut config = String::from_utf8(config).expect("the fixture is UTF-8");
    let mut weights = fixture_bytes(&format!("{kind}/model.safetensors"));
    change(&mut config, &mut weights);
    place.file("model/config.json", config);
    place.file("model/model.safetensors", weights);
    "./model".into()
}

#[test]
fn an_unknown_model_is_answered_with_the_nearest_names() {
    let place = Place::new();
    place.run(&with(&["qwen3-06b"])).assert_refused(&[
        "'qwen3-06b'",
        "did you mean qwen3-0.6b",
        "owner/name",
    ]);
    place.run(&with(&["./nowhere"])).assert_refused(&["./nowhere", "config.json"]);
    place.run(&with(&["nowhere.gguf"])).assert_refused(&["could not read 'nowhere.gguf'"]);
    assert!(!place.path("out").exists());
}

#[test]
fn an_embedder_is_not_run_and_says_what_it_is_for() {
    let place = Place::new();
    for name in ["all-minilm-l6-v2", "BAAI/bge-small-en-v1.5"] {
        for more in [&[][..], &["--dry-run"], &["--weights", "random"]] {
            let outcome = place.run(&[&with(&[name])[..], more].concat());
            outcome.assert_refused(&["is an embedder", "384 numbers", "for retrieval", "ctxbench fetch"]);
        }
    }
    assert!(!place.path("out").exists());
}

#[test]
fn a_length_that_cannot_be_is_answered_with_the_largest_that_can() {
    let place = Place::new();
    let folder = word(&fixture("qwen3"));
    let long = with(&[&folder, "--context", "4095"]);
    place.run(&long).assert_refused(&["4095 tokens", "made for 4096", "largest context is 4092"]);
    place.run(&with(&[&folder, "--depth", "8k"])).assert_refused(&["8192", "largest context is 4092"]);
    place.run(&[&folder, "--context", "0"]).assert_refused(&["--context 0", "--depth 0"]);
    place
        .run(&[&folder, "--output-tokens", "5000"])
        .assert_refused(&["made for 4096", "lower --output-tokens"]);
    assert!(!place.path("out").exists());
}

#[test]
fn what_does_not_fit_the_memory_is_refused_before_loading() {
    let place = Place::new();
    let wide = place.catalog("hidden_size = 64", "hidden_size = 1_048_576");
    let args = |catalog: &str| -> Vec<String> {
        let words = ["tiny", "--catalog", catalog, "--weights", "random", "--context", "1000k"];
        words.iter().map(|word| word.to_string()).collect()
    };
    let run = |catalog: &str| place.run(&args(catalog).iter().map(String::as_str).collect::<Vec<_>>());
    // 1 M wide: the embedding is small, but each layer's projections and feed-forward are not.
    let wide_text = fs::read_to_string(&wide).unwrap().replace("layers = 2", "layers = 4000");
    let wide = place.file("wide.toml", wide_text);
    run(&wide).assert_refused(&["tiny q8_0", "does not fit this box's free memory", "smaller model"]);
    let long = place.catalog("max_positions = 4096", "max_positions = 2_000_000");
    let text = fs::read_to_string(&long)
        .unwrap()
        .replace("layers = 2", "layers = 80")
        .replace("kv_heads = 2", "kv_heads = 4");
    let deep = place.file("deep.toml", text.replace("head_dim = 16", "head_dim = 1024"));
    run(&deep).assert_refused(&["1024000 tokens", "would not fit", "the largest context that does is"]);
    assert!(!place.path("out").exists());
}

#[test]
fn experts_that_do_not_fit_the_memory_are_counted_before_loading() {
    let place = Place::new();
    let experts = "[model.shape.experts]\ncount = 4096\nused = 8\nwidth = 65536\nrenormalise = true\n";
    let catalog = place.catalog("intermediate_size = 128\n", "");
    let text = fs::read_to_string(catalog).unwrap();
    let text = text.replace("\"qwen3\"", "\"qwen3_moe\"").replace("layers = 2", "layers = 4000") + experts;
    let catalog = place.file("experts.toml", text);
    // 4,000 layers of 4,096 experts: 200 TiB and more in any type.
    for weights in ["random", "auto"] {
        place.run(&["tiny", "--catalog", &catalog, "--weights", weights]).assert_refused(&[
            "tiny q8_0 does not fit this box's free memory: it needs",
            "are free, since all 4096 experts of a layer must be in memory and not only the 8",
            "none of native, q8_0, q6_k, q4_k fits",
            "take a smaller model",
        ]);
    }
    assert!(!place.path("out").exists());
}

#[test]
fn a_model_that_is_not_one_of_the_family_is_refused_by_name() {
    let place = Place::new();
    let folder = broken(&place, |config, _| *config = config.replace("\"qwen3\"", "\"llama\""));
    place.run(&with(&[&folder])).assert_refused(&["'llama'", "it runs qwen2, qwen2_moe, qwen3"]);
    let folder = broken(&place, |config, _| *config = config.replace("\"num_hidden_layers\": 4,", ""));
    place.run(&with(&[&folder])).assert_refused(&["config.json", "num_hidden_layers"]);
    let folder = broken(&place, |config, _| *config = "{".into());
    place.run(&with(&[&folder])).assert_refused(&["config.json"]);
    assert!(!place.path("out").exists());
}

#[test]
fn damaged_weights_are_named() {
    let place = Place::new();
    let folder = broken(&place, |_, weights| weights.truncate(300_000));
    place.run(&with(&[&folder])).assert_refused(&[
        "model.safetensors",
        "truncated or corrupt",
        "ctxbench fetch",
    ]);
    let folder = broken(&place, |_, weights| weights[..8].fill(0xff));
    place.run(&with(&[&folder])).assert_refused(&["model.safetensors", "truncated or corrupt"]);
    assert!(!place.path("out").exists());
    let folder = broken(&place, |config, _| {
        *config = config.replace("\"num_hidden_layers\": 4", "\"num_hidden_layers\": 5")
    });
    place.run(&with(&[&folder])).assert_refused(&["no tensor 'model.layers.4"]);
    let whole = fixture_bytes("qwen3/model-q8_0.gguf");
    for (name, bytes) in
        [("cut.gguf", &whole[..100_000]), ("head.gguf", &whole[..50]), ("text.gguf", b"<html>")]
    {
        let file = place.file(name, bytes);
        place.run(&with(&[&file])).assert_refused(&[name, "truncated or corrupt"]);
    }
}

#[test]
fn a_device_that_is_not_built_in_says_how_to_build_it() {
    let place = Place::new();
    let folder = word(&fixture("qwen3"));
    if cfg!(not(feature = "cuda")) {
        place.run(&with(&[&folder, "--device", "cuda"])).assert_refused(&["--features cuda", "--device cpu"]);
    }
    place.run(&with(&[&folder, "--device", "gpu"])).assert_refused(&["'gpu' is not a device", "metal"]);
    assert!(!place.path("out").exists());
}

#[test]
fn a_time_limit_ends_the_run_and_one_that_is_too_short_for_anything_says_so() {
    let place = Place::new();
    let folder = word(&fixture("qwen3"));
    let limited = |time| {
        let args = ["--max-time", time, "--runs", "100000", "--context", "64", "--threads", "1"];
        place.run(&[&[folder.as_str()], &args[..]].concat())
    };
    limited("1ms").assert_refused(&["nothing was measured", "--max-time", "allow more"]);
    assert!(!place.path("out").exists());
    // How much is left after looking at the box depends on the box.
    let outcome = limited("8s");
    if outcome.code == Some(2) {
        outcome.assert_refused(&["nothing was measured", "--max-time"]);
        return;
    }
    outcome.assert_done();
    assert!((1..200_000).contains(&samples(&place.report())));
}

/// Gives the tensor whose name ends so another name of the same length.
fn rename(weights: &mut [u8], from: &str, to: &str) {
    let at = weights.windows(from.len()).position(|bytes| bytes == from.as_bytes());
    let at = at.expect("the name is in the header");
    weights[at..at + to.len()].copy_from_slice(to.as_bytes());
}

#[test]
fn experts_that_are_not_all_there_are_named() {
    let place = Place::new();
    let folder = broken_kind(&place, "qwen3_moe", |_, weights| {
        rename(weights, "layers.1.mlp.experts.3.up_proj", "layers.1.mlp.experts.3.uq_proj");
    });
    place.run(&with(&[&folder])).assert_refused(&["no tensor 'model.layers.1.mlp.experts.3.up_proj.weight'"]);
    let folder = broken_kind(&place, "qwen3_5_moe_wrapped", |_, weights| {
        rename(weights, "layers.1.mlp.experts.down_proj", "layers.1.mlp.experts.dawn_proj");
    });
    place.run(&with(&[&folder])).assert_refused(&["no tensor", "layers.1.mlp.experts.down_proj'"]);
    let folder = broken_kind(&place, "qwen3_5_moe_wrapped", |config, _| {
        *config = config.replace("\"text_config\"", "\"some_config\"");
    });
    place.run(&with(&[&folder])).assert_refused(&["text_config", "it is not there"]);
}
