//! A model's exact shape, and what follows from it by counting: parameters, bytes, FLOPs.
//!
//! Comes from the catalog, a `config.json` or a GGUF header. Formulas: `docs/measurement.md`.

mod architecture;
mod growth;
mod matrices;
mod possible;

pub use architecture::Architecture;
pub use growth::{DELTA_CHUNK, DecodeBytes, PrefillFlops};
pub use matrices::{MatrixGroup, Part};
pub use possible::Impossible;

use serde::{Deserialize, Serialize};

use super::delta_state::DeltaHeads;

/// The numbers that define a decoder. None has a silent default; what is absent is not there in the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelShape {
    /// Which formulas apply.
    pub architecture: Architecture,
    /// Rows of the embedding table.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Decoder layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads.
    pub kv_heads: usize,
    /// Dimensions of a head.
    pub head_dim: usize,
    /// Leading dimensions of a head that the rotary embedding turns; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotary_dim: Option<usize>,
    /// Width of the dense feed-forward's middle; absent where every feed-forward is a mixture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intermediate_size: Option<usize>,
    /// Base of the rotary embedding.
    pub rope_theta: f64,
    /// Added to the mean square in RMSNorm.
    pub rms_norm_eps: f64,
    /// Longest sequence the model was made for.
    pub max_positions: usize,
    /// Whether the output head is the embedding table.
    pub tie_embeddings: bool,
    /// The gated delta nets, where most layers are such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta_net: Option<DeltaNetShape>,
    /// The experts, where the feed-forwards are mixtures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experts: Option<ExpertsShape>,
}

/// Gated delta nets, and which layers are attention instead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeltaNetShape {
    /// Heads of queries and keys.
    pub key_heads: usize,
    /// Heads of values; a multiple of `key_heads`.
    pub value_heads: usize,
    /// Dimensions of a query or key head.
    pub key_dim: usize,
    /// Dimensions of a value head.
    pub value_dim: usize,
    /// Tokens that the causal convolution sees, the current one included.
    pub conv_width: usize,
    /// The layers of full attention.
    pub attention_layers: AttentionLayers,
}

/// Which layers of a hybrid are full attention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AttentionLayers {
    /// The last of every so many: 4 means layers 3, 7, 11, …
    Every(usize),
    /// These, by index from 0.
    Listed(Vec<usize>),
}

/// A mixture of experts in every layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpertsShape {
    /// Experts of a layer.
    pub count: usize,
    /// Experts that each token takes.
    pub used: usize,
    /// Width of an expert's middle.
    pub width: usize,
    /// Width of the middle of the expert that every token takes; absent: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_width: Option<usize>,
    /// Whether the weights of the experts taken are scaled to sum 1.
    pub renormalise: bool,
}

impl AttentionLayers {
    /// The layers `listed`, of `layers`, in the shortest form.
    pub fn of(listed: Vec<usize>, layers: usize) -> Self {
        let every = listed.first().map_or(layers + 1, |first| first + 1);
        match (0..layers).filter(|index| (index + 1).is_multiple_of(every)).eq(listed.iter().copied()) {
            true => Self::Every(every),
            false => Self::Listed(listed),
        }
    }
}

impl DeltaNetShape {
    /// The heads alone: what one layer has to know.
    pub fn heads(&self) -> DeltaHeads {
        DeltaHeads {
            key_heads: self.key_heads,
            value_heads: self.value_heads,
            key_dim: self.key_dim,
            value_dim: self.value_dim,
            conv_width: self.conv_width,
        }
    }

    /// Channels of all values.
    pub fn value_channels(&self) -> usize {
        self.heads().value_channels()
    }

    /// Channels of the convolution: queries, keys and values.
    pub fn conv_channels(&self) -> usize {
        self.heads().conv_channels()
    }
}

impl ModelShape {
    /// Whether layer `index` is attention; else it is a gated delta net.
    pub fn is_attention(&self, index: usize) -> bool {
        match self.delta_net.as_ref().map(|net| &net.attention_layers) {
            None => true,
            Some(AttentionLayers::Every(n)) => (index + 1).is_multiple_of(*n),
            Some(AttentionLayers::Listed(layers)) => layers.contains(&index),
        }
    }

    /// Layers of full attention: those with a cache that grows.
    pub fn attention_layers(&self) -> usize {
        (0..self.layers).filter(|index| self.is_attention(*index)).count()
    }

