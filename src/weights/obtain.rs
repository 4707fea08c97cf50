//! A MODEL argument to a model at hand: catalog, hub, folder or seed; with its provenance.
//!
//! The only place where random weights may stand in for real ones, and then it says why.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::config_json;
use super::error::WeightsError;
use super::gguf::GgufSource;
use super::origin::{FileRecord, WeightsOrigin};
use super::safetensors;
use crate::catalog::reference::{HubRepo, ModelRef};
use crate::catalog::{Catalog, entry::Entry};
use crate::cli::WeightsChoice;
use crate::hub::{FetchEvent, Hub, HubError, LocalFile, Snapshot, Wanted, wanted_files};
use crate::model::shape::ModelShape;
use crate::tokenizer::load::{self, Loaded};

/// A model whose files, if it has any, are on this machine.
pub struct Obtained {
    /// Catalog id, or what the user named.
    pub id: String,
    /// Hub repository.
    pub repo: Option<String>,
    /// Its commit.
    pub revision: Option<String>,
    /// Licence, where known.
    pub license: Option<String>,
    /// Files that were read.
    pub files: Vec<FileRecord>,
    /// Where the weights come from.
    pub origin: WeightsOrigin,
    /// Its shape.
    pub shape: ModelShape,
    /// Where its weights are.
    pub place: Place,
    /// A GGUF's own name for its mix of types.
    pub file_quantization: Option<String>,
    /// Its tokenizer and template, or the stand-in.
    pub text: Loaded,
    /// Why random weights stand in for real ones that were wanted.
    pub fallback: Option<String>,
}

/// Where weights are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `config.json` with safetensors.
    Folder(PathBuf),
    /// A GGUF file.
    Gguf(PathBuf),
    /// In a seed.
    Seed,
}

/// A model that cannot be had.
#[derive(Debug, Error)]
pub enum ObtainError {
    /// Not in the catalog.
    #[error("'{id}' is not in the catalog{}\n`ctxbench models` lists it; a hub repository is named owner/name", nearest(.near))]
    UnknownId {
        /// What was typed.
        id: String,
        /// Ids that look like it.
        near: Vec<String>,
    },
    /// Random weights need a shape, and this reference has none at hand.
    #[error(
        "{0} has no shape at hand, so random weights cannot stand in for it; name a catalog id, or a folder with config.json"
    )]
    NoShape(String),
    /// The hub refused or failed.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The files are not a model this build can run.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

fn nearest(ids: &[String]) -> String {
    if ids.is_empty() { String::new() } else { format!("; did you mean {}?", ids.join(", ")) }
}

/// Where to look and what is allowed.
pub struct Search<'a> {
    /// Known models.
    pub catalog: &'a Catalog,
    /// The hub, which knows whether it may use the network.
    pub hub: &'a Hub,
    /// What the user allows.
    pub weights: WeightsChoice,
}

/// Told about downloads: the files' total size first, then each event.
pub trait Listener {
    /// Files of `bytes` in all are going to be fetched or found in the cache.
    fn fetching(&mut self, snapshot: &Snapshot, bytes: u64);
    /// Something happened.
    fn event(&mut self, event: FetchEvent<'_>);
}

impl Search<'_> {
    /// Brings the model that `text` names.
    pub fn obtain(&self, text: &str, listener: &mut dyn Listener) -> Result<Obtained, ObtainError> {
        match ModelRef::parse(text) {
            ModelRef::Catalog(id) => self.catalog_model(&id, listener),
            ModelRef::Repo(repo) => self.repo_model(text, &repo, listener),
            ModelRef::HubGguf { repo, file } => self.hub_gguf_model(text, &repo, &file, listener),
            ModelRef::Folder(path) => Ok(self.local(text, from_folder(&path)?)),
            ModelRef::GgufFile(path) => Ok(self.local(text, from_gguf(&path)?)),
        }
    }

    fn catalog_model(&self, id: &str, listener: &mut dyn Listener) -> Result<Obtained, ObtainError> {
        let entry = self.entry(id)?;
        if self.weights == WeightsChoice::Random {
            return Ok(random(entry, "random weights were asked for", None));
        }
        let repo = HubRepo { id: entry.repo.clone(), revision: entry.revision.clone() };
        match self.repo_model(&entry.id, &repo, listener) {
            Ok(model) => Ok(Obtained { license: Some(entry.license.clone()), ..model }),
            Err(ObtainError::Hub(error)) if self.may_fall_back(&error) => {
                Ok(random(entry, "the hub could not be reached", Some(error.what())))
            }
            Err(error) => Err(error),
        }
    }

    /// The catalog's entry of that id.
    pub(super) fn entry(&self, id: &str) -> Result<&Entry, ObtainError> {
        let unknown = || ObtainError::UnknownId { id: id.into(), near: self.catalog.nearest(id) };
        self.catalog.find(id).ok_or_else(unknown)
    }

    /// The catalog's entry of a repository.
    pub(super) fn entry_of(&self, repo: &HubRepo) -> Option<&Entry> {
        self.catalog.entries.iter().find(|entry| entry.repo.eq_ignore_ascii_case(&repo.id))
    }

