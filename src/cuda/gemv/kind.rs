//! GGUF's types of blocks, as the kernels number and name them.

use candle_core::Result;
use candle_core::quantized::GgmlDType;

/// A type of blocks that kernels know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are GGUF's own")]
pub enum BlockKind {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4K,
    Q5K,
    Q6K,
}

impl BlockKind {
    /// All of them, in the order of the kernels' numbers.
    pub const ALL: [Self; 8] =
        [Self::Q4_0, Self::Q4_1, Self::Q5_0, Self::Q5_1, Self::Q8_0, Self::Q4K, Self::Q5K, Self::Q6K];

    /// That of candle's type. Errors for those without kernels, and for dense ones.
    pub fn of(dtype: GgmlDType) -> Result<Self> {
        match Self::ALL.into_iter().find(|kind| kind.ggml() == dtype) {
            Some(kind) => Ok(kind),
            None => {
                candle_core::bail!("no kernel multiplies with {dtype:?}; take a file in Q4_K_M, Q6_K or Q8_0")
            }
        }
    }

    /// Candle's name for it.
    fn ggml(self) -> GgmlDType {
        match self {
            Self::Q4_0 => GgmlDType::Q4_0,
            Self::Q4_1 => GgmlDType::Q4_1,
            Self::Q5_0 => GgmlDType::Q5_0,
            Self::Q5_1 => GgmlDType::Q5_1,
            Self::Q8_0 => GgmlDType::Q8_0,
            Self::Q4K => GgmlDType::Q4K,
            Self::Q5K => GgmlDType::Q5K,
            Self::Q6K => GgmlDType::Q6K,
        }
    }

    /// Its number in the kernels.
    pub fn number(self) -> usize {
        self as usize
    }

    /// What it is called in kernels' names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q4_0 => "q4_0",
            Self::Q4_1 => "q4_1",
            Self::Q5_0 => "q5_0",
            Self::Q5_1 => "q5_1",
            Self::Q8_0 => "q8_0",
            Self::Q4K => "q4k",
            Self::Q5K => "q5k",
            Self::Q6K => "q6k",
        }
    }

    /// Weights of a block.
    pub fn block_len(self) -> usize {
        self.ggml().block_size()
    }

    /// Bytes of a block.
    pub fn block_bytes(self) -> usize {
        self.ggml().type_size()
    }

    /// Bytes of a row of `columns` weights, whole blocks.
    pub fn row_bytes(self, columns: usize) -> usize {
        columns / self.block_len() * self.block_bytes()
    }

    /// `address`, if a matrix with rows of `columns` may be there.
    ///
    /// Errors if it is no multiple of 16, or if a row is no whole blocks.
    pub fn checked(self, address: u64, columns: usize) -> Result<u64> {
        if !columns.is_multiple_of(self.block_len()) {
            candle_core::bail!(
                "rows of {columns} are no whole blocks of {} weights ({self:?})",
                self.block_len()
            );
        }
        if !address.is_multiple_of(16) {
            candle_core::bail!(
                "blocks at {address:#x}: kernels read 16 bytes at a time; keep a file's alignment of 32"
            );
        }
        Ok(address)
    }

    /// Lanes of a warp that take one block: `PIECES` of the kernels.
    pub(super) fn lanes(self) -> usize {
        match self {
            Self::Q4K | Self::Q5K | Self::Q6K => 8,
            Self::Q8_0 => 2,
            _ => 1,
        }
    }

    /// Rows that a warp takes together: `ROWS` of the kernels.
    pub(super) fn rows_together(self) -> usize {
        if matches!(self, Self::Q5K | Self::Q6K) { 2 } else { 4 }
    }
}
