//! What a MODEL argument would bring, without downloading it: for plans.

use super::found::{Found, from_gguf};
use super::obtain::{ObtainError, Search};
use crate::catalog::entry::Entry;
use crate::catalog::reference::{HubRepo, ModelRef};
use crate::cli::WeightsChoice;
use crate::hub::{Snapshot, Wanted, is_optional};
use crate::model::shape::ModelShape;

/// A model as far as it is known before anything is fetched.
#[derive(Clone, Debug)]
pub struct Preview {
    /// Catalog id, or what was named.
    pub id: String,
    /// Its shape; `None` until its configuration is fetched.
    pub shape: Option<ModelShape>,
    /// A GGUF's own name for its mix of types.
    pub file_quantization: Option<String>,
    /// What would have to be downloaded; `None` where nobody could be asked.
    pub download_bytes: Option<u64>,
    /// Where the weights would come from, as a clause.
    pub weights: String,
}

impl Search<'_> {
    /// Looks at what `text` names. Asks the hub for listings at most.
    pub fn preview(&self, text: &str) -> Result<Preview, ObtainError> {
        self.refuse_embedder(text)?;
        match ModelRef::parse(text) {
            ModelRef::Catalog(id) => {
                let entry = self.entry(&id)?;
                let repo = HubRepo { id: entry.repo.clone(), revision: entry.revision.clone() };
                self.remote(&entry.id, &repo, Some(entry), &Wanted::Safetensors)
            }
            ModelRef::Repo(repo) => self.remote(text, &repo, self.entry_of(&repo), &Wanted::Safetensors),
            ModelRef::HubGguf { repo, file } => self.remote(text, &repo, None, &Wanted::Gguf(file)),
            ModelRef::Folder(path) => Ok(self.local_preview(text, self.folder(&path)?)),
            ModelRef::GgufFile(path) => Ok(self.local_preview(text, from_gguf(&path)?)),
        }
    }

    fn local_preview(&self, id: &str, found: Found) -> Preview {
        let random = self.weights == WeightsChoice::Random;
        Preview {
            id: id.into(),
            shape: Some(found.shape),
            file_quantization: found.file_quantization.filter(|_| !random),
            download_bytes: Some(0),
            weights: if random { "random, as asked for".into() } else { "on this machine".into() },
        }
    }

    fn remote(
        &self,
        id: &str,
        repo: &HubRepo,
        entry: Option<&Entry>,
        wanted: &Wanted,
    ) -> Result<Preview, ObtainError> {
        let preview = |download_bytes, weights: String| Preview {
            id: id.into(),
            shape: entry.map(|entry| entry.shape.clone()),
            file_quantization: matches!(wanted, Wanted::Gguf(_)).then(|| "of the file".into()),
            download_bytes,
            weights,
        };
        if self.weights == WeightsChoice::Random {
            return match entry {
                Some(_) => Ok(preview(Some(0), "random, as asked for".into())),
                None => Err(ObtainError::NoShape(format!("'{id}'"))),
            };
        }
        match self.listing(repo) {
            Ok(snapshot) => {
                let bytes = self.hub.missing_bytes(&snapshot, &probable_files(&snapshot, wanted))?;
                Ok(preview(Some(bytes), format!("hub, commit {}", snapshot.commit)))
            }
            Err(error) if self.may_fall_back(&error) && entry.is_some() => {
                Ok(preview(Some(0), format!("random, since the hub could not be reached ({})", error.what())))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The files of a model by their names alone: the index that names the shards is not fetched for a plan.
fn probable_files(snapshot: &Snapshot, wanted: &Wanted) -> Vec<String> {
    let needed = |name: &str| match wanted {
        Wanted::Gguf(file) => name == file,
        Wanted::Safetensors => {
            name == "config.json" || (name.starts_with("model") && name.contains(".safetensors"))
        }
    };
    let names = snapshot.files.iter().map(|file| file.name.clone());
    names.filter(|name| needed(name) || is_optional(name)).collect()
}
