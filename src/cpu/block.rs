//! How weights are stored, in a file and in memory: the types that the products know.

/// Weights that lie together in every product: a group of 32 along a row.
pub const GROUP: usize = 32;

/// Rows of a matrix that lie interleaved in memory, one in each lane of a vector.
pub const STRIP: usize = 16;

/// A type of weights, as in GGUF files; dense ones have blocks of one weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are GGUF's own")]
pub enum BlockType {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4K,
    Q5K,
    Q6K,
    F16,
    BF16,
    F32,
}

/// How the scales of a block type lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scales {
    /// One f16 for a group.
    Plain,
    /// Two f16 for a group: scale, and what is added.
    WithMin,
    /// Eight groups: d and dmin in f16, then 8 scales and 8 minima of 6 bits, a byte each.
    SuperWithMin,
    /// Sixteen halves of groups: d in f16, then 16 signed scales of 8 bits.
    SuperOfHalves,
}

impl BlockType {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
        Self::F16,
        Self::BF16,
        Self::F32,
    ];

    /// Weights of a stored block; a row is a whole number of them.
    pub fn block_len(self) -> usize {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q4K | Self::Q5K | Self::Q6K => 256,
            Self::F16 | Self::BF16 | Self::F32 => 1,
        }
    }

    /// Bytes of a stored block.
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
            Self::F16 | Self::BF16 => 2,
            Self::F32 => 4,
        }
    }

    /// Bytes of a stored row of `columns` weights.
    pub fn row_bytes(self, columns: usize) -> usize {
        columns / self.block_len() * self.block_bytes()
    }

    /// Whether products run in integers.
    pub fn is_quantized(self) -> bool {
        self.block_len() > 1
    }

    /// Bits of a level above the lowest four; `None` for dense types and for levels of a whole byte.
    pub(super) fn high_bits(self) -> Option<usize> {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q4K => Some(0),
            Self::Q5_0 | Self::Q5_1 | Self::Q5K => Some(1),
            Self::Q6K => Some(2),
            Self::Q8_0 | Self::F16 | Self::BF16 | Self::F32 => None,
        }
    }

    /// Bytes in memory of the levels of one group of a strip.
    pub(super) fn level_bytes(self) -> usize {
        self.high_bits().map_or(GROUP, |bits| GROUP / 2 + bits * GROUP / 8) * STRIP
    }

    /// log2 of what is subtracted from a level; `None` where a minimum is added to the weight instead.
    pub(super) fn offset_bits(self) -> Option<u32> {
        match self {
            Self::Q4_0 => Some(3),
            Self::Q5_0 => Some(4),
            Self::Q6K => Some(5),
            Self::Q8_0 => Some(7),
            _ => None,
        }
    }

    pub(super) fn scales(self) -> Scales {
        match self {
            Self::Q4_1 | Self::Q5_1 => Scales::WithMin,
            Self::Q4K | Self::Q5K => Scales::SuperWithMin,
            Self::Q6K => Scales::SuperOfHalves,
            _ => Scales::Plain,
        }
    }
}

impl Scales {
    /// Groups that share one record, and the bytes of the record of a strip.
    pub(super) fn record(self) -> Record {
        let (groups, bytes_per_row) = match self {
            Self::Plain => (1, 2),
            Self::WithMin => (1, 4),
            Self::SuperWithMin => (8, 4 + 16),
            Self::SuperOfHalves => (8, 2 + 16),
        };
        Record { groups, bytes: bytes_per_row * STRIP }
    }
}

/// Scales that are stored together.
pub(super) struct Record {
    pub(super) groups: usize,
    pub(super) bytes: usize,
}
