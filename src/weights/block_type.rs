//! Which block type a matrix gets when a model is quantized in place.
//!
//! One rule for everything that asks: the weights room that quantizes, and the catalog that counts bytes.

use candle_core::quantized::GgmlDType;

use crate::cli::Quantization;

/// The type of a matrix whose rows hold `row_length` weights; `None` keeps the file's own type.
///
/// Rows are cut into blocks of 256 (K-quants) or 32. Rows that a K-quant does not fit fall back
/// as in llama.cpp: `q4_k` to Q5_0, `q5_k` to Q5_1, `q6_k` to Q8_0. Rows that fit nothing stay native.
pub fn block_type(quantization: Quantization, row_length: usize) -> Option<GgmlDType> {
    let wanted = match quantization {
        Quantization::Native => return None,
        Quantization::Q8_0 => [GgmlDType::Q8_0, GgmlDType::Q8_0],
        Quantization::Q6K => [GgmlDType::Q6K, GgmlDType::Q8_0],
        Quantization::Q5K => [GgmlDType::Q5K, GgmlDType::Q5_1],
        Quantization::Q4K => [GgmlDType::Q4K, GgmlDType::Q5_0],
        Quantization::Q4_0 => [GgmlDType::Q4_0, GgmlDType::Q4_0],
    };
    wanted.into_iter().find(|kind| row_length > 0 && row_length.is_multiple_of(kind.block_size()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_fit_get_what_was_asked_for() {
        let got =
            [Quantization::Q8_0, Quantization::Q6K, Quantization::Q5K, Quantization::Q4K, Quantization::Q4_0]
                .map(|quantization| block_type(quantization, 1024));
        let wanted = [GgmlDType::Q8_0, GgmlDType::Q6K, GgmlDType::Q5K, GgmlDType::Q4K, GgmlDType::Q4_0];
        assert_eq!(got, wanted.map(Some));
    }

    #[test]
    fn rows_of_qwen2_5_0_5b_fall_back_from_k_quants() {
        let got = [Quantization::Q6K, Quantization::Q5K, Quantization::Q4K, Quantization::Q8_0]
            .map(|quantization| block_type(quantization, 896));
        assert_eq!(got, [GgmlDType::Q8_0, GgmlDType::Q5_1, GgmlDType::Q5_0, GgmlDType::Q8_0].map(Some));
    }

    #[test]
    fn native_and_odd_rows_stay_as_they_are() {
        assert_eq!(block_type(Quantization::Native, 1024), None);
        assert_eq!(block_type(Quantization::Q4K, 100), None);
        assert_eq!(block_type(Quantization::Q8_0, 0), None);
    }
}
