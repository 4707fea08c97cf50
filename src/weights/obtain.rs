//! A MODEL argument to a model at hand: catalog, hub, folder or seed; with its provenance.
//!
//! The only place where random weights may stand in for real ones, and then it says why.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::error::WeightsError;
use super::found::{
    Found, folder_of, from_folder, from_gguf, hashed, hub, plain_gguf_files, random, shape_of,
};
use super::origin::{FileRecord, WeightsOrigin};
use crate::catalog::Catalog;
use crate::catalog::entry::{CatalogFile, Entry};
use crate::catalog::error::CatalogError;
use crate::catalog::reference::{HubRepo, ModelRef};
use crate::catalog::stated::Stated;
use crate::cli::WeightsChoice;
use crate::hub::{FetchEvent, Hub, HubError, LocalFile, Snapshot, Wanted, wanted_files};
use crate::model::shape::ModelShape;
use crate::tokenizer::load::Loaded;

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
    /// What a user should know of the choice among files.
    pub remark: Option<String>,
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
    /// In the catalog, but not to be run.
    #[error(
        "'{id}' is an embedder: it turns a text into a vector of {dimensions} numbers, for retrieval, and generates \
         nothing that could be timed; `ctxbench models` lists the models that run, and `ctxbench fetch {id}` \
         brings this one's files"
    )]
    Embedder {
        /// Its catalog id.
        id: String,
        /// Numbers in a vector.
        dimensions: usize,
    },
    /// Random weights need a shape, and this reference has none at hand.
    #[error(
        "{0} has no shape at hand, so random weights cannot stand in for it; name a catalog id, or a folder with config.json"
    )]
    NoShape(String),
    /// The hub refused or failed.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The catalog states another file.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A GGUF of the hub in types that candle cannot read.
    #[error("{source}\n{}", siblings(.repo, .others))]
    UnreadableGguf {
        /// Which tensor, and in which type.
        source: Box<WeightsError>,
        /// The repository.
        repo: String,
        /// Its files that are of plain types by their names.
        others: Vec<String>,
    },
    /// The files are not a model this build can run.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

fn nearest(ids: &[String]) -> String {
    if ids.is_empty() { String::new() } else { format!("; did you mean {}?", ids.join(", ")) }
}

fn siblings(repo: &str, others: &[String]) -> String {
    match others {
        [] => {
            format!("no other GGUF file of {repo} is of plain types by its name; look for another repository")
        }
        names => format!("by their names, these files of {repo} are of plain types: {}", names.join(", ")),
    }
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

/// What the catalog knows of a repository.
struct Known<'a> {
    /// Whose shape random weights would take.
    entry: Option<&'a Entry>,
    /// What its files must be: nothing, where the repository itself was named.
    stated: Stated,
}

