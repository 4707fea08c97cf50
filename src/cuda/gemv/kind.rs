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
        Ok(match dtype {
            GgmlDType::Q4_0 => Self::Q4_0,
            GgmlDType::Q4_1 => Self::Q4_1,
            GgmlDType::Q5_0 => Self::Q5_0,
            GgmlDType::Q5_1 => Self::Q5_1,
            GgmlDType::Q8_0 => Self::Q8_0,
            GgmlDType::Q4K => Self::Q4K,
            GgmlDType::Q5K => Self::Q5K,
            GgmlDType::Q6K => Self::Q6K,
            other => {
                candle_core::bail!("no kernel multiplies with {other:?}; take a file in Q4_K_M, Q6_K or Q8_0")
            }
        })
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
        match self {
            Self::Q4K | Self::Q5K | Self::Q6K => 256,
            _ => 32,
        }
    }

    /// Bytes of a block.
    pub fn block_bytes(self) -> usize {
        match self {
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
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
