//! What ran where: recorded in every report, since a number without its box means nothing.

pub mod card;

use serde::{Deserialize, Serialize};

/// The program itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// Version of ctxbench.
    pub version: String,
    /// Commit it was built from; `None` if built outside a checkout.
    pub git_commit: Option<String>,
    /// `release` or `debug`.
    pub profile: String,
    /// Cargo features compiled in, e.g. `cuda`.
    pub features: Vec<String>,
}

/// The box.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Operating system and kernel, e.g. `Debian GNU/Linux 12, Linux 6.1`.
    pub os: Option<String>,
    /// Processor's own name.
    pub cpu: Option<String>,
    /// Instruction set extensions that matter here, e.g. `avx512_vnni`.
    pub cpu_features: Vec<String>,
    /// Instruction set that the CPU kernels use, e.g. `avx512-bf16`; absent in reports from before it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_isa: Option<String>,
    /// Physical cores.
    pub physical_cores: Option<u32>,
    /// Logical processors this process may use.
    pub logical_cores: Option<u32>,
    /// Threads used by the engine.
    pub threads: Option<u32>,
    /// Memory of the box, or of the container if that is less.
    pub memory_bytes: Option<u64>,
    /// Accelerators found, by name.
    pub accelerators: Vec<String>,
    /// Read bandwidth of memory measured in this run.
    pub memory_bandwidth_bytes_per_s: Option<f64>,
    /// Peaks measured in this run with `threads`, by the type of the numbers multiplied (`int8`, `bf16`, `f32`), in
    /// FLOP/s. Reports of earlier versions have rates of candle's kernels instead (`q8_0`, `f32`).
    pub matmul_flops_per_s: std::collections::BTreeMap<String, f64>,
    /// Whether that bandwidth and those peaks are a card's: then products of quantized weights run in 16 bits, and
    /// attention at their rate.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rates_are_of_a_card: bool,
    /// One-minute load average when the run began.
    pub load_average: Option<f64>,
    /// CUDA, driver and candle versions and the like, by name.
    pub versions: std::collections::BTreeMap<String, String>,
    /// The card that ran; absent where none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<card::CardRecord>,
}