impl Search<'_> {
    /// Brings the model that `text` names.
    pub fn obtain(&self, text: &str, listener: &mut dyn Listener) -> Result<Obtained, ObtainError> {
        self.refuse_embedder(text)?;
        match ModelRef::parse(text) {
            ModelRef::Catalog(id) => self.catalog_model(&id, listener),
            ModelRef::Repo(repo) => {
                let known = Known { entry: self.entry_of(&repo), stated: Stated::default() };
                self.repo_model(text, &repo, known, listener)
            }
            ModelRef::HubGguf { repo, file } => self.hub_gguf_model(text, &repo, &file, listener),
            ModelRef::Folder(path) => Ok(self.local(text, self.folder(&path)?)),
            ModelRef::GgufFile(path) => Ok(self.local(text, from_gguf(&path)?)),
        }
    }

    fn catalog_model(&self, id: &str, listener: &mut dyn Listener) -> Result<Obtained, ObtainError> {
        let entry = self.entry(id)?;
        let repo = HubRepo { id: entry.repo.clone(), revision: entry.revision.clone() };
        let known = Known { entry: Some(entry), stated: Stated::of_entry(entry) };
        let model = self.repo_model(&entry.id, &repo, known, listener)?;
        Ok(Obtained { license: Some(entry.license.clone()), ..model })
    }

    /// The catalog's entry of that id.
    pub(super) fn entry(&self, id: &str) -> Result<&Entry, ObtainError> {
        let unknown = || ObtainError::UnknownId { id: id.into(), near: self.catalog.nearest(id) };
        self.catalog.find(id).ok_or_else(unknown)
    }

    /// Fails if `text` is the id or the repository of an embedder, and nothing else of that name is there.
    pub(super) fn refuse_embedder(&self, text: &str) -> Result<(), ObtainError> {
        let name = match ModelRef::parse(text) {
            ModelRef::Catalog(id) if self.catalog.find(&id).is_none() => id,
            ModelRef::Repo(repo) if self.entry_of(&repo).is_none() => repo.id,
            _ => return Ok(()),
        };
        match self.catalog.find_embedder(&name) {
            Some(e) => Err(ObtainError::Embedder { id: e.id.clone(), dimensions: e.dimensions }),
            None => Ok(()),
        }
    }

    /// The catalog's entry of a repository.
    pub(super) fn entry_of(&self, repo: &HubRepo) -> Option<&Entry> {
        self.catalog.entries.iter().find(|entry| entry.repo.eq_ignore_ascii_case(&repo.id))
    }

    /// Whether random weights are a way out of `error`.
    pub(super) fn may_fall_back(&self, error: &HubError) -> bool {
        self.weights == WeightsChoice::Auto && error.is_unreachable()
    }

    /// The repository's commit and files.
    pub(super) fn listing(&self, repo: &HubRepo) -> Result<Snapshot, HubError> {
        listing(self.hub, repo)
    }

    /// A repository that is in the catalog has a shape to fall back on, too.
    fn repo_model(
        &self,
        name: &str,
        repo: &HubRepo,
        known: Known<'_>,
        listener: &mut dyn Listener,
    ) -> Result<Obtained, ObtainError> {
        let entry = known.entry;
        if self.weights == WeightsChoice::Random {
            let entry = entry.ok_or_else(|| ObtainError::NoShape(format!("'{name}'")))?;
            return Ok(random(entry, "random weights were asked for", None));
        }
        let brought = bring(self.hub, repo, &Wanted::Safetensors, listener);
        match (brought, entry) {
            (Ok((snapshot, files)), _) => {
                check_stated(&known.stated, &snapshot, &files)?;
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
        let (snapshot, files) = bring(self.hub, repo, &Wanted::Gguf(file.into()), listener)?;
        check_stated(&Stated::of_gguf(self.catalog, repo, file), &snapshot, &files)?;
        let found = files.iter().find(|f| f.name == file);
        let path = found.map(|f| f.path.clone()).unwrap_or_default();
        match from_gguf(&path) {
            Ok(found) => Ok(hub(name, snapshot, &files, found)),
            Err(source @ WeightsError::UnreadableType { .. }) => {
                let others = plain_gguf_files(&snapshot);
                Err(ObtainError::UnreadableGguf { source: source.into(), repo: snapshot.repo, others })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A folder on this machine, of which random weights need the shape alone.
    pub(super) fn folder(&self, path: &Path) -> Result<Found, WeightsError> {
        if self.weights == WeightsChoice::Random { shape_of(path) } else { from_folder(path) }
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
            remark: found.remark,
        }
    }
}

/// The repository's commit and files. Where the hub does not answer at once, what the cache
/// knows of it: a complete cache needs no hub.
fn listing(hub: &Hub, repo: &HubRepo) -> Result<Snapshot, HubError> {
    let revision = repo.revision.as_deref();
    match hub.reachable() {
        Ok(()) => hub.resolve(&repo.id, revision),
        Err(HubError::Offline) => hub.resolve_cached(&repo.id, revision),
        Err(error) => hub.resolve_cached(&repo.id, revision).map_err(|_| error),
    }
}

/// Brings the wanted files of a repository from the hub or its cache, verified against its listing.
pub fn bring(
    hub: &Hub,
    repo: &HubRepo,
    wanted: &Wanted,
    listener: &mut dyn Listener,
) -> Result<(Snapshot, Vec<LocalFile>), HubError> {
    let snapshot = listing(hub, repo)?;
    let mut read_index = |name: &str| {
        let mut files = hub.fetch(&snapshot, &[name.to_owned()], &mut |e| listener.event(e))?;
        Ok(files.remove(0))
    };
    let names = wanted_files(&snapshot, wanted, &mut read_index)?;
    let bytes = names.iter().filter_map(|n| snapshot.file(n)).map(|f| f.bytes).sum();
    listener.fetching(&snapshot, bytes);
    let files = hub.fetch(&snapshot, &names, &mut |event| listener.event(event))?;
    Ok((snapshot, files))
}

/// Holds what came against what the catalog states of it.
pub fn check_stated(stated: &Stated, snapshot: &Snapshot, files: &[LocalFile]) -> Result<(), CatalogError> {
    for file in files {
        let (name, sha256) = (file.name.clone(), Some(file.sha256.clone()));
        stated.check(&snapshot.repo, &CatalogFile { name, bytes: Some(file.bytes), sha256 })?;
    }
    Ok(())
}
