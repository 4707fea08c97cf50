//! Embedders and the cross-encoder against reference vectors of transformers, and what is refused.
//!
//! `tests/fixtures/make_embedders.py` makes models and references.

mod common;
mod stand_in_hub;

#[path = "embedder/hub.rs"]
mod hub;
#[path = "embedder/minilm.rs"]
mod minilm;
#[path = "embedder/reference.rs"]
mod reference;
#[path = "embedder/refused.rs"]
mod refused;
#[path = "embedder/rerank.rs"]
mod rerank;

use std::path::{Path, PathBuf};

use candle_core::Device;
use ctxbench::catalog::Catalog;
use ctxbench::hub::{FetchEvent, Hub, HubOptions, Snapshot};
use ctxbench::retrieval::Embedder;
use ctxbench::retrieval::embedder::{EmbedderError, obtain};
use ctxbench::weights::obtain::Listener;

/// Largest difference allowed from a reference.
const NEAR: f32 = 1e-4;

struct Silent;

impl Listener for Silent {
    fn fetching(&mut self, _: &Snapshot, _: u64) {}
    fn event(&mut self, _: FetchEvent<'_>) {}
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/embedders").join(name)
}

/// A hub that is never asked.
fn offline(cache: &Path) -> Hub {
    let cache = cache.display().to_string();
    let lookup = |name: &str| (name == "HF_HUB_CACHE").then(|| cache.clone());
    let options = HubOptions::from_lookup(&lookup).expect("the lookup names a cache");
    Hub::new(HubOptions { offline: true, ..options }).expect("a hub")
}

fn try_embedder(name: &str) -> Result<Box<dyn Embedder>, EmbedderError> {
    let cache = tempfile::tempdir().expect("a temporary folder");
    let catalog = Catalog::load(None).expect("the shipped catalog");
    obtain(name, &catalog, &offline(cache.path()), &Device::Cpu, &mut Silent)
}

fn embedder(folder: &Path) -> Box<dyn Embedder> {
    try_embedder(&folder.display().to_string()).unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
}

fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}
