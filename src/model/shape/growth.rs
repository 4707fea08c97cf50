//! How work grows with context, counted from the shape: FLOPs of a prefill, bytes of a decode step.
//!
//! A multiply-add is 2 FLOPs. Norms, activations and softmax are not counted. Formulas: `docs/measurement.md`.

use serde::{Deserialize, Serialize};

use super::{DeltaNetShape, ModelShape};

/// Tokens per chunk of the gated delta net's chunked form.
pub const DELTA_CHUNK: u64 = 64;

/// FLOPs of a prefill of n tokens: `constant + per_token · n + per_token_squared · n²`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrefillFlops {
    /// The output head, for the last position only.
    pub constant: f64,
    /// The layers' matrices and the gated delta nets.
    pub per_token: f64,
    /// Causal attention: half of the square.
    pub per_token_squared: f64,
}

/// Bytes that one decode step must move with n tokens in the cache: `constant + per_token · n`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecodeBytes {
    /// Weights as stored, and the state of constant size, read and written.
    pub constant: f64,
    /// Keys and values of one token.
    pub per_token: f64,
}

impl PrefillFlops {
    /// FLOPs at `tokens`.
    pub fn at(&self, tokens: u64) -> f64 {
        let n = tokens as f64;
        self.constant + self.per_token * n + self.per_token_squared * n * n
    }
}

impl DecodeBytes {
    /// Bytes at `depth` tokens in the cache.
    pub fn at(&self, depth: u64) -> f64 {
        self.constant + self.per_token * depth as f64
    }
}

impl ModelShape {
    /// How the FLOPs of a prefill grow.
    pub fn prefill_growth(&self) -> PrefillFlops {
        let delta = self
            .delta_net
            .as_ref()
            .map_or(0, |net| self.delta_layers() as u64 * (chunked_flops(net) + conv_flops(net)));
        PrefillFlops {
            constant: 2.0 * self.head_parameters() as f64,
            per_token: 2.0 * self.matrix_parameters_per_token() as f64 + delta as f64,
            per_token_squared: 2.0 * (self.attention_layers() * self.heads * self.head_dim) as f64,
        }
    }

    /// FLOPs that a prefill of `tokens` must do.
    pub fn prefill_flops(&self, tokens: u64) -> f64 {
        self.prefill_growth().at(tokens)
    }

    /// How the bytes of a decode step grow, with `weight_bytes` of weights read per step and
    /// keys and values of `bytes_per_value`.
    pub fn decode_growth(&self, weight_bytes: u64, bytes_per_value: u64) -> DecodeBytes {
        DecodeBytes {
            constant: (weight_bytes + 2 * self.constant_state_bytes()) as f64,
            per_token: self.kv_bytes_per_token(bytes_per_value) as f64,
        }
    }
}

/// Per token and layer, in chunks of [`DELTA_CHUNK`]: k·k and q·k, the triangular solve for both
/// right sides, scores times values, and three products with the state.
fn chunked_flops(net: &DeltaNetShape) -> u64 {
    let (chunk, key, value) = (DELTA_CHUNK, net.key_dim as u64, net.value_dim as u64);
    let per_head = 4 * chunk * key + chunk * (key + value) + 2 * chunk * value + 6 * key * value;
    net.value_heads as u64 * per_head
}

fn conv_flops(net: &DeltaNetShape) -> u64 {
    2 * (net.conv_width * net.conv_channels()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::shape::{qwen3_0_6b, qwen3_5_0_8b};

    #[test]
    fn attention_catches_up_where_the_specification_says() {
        let crossovers = |shape: &ModelShape| {
            let weights = 2 * (shape.matrix_parameters_per_token() + shape.head_parameters());
            let (prefill, decode) = (shape.prefill_growth(), shape.decode_growth(weights, 2));
            [prefill.per_token / prefill.per_token_squared, decode.constant / decode.per_token]
        };
        let (dense, hybrid) = (crossovers(&qwen3_0_6b()), crossovers(&qwen3_5_0_8b()));
        assert!((7_600.0..7_800.0).contains(&dense[0]), "{dense:?}");
        assert!((10_000.0..10_800.0).contains(&dense[1]), "{dense:?}");
        // 41k and 122k without the delta nets' own FLOPs and state, which the counts here include.
        assert!((41_000.0..46_000.0).contains(&hybrid[0]), "{hybrid:?}");
        assert!((122_000.0..127_000.0).contains(&hybrid[1]), "{hybrid:?}");
    }

    #[test]
    fn the_delta_nets_cost_what_the_formulas_say() {
        let net = qwen3_5_0_8b().delta_net.unwrap();
        assert_eq!(chunked_flops(&net), 163_840 * 16);
        assert_eq!(conv_flops(&net), 8 * 6144);
    }
}
