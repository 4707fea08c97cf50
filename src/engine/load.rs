//! A folder, a GGUF file or a seed to a loaded model: the one place that knows all three.

use std::path::{Path, PathBuf};

use candle_core::Device;

use super::build;
use crate::model::decoder::Decoder;
use crate::model::shape::ModelShape;
use crate::weights::TensorSource;
use crate::weights::adapter::error::AdapterError;
use crate::weights::adapter::{Adapted, Adapter};
use crate::weights::config_json;
use crate::weights::error::WeightsError;
use crate::weights::gguf::GgufSource;
use crate::weights::precision::Precision;
use crate::weights::random::RandomSource;
use crate::weights::rehearsal::Rehearsal;
use crate::weights::safetensors::{self, SafetensorsSource};

/// Weights that are at hand, opened and checked as far as their headers tell, not yet read.
pub enum OpenModel {
    /// `config.json` with safetensors.
    Folder {
        /// From `config.json`.
        shape: ModelShape,
        /// Weight files.
        files: Vec<PathBuf>,
        /// Their tensors.
        source: Box<SafetensorsSource>,
    },
    /// A GGUF file.
    Gguf {
        /// From its metadata.
        shape: ModelShape,
        /// The file.
        file: PathBuf,
        /// Its tensors.
        source: Box<GgufSource>,
    },
    /// No file at all.
    Random {
        /// From the catalog, a configuration or a header.
        shape: ModelShape,
        /// Its tensors.
        source: RandomSource,
    },
    /// One of the others, with an adapter merged into it while it is read.
    Adapted {
        /// The weights as they are.
        base: Box<OpenModel>,
        /// What changes them.
        adapter: Box<Adapter>,
    },
}

impl OpenModel {
    /// Opens a folder with `config.json` and safetensors.
    pub fn folder(folder: &Path) -> Result<Self, WeightsError> {
        let config = folder.join("config.json");
        let files = safetensors::weight_files(folder)?;
        if !config.is_file() || files.is_empty() {
            return Err(WeightsError::NoModel(folder.into()));
        }
        let shape = config_json::read(&config)?;
        let source = Box::new(SafetensorsSource::open(&files)?);
        Ok(Self::Folder { shape, files, source })
    }

    /// Opens a GGUF file.
    pub fn gguf(file: &Path) -> Result<Self, WeightsError> {
        let source = Box::new(GgufSource::open(file)?);
        Ok(Self::Gguf { shape: source.shape()?, file: file.into(), source })
    }

    /// Random weights of `shape`.
    pub fn random(shape: ModelShape, seed: u64) -> Self {
        Self::Random { shape, source: RandomSource::new(seed) }
    }

    /// The model with `adapter` merged into it while it is read.
    ///
    /// Errors if the weights are quantized already, or if the adapter changes one side of tied embeddings. That
    /// all of it fits is checked by [`Self::decoder`], before anything is read.
    pub fn with_adapter(self, adapter: Adapter) -> Result<Self, WeightsError> {
        let refuse = |feature: &str| {
            Err(AdapterError::Unmergeable { folder: adapter.folder().into(), feature: feature.into() }.into())
        };
        match &self {
            Self::Gguf { file, source, .. } if source.holds_blocks() => {
                Err(AdapterError::QuantizedBase { base: format!("'{}'", file.display()) }.into())
            }
            Self::Adapted { .. } => refuse("another adapter is merged into this model already"),
            base if base.shape().tie_embeddings && TABLES.iter().any(|table| adapter.changes(table)) => {
                refuse("it changes the embedding or the head, which are one matrix in this model (tied)")
            }
            _ => Ok(Self::Adapted { base: Box::new(self), adapter: Box::new(adapter) }),
        }
    }

    /// The model's shape.
    pub fn shape(&self) -> &ModelShape {
        match self {
            Self::Adapted { base, .. } => base.shape(),
            Self::Folder { shape, .. } | Self::Gguf { shape, .. } | Self::Random { shape, .. } => shape,
        }
    }

    /// The files that hold the weights, those of an adapter included.
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Adapted { base, adapter } => [base.files(), vec![adapter.file()]].concat(),
            Self::Folder { files, .. } => files.clone(),
            Self::Gguf { file, .. } => vec![file.clone()],
            Self::Random { .. } => Vec::new(),
        }
    }

    /// Reads every tensor, after a look whether all are there; `loaded` is told how many layers of how many are there.
    pub fn decoder(
        &mut self,
        precision: Precision,
        device: &Device,
        loaded: &mut dyn FnMut(usize, usize),
    ) -> Result<Decoder, WeightsError> {
        let shape = self.shape().clone();
        let (source, adapter) = self.parts();
        let Some(adapter) = adapter else {
            rehearse(&shape, source, precision)?;
            return build::decoder(&shape, source, precision, device, loaded);
        };
        let mut merged = Adapted::new(source, adapter);
        rehearse(&shape, &merged, precision)?;
        merged.all_met()?;
        build::decoder(&shape, &mut merged, precision, device, loaded)
    }

    /// The tensors as they are, and what changes them.
    fn parts(&mut self) -> (&mut dyn TensorSource, Option<&Adapter>) {
        match self {
            Self::Folder { source, .. } => (source.as_mut(), None),
            Self::Gguf { source, .. } => (source.as_mut(), None),
            Self::Random { source, .. } => (source, None),
            Self::Adapted { base, adapter } => (base.parts().0, Some(adapter)),
        }
    }
}

/// The two tables that are one where embeddings are tied.
const TABLES: [&str; 2] = ["embed_tokens.weight", "lm_head.weight"];

/// Looks whether everything is there, without reading it.
fn rehearse(shape: &ModelShape, source: &dyn TensorSource, precision: Precision) -> Result<(), WeightsError> {
    build::decoder(shape, &mut Rehearsal(source), precision, &Device::Cpu, &mut |_, _| {}).map(drop)
}
