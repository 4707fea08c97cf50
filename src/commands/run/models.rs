//! The models of a run: obtained one after the other, with downloads shown and fallbacks said aloud.

use super::arms::quantizations;
use super::fits::Candidate;
use crate::catalog::Catalog;
use crate::commands::progress::{DownloadBar, remark};
use crate::config::RunConfig;
use crate::hub::{FetchEvent, Hub, HubOptions, Snapshot};
use crate::units;
use crate::weights::obtain::{Listener, Obtained, Search};
use crate::weights::preview::Preview;

/// Brings every model that was named, or the catalog's default.
pub fn obtain(config: &RunConfig) -> anyhow::Result<Vec<Obtained>> {
    for_each(config, |search, name| {
        refuse_if_too_large(config, search.catalog, name)?;
        obtain_one(search, name)
    })
}

/// Looks at every model that was named, or the catalog's default; downloads nothing.
pub fn preview(config: &RunConfig) -> anyhow::Result<Vec<Preview>> {
    for_each(config, |search, name| Ok(search.preview(name)?))
}

fn for_each<T>(
    config: &RunConfig,
    each: impl Fn(&Search<'_>, &str) -> anyhow::Result<T>,
) -> anyhow::Result<Vec<T>> {
    let catalog = Catalog::load(config.catalog.as_deref())?;
    let mut options = HubOptions::from_environment()?;
    options.offline |= config.offline;
    let hub = Hub::new(options)?;
    let search = Search { catalog: &catalog, hub: &hub, weights: config.weights };
    names(config, &catalog)?.iter().map(|name| each(&search, name)).collect()
}

/// What was named, or the default's id.
fn names(config: &RunConfig, catalog: &Catalog) -> anyhow::Result<Vec<String>> {
    if !config.models.is_empty() {
        return Ok(config.models.clone());
    }
    let entry = catalog.default_entry();
    let entry = entry.ok_or_else(|| anyhow::anyhow!("the catalog names no default; name a MODEL"))?;
    Ok(vec![entry.id.clone()])
}

/// A model of the catalog that does not fit need not be downloaded to be refused.
fn refuse_if_too_large(config: &RunConfig, catalog: &Catalog, name: &str) -> anyhow::Result<()> {
    let Some(entry) = catalog.find(name) else { return Ok(()) };
    for quantization in quantizations(config, &entry.id, None)? {
        Candidate { id: &entry.id, shape: &entry.shape, quantization, file: None }.room(config)?;
    }
    Ok(())
}

fn obtain_one(search: &Search<'_>, name: &str) -> anyhow::Result<Obtained> {
    let mut listener = BarListener::default();
    let model = search.obtain(name, &mut listener);
    listener.clear();
    let model = model?;
    if let Some(text) = &model.remark {
        remark(text);
    }
    if let Some(why) = &model.fallback {
        remark(&format!(
            "The weights of {} are not at hand ({why}), so this run uses seeded random \
             weights of exactly its shape: speed does not depend on the values of weights, so the times hold; text and \
             quality mean nothing. Every output is stamped. To measure the real file, run `ctxbench fetch {name}` \
             where the hub answers, or name a local folder or .gguf file.",
            model.id
        ));
    }
    Ok(model)
}

/// Shows a download as a bar.
#[derive(Default)]
pub struct BarListener {
    bar: Option<DownloadBar>,
}

impl BarListener {
    /// Takes the bar away.
    pub fn clear(self) {
        if let Some(bar) = self.bar {
            bar.clear();
        }
    }
}

impl Listener for BarListener {
    fn fetching(&mut self, snapshot: &Snapshot, bytes: u64) {
        tracing::info!("{} at commit {}: {}", snapshot.repo, snapshot.commit, units::bytes(bytes));
        self.bar = Some(DownloadBar::new(bytes));
    }

    fn event(&mut self, event: FetchEvent<'_>) {
        if let Some(bar) = &mut self.bar {
            bar.on_event(event);
        }
    }
}
