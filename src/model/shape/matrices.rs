//! Every matrix of a shape, once: what loads, counts parameters and estimates memory all read this list.

use super::{DeltaNetShape, ExpertsShape, ModelShape};

/// What a matrix is for, as far as counting needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The embedding table, of which a token reads one row; where it is tied it is the head, too.
    Embedding,
    /// The output head.
    Head,
    /// A matrix that every token is multiplied with.
    Every,
    /// A matrix of the experts, of which a token takes some.
    Expert,
    /// A matrix kept in f32 in every quantization: routers and gates of shared experts.
    Small,
}

/// Matrices of one kind and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatrixGroup {
    /// What they are for.
    pub part: Part,
    /// How many the model holds.
    pub count: u64,
    /// How many of them one token is multiplied with.
    pub used: u64,
    /// Rows of each.
    pub rows: u64,
    /// Weights of a row.
    pub row_length: usize,
}

impl MatrixGroup {
    /// Weights of all of them.
    pub fn weights(&self) -> u64 {
        self.count * self.rows * self.row_length as u64
    }

    /// Weights that one token is multiplied with.
    pub fn used_weights(&self) -> u64 {
        self.used * self.rows * self.row_length as u64
    }
}

impl ModelShape {
    /// All matrices of the model, the embedding table and an untied head included.
    pub fn matrices(&self) -> Vec<MatrixGroup> {
        let mut all = self.layer_matrices();
        let table = |part, used| MatrixGroup {
            part,
            count: 1,
            used,
            rows: self.vocab_size as u64,
            row_length: self.hidden_size,
        };
        all.push(table(Part::Embedding, 0));
        if !self.tie_embeddings {
            all.push(table(Part::Head, 0));
        }
        all
    }

    /// The matrices of the layers.
    fn layer_matrices(&self) -> Vec<MatrixGroup> {
        let mut all = self.attention_matrices();
        all.extend(self.delta_net.iter().flat_map(|net| self.delta_matrices(net)));
        all.extend(self.intermediate_size.iter().flat_map(|width| self.dense_matrices(*width)));
        all.extend(self.experts.iter().flat_map(|experts| self.expert_matrices(experts)));
        all
    }

    fn attention_matrices(&self) -> Vec<MatrixGroup> {
        let layers = self.attention_layers();
        let (hidden, q, kv) = (self.hidden_size, self.heads * self.head_dim, self.kv_heads * self.head_dim);
        // A gated attention has as many rows of gates as of queries.
        let query = if self.architecture.is_hybrid() { 2 * layers } else { layers };
        vec![every(query, q, hidden), every(2 * layers, kv, hidden), every(layers, hidden, q)]
    }

    fn delta_matrices(&self, net: &DeltaNetShape) -> Vec<MatrixGroup> {
        let (layers, hidden, values) = (self.delta_layers(), self.hidden_size, net.value_channels());
        vec![
            every(layers, net.conv_channels(), hidden),
            every(layers, values, hidden),
            every(2 * layers, net.value_heads, hidden),
            every(layers, hidden, values),
        ]
    }

    fn dense_matrices(&self, width: usize) -> Vec<MatrixGroup> {
        let hidden = self.hidden_size;
        vec![every(2 * self.layers, width, hidden), every(self.layers, hidden, width)]
    }

    fn expert_matrices(&self, experts: &ExpertsShape) -> Vec<MatrixGroup> {
        let (layers, hidden) = (self.layers, self.hidden_size);
        let expert = |per_expert: usize, rows: usize, row_length: usize| MatrixGroup {
            part: Part::Expert,
            used: (layers * per_expert * experts.used) as u64,
            ..every(layers * per_expert * experts.count, rows, row_length)
        };
        let small = |rows| MatrixGroup { part: Part::Small, ..every(layers, rows, hidden) };
        let mut all =
            vec![expert(2, experts.width, hidden), expert(1, hidden, experts.width), small(experts.count)];
        if let Some(width) = experts.shared_width {
            all.push(small(1));
            all.extend(self.dense_matrices(width));
        }
        all
    }

    /// Weights of the text model; a tied head counts once.
    pub fn parameters(&self) -> u64 {
        self.matrices().iter().map(MatrixGroup::weights).sum::<u64>() + self.vector_parameters()
    }

    /// Weights of the layers' matrices that each token is multiplied with (no head); of a mixture,
    /// the experts it takes.
    pub fn matrix_parameters_per_token(&self) -> u64 {
        self.layer_matrices().iter().map(MatrixGroup::used_weights).sum()
    }

    /// Weights of the output head: hidden × vocabulary.
    pub fn head_parameters(&self) -> u64 {
        (self.hidden_size * self.vocab_size) as u64
    }

    /// Norms, biases, convolutions and decays: all that is kept in f32 and is no matrix.
    pub fn vector_parameters(&self) -> u64 {
        let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let biases = if self.architecture.has_biases() { q + 2 * kv } else { 0 };
        let head_norms = if self.architecture.has_head_norms() { 2 * self.head_dim } else { 0 };
        let attention = self.attention_layers() * (biases + head_norms);
        let delta = self.delta_net.as_ref().map_or(0, |net| {
            self.delta_layers() * (net.conv_channels() * net.conv_width + 2 * net.value_heads + net.value_dim)
        });
        (2 * self.layers * self.hidden_size + attention + delta + self.hidden_size) as u64
    }
}

/// `count` matrices that every token is multiplied with.
fn every(count: usize, rows: usize, row_length: usize) -> MatrixGroup {
    let count = count as u64;
    MatrixGroup { part: Part::Every, count, used: count, rows: rows as u64, row_length }
}

#[cfg(test)]
mod tests {
    use crate::model::shape::{qwen3_0_6b, qwen3_5_0_8b, qwen3_5_35b_a3b};

    #[test]
    fn counts_agree_with_the_published_ones() {
        let shape = qwen3_0_6b();
        // 596,049,920 text parameters; 751,632,384 with the stored copy of the tied head.
        assert_eq!(shape.parameters(), 596_049_920);
        assert_eq!(shape.parameters() + shape.head_parameters(), 751_632_384);
        // 752,393,024 and 34,660,610,688: a count on transformers' meta tensors (text model).
        assert_eq!(qwen3_5_0_8b().parameters(), 752_393_024);
        assert_eq!(qwen3_5_35b_a3b().parameters(), 34_660_610_688);
    }

    #[test]
    fn a_token_uses_a_few_experts_only() {
        let shape = qwen3_5_35b_a3b();
        let active = shape.matrix_parameters_per_token() + shape.head_parameters();
        assert!((2.9e9..3.0e9).contains(&(active as f64)), "{active}");
    }
}