    /// Layers of gated delta nets.
    pub fn delta_layers(&self) -> usize {
        self.layers - self.attention_layers()
    }

    /// Dimensions of a head that are rotated.
    pub fn rotary_dim(&self) -> usize {
        self.rotary_dim.unwrap_or(self.head_dim)
    }

    /// Bytes of keys and values that one token adds to the cache.
    pub fn kv_bytes_per_token(&self, bytes_per_value: u64) -> u64 {
        (2 * self.attention_layers() * self.kv_heads * self.head_dim) as u64 * bytes_per_value
    }

    /// Bytes of state per sequence that do not grow with context, in f32: of each gated delta net
    /// the recurrent state, and the rows that its convolution still needs. Attention has none.
    pub fn constant_state_bytes(&self) -> u64 {
        let Some(net) = &self.delta_net else { return 0 };
        let recurrent = net.value_heads * net.key_dim * net.value_dim;
        let conv = (net.conv_width - 1) * net.conv_channels();
        (self.delta_layers() * (recurrent + conv)) as u64 * 4
    }
}

#[cfg(test)]
pub(crate) fn qwen3_0_6b() -> ModelShape {
    ModelShape {
        architecture: Architecture::Qwen3,
        vocab_size: 151_936,
        hidden_size: 1024,
        layers: 28,
        heads: 16,
        kv_heads: 8,
        head_dim: 128,
        rotary_dim: None,
        intermediate_size: Some(3072),
        rope_theta: 1e6,
        rms_norm_eps: 1e-6,
        max_positions: 40_960,
        tie_embeddings: true,
        delta_net: None,
        experts: None,
    }
}

#[cfg(test)]
pub(crate) fn qwen3_5_0_8b() -> ModelShape {
    ModelShape {
        architecture: Architecture::Qwen35,
        vocab_size: 248_320,
        layers: 24,
        heads: 8,
        kv_heads: 2,
        head_dim: 256,
        rotary_dim: Some(64),
        intermediate_size: Some(3584),
        rope_theta: 1e7,
        max_positions: 262_144,
        delta_net: Some(DeltaNetShape {
            key_heads: 16,
            value_heads: 16,
            key_dim: 128,
            value_dim: 128,
            conv_width: 4,
            attention_layers: AttentionLayers::Every(4),
        }),
        ..qwen3_0_6b()
    }
}

#[cfg(test)]
pub(crate) fn qwen3_5_35b_a3b() -> ModelShape {
    ModelShape {
        architecture: Architecture::Qwen35Moe,
        hidden_size: 2048,
        layers: 40,
        heads: 16,
        intermediate_size: None,
        tie_embeddings: false,
        delta_net: qwen3_5_0_8b().delta_net.map(|net| DeltaNetShape { value_heads: 32, ..net }),
        experts: Some(ExpertsShape {
            count: 256,
            used: 8,
            width: 512,
            shared_width: Some(512),
            renormalise: true,
        }),
        ..qwen3_5_0_8b()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_counted_by_interval_and_by_list() {
        let mut shape = qwen3_5_0_8b();
        assert_eq!((shape.attention_layers(), shape.delta_layers()), (6, 18));
        assert!(shape.is_attention(3) && !shape.is_attention(4) && shape.is_attention(23));
        if let Some(net) = &mut shape.delta_net {
            net.attention_layers = AttentionLayers::Listed(vec![0, 5]);
        }
        assert!(shape.is_attention(0) && shape.is_attention(5) && !shape.is_attention(3));
        assert_eq!(qwen3_0_6b().attention_layers(), 28);
        assert_eq!(AttentionLayers::of(vec![3, 7], 9), AttentionLayers::Every(4));
        assert_eq!(AttentionLayers::of(vec![3, 7], 12), AttentionLayers::Listed(vec![3, 7]));
        assert_eq!(AttentionLayers::of(vec![], 4), AttentionLayers::Every(5));
    }

    #[test]
    fn caches_and_states_are_those_of_the_published_shapes() {
        assert_eq!(qwen3_0_6b().kv_bytes_per_token(2), 114_688);
        assert_eq!(qwen3_0_6b().constant_state_bytes(), 0);
        let hybrid = qwen3_5_0_8b();
        assert_eq!(hybrid.kv_bytes_per_token(2), 12_288);
        let recurrent = 18 * 16 * 128 * 128 * 4;
        assert_eq!(recurrent, 18_874_368);
        assert_eq!(hybrid.constant_state_bytes(), recurrent + 18 * 3 * 6144 * 4);
    }
}
