//! A model as it is found in a folder, a GGUF file, the hub's cache or the catalog: opened, not read.

use std::path::{Path, PathBuf};

use super::config_json;
use super::error::WeightsError;
use super::gguf::GgufSource;
use super::obtain::{Obtained, Place};
use super::origin::{FileRecord, WeightsOrigin};
use super::safetensors;
use crate::catalog::entry::Entry;
use crate::hub::{LocalFile, Snapshot};
use crate::model::shape::ModelShape;
use crate::tokenizer::load::{self, Loaded};

/// Weights on this machine, looked at.
pub(super) struct Found {
    pub shape: ModelShape,
    pub place: Place,
    pub weight_files: Vec<PathBuf>,
    pub file_quantization: Option<String>,
    pub text: Loaded,
    /// What a user should know of the choice that was made.
    pub remark: Option<String>,
}

/// Safetensors if there are any; else the only GGUF file.
pub(super) fn from_folder(folder: &Path) -> Result<Found, WeightsError> {
    let ggufs = gguf_files(folder);
    match (safetensors::weight_files(folder)?, ggufs.as_slice()) {
        (files, []) if files.is_empty() => Err(WeightsError::NoModel(folder.into())),
        (files, [only]) if files.is_empty() => {
            let remark =
                Some(format!("'{}' holds no safetensors, so {} was taken.", folder.display(), name(only)));
            Ok(Found { remark, ..from_gguf(only)? })
        }
        (files, _) if files.is_empty() => Err(WeightsError::ManyModels {
            folder: folder.into(),
            files: ggufs.iter().map(|file| name(file)).collect(),
        }),
        (files, []) => Ok(Found { weight_files: files, ..shape_of(folder)? }),
        (files, [first, ..]) => {
            let remark = Some(format!(
                "'{}' holds both safetensors and GGUF: the safetensors were taken. To run the other, name its \
                 file, e.g. '{}'.",
                folder.display(),
                first.display()
            ));
            Ok(Found { weight_files: files, remark, ..shape_of(folder)? })
        }
    }
}

/// GGUF models of a folder, in the order of their names; vision towers and draft heads are none.
fn gguf_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).map(|entries| entries.flatten().map(|e| e.path()).collect());
    let mut files: Vec<PathBuf> = entries.unwrap_or_default();
    let is_model = |path: &Path| {
        let name = name(path).to_ascii_lowercase();
        name.ends_with(".gguf") && !name.starts_with("mmproj") && !name.starts_with("mtp-")
    };
    files.retain(|path| is_model(path));
    files.sort();
    files
}

fn name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A folder of which only config.json, and a tokenizer if there is one, will be used.
pub(super) fn shape_of(folder: &Path) -> Result<Found, WeightsError> {
    let config = folder.join("config.json");
    if !config.is_file() {
        return Err(WeightsError::NoModel(folder.into()));
    }
    let shape = config_json::read(&config)?;
    let text = load::from_folder(folder, shape.vocab_size);
    let place = Place::Folder(folder.into());
    Ok(Found { shape, place, weight_files: Vec::new(), file_quantization: None, text, remark: None })
}

pub(super) fn from_gguf(file: &Path) -> Result<Found, WeightsError> {
    let source = GgufSource::open(file)?;
    let shape = source.shape()?;
    let text = load::from_gguf(source.metadata(), shape.vocab_size);
    let file_quantization = Some(source.quantization_name());
    Ok(Found {
        shape,
        place: Place::Gguf(file.into()),
        weight_files: vec![file.into()],
        file_quantization,
        text,
        remark: None,
    })
}

/// GGUF files of a repository that candle should be able to read, going by how such files are named.
pub(super) fn plain_gguf_files(snapshot: &Snapshot) -> Vec<String> {
    const UNREADABLE: [&str; 9] = ["iq", "ud-", "tq1", "tq2", "mxfp4", "nvfp4", "mmproj", "mtp", "-of-"];
    let plain = |name: &&str| {
        let name = name.to_ascii_lowercase();
        name.ends_with(".gguf") && !UNREADABLE.iter().any(|mark| name.contains(mark))
    };
    snapshot.files.iter().map(|file| file.name.as_str()).filter(plain).map(Into::into).collect()
}

pub(super) fn folder_of(files: &[LocalFile]) -> Result<PathBuf, WeightsError> {
    let config = files.iter().find(|f| f.name == "config.json");
    let folder = config.and_then(|f| f.path.parent());
    folder.map(Path::to_path_buf).ok_or_else(|| WeightsError::NoModel(PathBuf::from("the repository")))
}

pub(super) fn hub(name: &str, snapshot: Snapshot, files: &[LocalFile], found: Found) -> Obtained {
    let record =
        |f: &LocalFile| FileRecord { name: f.name.clone(), bytes: f.bytes, sha256: Some(f.sha256.clone()) };
    Obtained {
        id: name.into(),
        repo: Some(snapshot.repo),
        revision: Some(snapshot.commit),
        license: snapshot.license,
        files: files.iter().map(record).collect(),
        origin: WeightsOrigin::Hub,
        shape: found.shape,
        place: found.place,
        file_quantization: found.file_quantization,
        text: found.text,
        fallback: None,
        remark: found.remark,
    }
}

pub(super) fn random(entry: &Entry, why: &str, fallback: Option<String>) -> Obtained {
    Obtained {
        id: entry.id.clone(),
        repo: Some(entry.repo.clone()),
        revision: None,
        license: Some(entry.license.clone()),
        files: Vec::new(),
        origin: WeightsOrigin::Random,
        shape: entry.shape.clone(),
        place: Place::Seed,
        file_quantization: None,
        text: load::stand_in(entry.shape.vocab_size, why),
        fallback,
        remark: None,
    }
}

/// A local file with its SHA-256; `None` where it could not be read (loading will say why).
pub(super) fn hashed(path: &Path) -> FileRecord {
    FileRecord {
        name: name(path),
        bytes: std::fs::metadata(path).map_or(0, |m| m.len()),
        sha256: crate::hub::sha256(path).ok(),
    }
}
