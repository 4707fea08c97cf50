//! A copy of a fixture in a folder of its own, to be damaged.

use std::collections::HashMap;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file;
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
/// A fixture that comes in three shards, with vision and MTP tensors.
pub const SHARDED: &str = "qwen3_5_wrapped";
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
        let files = names_in(&fixture(kind));
        Self::with(kind, &files.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// All but files of blocks.
    pub fn without_quantized(kind: &str) -> Self {
        let files = names_in(&fixture(kind));
        let kept = files.iter().map(String::as_str).filter(|file| *file != Q8_0_GGUF);
        Self::with(kind, &kept.collect::<Vec<_>>())
    }

    pub fn with(kind: &str, files: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for file in files {
            fs::copy(fixture(kind).join(file), folder.path().join(file)).expect("the fixture can be copied");
        }
        Self { folder }
    }

    /// Names of the `.gguf` files, sorted.
    pub fn gguf_files(&self) -> Vec<String> {
        names_in(self.folder.path()).into_iter().filter(|file| file.ends_with(".gguf")).collect()
    }

    /// Names of all tensors in the model's safetensors.
    pub fn stored_names(&self) -> Vec<String> {
        let weights = |file: &String| file.ends_with(".safetensors") && *file != REFERENCE;
        let files = names_in(self.folder.path()).into_iter().filter(weights);
        files.flat_map(|file| loaded(&self.path(&file)).into_keys()).collect()
    }

    /// Changes the numbers of an f32 tensor in a GGUF file.
    pub fn edit_f32_of_gguf(&self, file: &str, tensor: &str, edit: impl FnOnce(&mut Vec<f32>)) {
        self.edit_bytes(file, |bytes| {
            let content = gguf_file::Content::read(&mut Cursor::new(&*bytes)).expect("the file is GGUF");
            let info = &content.tensor_infos[tensor];
            let start = (content.tensor_data_offset + info.offset) as usize;
            let stored = &mut bytes[start..start + 4 * info.shape.elem_count()];
            let number = |four: &[u8]| f32::from_le_bytes(four.try_into().expect("four bytes"));
            let mut values: Vec<f32> = stored.chunks(4).map(number).collect();
            edit(&mut values);
            stored.copy_from_slice(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
        });
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

fn fixture(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(kind)
}

/// Names of the files in a folder, sorted.
fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let name = |entry: std::io::Result<fs::DirEntry>| {
        entry.expect("the folder can be read").file_name().into_string().expect("a plain name")
    };
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}

pub fn verify(args: &[&str]) -> Outcome {
    let output = common::ctxbench(&[&["verify"], args].concat());
    let code = output.status.code().expect("the program ended by itself");
    Outcome { code, stdout: common::text(&output.stdout), stderr: common::text(&output.stderr) }
}

pub fn loaded(path: &Path) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(path, &Device::Cpu).expect("the file holds tensors")
}
