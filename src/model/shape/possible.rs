//! Shapes that no model has, refused before anything multiplies their numbers.

use super::{AttentionLayers, DeltaNetShape, ExpertsShape, ModelShape};

/// What makes a shape impossible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impossible {
    /// The field of [`ModelShape`], or of one of its parts.
    pub field: &'static str,
    /// What it holds, and what it would have to hold.
    pub reason: String,
}

fn wrong(field: &'static str, reason: impl Into<String>) -> Option<Impossible> {
    Some(Impossible { field, reason: reason.into() })
}

/// A field, what it holds, and the most it may hold.
type Bound = (&'static str, usize, usize);

fn beyond(bounds: &[Bound]) -> Option<Impossible> {
    let (field, count, most) = bounds.iter().find(|(_, n, most)| !(1..=*most).contains(n))?;
    wrong(field, format!("{count} is not a number from 1 to {most}"))
}

impl ModelShape {
    /// The first number that no model has. Every shape from a file must pass: the bounds lie far above
    /// any model, and keep each product of counting from overflowing.
    pub fn impossible(&self) -> Option<Impossible> {
        beyond(&[
            ("vocab_size", self.vocab_size, 1 << 24),
            ("hidden_size", self.hidden_size, 1 << 20),
            ("layers", self.layers, 1 << 12),
            ("heads", self.heads, 1 << 10),
            ("kv_heads", self.kv_heads, 1 << 10),
            ("head_dim", self.head_dim, 1 << 12),
            ("intermediate_size", self.intermediate_size.unwrap_or(1), 1 << 20),
            ("max_positions", self.max_positions, 1 << 24),
        ])
        .or_else(|| self.impossible_heads())
        .or_else(|| self.impossible_parts())
        .or_else(|| self.delta_net.as_ref().and_then(|net| impossible_net(net, self.layers)))
        .or_else(|| self.experts.as_ref().and_then(impossible_experts))
    }

    fn impossible_heads(&self) -> Option<Impossible> {
        if !self.heads.is_multiple_of(self.kv_heads) {
            return wrong("kv_heads", format!("{} does not divide {} heads", self.kv_heads, self.heads));
        }
        if !self.head_dim.is_multiple_of(2) {
            return wrong("head_dim", format!("{} is not even", self.head_dim));
        }
        match self.rotary_dim {
            Some(n) if n == 0 || n > self.head_dim || !n.is_multiple_of(2) => {
                wrong("rotary_dim", format!("{n} is not an even number from 2 to {}", self.head_dim))
            }
            _ => None,
        }
    }

    /// Each architecture has its parts, and no others.
    fn impossible_parts(&self) -> Option<Impossible> {
        let name = self.architecture.name();
        let parts = [
            ("delta_net", self.delta_net.is_some(), self.architecture.is_hybrid()),
            ("experts", self.experts.is_some(), self.architecture.is_mixture()),
            ("intermediate_size", self.intermediate_size.is_some(), !self.architecture.is_mixture()),
        ];
        let (field, _, needed) = parts.into_iter().find(|(_, there, needed)| there != needed)?;
        match needed {
            true => wrong(field, format!("it is not there, and {name} has one")),
            false => wrong(field, format!("it is there, and {name} has none")),
        }
    }
}

fn impossible_net(net: &DeltaNetShape, layers: usize) -> Option<Impossible> {
    let bounds = [
        ("delta_net.key_heads", net.key_heads, 1 << 10),
        ("delta_net.value_heads", net.value_heads, 1 << 10),
        ("delta_net.key_dim", net.key_dim, 1 << 12),
        ("delta_net.value_dim", net.value_dim, 1 << 12),
        ("delta_net.conv_width", net.conv_width, 64),
    ];
    if let Some(impossible) = beyond(&bounds) {
        return Some(impossible);
    }
    if !net.value_heads.is_multiple_of(net.key_heads) {
        let (values, keys) = (net.value_heads, net.key_heads);
        return wrong("delta_net.key_heads", format!("{keys} does not divide {values} value heads"));
    }
    let field = "delta_net.attention_layers";
    match &net.attention_layers {
        AttentionLayers::Every(0) => wrong(field, "0 is not an interval"),
        AttentionLayers::Listed(list) if list.iter().any(|layer| *layer >= layers) => {
            wrong(field, format!("{list:?} names a layer beyond the last of {layers}"))
        }
        AttentionLayers::Listed(list) if !list.is_sorted_by(|a, b| a < b) => {
            wrong(field, format!("{list:?} is not in rising order"))
        }
        _ => None,
    }
}

fn impossible_experts(experts: &ExpertsShape) -> Option<Impossible> {
    beyond(&[
        ("experts.count", experts.count, 1 << 12),
        ("experts.used", experts.used, experts.count),
        ("experts.width", experts.width, 1 << 16),
        ("experts.shared_width", experts.shared_width.unwrap_or(1), 1 << 18),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::shape::{qwen3_0_6b, qwen3_5_0_8b, qwen3_5_35b_a3b};

    fn field(shape: &ModelShape) -> &'static str {
        shape.impossible().unwrap().field
    }

    #[test]
    fn the_largest_shape_that_is_possible_overflows_nothing() {
        let net = DeltaNetShape {
            key_heads: 1 << 10,
            value_heads: 1 << 10,
            key_dim: 1 << 12,
            value_dim: 1 << 12,
            conv_width: 64,
            attention_layers: AttentionLayers::Every(2),
        };
        let experts = ExpertsShape {
            count: 1 << 12,
            used: 1 << 12,
            width: 1 << 16,
            shared_width: Some(1 << 18),
            renormalise: true,
        };
        let mut shape = ModelShape {
            vocab_size: 1 << 24,
            hidden_size: 1 << 20,
            layers: 1 << 12,
            heads: 1 << 10,
            kv_heads: 1 << 10,
            head_dim: 1 << 12,
            max_positions: 1 << 24,
            tie_embeddings: false,
            delta_net: Some(net),
            experts: Some(experts),
            ..qwen3_5_35b_a3b()
        };
        assert_eq!(shape.impossible(), None);
        assert!(shape.parameters() > 0 && shape.prefill_flops(1 << 24).is_finite());
        assert!(shape.kv_bytes_per_token(4) * shape.max_positions as u64 > 0);
        assert!(shape.constant_state_bytes() > 0);
        shape.layers += 1;
        assert_eq!(field(&shape), "layers");
    }

    #[test]
    fn parts_that_do_not_belong_together_are_refused() {
        let heads = ModelShape { heads: 3, ..qwen3_0_6b() };
        assert_eq!(heads.impossible().unwrap().reason, "8 does not divide 3 heads");
        assert_eq!(field(&ModelShape { delta_net: None, ..qwen3_5_0_8b() }), "delta_net");
        assert_eq!(field(&ModelShape { experts: None, ..qwen3_5_35b_a3b() }), "experts");
        assert_eq!(field(&ModelShape { intermediate_size: None, ..qwen3_0_6b() }), "intermediate_size");
        assert_eq!(field(&ModelShape { rotary_dim: Some(63), ..qwen3_5_0_8b() }), "rotary_dim");
        let mut shape = qwen3_5_0_8b();
        shape.delta_net.as_mut().unwrap().attention_layers = AttentionLayers::Listed(vec![24]);
        assert_eq!(field(&shape), "delta_net.attention_layers");
        let mut shape = qwen3_5_35b_a3b();
        shape.experts.as_mut().unwrap().used = 257;
        assert_eq!(field(&shape), "experts.used");
    }
}
