//! `ctxbench fetch`: a model's files into the hub's cache, verified; each on a line of stdout.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use super::progress::{DownloadBar, remark};
use crate::catalog::reference::{HubRepo, ModelRef};
use crate::cli::FetchArgs;
use crate::hub::{
    Hub, HubError, HubOptions, LocalFile, Recheck, Snapshot, Wanted, is_optional, wanted_files,
};
use crate::units;

/// Runs the command.
pub fn run(args: FetchArgs) -> anyhow::Result<ExitCode> {
    let (repo, wanted) = what_is_meant(&args)?;
    let mut options = HubOptions::from_environment()?;
    options.offline |= args.offline;
    options.recheck = Recheck::Always;
    let hub = Hub::new(options)?;
    let snapshot = hub.resolve(&repo.id, repo.revision.as_deref())?;
    let source = Source { hub: &hub, snapshot: &snapshot, folder: args.from };
    let names = source.names(&wanted)?;
    remark(&summary(&hub, &snapshot, &names)?);
    let files = source.bring(&names, &mut DownloadBar::new(total_bytes(&snapshot, &names)))?;
    print(&files)?;
    Ok(ExitCode::SUCCESS)
}

/// The repository and the part of it that MODEL names.
fn what_is_meant(args: &FetchArgs) -> anyhow::Result<(HubRepo, Wanted)> {
    match ModelRef::parse(&args.model) {
        ModelRef::Catalog(id) => Ok((catalog_repo(&id, args.catalog.as_deref())?, Wanted::Safetensors)),
        ModelRef::Repo(repo) => Ok((repo, Wanted::Safetensors)),
        ModelRef::HubGguf { repo, file } => Ok((repo, Wanted::Gguf(file))),
        ModelRef::Folder(path) | ModelRef::GgufFile(path) => bail!(
            "'{}' is on this machine, there is nothing to fetch; \
             name a catalog id, owner/name[@revision] or owner/name:file.gguf",
            path.display()
        ),
    }
}

/// The repository of a catalog entry.
// TODO(lead): once the catalog is merged, replace the body by:
//     let catalog = Catalog::load(user_file)?;
//     match catalog.find(id) {
//         Some(entry) => Ok(HubRepo { id: entry.repo.clone(), revision: entry.revision.clone() }),
//         None => bail!("no model '{id}' in the catalog; nearest: {}; or name a repository as owner/name",
//             catalog.nearest(id).join(", ")),
//     }
fn catalog_repo(id: &str, _user_file: Option<&Path>) -> anyhow::Result<HubRepo> {
    bail!("no model '{id}' in the catalog; name a repository as owner/name")
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
fn summary(hub: &Hub, snapshot: &Snapshot, names: &[String]) -> anyhow::Result<String> {
    let missing = hub.missing_bytes(snapshot, names)?;
    Ok(format!(
        "{} at commit {}: {} files, {}, of which {} to come; free at {}: {}; licence: {}",
        snapshot.repo,
        snapshot.commit,
        names.len(),
        units::bytes(total_bytes(snapshot, names)),
        units::bytes(missing),
        hub.cache().display(),
        hub.free_bytes().map_or("n/a".into(), units::bytes),
        snapshot.license.as_deref().unwrap_or("n/a"),
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
