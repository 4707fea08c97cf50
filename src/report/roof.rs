//! What the box allows at most, by length of context: counted work over measured rates.
//!
//! Counts of an arm and the box's rates come in, laws of time go out, to be held against what was measured.
//! A share near one is the box's limit; what is missing to one is the software's. Not here: measuring rates
//! (`device::roofline`), drawing ([`super::charts::roof`]).

use serde::{Deserialize, Serialize};

use super::document::{Case, Document, Fit};
use super::growth::{Measured, Phase, by_length};
use super::theory::Counts;
use crate::environment::Environment;
use crate::stats::percentile::median;

/// The shortest times that the measured rates allow one arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Roof {
    /// Type of the numbers that weights are multiplied in: `int8`, `bf16` or `f32`.
    pub operand: String,
    /// Of a prefill of n tokens; `None` where a rate was not measured.
    pub prefill_ms: Option<PrefillRoof>,
    /// Of a decode step at depth n; `None` where bandwidth was not measured or the weights were never loaded.
    pub decode_ms: Option<DecodeRoof>,
}

/// Milliseconds of a prefill of n tokens: `constant + per_token · n + per_token_squared · n²`, and `weights` at least.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrefillRoof {
    /// The output head at the rate of the operand.
    pub constant: f64,
    /// The layers' matrices at the rate of the operand, gated delta nets at that of f32.
    pub per_token: f64,
    /// Causal attention at the rate of f32.
    pub per_token_squared: f64,
    /// Reading every weight once; 0 where bandwidth was not measured.
    pub weights: f64,
}

/// Milliseconds of a decode step with n tokens in the cache: `constant + per_token · n`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecodeRoof {
    /// Weights, and the state of constant size read and written, at the measured bandwidth.
    pub constant: f64,
    /// Keys and values of one token.
    pub per_token: f64,
}

impl PrefillRoof {
    /// Milliseconds at `tokens`.
    pub fn at(&self, tokens: f64) -> f64 {
        let work = self.constant + self.per_token * tokens + self.per_token_squared * tokens * tokens;
        work.max(self.weights)
    }
}

impl DecodeRoof {
    /// Milliseconds at `depth`.
    pub fn at(&self, depth: f64) -> f64 {
        self.constant + self.per_token * depth
    }
}

impl Roof {
    /// The counts of an arm over the rates of the box.
    pub fn of(counts: &Counts<'_>, operand: &str, environment: &Environment) -> Self {
        let bandwidth = environment.memory_bandwidth_bytes_per_s;
        let decode = decode_bytes(counts).zip(bandwidth).map(|(constant, rate)| DecodeRoof {
            constant: 1000.0 * constant / rate,
            per_token: 1000.0 * counts.kv_bytes_per_token as f64 / rate,
        });
        let attention = if environment.rates_are_of_a_card { operand } else { "f32" };
        let rates = rate(environment, operand).zip(rate(environment, attention));
        let prefill = rates.map(|(matrices, f32)| prefill_roof(counts, matrices, f32, bandwidth));
        Self { operand: operand.into(), prefill_ms: prefill, decode_ms: decode }
    }

    /// Tokens per second at most: of a prompt of `tokens`, or with so many in the cache. `None` where unmeasured.
    pub fn tokens_per_s(&self, phase: Phase, tokens: f64) -> Option<f64> {
        let rate = match phase {
            Phase::Prefill => 1000.0 * tokens / self.prefill_ms?.at(tokens),
            Phase::Decode => 1000.0 / self.decode_ms?.at(tokens),
        };
        (rate.is_finite() && rate > 0.0).then_some(rate)
    }
}

fn prefill_roof(counts: &Counts<'_>, matrices: f64, f32: f64, bandwidth: Option<f64>) -> PrefillRoof {
    let flops = counts.shape.prefill_growth();
    let linear = 2.0 * counts.shape.matrix_parameters_per_token() as f64;
    let weights = counts.decode_weight_bytes.zip(bandwidth).map(|(bytes, rate)| bytes as f64 / rate);
    PrefillRoof {
        constant: 1000.0 * flops.constant / matrices,
        per_token: 1000.0 * (linear / matrices + (flops.per_token - linear) / f32),
        per_token_squared: 1000.0 * flops.per_token_squared / f32,
        weights: 1000.0 * weights.unwrap_or(0.0),
    }
}

