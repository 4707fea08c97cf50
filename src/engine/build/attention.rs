//! The tensors of an attention layer.

use super::{Bias, Builder};
use crate::model::attention::{Attention, HeadNorms};
use crate::model::linear::Linear;
use crate::weights::cut::Cut;
use crate::weights::error::WeightsError;

impl Builder<'_> {
    pub(super) fn attention(&mut self, index: usize) -> Result<Attention, WeightsError> {
        let shape = self.shape;
        let (hidden, dim) = (shape.hidden_size, shape.head_dim);
        let (q, kv) = (shape.heads * dim, shape.kv_heads * dim);
        let at = |part: &str| format!("layers.{index}.self_attn.{part}");
        let bias = if shape.architecture.has_biases() { Bias::With } else { Bias::Without };
        let (query, gate) = match shape.architecture.is_hybrid() {
            false => (self.linear(&at("q_proj"), q, hidden, bias)?, None),
            true => {
                let name = at("q_proj.weight");
                (self.half_of_heads(&name, Half::Query)?, Some(self.half_of_heads(&name, Half::Gate)?))
            }
        };
        Ok(Attention {
            query,
            gate,
            key: self.linear(&at("k_proj"), kv, hidden, bias)?,
            value: self.linear(&at("v_proj"), kv, hidden, bias)?,
            output: self.linear(&at("o_proj"), hidden, q, Bias::Without)?,
            head_norms: self.head_norms(index)?,
            heads: shape.heads,
            kv_heads: shape.kv_heads,
            head_dim: dim,
        })
    }

    /// Hybrids store, head by head, the rows of the query and then those of its gate.
    fn half_of_heads(&mut self, name: &str, half: Half) -> Result<Linear, WeightsError> {
        let (heads, dim) = (self.shape.heads, self.shape.head_dim);
        let stored = [heads * 2 * dim, self.shape.hidden_size];
        let start = |head: usize| (2 * head + half as usize) * dim;
        self.rows(&Cut::rows(name, stored, (0..heads).flat_map(|head| start(head)..start(head) + dim)))
    }

    fn head_norms(&mut self, index: usize) -> Result<Option<HeadNorms>, WeightsError> {
        if !self.shape.architecture.has_head_norms() {
            return Ok(None);
        }
        let dim = self.shape.head_dim;
        let at = |part: &str| format!("layers.{index}.self_attn.{part}");
        Ok(Some(HeadNorms {
            query: self.norm(&at("q_norm.weight"), dim)?,
            key: self.norm(&at("k_norm.weight"), dim)?,
        }))
    }
}

#[derive(Clone, Copy)]
enum Half {
    Query,
    Gate,
}
