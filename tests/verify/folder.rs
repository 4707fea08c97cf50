//! A copy of a fixture in a folder of its own, to be damaged.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde_json::{Value, json};

use crate::common;

pub const KINDS: [&str; 2] = ["qwen2", "qwen3"];
pub const CONFIG: &str = "config.json";
pub const WEIGHTS: &str = "model.safetensors";
pub const F32_GGUF: &str = "model-f32.gguf";
pub const Q8_0_GGUF: &str = "model-q8_0.gguf";
pub const REFERENCE: &str = "reference.safetensors";
pub const INDEX: &str = "model.safetensors.index.json";
pub const SHARDS: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

pub struct Folder {
    folder: tempfile::TempDir,
}

/// What the program answered.
pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    pub fn rows(&self) -> Vec<Value> {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}{}", self.stdout, self.stderr))
    }

    /// Asserts a refusal in words that hold `parts`: exit code 2, no panic, nothing on stdout.
    pub fn refused(&self, parts: &[&str]) {
        let text = &self.stderr;
        assert_eq!(self.code, 2, "{text}{}", self.stdout);
        assert!(
            text.starts_with("error: ") && !text.contains("panicked") && self.stdout.is_empty(),
            "{text}"
        );
        assert!(text.lines().count() <= 3, "{text}");
        for part in parts {
            assert!(text.contains(part), "'{part}' is not in: {text}");
        }
    }
}

impl Folder {
    /// All files of the fixture.
    pub fn whole(kind: &str) -> Self {
        Self::with(kind, &[CONFIG, WEIGHTS, F32_GGUF, Q8_0_GGUF, REFERENCE])
    }

    pub fn with(kind: &str, files: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(kind);
        for file in files {
            fs::copy(fixtures.join(file), folder.path().join(file)).expect("the fixture can be copied");
        }
        Self { folder }
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    pub fn verify(&self, args: &[&str]) -> Outcome {
        let folder = self.folder.path().to_str().expect("a plain path");
        verify(&[&[folder], args].concat())
    }

    pub fn edit_json(&self, file: &str, edit: impl FnOnce(&mut Value)) {
        self.edit_bytes(file, |bytes| {
            let mut json = serde_json::from_slice(bytes).expect("the file is JSON");
            edit(&mut json);
            *bytes = serde_json::to_vec(&json).expect("JSON can be written");
        });
    }

    pub fn edit_tensors(&self, file: &str, edit: impl FnOnce(&mut HashMap<String, Tensor>)) {
        let mut tensors = loaded(&self.path(file));
        edit(&mut tensors);
        candle_core::safetensors::save(&tensors, self.path(file)).expect("tensors can be written");
    }

    pub fn edit_bytes(&self, file: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.path(file)).expect("the file can be read");
        edit(&mut bytes);
        fs::write(self.path(file), bytes).expect("the file can be written");
    }

    pub fn remove(&self, file: &str) {
        fs::remove_file(self.path(file)).expect("the file was there");
    }

    /// Replaces `model.safetensors` by two shards and their index.
    pub fn split_in_two(&self) {
        let tensors = loaded(&self.path(WEIGHTS));
        let mut names: Vec<&String> = tensors.keys().collect();
        names.sort();
        let (mut shards, mut map) = ([HashMap::new(), HashMap::new()], serde_json::Map::new());
        for (at, name) in names.into_iter().enumerate() {
            shards[at % 2].insert(name.clone(), tensors[name].clone());
            map.insert(name.clone(), json!(SHARDS[at % 2]));
        }
        for (shard, name) in shards.iter().zip(SHARDS) {
            candle_core::safetensors::save(shard, self.path(name)).expect("tensors can be written");
        }
        fs::write(self.path(INDEX), json!({ "weight_map": map }).to_string())
            .expect("the index can be written");
        self.remove(WEIGHTS);
    }
}

pub fn verify(args: &[&str]) -> Outcome {
    let output = common::ctxbench(&[&["verify"], args].concat());
    let code = output.status.code().expect("the program ended by itself");
    Outcome { code, stdout: common::text(&output.stdout), stderr: common::text(&output.stderr) }
}

pub fn loaded(path: &Path) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(path, &Device::Cpu).expect("the file holds tensors")
}

pub fn largest_difference(a: &Tensor, b: &Tensor) -> f64 {
    let worst = (a - b).and_then(|d| d.abs()?.max_all()?.to_scalar::<f32>());
    f64::from(worst.expect("tensors of one shape"))
}