fn decode_bytes(counts: &Counts<'_>) -> Option<f64> {
    counts.decode_weight_bytes.map(|bytes| (bytes + 2 * counts.shape.constant_state_bytes()) as f64)
}

/// Type of the numbers that weights of a type (a [`Case::quantization`]) are multiplied in; `dtype` is that of the
/// activations. Quantized weights are bytes; f16 has no products of its own on a CPU.
pub fn operand(quantization: &str, dtype: &str) -> &'static str {
    match (quantization.trim_start_matches("file:").to_ascii_lowercase().as_str(), dtype) {
        ("bf16", _) | ("native", "bf16") => "bf16",
        ("native" | "f16" | "f32", _) => "f32",
        _ => "int8",
    }
}

/// The measured rate of products, FLOP/s. Where the processor has none of bf16, they are done in f32; a card widens
/// quantized weights to 16 bits.
pub fn rate(environment: &Environment, operand: &str) -> Option<f64> {
    let rates = &environment.matmul_flops_per_s;
    if environment.rates_are_of_a_card && operand == "int8" {
        return rate(environment, if rates.contains_key("bf16") { "bf16" } else { "f16" });
    }
    let rate = rates.get(operand).or_else(|| rates.get("f32").filter(|_| operand == "bf16"));
    rate.copied().filter(|rate| rate.is_finite() && *rate > 0.0)
}

/// The roof of a fit. Reports from before it was there still tell that of decode.
pub fn roof(document: &Document, fit: &Fit) -> Option<Roof> {
    if let Some(roof) = &fit.roof {
        return Some(roof.clone());
    }
    let bytes = fit.theory.as_ref()?.decode_bytes?;
    let rate = document.environment.memory_bandwidth_bytes_per_s.filter(|_| fit.device == "cpu")?;
    let decode =
        DecodeRoof { constant: 1000.0 * bytes.constant / rate, per_token: 1000.0 * bytes.per_token / rate };
    let operand = operand(&fit.quantization, "").to_owned();
    Some(Roof { operand, prefill_ms: None, decode_ms: Some(decode) })
}

/// What was reached at one length.
#[derive(Clone, Debug, PartialEq)]
pub struct Reached {
    /// Prompt tokens, or tokens in the cache while the timed steps were taken, on average.
    pub tokens: f64,
    /// Measured, tokens per second, one a sample.
    pub rates: Vec<f64>,
    /// Allowed, tokens per second.
    pub limit: f64,
}

impl Reached {
    /// Median of what was measured over what is allowed.
    pub fn share(&self) -> Option<f64> {
        median(&self.rates).map(|rate| rate / self.limit)
    }
}

/// Every measured length of an arm under its roof, the shortest first; none where that is not known.
pub fn reached(roof: &Roof, phase: Phase, cases: &[&Case]) -> Vec<Reached> {
    let whole: Vec<&Case> = cases.iter().copied().filter(|case| is_whole(phase, case)).collect();
    let of_length = |at: &Measured| {
        let tokens = at.counted_tokens as f64;
        let limit = roof.tokens_per_s(phase, tokens)?;
        Some(Reached { tokens, rates: at.ms_per_token.iter().map(|ms| 1000.0 / ms).collect(), limit })
    };
    by_length(phase, &whole).iter().filter_map(of_length).collect()
}

