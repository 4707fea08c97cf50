//! The retrieval pipeline of an experiment: corpus, embedder and store named, index built or found again.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use anyhow::Context as _;

use super::Setup;
use super::config::RagConfig;
use super::progress::IndexBar;
use crate::catalog::Catalog;
use crate::commands::progress::remark;
use crate::commands::run::models::BarListener;
use crate::hub::{Hub, HubOptions};
use crate::report::experiment::RetrievalRecord;
use crate::retrieval::chunks::Chunking;
use crate::retrieval::chunks::corpus::ChunkedCorpus;
use crate::retrieval::embedder::{self, EmbedderError, StandInEmbedder};
use crate::retrieval::index::{self, BuildPlan, BuildRecord, ChunkSource};
use crate::retrieval::recall;
use crate::retrieval::rerank::CrossEncoder;
use crate::retrieval::store::choice::StoreChoice;
use crate::retrieval::store::embedded::EmbeddedStore;
use crate::retrieval::store::pgvector::PgVectorStore;
use crate::retrieval::store::pinecone::PineconeStore;
use crate::retrieval::{Embedder, Reranker, TextRole, VectorStore};

/// Vectors beyond this many are perturbations of those before, unless every chunk is to be embedded.
const EMBEDDED_AT_MOST: u64 = 10_000;
/// Questions that recall is measured with.
const RECALL_QUESTIONS: usize = 100;
/// Neighbours that recall counts.
const RECALL_AT: usize = 10;

/// Embedder and reranker, brought by name.
pub struct Brought {
    /// Text to vector.
    pub embedder: Box<dyn Embedder>,
    /// Puts hits into a better order.
    pub reranker: Option<Box<dyn Reranker>>,
    /// Why a stand-in embeds although another was wanted.
    pub fallback: Option<String>,
}

/// Brings embedder and reranker; an embedder out of reach is replaced by the stand-in, loudly.
pub fn bring(setup: &Setup) -> anyhow::Result<Brought> {
    let config = &setup.config;
    let catalog = Catalog::load(config.run.catalog.as_deref())?;
    let mut options = HubOptions::from_environment()?;
    options.offline |= config.run.offline;
    let hub = Hub::new(options)?;
    let mut listener = BarListener::default();
    let obtained = embedder::obtain(&config.embedder, &catalog, &hub, &setup.device, &mut listener);
    listener.clear();
    let (embedder, fallback) = match obtained {
        Ok(embedder) => (embedder, None),
        Err(error @ EmbedderError::OutOfReach { .. }) => {
            let why = error.to_string();
            (stand_in(&config.embedder, &why), Some(why))
        }
        Err(error) => return Err(error.into()),
    };
    let mut listener = BarListener::default();
    let reranker = config.rerank.as_deref();
    let reranker = reranker.map(|name| CrossEncoder::obtain(name, &hub, &setup.device, &mut listener));
    listener.clear();
    let reranker = reranker.transpose()?.map(|reranker| Box::new(reranker) as Box<dyn Reranker>);
    Ok(Brought { embedder, reranker, fallback })
}

fn stand_in(name: &str, why: &str) -> Box<dyn Embedder> {
    remark(&format!(
        "The embedder {name} is not at hand ({why}), so a stand-in that counts words takes its place: it finds \
         passages that share words with the question, but it costs almost nothing and knows no meaning, so the \
         claims about retrieval's own cost are not testable. Every output is stamped. To use the real one, run \
         `ctxbench fetch {name}` where the hub answers, or `ctxbench fetch {name} --from FOLDER` with its files."
    ));
    Box::new(StandInEmbedder)
}

/// The documents of an experiment, and how they are cut.
pub struct Source<'a> {
    setup: &'a Setup,
}

impl<'a> Source<'a> {
    /// The corpus that was named.
    pub fn new(setup: &'a Setup) -> Self {
        Self { setup }
    }

    /// Its chunks: all there are, or grown or cut to `count`.
    pub fn chunks(&self, count: Option<u64>) -> anyhow::Result<ChunkedCorpus<'a>> {
        let config = &self.setup.config;
        let chunking = Chunking { tokens: config.chunk_tokens, overlap: config.chunk_overlap };
        let tokenizer = self.setup.model().text.tokenizer.as_ref();
        Ok(ChunkedCorpus::new(&self.setup.texts.corpus, tokenizer, chunking, count, config.run.seed)?)
    }
}

