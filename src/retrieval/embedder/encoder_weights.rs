//! The tensors of a BERT checkpoint, by name, to an [`Encoder`]: f32, queries, keys and values joined.

use candle_core::{Device, Tensor};

use super::encoder::{Encoder, EncoderLayer, LayerNorm};
use crate::catalog::embedder::BertShape;
use crate::model::linear::{Linear, Matrix};
use crate::weights::TensorSource;
use crate::weights::error::WeightsError;

/// Reads tensors of one checkpoint onto a device.
pub struct EncoderReader<'a> {
    /// The checkpoint.
    pub source: &'a mut dyn TensorSource,
    /// What its configuration says.
    pub shape: &'a BertShape,
    /// Where they go.
    pub device: &'a Device,
}

impl EncoderReader<'_> {
    /// The encoder. Checkpoints with a head keep it under `bert.`.
    pub fn encoder(&mut self) -> Result<Encoder, WeightsError> {
        let headed = self.source.has("bert.embeddings.word_embeddings.weight");
        let root = if headed { "bert." } else { "" };
        let (shape, hidden) = (self.shape, self.shape.hidden_size);
        let mut table = |name: &str, rows: usize| {
            self.values(&format!("{root}embeddings.{name}_embeddings.weight"), &[rows, hidden])
        };
        let words = table("word", shape.vocab_size)?;
        let positions = table("position", shape.max_positions)?;
        let types = table("token_type", shape.token_types)?;
        let norm = self.norm(&format!("{root}embeddings.LayerNorm"))?;
        let layer = |index: usize| self.layer(&format!("{root}encoder.layer.{index}"));
        let layers = (0..shape.layers).map(layer).collect::<Result<_, _>>()?;
        Ok(Encoder { words, positions, types, norm, layers, heads: self.shape.heads })
    }

    fn layer(&mut self, at: &str) -> Result<EncoderLayer, WeightsError> {
        let (hidden, middle) = (self.shape.hidden_size, self.shape.intermediate_size);
        Ok(EncoderLayer {
            qkv: self.joined(&["query", "key", "value"].map(|part| format!("{at}.attention.self.{part}")))?,
            output: self.linear(&format!("{at}.attention.output.dense"), hidden, hidden)?,
            attention_norm: self.norm(&format!("{at}.attention.output.LayerNorm"))?,
            up: self.linear(&format!("{at}.intermediate.dense"), middle, hidden)?,
            down: self.linear(&format!("{at}.output.dense"), hidden, middle)?,
            feed_forward_norm: self.norm(&format!("{at}.output.LayerNorm"))?,
        })
    }

    /// The matrix `name` (rows, columns) with its bias.
    pub fn linear(&mut self, name: &str, rows: usize, columns: usize) -> Result<Linear, WeightsError> {
        let weight = self.values(&format!("{name}.weight"), &[rows, columns])?;
        let bias = self.values(&format!("{name}.bias"), &[rows])?;
        Linear::new(Matrix::Dense(weight), Some(bias)).map_err(WeightsError::candle(name))
    }

    /// Three square matrices, one under the other.
    fn joined(&mut self, names: &[String; 3]) -> Result<Linear, WeightsError> {
        let hidden = self.shape.hidden_size;
        let mut all = |end: &str, shape: &[usize]| {
            let parts = names.iter().map(|name| self.values(&format!("{name}.{end}"), shape));
            let parts = parts.collect::<Result<Vec<_>, _>>()?;
            Tensor::cat(&parts, 0).map_err(WeightsError::candle(&names[0]))
        };
        let (weight, bias) = (all("weight", &[hidden, hidden])?, all("bias", &[hidden])?);
        Linear::new(Matrix::Dense(weight), Some(bias)).map_err(WeightsError::candle(&names[0]))
    }

    fn norm(&mut self, name: &str) -> Result<LayerNorm, WeightsError> {
        let hidden = [self.shape.hidden_size];
        let weight = self.values(&format!("{name}.weight"), &hidden)?;
        let bias = self.values(&format!("{name}.bias"), &hidden)?;
        Ok(LayerNorm { weight, bias, eps: self.shape.layer_norm_eps as f32 })
    }

    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, WeightsError> {
        self.source.values(name, shape)?.to_device(self.device).map_err(WeightsError::candle(name))
    }
}
