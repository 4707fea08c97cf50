//! Which files of a repository a model is made of. Looks at names and at one index, never at the network.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use super::snapshot::Snapshot;
use super::{HubError, LocalFile};

/// What is wanted of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The model as safetensors, with its configuration and tokenizer.
    Safetensors,
    /// One GGUF file, and the tokenizer if the repository has one.
    Gguf(String),
}

/// Taken where they are there.
const OPTIONAL: [&str; 4] =
    ["tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"];

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Names of the files to fetch, small ones first.
///
/// Weights in shards are listed by an index, which has to be read first: `read_index` is given its name
/// and brings it (from the network, the cache or a folder). Shards that it does not name are not taken;
/// nor are other formats (`.bin`, `.pth`, ONNX) or parts that are not the language model (`mmproj`, `mtp`).
pub fn wanted_files(
    snapshot: &Snapshot,
    wanted: &Wanted,
    read_index: &mut dyn FnMut(&str) -> Result<LocalFile, HubError>,
) -> Result<Vec<String>, HubError> {
    let present = |name: &&str| snapshot.file(name).is_some();
    if let Wanted::Gguf(file) = wanted {
        snapshot.require(file)?;
        let tokenizer = ["tokenizer.json"].into_iter().filter(present).map(Into::into);
        return Ok(tokenizer.chain([file.clone()]).collect());
    }
    let (single, index) = (snapshot.file(WEIGHTS), snapshot.file(INDEX));
    if single.is_none() && index.is_none() {
        return Err(HubError::NoWeights { repo: snapshot.repo.clone(), remedy: way_out(snapshot) });
    }
    snapshot.require(CONFIG)?;
    let mut names: Vec<String> =
        [CONFIG].into_iter().chain(OPTIONAL.into_iter().filter(present)).map(Into::into).collect();
    match single {
        Some(file) => names.push(file.name.clone()),
        None => {
            let shards = shards(&read_index(INDEX)?.path)?;
            names.push(INDEX.into());
            for shard in shards {
                names.push(snapshot.require(&shard)?.name.clone());
            }
        }
    }
    Ok(names)
}

/// Whether a model can be used without this file.
pub fn is_optional(name: &str) -> bool {
    OPTIONAL.contains(&name)
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The shards an index names, in order.
fn shards(index: &Path) -> Result<BTreeSet<String>, HubError> {
    let text = std::fs::read_to_string(index).map_err(|e| HubError::file("read", index, e))?;
    let parsed: Result<Index, _> = serde_json::from_str(&text);
    match parsed {
        Ok(index) => Ok(index.weight_map.into_values().collect()),
        Err(error) => Err(HubError::file("understand", index, std::io::Error::other(error))),
    }
}

fn way_out(snapshot: &Snapshot) -> String {
    let gguf = |name: &&str| {
        let base = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
        base.ends_with(".gguf") && !base.starts_with("mmproj") && !base.starts_with("mtp-")
    };
    let names: Vec<&str> = snapshot.files.iter().map(|file| file.name.as_str()).filter(gguf).collect();
    match names.first() {
        Some(first) => {
            format!("it has {} GGUF files: name one of them, e.g. `{}:{first}`", names.len(), snapshot.repo)
        }
        None => "name a repository with safetensors, or one with a GGUF file as owner/name:file.gguf".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Digest, RemoteFile};
    use super::*;

    fn snapshot(names: &[&str]) -> Snapshot {
        let digest = || Digest::Sha256("a".repeat(64));
        let file = |name: &&str| RemoteFile { name: name.to_string(), bytes: 1, digest: digest() };
        Snapshot {
            repo: "o/n".into(),
            revision: "main".into(),
            commit: "0".repeat(40),
            license: None,
            files: names.iter().map(file).collect(),
        }
    }

    fn wanted(names: &[&str], index: &str) -> Result<Vec<String>, HubError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.json");
        std::fs::write(&path, index).unwrap();
        let mut read = |name: &str| {
            Ok(LocalFile { name: name.into(), path: path.clone(), bytes: 1, sha256: String::new() })
        };
        wanted_files(&snapshot(names), &Wanted::Safetensors, &mut read)
    }

    #[test]
    fn other_formats_and_other_parts_are_left() {
        let all =
            ["pytorch_model.bin", "onnx/model.onnx", "model.safetensors", "tokenizer.json", "README.md"];
        let names = wanted(&[&all[..], &["config.json", "mtp-model.safetensors"]].concat(), "").unwrap();
        assert_eq!(names, ["config.json", "tokenizer.json", "model.safetensors"]);
    }

    #[test]
    fn only_the_shards_of_the_index_are_taken() {
        let files = ["config.json", INDEX, "a-1.safetensors", "a-2.safetensors", "old.safetensors"];
        let index = r#"{"weight_map":{"x":"a-2.safetensors","y":"a-1.safetensors","z":"a-1.safetensors"}}"#;
        let names = wanted(&files, index).unwrap();
        assert_eq!(names, ["config.json", INDEX, "a-1.safetensors", "a-2.safetensors"]);
        let outside = r#"{"weight_map":{"x":"../../evil"}}"#;
        assert!(matches!(wanted(&files, outside), Err(HubError::FileNotFound { .. })));
        assert!(wanted(&files, "<html>").unwrap_err().to_string().contains("understand"));
    }

    #[test]
    fn a_gguf_file_comes_with_the_tokenizer_alone() {
        let names = ["config.json", "m.gguf", "tokenizer.json", "model.safetensors"];
        let mut none = |_: &str| -> Result<LocalFile, HubError> { unreachable!("no index is read") };
        let gguf = wanted_files(&snapshot(&names), &Wanted::Gguf("m.gguf".into()), &mut none).unwrap();
        assert_eq!(gguf, ["tokenizer.json", "m.gguf"]);
        assert!(wanted_files(&snapshot(&names), &Wanted::Gguf("x.gguf".into()), &mut none).is_err());
    }

    #[test]
    fn a_repository_of_gguf_files_says_how_to_name_one() {
        let message = wanted(&["mmproj-x.gguf", "q8.gguf"], "").unwrap_err().to_string();
        assert!(message.contains("`o/n:q8.gguf`") && message.contains("1 GGUF"), "{message}");
    }
}
