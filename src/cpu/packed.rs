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
//! of weights, `[pair][row][2]`, or in 12 bits (`cpu::narrow`); f16 and f32 as `[weight][row]`. Every strip begins
//! at a multiple of 64 bytes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use half::{bf16, f16};

use super::block::{BlockType, GROUP, STRIP};
use super::buffer::Buffer;
use super::isa::isa;
use super::narrow::{self, Narrow};
use super::pool;
use super::{pack, unpack};

/// Weights (rows, columns), packed.
#[derive(Debug)]
pub struct Packed {
    kind: BlockType,
    rows: usize,
    columns: usize,
    /// Whether bf16 lies in 12 bits.
    narrow: bool,
    /// Bytes from one strip to the next.
    stride: usize,
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
        Self::pack_as(narrow::serves(kind, columns, isa()), kind, rows, columns, read)
    }

    /// As [`Self::pack`]; in 12 bits if `narrow` says so and the weights fit.
    pub(super) fn pack_as<E: Send>(
        narrow: bool,
        kind: BlockType,
        rows: usize,
        columns: usize,
        read: impl Fn(usize, &mut [u8]) -> Result<(), E> + Sync,
    ) -> Result<Self, E> {
        assert!(columns.is_multiple_of(kind.block_len()), "a row of {columns} weights in {kind:?}");
        // Weights that do not fit are mostly told by their first rows, before memory is taken for all of them.
        if narrow && first_strip_fits(rows, columns, &read)? {
            let stride = narrow::stride(columns);
            let pack = |stored: &[u8], strip: &mut [u8]| narrow::pack(columns, stored, strip);
            if let Some(bytes) = strips(rows, kind.row_bytes(columns), stride, &read, pack)? {
                return Ok(Self { kind, rows, columns, narrow, stride, bytes });
            }
        }
        let stride = stride(kind, columns);
        let pack = |stored: &[u8], strip: &mut [u8]| {
            pack::strip(kind, columns, stored, strip);
            true
        };
        let bytes = strips(rows, kind.row_bytes(columns), stride, &read, pack)?.expect("stored types fit");
        Ok(Self { kind, rows, columns, narrow: false, stride, bytes })
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

    /// Bytes that a product of one row must read: those of the file, or fewer where bf16 lies in 12 bits.
    pub fn read_bytes(&self) -> usize {
        if self.narrow { self.bytes.len() } else { self.rows * self.kind.row_bytes(self.columns) }
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
        match self.narrow(row / STRIP) {
            Some(strip) => strip.row(row % STRIP, out),
            None => unpack::row(self.kind, self.strip(row / STRIP), row % STRIP, out),
        }
    }

    /// Whether bf16 lies in 12 bits.
    pub(super) fn is_narrow(&self) -> bool {
        self.narrow
    }

    /// A strip in 12 bits, if strips lie so.
    pub(super) fn narrow(&self, strip: usize) -> Option<Narrow<'_>> {
        self.narrow.then(|| Narrow::of(self.columns, self.strip(strip)))
    }

    pub(super) fn strips(&self) -> usize {
        self.rows.div_ceil(STRIP)
    }

    /// The bytes of one strip.
    pub(super) fn strip(&self, strip: usize) -> &[u8] {
        &self.bytes[strip * self.stride..][..self.stride]
    }
}

/// Reads rows and packs them, strip after strip; `None` if `pack` says of one that it does not fit.
fn strips<E: Send>(
    rows: usize,
    row_bytes: usize,
    stride: usize,
    read: &(impl Fn(usize, &mut [u8]) -> Result<(), E> + Sync),
    pack: impl Fn(&[u8], &mut [u8]) -> bool + Sync,
) -> Result<Option<Buffer>, E> {
    let mut bytes = Buffer::zeroed(rows.div_ceil(STRIP) * stride);
    let (failure, fits) = (Mutex::new(None), AtomicBool::new(true));
    // Some strips at a time: enough bytes for a read to be worth its call.
    let together = (1usize << 18).div_ceil(stride.max(1)).max(1);
    pool::run_chunks(&mut bytes, stride * together, |chunk, strips| {
        let first = chunk * together * STRIP;
        if !fits.load(Ordering::Relaxed) {
            return;
        }
        let mut stored = vec![0; (rows - first).min(together * STRIP) * row_bytes];
        if let Err(error) = read(first, &mut stored) {
            *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            return;
        }
        for (strip, stored) in strips.chunks_mut(stride).zip(stored.chunks(row_bytes * STRIP)) {
            if !pack(stored, strip) {
                fits.store(false, Ordering::Relaxed);
            }
        }
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(fits.into_inner().then_some(bytes)),
    }
}

/// Whether the first rows can lie in 12 bits.
fn first_strip_fits<E>(
    rows: usize,
    columns: usize,
    read: impl Fn(usize, &mut [u8]) -> Result<(), E>,
) -> Result<bool, E> {
    let mut stored = vec![0; rows.min(STRIP) * BlockType::BF16.row_bytes(columns)];
    read(0, &mut stored)?;
    Ok(narrow::pack(columns, &stored, &mut vec![0; narrow::stride(columns)]))
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
