//! Which block type a matrix gets under a quantization: a pure rule, shared by loading and by estimates.

use candle_core::quantized::GgmlDType;

use crate::cli::Quantization;

/// The block type of a matrix whose rows have `row_length` weights; `None` keeps the native type.
///
/// K-quants need rows in multiples of 256. Where a row does not fit, the type falls back the way
/// llama.cpp's quantizer does: q4_k to q5_0, q5_k to q5_1, q6_k to q8_0. Rows that are not a
/// multiple of 32 stay native.
pub fn block_type(quantization: Quantization, row_length: usize) -> Option<GgmlDType> {
    let (wanted, fallback) = match quantization {
        Quantization::Native => return None,
        Quantization::Q8_0 => (GgmlDType::Q8_0, GgmlDType::Q8_0),
        Quantization::Q6K => (GgmlDType::Q6K, GgmlDType::Q8_0),
        Quantization::Q5K => (GgmlDType::Q5K, GgmlDType::Q5_1),
        Quantization::Q4K => (GgmlDType::Q4K, GgmlDType::Q5_0),
        Quantization::Q4_0 => (GgmlDType::Q4_0, GgmlDType::Q4_0),
    };
    [wanted, fallback].into_iter().find(|t| row_length.is_multiple_of(t.block_size()))
}
