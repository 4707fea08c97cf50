//! The name of an embedder to the embedder: catalog, hub, folder, or the stand-in where it is asked for.
//!
//! Nothing falls back here: where the hub is out of reach the error says so ([`EmbedderError::OutOfReach`]), and
//! the caller decides whether the stand-in will do.

use std::path::{Path, PathBuf};

use candle_core::Device;

use super::bert::BertEmbedder;
use super::decoder::DecoderEmbedder;
use super::error::EmbedderError;
use super::folder::ModelFolder;
use super::settings::{self, Settings};
use super::stand_in::{STAND_IN, StandInEmbedder};
use crate::catalog::Catalog;
use crate::catalog::embedder::{Embedder as Entry, Pooling};
use crate::catalog::reference::{HubRepo, ModelRef};
use crate::catalog::stated::Stated;
use crate::hub::{Hub, HubError, LocalFile, Wanted};
use crate::model::shape::Architecture;
use crate::retrieval::Embedder;
use crate::weights::obtain::{Listener, bring, check_stated};

/// Brings and reads the embedder that `name` says: a catalog id, `owner/name[@revision]`, a folder or `stand-in`.
pub fn obtain(
    name: &str,
    catalog: &Catalog,
    hub: &Hub,
    device: &Device,
    listener: &mut dyn Listener,
) -> Result<Box<dyn Embedder>, EmbedderError> {
    if name == STAND_IN {
        return Ok(Box::new(StandInEmbedder));
    }
    match ModelRef::parse(name) {
        ModelRef::Catalog(id) => {
            let entry = entry(&id, catalog)?;
            let repo = HubRepo { id: entry.repo.clone(), revision: entry.revision.clone() };
            let folder = hub_folder(&entry.id, &repo, &Stated::of_embedder(entry), hub, listener)?;
            read(&entry.id, &folder, Settings::of_entry(entry), device)
        }
        ModelRef::Repo(repo) => {
            let folder = hub_folder(name, &repo, &Stated::default(), hub, listener)?;
            let known = catalog.find_embedder(&repo.id);
            read(name, &folder, own_settings(&folder, known)?, device)
        }
        ModelRef::Folder(path) => {
            let folder = ModelFolder::open(&path, &[])?;
            let known = same_weights(catalog, &folder.weights_sha256()?);
            read(name, &folder, own_settings(&folder, known)?, device)
        }
        ModelRef::HubGguf { .. } | ModelRef::GgufFile(_) => Err(EmbedderError::Gguf(name.into())),
    }
}

fn entry<'a>(id: &str, catalog: &'a Catalog) -> Result<&'a Entry, EmbedderError> {
    match (catalog.find_embedder(id), catalog.find(id)) {
        (Some(entry), _) => Ok(entry),
        (None, Some(model)) => Err(EmbedderError::Generates(model.id.clone())),
        (None, None) => Err(EmbedderError::UnknownId { id: id.into(), near: catalog.nearest(id) }),
    }
}

/// The catalog's embedder whose weight file has this hash.
fn same_weights<'a>(catalog: &'a Catalog, sha256: &str) -> Option<&'a Entry> {
    let same = |entry: &&Entry| {
        entry
            .files
            .iter()
            .any(|file| file.name.ends_with(".safetensors") && file.sha256.as_deref() == Some(sha256))
    };
    catalog.embedders.iter().find(same)
}

/// What the folder says of itself; else what is usual for its kind of model.
fn own_settings(folder: &ModelFolder, known: Option<&Entry>) -> Result<Settings, EmbedderError> {
    let pooling = if folder.model_type()? == "bert" { Pooling::Mean } else { Pooling::Last };
    let max_tokens = folder.positions()?.unwrap_or(usize::MAX);
    let usual = Settings { pooling, max_tokens, query_instruction: None };
    Settings::of_folder(&folder.path, known, usual)
}

/// The files of a repository, from the hub or its cache, as a folder.
pub fn hub_folder(
    name: &str,
    repo: &HubRepo,
    stated: &Stated,
    hub: &Hub,
    listener: &mut dyn Listener,
) -> Result<ModelFolder, EmbedderError> {
    let failed = |error: HubError| match error.is_unreachable() {
        true => EmbedderError::OutOfReach { name: name.into(), source: Box::new(error) },
        false => EmbedderError::Hub(Box::new(error)),
    };
    let (snapshot, files) = bring(hub, repo, &Wanted::Safetensors, listener).map_err(failed)?;
    check_stated(stated, &snapshot, &files)?;
    if *stated == Stated::default() {
        let own = settings::FILES.iter().filter(|name| snapshot.file(name).is_some());
        let own: Vec<String> = own.map(|name| (*name).to_owned()).collect();
        hub.fetch(&snapshot, &own, &mut |event| listener.event(event)).map_err(failed)?;
    }
    ModelFolder::open(&folder_of(&files), &files)
}

/// Where config.json lies, which `bring` always brings.
fn folder_of(files: &[LocalFile]) -> PathBuf {
    let config = files.iter().find(|file| file.name == "config.json");
    config.and_then(|file| file.path.parent()).map(Path::to_path_buf).unwrap_or_default()
}

fn read(
    id: &str,
    folder: &ModelFolder,
    settings: Settings,
    device: &Device,
) -> Result<Box<dyn Embedder>, EmbedderError> {
    let fingerprint = fingerprint(folder, &settings)?;
    let kind = folder.model_type()?;
    if kind == "bert" {
        return Ok(Box::new(BertEmbedder::read(id, folder, settings, fingerprint, device)?));
    }
    if Architecture::from_config_name(&kind).is_some() {
        return Ok(Box::new(DecoderEmbedder::read(id, folder, settings, fingerprint, device)?));
    }
    let feature = format!("an architecture '{kind}' (embedders are read of bert and of the Qwen family)");
    Err(EmbedderError::Unsupported { path: folder.config(), feature })
}

/// The SHA-256 of the weights, and behind it what else the vectors of documents depend on.
fn fingerprint(folder: &ModelFolder, settings: &Settings) -> Result<String, EmbedderError> {
    let small = folder.small_files_digest()?;
    let (weights, pooling) = (folder.weights_sha256()?, settings.pooling.name());
    Ok(format!("{weights}/{pooling}/{}/{}", settings.max_tokens, &small[..8]))
}
