//! `ctxbench fetch`: a model's files into the hub's cache, verified; each on a line of stdout.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use super::progress::{DownloadBar, remark};
use crate::catalog::reference::{HubRepo, ModelRef};
use crate::catalog::stated::Stated;
use crate::catalog::{Catalog, entry::CatalogFile};
use crate::cli::FetchArgs;
use crate::hub::{
    Digest, Hub, HubError, HubOptions, LocalFile, Recheck, RemoteFile, Snapshot, Wanted, is_optional,
    wanted_files,
};
use crate::units;
use crate::weights::obtain::ObtainError;

/// Runs the command.
pub fn run(args: FetchArgs) -> anyhow::Result<ExitCode> {
    let target = Target::of(&args)?;
    let mut options = HubOptions::from_environment()?;
    options.offline |= args.offline;
    options.recheck = Recheck::Always;
    let hub = Hub::new(options)?;
    let listed = hub.resolve(&target.repo.id, target.repo.revision.as_deref());
    let snapshot = match (listed, &args.from) {
        (Err(error), Some(folder)) if is_out_of_reach(&error) => target.by_catalog(folder)?.ok_or(error)?,
        (listed, _) => listed?,
    };
    let source = Source { hub: &hub, snapshot: &snapshot, folder: args.from };
    let names = source.names(&target.wanted)?;
    remark(&summary(&hub, &snapshot, &names, target.license.as_deref())?);
    target.check_listing(&snapshot, &names)?;
    let files = source.bring(&names, &mut DownloadBar::new(total_bytes(&snapshot, &names)))?;
    target.check_files(&files)?;
    print(&files)?;
    Ok(ExitCode::SUCCESS)
}

/// What MODEL names, and what the catalog says of it.
struct Target {
    repo: HubRepo,
    wanted: Wanted,
    stated: Stated,
    /// The catalog's word, for a repository that names no licence itself.
    license: Option<String>,
    /// Whether it is an embedder, of which the catalog lists every file that is needed.
    is_embedder: bool,
}

/// Whether the hub said nothing at all.
fn is_out_of_reach(error: &HubError) -> bool {
    error.is_unreachable() || matches!(error, HubError::Offline | HubError::NotCached { .. })
}

impl Target {
    fn of(args: &FetchArgs) -> anyhow::Result<Self> {
        let catalog = Catalog::load(args.catalog.as_deref())?;
        match ModelRef::parse(&args.model) {
            ModelRef::Catalog(id) => Self::of_entry(&catalog, id),
            ModelRef::Repo(repo) => Ok(Self {
                repo,
                wanted: Wanted::Safetensors,
                stated: Stated::default(),
                license: None,
                is_embedder: false,
            }),
            ModelRef::HubGguf { repo, file } => Ok(Self {
                stated: Stated::of_gguf(&catalog, &repo, &file),
                repo,
                wanted: Wanted::Gguf(file),
                license: None,
                is_embedder: false,
            }),
            ModelRef::Folder(path) | ModelRef::GgufFile(path) => bail!(
                "'{}' is on this machine, there is nothing to fetch; \
                 name a catalog id, owner/name[@revision] or owner/name:file.gguf",
                path.display()
            ),
        }
    }

    /// A model or an embedder of the catalog.
    fn of_entry(catalog: &Catalog, id: String) -> anyhow::Result<Self> {
        let (repo, revision, license, stated) = match (catalog.find(&id), catalog.find_embedder(&id)) {
            (Some(model), _) => (&model.repo, &model.revision, &model.license, Stated::of_entry(model)),
            (None, Some(embedder)) => {
                let stated = Stated::of_embedder(embedder);
                (&embedder.repo, &embedder.revision, &embedder.license, stated)
            }
            (None, None) => {
                let near = catalog.nearest(&id);
                return Err(ObtainError::UnknownId { id, near }.into());
            }
        };
        Ok(Self {
            repo: HubRepo { id: repo.clone(), revision: revision.clone() },
            wanted: Wanted::Safetensors,
            stated,
            license: Some(license.clone()),
            is_embedder: catalog.find(&id).is_none(),
        })
    }