    /// Whether random weights are a way out of `error`.
    pub(super) fn may_fall_back(&self, error: &HubError) -> bool {
        self.weights == WeightsChoice::Auto && error.is_unreachable()
    }

    /// The repository's commit and files. Where the hub does not answer at once, what the cache
    /// knows of it: a complete cache needs no hub.
    pub(super) fn listing(&self, repo: &HubRepo) -> Result<Snapshot, HubError> {
        let revision = repo.revision.as_deref();
        match self.hub.reachable() {
            Ok(()) => self.hub.resolve(&repo.id, revision),
            Err(error) => self.hub.resolve_cached(&repo.id, revision).map_err(|_| error),
        }
    }

    /// A repository that is in the catalog has a shape to fall back on, too.
    fn repo_model(
        &self,
        name: &str,
        repo: &HubRepo,
        listener: &mut dyn Listener,
    ) -> Result<Obtained, ObtainError> {
        let entry = self.entry_of(repo);
        if self.weights == WeightsChoice::Random {
            let entry = entry.ok_or_else(|| ObtainError::NoShape(format!("'{name}'")))?;
            return Ok(random(entry, "random weights were asked for", None));
        }
        let brought = self.bring(repo, &Wanted::Safetensors, listener);
        match (brought, entry) {
            (Ok((snapshot, files)), _) => {
                let folder = folder_of(&files)?;
                Ok(hub(name, snapshot, &files, from_folder(&folder)?))
            }
            (Err(error), Some(entry)) if self.may_fall_back(&error) => {
                Ok(random(entry, "the hub could not be reached", Some(error.what())))
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    fn hub_gguf_model(
        &self,
        name: &str,
        repo: &HubRepo,
        file: &str,
        listener: &mut dyn Listener,
    ) -> Result<Obtained, ObtainError> {
        if self.weights == WeightsChoice::Random {
            return Err(ObtainError::NoShape(format!("'{name}'")));
        }
        let (snapshot, files) = self.bring(repo, &Wanted::Gguf(file.into()), listener)?;
        let found = files.iter().find(|f| f.name == file);
        let path = found.map(|f| f.path.clone()).unwrap_or_default();
        Ok(hub(name, snapshot, &files, from_gguf(&path)?))
    }

    fn bring(
        &self,
        repo: &HubRepo,
        wanted: &Wanted,
        listener: &mut dyn Listener,
    ) -> Result<(Snapshot, Vec<LocalFile>), HubError> {
        let snapshot = self.listing(repo)?;
        let mut read_index = |name: &str| {
            let mut files = self.hub.fetch(&snapshot, &[name.to_owned()], &mut |e| listener.event(e))?;
            Ok(files.remove(0))
        };
        let names = wanted_files(&snapshot, wanted, &mut read_index)?;
        let bytes = names.iter().filter_map(|n| snapshot.file(n)).map(|f| f.bytes).sum();
        listener.fetching(&snapshot, bytes);
        let files = self.hub.fetch(&snapshot, &names, &mut |event| listener.event(event))?;
        Ok((snapshot, files))
    }

    /// A local model; with random weights only its shape is used.
    fn local(&self, name: &str, found: Found) -> Obtained {
        let random = self.weights == WeightsChoice::Random;
        Obtained {
            id: name.into(),
            repo: None,
            revision: None,
            license: None,
            files: if random { Vec::new() } else { found.weight_files.iter().map(|p| hashed(p)).collect() },
            origin: if random { WeightsOrigin::Random } else { WeightsOrigin::Local },
            shape: found.shape,
            place: if random { Place::Seed } else { found.place },
            file_quantization: found.file_quantization.filter(|_| !random),
            text: found.text,
            fallback: None,
        }
    }
}

/// Weights on this machine, looked at.
pub(super) struct Found {
    pub shape: ModelShape,
    place: Place,
    weight_files: Vec<PathBuf>,
    pub file_quantization: Option<String>,
    text: Loaded,
}

pub(super) fn from_folder(folder: &Path) -> Result<Found, WeightsError> {
    let config = folder.join("config.json");
    let weight_files = safetensors::weight_files(folder)?;
    if !config.is_file() || weight_files.is_empty() {
        return Err(WeightsError::NoModel(folder.into()));
    }
    let shape = config_json::read(&config)?;
    let text = load::from_folder(folder, shape.vocab_size);
    Ok(Found { shape, place: Place::Folder(folder.into()), weight_files, file_quantization: None, text })
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
    })
}

fn folder_of(files: &[LocalFile]) -> Result<PathBuf, WeightsError> {
    let config = files.iter().find(|f| f.name == "config.json");
    let folder = config.and_then(|f| f.path.parent());
    folder.map(Path::to_path_buf).ok_or_else(|| WeightsError::NoModel(PathBuf::from("the repository")))
}

fn hub(name: &str, snapshot: Snapshot, files: &[LocalFile], found: Found) -> Obtained {
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
    }
}

fn random(entry: &Entry, why: &str, fallback: Option<String>) -> Obtained {
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
    }
}

/// A local file with its SHA-256; `None` where it could not be read (loading will say why).
fn hashed(path: &Path) -> FileRecord {
    FileRecord {
        name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        bytes: std::fs::metadata(path).map_or(0, |m| m.len()),
        sha256: crate::hub::sha256(path).ok(),
    }
}
