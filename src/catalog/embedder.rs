//! One embedder of the catalog: a model that turns a text into one vector, for retrieval.
//!
//! Not here: anything that runs it, and models that generate ([`super::entry`]).

use serde::{Deserialize, Serialize};

use super::entry::CatalogFile;
use crate::model::shape::ModelShape;

/// An embedder ctxbench knows by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embedder {
    /// What users type, e.g. `all-minilm-l6-v2`.
    pub id: String,
    /// Hub repository, `owner/name`.
    pub repo: String,
    /// Commit to use where one is known; else the branch `main`.
    #[serde(default)]
    pub revision: Option<String>,
    /// SPDX id, or the licence's own name.
    pub license: String,
    /// Numbers in a vector.
    pub dimensions: usize,
    /// Longest text; what is longer is cut.
    pub max_tokens: usize,
    /// How the vectors of the tokens become one.
    pub pooling: Pooling,
    /// Stands before a question, where the model was trained so; documents stand alone.
    #[serde(default)]
    pub query_instruction: Option<String>,
    /// Files of the repository, where their sizes or hashes are known.
    #[serde(default)]
    pub files: Vec<CatalogFile>,
    /// The exact architecture.
    pub shape: EmbedderShape,
    /// Figures above that nobody here has seen confirmed, by key, with the reason.
    #[serde(default)]
    pub unverified: Vec<String>,
}

/// How the vectors of the tokens become one; it is scaled to length 1 afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// That of the first token, `[CLS]`.
    First,
    /// That of the last token.
    Last,
}

impl Pooling {
    /// The name used in the catalog.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::First => "first",
            Self::Last => "last",
        }
    }
}

/// The two kinds of embedders.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmbedderShape {
    /// An encoder in which every token sees every other.
    Bert(BertShape),
    /// A decoder of the Qwen family, without its head.
    Decoder(Box<ModelShape>),
}

/// The numbers that define a BERT encoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BertShape {
    /// Rows of the embedding table.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Encoder layers.
    pub layers: usize,
    /// Heads of attention; they share the width.
    pub heads: usize,
    /// Width of the feed-forward's middle.
    pub intermediate_size: usize,
    /// Rows of the table of positions.
    pub max_positions: usize,
    /// Rows of the table of token types.
    pub token_types: usize,
    /// Added to the variance in LayerNorm.
    pub layer_norm_eps: f64,
}

impl BertShape {
    /// Weights of the encoder, its pooler included, which the published files hold too.
    pub fn parameters(&self) -> u64 {
        let (hidden, middle) = (self.hidden_size as u64, self.intermediate_size as u64);
        let norm = 2 * hidden;
        let square = hidden * hidden + hidden;
        let tables = (self.vocab_size + self.max_positions + self.token_types) as u64 * hidden + norm;
        let layer = 4 * square + 2 * norm + 2 * hidden * middle + hidden + middle;
        tables + self.layers as u64 * layer + square
    }

    /// The first number that no encoder has; the bounds keep [`Self::parameters`] from overflowing.
    pub fn impossible(&self) -> Option<(&'static str, usize)> {
        let bounds = [
            ("shape.bert.vocab_size", self.vocab_size),
            ("shape.bert.hidden_size", self.hidden_size),
            ("shape.bert.layers", self.layers),
            ("shape.bert.heads", self.heads),
            ("shape.bert.intermediate_size", self.intermediate_size),
            ("shape.bert.max_positions", self.max_positions),
            ("shape.bert.token_types", self.token_types),
        ];
        let beyond = bounds.into_iter().find(|(_, count)| !(1..=1 << 20).contains(count));
        let heads = ("shape.bert.heads", self.heads);
        beyond.or_else(|| (!self.hidden_size.is_multiple_of(self.heads)).then_some(heads))
    }
}

impl EmbedderShape {
    /// Weights of the model.
    pub fn parameters(&self) -> u64 {
        match self {
            Self::Bert(bert) => bert.parameters(),
            Self::Decoder(decoder) => decoder.parameters(),
        }
    }
}

impl Embedder {
    /// Bytes of its weight file, where the catalog knows them.
    pub fn weight_file_bytes(&self) -> Option<u64> {
        super::entry::weight_file_bytes(&self.files)
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog::Catalog;

    /// As published: the parameters of all-MiniLM-L6-v2 and bge-small-en-v1.5; of Qwen3-Embedding-0.6B,
    /// those of Qwen3-0.6B with 267 rows fewer in the table.
    #[test]
    fn parameters_are_the_published_ones() {
        let catalog = Catalog::load(None).unwrap();
        let parameters = |id| catalog.find_embedder(id).unwrap().shape.parameters();
        assert_eq!(parameters("all-minilm-l6-v2"), 22_713_216);
        assert_eq!(parameters("bge-small-en-v1.5"), 33_360_000);
        assert_eq!(parameters("qwen3-embedding-0.6b"), 596_049_920 - 267 * 1024);
    }

    #[test]
    fn weight_files_are_as_large_as_the_parameters_and_a_header() {
        let catalog = Catalog::load(None).unwrap();
        assert_eq!(catalog.embedders.len(), 3);
        for (embedder, width) in catalog.embedders.iter().zip([4, 4, 2]) {
            let weights = embedder.shape.parameters() * width;
            let header = embedder.weight_file_bytes().unwrap() - weights;
            assert!((10_000..50_000).contains(&header), "{}: {header}", embedder.id);
        }
    }
}