/// Whether the number is of all the tokens that are counted: a warm cache held part of some prompts.
fn is_whole(phase: Phase, case: &Case) -> bool {
    phase == Phase::Decode || case.summary.prefill_tokens_per_s.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::shape::{qwen3_0_6b, qwen3_5_0_8b};
    use crate::report::fixture;

    fn environment() -> Environment {
        let rates = [("int8", 2e12), ("f32", 5e11)].map(|(name, rate)| (name.to_owned(), rate));
        Environment {
            memory_bandwidth_bytes_per_s: Some(5e10),
            matmul_flops_per_s: rates.into(),
            ..Environment::default()
        }
    }

    #[test]
    fn each_part_of_a_prefill_takes_its_own_rate() {
        let shape = qwen3_0_6b();
        let counts =
            Counts { shape: &shape, decode_weight_bytes: Some(633_233_408), kv_bytes_per_token: 114_688 };
        let roof = Roof::of(&counts, "int8", &environment());
        // 880,803,840 FLOPs a token at 2 T, 114,688 n² at 0.5 T, the head's 311,164,928 at 2 T.
        let expected = (4096.0 * 0.880_803_84 + 0.311_164_928) / 2.0 + 4096.0 * 4096.0 * 114_688e-9 / 0.5;
        let prefill = roof.prefill_ms.unwrap();
        assert!((prefill.at(4096.0) - expected).abs() < 1e-9 * expected, "{prefill:?}");
        assert_eq!(roof.tokens_per_s(Phase::Prefill, 4096.0), Some(4_096_000.0 / prefill.at(4096.0)));
        // One token cannot be faster than its weights can be read.
        assert_eq!(prefill.at(1.0), 1000.0 * 633_233_408.0 / 5e10);
        let decode = roof.tokens_per_s(Phase::Decode, 1000.0).unwrap();
        assert!((decode - 5e10 / (633_233_408.0 + 114_688_000.0)).abs() < 1e-9, "{decode}");
    }

    #[test]
    fn a_delta_net_is_held_against_f32() {
        let (dense, environment) = (qwen3_5_0_8b(), environment());
        let counts = Counts { shape: &dense, decode_weight_bytes: None, kv_bytes_per_token: 1 };
        let roof = Roof::of(&counts, "int8", &environment);
        let linear = 2.0 * dense.matrix_parameters_per_token() as f64 / 2e9;
        let nets = 18.0 * (163_840.0 * 16.0 + 8.0 * 6144.0) / 5e8;
        let prefill = roof.prefill_ms.unwrap();
        assert!((prefill.per_token - linear - nets).abs() < 1e-12, "{prefill:?}");
        assert_eq!((prefill.weights, roof.decode_ms), (0.0, None));
    }

    #[test]
    fn weights_are_multiplied_in_the_type_that_bounds_them() {
        let cases = [("q8_0", "f32"), ("file:Q4_K_M", "f32"), ("native", "bf16"), ("native", "f32")];
        assert_eq!(cases.map(|(weights, dtype)| operand(weights, dtype)), ["int8", "int8", "bf16", "f32"]);
        assert_eq!([operand("file:BF16", "f32"), operand("file:F16", "f32")], ["bf16", "f32"]);
        assert_eq!(rate(&environment(), "bf16"), Some(5e11), "without bf16 products, those of f32");
        assert_eq!(rate(&environment(), "int4"), None);
        assert_eq!(rate(&Environment::default(), "bf16"), None);
        let still = Environment { matmul_flops_per_s: [("f32".to_owned(), 0.0)].into(), ..environment() };
        assert_eq!(rate(&still, "f32"), None);
    }

    #[test]
    fn a_decode_step_reads_the_state_of_delta_nets_and_writes_it() {
        let shape = qwen3_5_0_8b();
        let counts = Counts { shape: &shape, decode_weight_bytes: Some(1_000_000), kv_bytes_per_token: 1 };
        let decode = Roof::of(&counts, "int8", &environment()).decode_ms.unwrap();
        // 18 layers of 16 heads with 128 × 128 numbers, and three rows of 6,144 channels, in f32.
        let state = 18.0 * (16.0 * 128.0 * 128.0 + 3.0 * 6144.0) * 4.0;
        assert!((decode.constant - 1000.0 * (1e6 + 2.0 * state) / 5e10).abs() < 1e-12, "{decode:?}");
    }

    #[test]
    fn without_rates_nothing_is_allowed_or_reached() {
        let shape = qwen3_0_6b();
        let counts = Counts { shape: &shape, decode_weight_bytes: Some(1), kv_bytes_per_token: 1 };
        let roof = Roof::of(&counts, "int8", &Environment::default());
        assert_eq!((roof.prefill_ms, roof.decode_ms), (None, None));
        let document = fixture::document();
        let cases: Vec<&Case> = document.cases.iter().collect();
        assert!(reached(&roof, Phase::Prefill, &cases).is_empty());
    }

    #[test]
    fn an_older_report_tells_the_roof_of_decode_alone() {
        let mut document = fixture::document();
        document.fits[0].roof = None;
        let roof = roof(&document, &document.fits[0]).unwrap();
        let theory = document.fits[0].theory.as_ref().unwrap();
        let expected = document.environment.memory_bandwidth_bytes_per_s.unwrap()
            / theory.decode_bytes.unwrap().at(1000);
        assert!((roof.tokens_per_s(Phase::Decode, 1000.0).unwrap() - expected).abs() < 1e-9 * expected);
        assert_eq!(roof.tokens_per_s(Phase::Prefill, 1000.0), None);
    }
}
