//! A matrix in memory, the only copy: strips of 16 rows, interleaved so that each lane of a vector holds a row.
//!
//! A strip of a quantized matrix is its levels, group after group, then its scales. The levels of a group are
//! vectors of 64 bytes in which lane r holds four neighbouring weights of row r:
//!
//! ```text
//! 8 bits   vectors 0..8: weights 4v..4v+4 of each row, 128 added
//! 4 bits   vectors 0..4: weights 4v..4v+4 in the low halves of bytes, 16+4v..16+4v+4 in the high halves
//! 5 bits   the same, then one vector whose bit q holds the fifth bit of weights 4q..4q+4
//! 6 bits   the same, then two vectors whose bits 2q, 2q+1 hold the upper bits of weights 4q.. and 16+4q..
//! ```
//!
//! Scales follow the types of the file (`block::Scales`), each number as 16 rows side by side. bf16 lies in pairs
//! of weights, `[pair][row][2]`; f16 and f32 as `[weight][row]`. Every strip begins at a multiple of 64 bytes.

use half::{bf16, f16};

use super::block::{BlockType, GROUP, STRIP};
use super::buffer::Buffer;
use super::pool;
use super::{pack, unpack};

/// Weights (rows, columns), packed.
#[derive(Debug)]
pub struct Packed {
    kind: BlockType,
    rows: usize,
    columns: usize,
    bytes: Buffer,
}

impl Packed {
    /// Packs a matrix that `read` brings piece by piece: it is given the number of the first row, and room for some
    /// rows in the stored form, [`BlockType::row_bytes`] each. Pieces are read by several threads at a time.
    ///
    /// Errors as `read` does.
    ///
    /// # Panics
    /// If a row is not a whole number of blocks.
    pub fn pack<E: Send>(
        kind: BlockType,
        rows: usize,
        columns: usize,
        read: impl Fn(usize, &mut [u8]) -> Result<(), E> + Sync,
    ) -> Result<Self, E> {
        assert!(columns.is_multiple_of(kind.block_len()), "a row of {columns} weights in {kind:?}");
        let stride = stride(kind, columns);
        let mut bytes = Buffer::zeroed(rows.div_ceil(STRIP) * stride);
        let row_bytes = kind.row_bytes(columns);
        let failure = std::sync::Mutex::new(None);
        // Some strips at a time: enough bytes for a read to be worth its call.
        let together = (1usize << 18).div_ceil(stride.max(1)).max(1);
        pool::run_chunks(&mut bytes, stride * together, |chunk, strips| {
            let first = chunk * together * STRIP;
            let mut stored = vec![0; (rows - first).min(together * STRIP) * row_bytes];
            if let Err(error) = read(first, &mut stored) {
                *failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
                return;
            }
            for (strip, stored) in strips.chunks_mut(stride).zip(stored.chunks(row_bytes * STRIP)) {
                pack::strip(kind, columns, stored, strip);
            }
        });
        match failure.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(Self { kind, rows, columns, bytes }),
        }
    }

    /// The type of its weights.
    pub fn kind(&self) -> BlockType {
        self.kind
    }

    /// Rows: numbers that come out of a product.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns: numbers that go into a product.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Bytes of the weights as a file stores them.
    pub fn stored_bytes(&self) -> usize {
        self.rows * self.kind.row_bytes(self.columns)
    }

    /// Bytes in memory.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Row `row` in f32.
    ///
    /// # Panics
    /// If there is no such row, or `out` is not as long as one.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.rows && out.len() == self.columns, "row {row} of {}", self.rows);
        unpack::row(self.kind, self.strip(row / STRIP), row % STRIP, out);
    }

    pub(super) fn strips(&self) -> usize {
        self.rows.div_ceil(STRIP)
    }

    /// The bytes of one strip.
    pub(super) fn strip(&self, strip: usize) -> &[u8] {
        let stride = stride(self.kind, self.columns);
        &self.bytes[strip * stride..][..stride]
    }
}

/// Where the scales of a strip begin.
pub(super) fn scales_at(kind: BlockType, columns: usize) -> usize {
    columns / GROUP * kind.level_bytes()
}

/// Bytes from one strip to the next.
fn stride(kind: BlockType, columns: usize) -> usize {
    let bytes = match kind {
        BlockType::F32 => columns * STRIP * size_of::<f32>(),
        BlockType::F16 => columns * STRIP * size_of::<f16>(),
        BlockType::BF16 => columns.next_multiple_of(2) * STRIP * size_of::<bf16>(),
        quantized => {
            let record = quantized.scales().record();
            scales_at(quantized, columns) + columns / GROUP / record.groups * record.bytes
        }
    };
    bytes.next_multiple_of(64)
}
