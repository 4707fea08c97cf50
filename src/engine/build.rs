//! A shape and a source of tensors to a [`Decoder`]: which tensor goes where.

use candle_core::{DType, Device, Tensor};

use crate::model::attention::{Attention, HeadNorms};
use crate::model::decoder::{Decoder, Layer};
use crate::model::feed_forward::FeedForward;
use crate::model::linear::{Linear, Matrix};
use crate::model::norm::RmsNorm;
use crate::model::shape::ModelShape;
use crate::weights::TensorSource;
use crate::weights::error::WeightsError;
use crate::weights::precision::Precision;

/// Builds the decoder; `loaded` is told how many of how many layers are there.
pub fn decoder(
    shape: &ModelShape,
    source: &mut dyn TensorSource,
    precision: Precision,
    device: &Device,
    loaded: &mut dyn FnMut(usize, usize),
) -> Result<Decoder, WeightsError> {
    let mut builder = Builder { shape, source, precision, device };
    let embedding = builder.matrix("embed_tokens.weight", shape.vocab_size, shape.hidden_size)?;
    let mut layers = Vec::with_capacity(shape.layers);
    for index in 0..shape.layers {
        layers.push(builder.layer(index)?);
        loaded(index + 1, shape.layers);
    }
    let norm = builder.norm("norm.weight", shape.hidden_size)?;
    let head = builder.head(&embedding)?;
    Ok(Decoder {
        shape: shape.clone(),
        embedding,
        layers,
        norm,
        head,
        dtype: precision.dtype,
        device: device.clone(),
    })
}

struct Builder<'a> {
    shape: &'a ModelShape,
    source: &'a mut dyn TensorSource,
    precision: Precision,
    device: &'a Device,
}

impl Builder<'_> {
    fn layer(&mut self, index: usize) -> Result<Layer, WeightsError> {
        let hidden = self.shape.hidden_size;
        let middle = self.shape.intermediate_size.unwrap_or_default();
        let at = |part: &str| format!("layers.{index}.{part}");
        Ok(Layer {
            input_norm: self.norm(&at("input_layernorm.weight"), hidden)?,
            attention: self.attention(index)?,
            post_norm: self.norm(&at("post_attention_layernorm.weight"), hidden)?,
            feed_forward: FeedForward {
                gate: self.linear(&at("mlp.gate_proj"), middle, hidden, Bias::Without)?,
                up: self.linear(&at("mlp.up_proj"), middle, hidden, Bias::Without)?,
                down: self.linear(&at("mlp.down_proj"), hidden, middle, Bias::Without)?,
            },
        })
    }

    fn attention(&mut self, index: usize) -> Result<Attention, WeightsError> {
        let shape = self.shape;
        let (hidden, dim) = (shape.hidden_size, shape.head_dim);
        let (q, kv) = (shape.heads * dim, shape.kv_heads * dim);
        let at = |part: &str| format!("layers.{index}.self_attn.{part}");
        let bias = if shape.architecture.has_biases() { Bias::With } else { Bias::Without };
        let head_norms = match shape.architecture.has_head_norms() {
            false => None,
            true => Some(HeadNorms {
                query: self.norm(&at("q_norm.weight"), dim)?,
                key: self.norm(&at("k_norm.weight"), dim)?,
            }),
        };
        Ok(Attention {
            query: self.linear(&at("q_proj"), q, hidden, bias)?,
            key: self.linear(&at("k_proj"), kv, hidden, bias)?,
            value: self.linear(&at("v_proj"), kv, hidden, bias)?,
            output: self.linear(&at("o_proj"), hidden, q, Bias::Without)?,
            head_norms,
            heads: shape.heads,
            kv_heads: shape.kv_heads,
            head_dim: dim,
        })
    }

    /// A tied head is the embedding itself; a stored copy of it is ignored, as transformers does.
    fn head(&mut self, embedding: &Matrix) -> Result<Linear, WeightsError> {
        let matrix = match self.shape.tie_embeddings {
            true => embedding.clone(),
            false => self.matrix("lm_head.weight", self.shape.vocab_size, self.shape.hidden_size)?,
        };
        Linear::new(matrix, None).map_err(WeightsError::candle("lm_head.weight"))
    }

    fn linear(
        &mut self,
        name: &str,
        rows: usize,
        columns: usize,
        bias: Bias,
    ) -> Result<Linear, WeightsError> {
        let matrix = self.matrix(&format!("{name}.weight"), rows, columns)?;
        let bias = match bias {
            Bias::With => Some(self.vector(&format!("{name}.bias"), rows)?),
            Bias::Without => None,
        };
        Linear::new(matrix, bias).map_err(WeightsError::candle(name))
    }

    fn matrix(&mut self, name: &str, rows: usize, columns: usize) -> Result<Matrix, WeightsError> {
        self.source.matrix(name, rows, columns, self.precision, self.device)
    }

    fn norm(&mut self, name: &str, length: usize) -> Result<RmsNorm, WeightsError> {
        Ok(RmsNorm::new(self.vector(name, length)?, self.shape.rms_norm_eps))
    }

    fn vector(&mut self, name: &str, length: usize) -> Result<Tensor, WeightsError> {
        let place = |v: Tensor| v.to_dtype(self.precision.dtype)?.to_device(self.device);
        place(self.source.vector(name, length)?).map_err(WeightsError::candle(name))
    }
}

#[derive(Clone, Copy)]
enum Bias {
    With,
    Without,
}

/// Bytes per number of keys and values in the cache: they have the activations' type.
pub fn cache_bytes_per_value(dtype: DType) -> u64 {
    dtype.size_in_bytes() as u64
}
