//! A folder, a GGUF file or a seed to a loaded model: the one place that knows all three.

use std::path::{Path, PathBuf};

use candle_core::Device;

use super::build;
use crate::model::decoder::Decoder;
use crate::model::shape::ModelShape;
use crate::weights::TensorSource;
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

    /// The model's shape.
    pub fn shape(&self) -> &ModelShape {
        match self {
            Self::Folder { shape, .. } | Self::Gguf { shape, .. } | Self::Random { shape, .. } => shape,
        }
    }

    /// The files that hold the weights.
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
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
        let source: &mut dyn TensorSource = match self {
            Self::Folder { source, .. } => source.as_mut(),
            Self::Gguf { source, .. } => source.as_mut(),
            Self::Random { source, .. } => source,
        };
        build::decoder(&shape, &mut Rehearsal(&*source), precision, &Device::Cpu, &mut |_, _| {})?;
        build::decoder(&shape, source, precision, device, loaded)
    }
}