/// Opens the store that was chosen; an embedded one lies below the folder of indexes, by its digest.
fn store(setup: &Setup, digest: &str) -> anyhow::Result<Box<dyn VectorStore>> {
    Ok(match &setup.store {
        StoreChoice::Embedded => {
            let folder = folder(&setup.config)?.join(digest.get(..16).unwrap_or(digest));
            Box::new(EmbeddedStore::new(&folder))
        }
        StoreChoice::PgVector(address) => Box::new(PgVectorStore::new(address.clone())),
        StoreChoice::Pinecone(name) => Box::new(PineconeStore::from_environment(name.clone())?),
    })
}

/// Where indexes lie: named, or below the user's cache folder.
fn folder(config: &RagConfig) -> anyhow::Result<PathBuf> {
    if let Some(folder) = &config.index {
        return Ok(folder.clone());
    }
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let cache = cache.context("neither XDG_CACHE_HOME nor HOME is set; name a folder with --index DIR")?;
    Ok(cache.join("ctxbench").join("indexes"))
}

/// An index that can be searched.
pub struct Indexed {
    /// Where it lies.
    pub store: Box<dyn VectorStore>,
    /// How it came about.
    pub build: BuildRecord,
}

/// Builds the index of `chunks`, goes on with one that was interrupted, or finds the one of an earlier run.
pub fn index(
    setup: &Setup,
    chunks: &dyn ChunkSource,
    embedder: &mut dyn Embedder,
) -> anyhow::Result<Indexed> {
    let config = &setup.config;
    let perturb_beyond = (!config.embed_all).then_some(EMBEDDED_AT_MOST);
    let identity = index::identity(chunks, embedder, perturb_beyond, config.run.seed);
    let mut store = store(setup, &identity.digest)?;
    let mut bar = IndexBar::new(chunks.count());
    let plan = BuildPlan {
        chunks,
        embedder,
        store: store.as_mut(),
        identity,
        perturb_beyond,
        seed: config.run.seed,
        clock: &setup.clock,
        stop: &setup.stop,
    };
    let build = index::build(plan, &mut bar);
    bar.clear();
    let build = build?;
    anyhow::ensure!(
        build.complete && !setup.stop.load(Ordering::Relaxed),
        "stopped while the index was built; what is embedded is kept, and the same command goes on with it"
    );
    Ok(Indexed { store, build })
}

/// What is known of the pipeline before any request.
pub fn record(
    config: &RagConfig,
    chunks: &ChunkedCorpus<'_>,
    brought: &mut Brought,
    indexed: &mut Indexed,
    questions: &[&str],
) -> anyhow::Result<RetrievalRecord> {
    let embedder = brought.embedder.as_mut();
    let queries: Vec<Vec<f32>> = questions
        .iter()
        .take(RECALL_QUESTIONS)
        .map(|question| {
            let ids = embedder.tokenize(question, TextRole::Query)?;
            Ok(embedder.embed(&[ids])?.remove(0))
        })
        .collect::<anyhow::Result<_>>()?;
    Ok(RetrievalRecord {
        embedder: embedder.id().into(),
        stand_in_embedder: embedder.is_stand_in(),
        reranker: brought.reranker.as_ref().map(|reranker| reranker.id().into()),
        store: indexed.store.kind().into(),
        documents: chunks.documents(),
        chunks: indexed.build.chunks,
        perturbed_vectors: indexed.build.perturbed,
        dimensions: embedder.dimensions() as u32,
        chunk_tokens: config.chunk_tokens,
        chunk_overlap: config.chunk_overlap,
        top_k: config.top_k,
        index_build_ms: indexed.build.build_ms,
        index_reused: indexed.build.reused,
        index_bytes: indexed.store.size_bytes()?,
        recall_at_10: recall::at_k(indexed.store.as_mut(), &queries, RECALL_AT)?,
        embed_tokens_per_s: indexed.build.embed_tokens_per_s,
        ..RetrievalRecord::default()
    })
}