    /// The list of an embedder's files in `folder` as the catalog has it, for want of the hub's own: the commit and
    /// every SHA-256 are the catalog's. `None` if it does not know them. Errors on a file that `folder` lacks.
    fn by_catalog(&self, folder: &Path) -> anyhow::Result<Option<Snapshot>> {
        let Some(commit) = self.repo.revision.clone().filter(|_| self.is_embedder) else { return Ok(None) };
        let mut files = Vec::new();
        for CatalogFile { name, sha256, .. } in self.stated.files() {
            let Some(sha256) = sha256.clone() else { return Ok(None) };
            let bytes = std::fs::metadata(folder.join(name))
                .with_context(|| {
                    let (repo, folder) = (&self.repo.id, folder.display());
                    format!("the hub is out of reach, and '{folder}' has no {name} of {repo} to import")
                })?
                .len();
            files.push(RemoteFile { name: name.clone(), bytes, digest: Digest::Sha256(sha256) });
        }
        remark("The hub is out of reach; the files are held against the hashes in the catalog.");
        let (repo, revision) = (self.repo.id.clone(), commit.clone());
        Ok(Some(Snapshot { repo, revision, commit, license: None, files }))
    }

    /// Holds the repository's list against the catalog, before anything large is transferred.
    fn check_listing(&self, snapshot: &Snapshot, names: &[String]) -> anyhow::Result<()> {
        for file in names.iter().filter_map(|name| snapshot.file(name)) {
            let sha256 = match &file.digest {
                Digest::Sha256(hex) => Some(hex.clone()),
                Digest::GitSha1(_) => None,
            };
            let found = CatalogFile { name: file.name.clone(), bytes: Some(file.bytes), sha256 };
            self.stated.check(&self.repo.id, &found)?;
        }
        Ok(())
    }

    /// Holds what has come against the catalog: every file has its SHA-256 by now.
    fn check_files(&self, files: &[LocalFile]) -> anyhow::Result<()> {
        for file in files {
            let found = CatalogFile {
                name: file.name.clone(),
                bytes: Some(file.bytes),
                sha256: Some(file.sha256.clone()),
            };
            self.stated.check(&self.repo.id, &found)?;
        }
        Ok(())
    }
}

/// Where the files come from.
struct Source<'a> {
    hub: &'a Hub,
    snapshot: &'a Snapshot,
    folder: Option<PathBuf>,
}

impl Source<'_> {
    /// Names of the wanted files. Of a folder, files that a model can do without may be absent.
    fn names(&self, wanted: &Wanted) -> anyhow::Result<Vec<String>> {
        let mut read_index = |name: &str| {
            let mut files = self.bring_quietly(&[name.to_string()])?;
            Ok(files.remove(0))
        };
        let mut names = wanted_files(self.snapshot, wanted, &mut read_index)?;
        if let Some(folder) = &self.folder {
            names.retain(|name| !is_optional(name) || folder.join(name).is_file());
        }
        Ok(names)
    }

    fn bring(&self, names: &[String], bar: &mut DownloadBar) -> Result<Vec<LocalFile>, HubError> {
        let files = match &self.folder {
            Some(folder) => self.hub.import(self.snapshot, folder, names, &mut |e| bar.on_event(e)),
            None => self.hub.fetch(self.snapshot, names, &mut |e| bar.on_event(e)),
        };
        bar.clear();
        files
    }

    fn bring_quietly(&self, names: &[String]) -> Result<Vec<LocalFile>, HubError> {
        self.bring(names, &mut DownloadBar::new(total_bytes(self.snapshot, names)))
    }
}

/// What is to come, before it comes.
fn summary(
    hub: &Hub,
    snapshot: &Snapshot,
    names: &[String],
    catalog_license: Option<&str>,
) -> anyhow::Result<String> {
    let license = match (&snapshot.license, catalog_license) {
        (Some(license), _) => license.clone(),
        (None, Some(license)) => format!("{license}, by the catalog"),
        (None, None) => "n/a".into(),
    };
    let missing = hub.missing_bytes(snapshot, names)?;
    Ok(format!(
        "{} at commit {}: {} files, {}, of which {} to come; free at {}: {}; licence: {license}",
        snapshot.repo,
        snapshot.commit,
        names.len(),
        units::bytes(total_bytes(snapshot, names)),
        units::bytes(missing),
        hub.cache().display(),
        hub.free_bytes().map_or("n/a".into(), units::bytes),
    ))
}

fn total_bytes(snapshot: &Snapshot, names: &[String]) -> u64 {
    let sizes = names.iter().filter_map(|name| snapshot.file(name)).map(|file| file.bytes);
    sizes.fold(0, u64::saturating_add)
}

/// One line a file: path, bytes and SHA-256, with tabs between.
fn print(files: &[LocalFile]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for file in files {
        writeln!(out, "{}\t{}\t{}", file.path.display(), file.bytes, file.sha256)
            .context("could not write to stdout")?;
    }
    out.flush().context("could not write to stdout")
}
