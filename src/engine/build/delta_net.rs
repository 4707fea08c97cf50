//! The tensors of a gated delta net, in whichever of the stored layouts they come.

use candle_core::Tensor;

use super::{Bias, Builder};
use crate::model::delta_net::{DeltaNet, ValueHeadOrder};
use crate::model::linear::Linear;
use crate::model::shape::{Architecture, DeltaNetShape};
use crate::weights::Dialect;
use crate::weights::cut::Cut;
use crate::weights::error::WeightsError;

/// The four projections into a gated delta net.
struct Projections {
    qkv: Linear,
    gate: Linear,
    beta: Linear,
    decay: Linear,
}

impl Builder<'_> {
    pub(super) fn delta_net(&mut self, index: usize) -> Result<DeltaNet, WeightsError> {
        let at = |part: &str| format!("layers.{index}.linear_attn.{part}");
        let missing = |part: &str| WeightsError::Missing { origin: "the shape".into(), name: part.into() };
        let net = self.shape.delta_net.as_ref().ok_or_else(|| missing("delta_net"))?;
        let (heads, hidden) = (net.value_heads, self.shape.hidden_size);
        let Projections { qkv, gate, beta, decay } = self.projections(index, net)?;
        Ok(DeltaNet {
            qkv,
            gate,
            beta,
            decay,
            conv: self.convolution(&at("conv1d.weight"), net)?,
            decay_rate: self.decay_rate(&at("A_log"), heads)?,
            decay_bias: self.values(&at("dt_bias"), &[heads])?,
            norm: self.values(&at("norm.weight"), &[net.value_dim])?,
            output: self.linear(&at("out_proj"), hidden, net.value_channels(), Bias::Without)?,
            heads: net.heads(),
            order: self.value_head_order(),
            eps: self.shape.rms_norm_eps,
        })
    }

    /// The converter tiles the value heads of `qwen35` files over the key heads, and leaves `qwen3next` grouped.
    fn value_head_order(&self) -> ValueHeadOrder {
        match (self.source.dialect(), self.shape.architecture) {
            (Dialect::Gguf, Architecture::Qwen35 | Architecture::Qwen35Moe) => ValueHeadOrder::Tiled,
            _ => ValueHeadOrder::Grouped,
        }
    }

    fn projections(&mut self, index: usize, net: &DeltaNetShape) -> Result<Projections, WeightsError> {
        let hidden = self.shape.hidden_size;
        let at = |part: &str| format!("layers.{index}.linear_attn.{part}");
        let fused = |part: &str| format!("{}.weight", at(part));
        let (qkvz, ba) = (fused("in_proj_qkvz"), fused("in_proj_ba"));
        let (qkv, gate) = match self.source.has(&qkvz) {
            true => self.of_key_heads(&qkvz, &KeyHeadRows::qkvz(net), &[0..3, 3..4], net)?,
            false => (
                self.linear(&at("in_proj_qkv"), net.conv_channels(), hidden, Bias::Without)?,
                self.linear(&at("in_proj_z"), net.value_channels(), hidden, Bias::Without)?,
            ),
        };
        let (beta, decay) = match self.source.has(&ba) {
            true => self.of_key_heads(&ba, &KeyHeadRows::ba(net), &[0..1, 1..2], net)?,
            false => (
                self.linear(&at("in_proj_b"), net.value_heads, hidden, Bias::Without)?,
                self.linear(&at("in_proj_a"), net.value_heads, hidden, Bias::Without)?,
            ),
        };
        Ok(Projections { qkv, gate, beta, decay })
    }

    /// Two matrices out of a tensor whose rows are interleaved by key head: each takes some of the parts
    /// of every key head, part after part.
    fn of_key_heads(
        &mut self,
        name: &str,
        rows: &KeyHeadRows,
        parts: &[std::ops::Range<usize>; 2],
        net: &DeltaNetShape,
    ) -> Result<(Linear, Linear), WeightsError> {
        let stored = [net.key_heads * rows.per_head(), self.shape.hidden_size];
        let mut take = |parts: &std::ops::Range<usize>| {
            let chosen = parts.clone().flat_map(|part| rows.of_part(part, net.key_heads));
            self.rows(&Cut::rows(name, stored, chosen))
        };
        Ok((take(&parts[0])?, take(&parts[1])?))
    }

    /// (channels, 1, width) in a checkpoint, (channels, width) in GGUF, to (width, channels).
    fn convolution(&mut self, name: &str, net: &DeltaNetShape) -> Result<Tensor, WeightsError> {
        let (channels, width) = (net.conv_channels(), net.conv_width);
        let stored = match self.source.dialect() {
            Dialect::Gguf => self.values(name, &[channels, width])?,
            Dialect::Checkpoint | Dialect::Seed => self.values(name, &[channels, 1, width])?,
        };
        let transposed = || stored.reshape((channels, width))?.t()?.contiguous();
        transposed().map_err(WeightsError::candle(name))
    }

    /// −exp(A_log): a checkpoint stores the logarithm, GGUF the rate.
    fn decay_rate(&mut self, name: &str, heads: usize) -> Result<Tensor, WeightsError> {
        let stored = self.values(name, &[heads])?;
        match self.source.dialect() {
            Dialect::Gguf => Ok(stored),
            Dialect::Checkpoint | Dialect::Seed => {
                stored.exp().and_then(|rate| rate.neg()).map_err(WeightsError::candle(name))
            }
        }
    }
}

/// How many rows of each part lie together for one key head.
struct KeyHeadRows(Vec<usize>);

impl KeyHeadRows {
    /// Query, key, values and gates of the value heads that share the key head.
    fn qkvz(net: &DeltaNetShape) -> Self {
        let values = net.value_heads / net.key_heads * net.value_dim;
        Self(vec![net.key_dim, net.key_dim, values, values])
    }

    /// Beta and decay of those value heads.
    fn ba(net: &DeltaNetShape) -> Self {
        let heads = net.value_heads / net.key_heads;
        Self(vec![heads, heads])
    }

    fn per_head(&self) -> usize {
        self.0.iter().sum()
    }

    /// The rows of `part`, of all key heads one after the other.
    fn of_part(&self, part: usize, key_heads: usize) -> impl Iterator<Item = usize> {
        let (before, count, per_head) = (self.0[..part].iter().sum::<usize>(), self.0[part], self.per_head());
        (0..key_heads).flat_map(move |head| {
            let start = head * per_head + before;
            start..start + count
        })
    }
}
