//! In which type weights are kept and activations computed.

use candle_core::DType;
use candle_core::quantized::GgmlDType;

use super::block_type::block_type;
use crate::cli::{DtypeChoice, Quantization};

/// What was asked for, for every tensor of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Precision {
    /// Matrices.
    pub quantization: Quantization,
    /// Activations, and matrices that stay unquantized.
    pub dtype: DType,
}

impl Precision {
    /// f32 as it is: for the small matrices that no quantization touches.
    pub const SMALL: Self = Self { quantization: Quantization::Native, dtype: DType::F32 };

    /// The block type for a matrix with rows of `row_length`; `None` means dense, in [`Self::dtype`].
    pub fn block_type(self, row_length: usize) -> Option<GgmlDType> {
        block_type(self.quantization, row_length)
    }
}

/// candle's type for a choice on the command line.
pub fn dtype(choice: DtypeChoice) -> DType {
    match choice {
        DtypeChoice::F32 => DType::F32,
        DtypeChoice::Bf16 => DType::BF16,
        DtypeChoice::F16 => DType::F16,
    }
}
