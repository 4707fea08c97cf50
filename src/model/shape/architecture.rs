//! The architectures of the Qwen family, by their names in files, and what tells them apart.

use serde::{Deserialize, Serialize};

/// Architectures that this build can run, by the `model_type` of their `config.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Architecture {
    /// Qwen2 and Qwen2.5, dense: biases on q, k, v.
    #[serde(rename = "qwen2")]
    Qwen2,
    /// Qwen1.5-MoE and Qwen2-MoE: Qwen2 with experts and a shared one.
    #[serde(rename = "qwen2_moe")]
    Qwen2Moe,
    /// Qwen3, dense: RMSNorm on each head of q and k, no biases.
    #[serde(rename = "qwen3")]
    Qwen3,
    /// Qwen3 with experts.
    #[serde(rename = "qwen3_moe")]
    Qwen3Moe,
    /// Qwen3-Next: three gated delta nets to one gated attention, experts and a shared one.
    #[serde(rename = "qwen3_next")]
    Qwen3Next,
    /// Qwen3.5, 3.6 and 3.8, dense: three gated delta nets to one gated attention.
    #[serde(rename = "qwen3_5")]
    Qwen35,
    /// Qwen3.5 and 3.6 with experts and a shared one.
    #[serde(rename = "qwen3_5_moe")]
    Qwen35Moe,
}

impl Architecture {
    /// Every architecture, in the order it is listed to users.
    pub const ALL: [Self; 7] = [
        Self::Qwen2,
        Self::Qwen2Moe,
        Self::Qwen3,
        Self::Qwen3Moe,
        Self::Qwen3Next,
        Self::Qwen35,
        Self::Qwen35Moe,
    ];

    /// The name used in `config.json` (`model_type`), in reports and in the catalog.
    pub fn name(self) -> &'static str {
        match self {
            Self::Qwen2 => "qwen2",
            Self::Qwen2Moe => "qwen2_moe",
            Self::Qwen3 => "qwen3",
            Self::Qwen3Moe => "qwen3_moe",
            Self::Qwen3Next => "qwen3_next",
            Self::Qwen35 => "qwen3_5",
            Self::Qwen35Moe => "qwen3_5_moe",
        }
    }

    /// The name used in GGUF (`general.architecture`).
    pub fn gguf_name(self) -> &'static str {
        match self {
            Self::Qwen2 => "qwen2",
            Self::Qwen2Moe => "qwen2moe",
            Self::Qwen3 => "qwen3",
            Self::Qwen3Moe => "qwen3moe",
            Self::Qwen3Next => "qwen3next",
            Self::Qwen35 => "qwen35",
            Self::Qwen35Moe => "qwen35moe",
        }
    }

    /// The architecture of that `model_type`; text-only configurations add `_text`.
    pub fn from_config_name(name: &str) -> Option<Self> {
        let name = name.strip_suffix("_text").unwrap_or(name);
        Self::ALL.into_iter().find(|a| a.name() == name)
    }

    /// The architecture of that `general.architecture`.
    pub fn from_gguf_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.gguf_name() == name)
    }

    /// Whether q, k and v have biases.
    pub fn has_biases(self) -> bool {
        matches!(self, Self::Qwen2 | Self::Qwen2Moe)
    }

    /// Whether every head of q and k is normalised.
    pub fn has_head_norms(self) -> bool {
        !self.has_biases()
    }

    /// Whether most layers are gated delta nets, and attention's output is gated.
    pub fn is_hybrid(self) -> bool {
        matches!(self, Self::Qwen3Next | Self::Qwen35 | Self::Qwen35Moe)
    }

    /// Whether the feed-forwards are mixtures of experts.
    pub fn is_mixture(self) -> bool {
        matches!(self, Self::Qwen2Moe | Self::Qwen3Moe | Self::Qwen3Next | Self::Qwen35Moe)
    }
}
