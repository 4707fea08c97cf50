//! A shape and a source of tensors to a [`Decoder`]: which tensor goes where.

mod attention;
mod delta_net;
mod feed_forward;

use candle_core::{DType, Device, Tensor};

use crate::cuda;
use crate::model::decoder::{Decoder, Layer, Mixer};
use crate::model::linear::{Linear, Matrix};
use crate::model::norm::RmsNorm;
use crate::model::shape::ModelShape;
use crate::weights::cut::Cut;
use crate::weights::error::WeightsError;
use crate::weights::precision::Precision;
use crate::weights::{Dialect, TensorSource};

/// Builds the decoder; `loaded` is told how many of how many layers are there.
pub fn decoder(
    shape: &ModelShape,
    source: &mut dyn TensorSource,
    precision: Precision,
    device: &Device,
    loaded: &mut dyn FnMut(usize, usize),
) -> Result<Decoder, WeightsError> {
    let mut builder = Builder { shape, source, precision, device };
    let embedding = builder.matrix(&builder.table("embed_tokens.weight"))?;
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
        dtype: activations(precision, device),
        device: device.clone(),
    })
}

/// The kernels of the CPU compute in f32, whatever type the weights have.
fn activations(precision: Precision, device: &Device) -> DType {
    if device.is_cpu() && !cuda::is_card(device) { DType::F32 } else { precision.dtype }
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
        let at = |part: &str| format!("layers.{index}.{part}");
        Ok(Layer {
            input_norm: self.norm(&at("input_layernorm.weight"), hidden)?,
            mixer: match self.shape.is_attention(index) {
                true => Mixer::Attention(self.attention(index)?),
                false => Mixer::DeltaNet(self.delta_net(index)?),
            },
            post_norm: self.norm(&at("post_attention_layernorm.weight"), hidden)?,
            feed_forward: self.feed_forward(index)?,
        })
    }

    /// A tied head is the embedding itself; a stored copy of it is ignored, as transformers does.
    fn head(&mut self, embedding: &Matrix) -> Result<Linear, WeightsError> {
        let matrix = match self.shape.tie_embeddings {
            true => embedding.clone(),
            false => self.matrix(&self.table("lm_head.weight"))?,
        };
        Linear::new(matrix, None).map_err(WeightsError::candle("lm_head.weight"))
    }

    fn table(&self, name: &str) -> Cut {
        Cut::whole(name, self.shape.vocab_size, self.shape.hidden_size)
    }

    /// The matrix `name` (rows, columns) with the bias beside it, if it has one.
    fn linear(
        &mut self,
        name: &str,
        rows: usize,
        columns: usize,
        bias: Bias,
    ) -> Result<Linear, WeightsError> {
        let matrix = self.matrix(&Cut::whole(format!("{name}.weight"), rows, columns))?;
        let bias = match bias {
            Bias::With => Some(self.vector(&format!("{name}.bias"), rows)?),
            Bias::Without => None,
        };
        Linear::new(matrix, bias).map_err(WeightsError::candle(name))
    }

    /// Rows of a stored tensor as a matrix of their own, without bias.
    fn rows(&mut self, cut: &Cut) -> Result<Linear, WeightsError> {
        Linear::new(self.matrix(cut)?, None).map_err(WeightsError::candle(&cut.name))
    }

    fn matrix(&mut self, cut: &Cut) -> Result<Matrix, WeightsError> {
        self.source.matrix(cut, self.precision, self.device)
    }

    /// A small matrix that stays in f32 in every quantization, as llama.cpp's converter keeps it.
    fn small(&mut self, name: &str, rows: usize, columns: usize) -> Result<Linear, WeightsError> {
        let cut = Cut::whole(name, rows, columns);
        let matrix = self.source.matrix(&cut, Precision::SMALL, self.device)?;
        Linear::new(matrix, None).map_err(WeightsError::candle(name))
    }

    /// Hybrids store their norms around 0 in checkpoints; their weights stay in f32, since 1 + w
    /// does not fit 16 bits as w does.
    fn norm(&mut self, name: &str, length: usize) -> Result<RmsNorm, WeightsError> {
        let eps = self.shape.rms_norm_eps;
        if !self.shape.architecture.is_hybrid() {
            return Ok(RmsNorm::new(self.vector(name, length)?, eps));
        }
        let stored = self.values(name, &[length])?;
        let whole = match self.source.dialect() {
            Dialect::Checkpoint => (stored + 1.0).map_err(WeightsError::candle(name))?,
            Dialect::Gguf | Dialect::Seed => stored,
        };
        Ok(RmsNorm::new(whole, eps))
    }

    /// A vector in the type of the activations.
    fn vector(&mut self, name: &str, length: usize) -> Result<Tensor, WeightsError> {
        let dtype = activations(self.precision, self.device);
        self.values(name, &[length])?.to_dtype(dtype).map_err(WeightsError::candle(name))
    }

    /// Numbers in f32, on the device.
    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, WeightsError> {
        self.source.values(name, shape)?.to_device(self.device).map_err(WeightsError::candle(name))
    }
}

#[derive(Clone, Copy)]
enum Bias {
    With,
    Without,
}
