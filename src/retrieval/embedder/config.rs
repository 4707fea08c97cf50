//! `config.json` of a BERT encoder to its shape. What would change the numbers is read or refused.

use std::path::Path;

use serde::Deserialize;

use super::error::EmbedderError;
use super::folder::read_json;
use crate::catalog::embedder::BertShape;

/// The keys that matter; training's are left.
#[derive(Debug, Deserialize)]
pub struct BertConfig {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f64,
    hidden_act: String,
    #[serde(default)]
    position_embedding_type: Option<String>,
    #[serde(default)]
    is_decoder: bool,
}

impl BertConfig {
    /// The shape that the file at `path` states.
    pub fn shape(path: &Path) -> Result<BertShape, EmbedderError> {
        let config: Self = read_json(path)?;
        config.check(path)?;
        let shape = BertShape {
            vocab_size: config.vocab_size,
            hidden_size: config.hidden_size,
            layers: config.num_hidden_layers,
            heads: config.num_attention_heads,
            intermediate_size: config.intermediate_size,
            max_positions: config.max_position_embeddings,
            token_types: config.type_vocab_size,
            layer_norm_eps: config.layer_norm_eps,
        };
        let wrong = |reason| EmbedderError::File { path: path.into(), reason };
        if !(shape.layer_norm_eps.is_finite() && shape.layer_norm_eps > 0.0) {
            return Err(wrong(format!("layer_norm_eps is {}", shape.layer_norm_eps)));
        }
        match impossible(&shape) {
            Some((key, count)) => Err(wrong(format!("no encoder has a {key} of {count}"))),
            None => Ok(shape),
        }
    }

    fn check(&self, path: &Path) -> Result<(), EmbedderError> {
        let unsupported = |feature| Err(EmbedderError::Unsupported { path: path.into(), feature });
        if self.hidden_act != "gelu" {
            return unsupported(format!("activation '{}'", self.hidden_act));
        }
        if self.is_decoder {
            return unsupported("a BERT that is a decoder (is_decoder)".into());
        }
        match self.position_embedding_type.as_deref() {
            None | Some("absolute") => Ok(()),
            Some(other) => unsupported(format!("position embeddings of type '{other}'")),
        }
    }
}

/// The first number that no encoder has, by its name in `config.json`.
fn impossible(shape: &BertShape) -> Option<(&'static str, usize)> {
    // Asked first: the shape's own check divides by the heads.
    if shape.heads == 0 {
        return Some(("num_attention_heads", 0));
    }
    let (key, count) = shape.impossible()?;
    let name = match key {
        "shape.bert.layers" => "num_hidden_layers",
        "shape.bert.heads" => "num_attention_heads",
        "shape.bert.max_positions" => "max_position_embeddings",
        "shape.bert.token_types" => "type_vocab_size",
        other => other.trim_start_matches("shape.bert."),
    };
    Some((name, count))
}
