//! A model's exact shape, and what follows from it by counting: parameters, bytes, FLOPs.
//!
//! Comes from the catalog, a `config.json` or a GGUF header. Formulas: `docs/measurement.md`.

use serde::{Deserialize, Serialize};

/// Architectures that this build can run, by the `model_type` of their `config.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// Qwen2 and Qwen2.5, dense: biases on q, k, v.
    Qwen2,
    /// Qwen3, dense: RMSNorm on each head of q and k, no biases.
    Qwen3,
}

impl Architecture {
    /// Every architecture, in the order it is listed to users.
    pub const ALL: [Self; 2] = [Self::Qwen2, Self::Qwen3];

    /// The name used in `config.json` (`model_type`) and in GGUF (`general.architecture`).
    pub fn name(self) -> &'static str {
        match self {
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }

    /// The architecture of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.name() == name)
    }
}

/// The numbers that define a decoder. All of them are needed; none has a silent default.
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
    /// Width of the feed-forward's middle.
    pub intermediate_size: usize,
    /// Base of the rotary embedding.
    pub rope_theta: f64,
    /// Added to the mean square in RMSNorm.
    pub rms_norm_eps: f64,
    /// Longest sequence the model was made for.
    pub max_positions: usize,
    /// Whether the output head is the embedding table.
    pub tie_embeddings: bool,
}

/// What makes a shape impossible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impossible {
    /// The field of [`ModelShape`].
    pub field: &'static str,
    /// What it holds, and what it would have to hold.
    pub reason: String,
}

impl ModelShape {
    /// The first number that no model has. Every shape from a file must pass: the bounds lie far above
    /// any model, and keep each product in this file from overflowing.
    pub fn impossible(&self) -> Option<Impossible> {
        let bounds = [
            ("vocab_size", self.vocab_size, 1 << 24),
            ("hidden_size", self.hidden_size, 1 << 20),
            ("layers", self.layers, 1 << 12),
            ("heads", self.heads, 1 << 10),
            ("kv_heads", self.kv_heads, 1 << 10),
            ("head_dim", self.head_dim, 1 << 12),
            ("intermediate_size", self.intermediate_size, 1 << 20),
            ("max_positions", self.max_positions, 1 << 24),
        ];
        let wrong = |field, reason| Some(Impossible { field, reason });
        if let Some((field, count, most)) = bounds.into_iter().find(|(_, n, most)| !(1..=*most).contains(n)) {
            return wrong(field, format!("{count} is not a number from 1 to {most}"));
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return wrong("kv_heads", format!("{} does not divide {} heads", self.kv_heads, self.heads));
        }
        match self.head_dim.is_multiple_of(2) {
            true => None,
            false => wrong("head_dim", format!("{} is not even", self.head_dim)),
        }
    }

    /// Weights of the text model; a tied head counts once.
    pub fn parameters(&self) -> u64 {
        self.matrix_parameters_per_token() + self.vector_parameters() + self.embedding_parameters()
    }

    /// Weights of the layers' matrices, all of which each token is multiplied with (no head).
    pub fn matrix_parameters_per_token(&self) -> u64 {
        let (hidden, middle) = (self.hidden_size as u64, self.intermediate_size as u64);
        let q = (self.heads * self.head_dim) as u64;
        let kv = (self.kv_heads * self.head_dim) as u64;
        self.layers as u64 * (hidden * (q + 2 * kv) + q * hidden + 3 * hidden * middle)
    }

    /// Weights of the output head: hidden × vocabulary.
    pub fn head_parameters(&self) -> u64 {
        (self.hidden_size * self.vocab_size) as u64
    }

    fn embedding_parameters(&self) -> u64 {
        self.head_parameters() * if self.tie_embeddings { 1 } else { 2 }
    }

    /// Norms and biases.
    fn vector_parameters(&self) -> u64 {
        let per_layer = 2 * self.hidden_size
            + match self.architecture {
                Architecture::Qwen2 => (self.heads + 2 * self.kv_heads) * self.head_dim,
                Architecture::Qwen3 => 2 * self.head_dim,
            };
        (self.layers * per_layer + self.hidden_size) as u64
    }

    /// Bytes of keys and values that one token adds to the cache.
    pub fn kv_bytes_per_token(&self, bytes_per_value: u64) -> u64 {
        (2 * self.layers * self.kv_heads * self.head_dim) as u64 * bytes_per_value
    }

    /// Bytes of state per sequence that do not grow with context. Dense attention has none.
    pub fn constant_state_bytes(&self) -> u64 {
        0
    }

    /// FLOPs (2 per multiply-add) that a prefill of `tokens` must do: the matrices, causal
    /// attention (half of the square), and the head for the last position only.
    pub fn prefill_flops(&self, tokens: u64) -> f64 {
        let n = tokens as f64;
        let attention = 2.0 * (self.layers * self.heads * self.head_dim) as f64 * n * n;
        2.0 * self.matrix_parameters_per_token() as f64 * n + attention + 2.0 * self.head_parameters() as f64
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
        intermediate_size: 3072,
        rope_theta: 1e6,
        rms_norm_eps: 1e-6,
        max_positions: 40_960,
        tie_embeddings: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_shape_that_is_possible_overflows_nothing() {
        let mut shape = ModelShape {
            vocab_size: 1 << 24,
            hidden_size: 1 << 20,
            layers: 1 << 12,
            heads: 1 << 10,
            kv_heads: 1 << 10,
            head_dim: 1 << 12,
            intermediate_size: 1 << 20,
            max_positions: 1 << 24,
            tie_embeddings: false,
            ..qwen3_0_6b()
        };
        assert_eq!(shape.impossible(), None);
        assert!(shape.parameters() > 0 && shape.prefill_flops(1 << 24).is_finite());
        assert!(shape.kv_bytes_per_token(4) * shape.max_positions as u64 > 0);
        shape.layers += 1;
        assert_eq!(shape.impossible().unwrap().field, "layers");
        shape = ModelShape { heads: 3, ..qwen3_0_6b() };
        assert_eq!(shape.impossible().unwrap().reason, "8 does not divide 3 heads");
    }

    #[test]
    fn counts_agree_with_the_published_ones() {
        let shape = qwen3_0_6b();
        // 596,049,920 text parameters; 751,632,384 with the stored copy of the tied head.
        assert_eq!(shape.parameters(), 596_049_920);
        assert_eq!(shape.parameters() + shape.head_parameters(), 751_632_384);
        assert_eq!(shape.kv_bytes_per_token(2), 114_688);
    }
}
