//! bf16 in 12 bits, without loss: what bounds a product of one row is memory, and the exponents of a row of weights
//! hardly differ.
//!
//! A weight is its sign and its seven bits of fraction, a byte, and four bits that count its exponent up from 15
//! below the largest of its row. What lies lower, zeros among it, is an exception, and stands in a list; a
//! weight is lower one time in ten thousand where weights are normally distributed. A matrix with more exceptions than
//! there is room for, or with numbers that are none, lies in 16 bits as it did.
//!
//! A strip of 16 rows, lane r holding row r as everywhere:
//!
//! ```text
//! each 8 columns   64 bytes  signs and fractions of columns 0..4, four bytes a lane
//!                  64 bytes  of columns 4..8
//!                  64 bytes  exponents of columns 0..8, from the lowest bits of a lane on
//! then             16 bytes  the largest exponent of each row, 0 for a row of zeros; the count of exceptions, u32
//! from 64 on        8 bytes  for each exception: column · 16 + row, u32; the bits of the weight, u16
//! ```

use half::bf16;
use half::slice::HalfFloatSliceExt;

use super::activations::Vector;
use super::block::{BlockType, STRIP};
use super::isa::Isa;
use super::tile;

/// Columns that lie together, and their bytes.
pub(super) const BLOCK: usize = 8;
pub(super) const BLOCK_BYTES: usize = 3 * 64;

/// Bytes of what follows the blocks, up to the exceptions.
const HEAD: usize = 64;
const EXCEPTION: usize = 8;

/// Rows shorter than this stay in 16 bits: what follows the blocks would weigh more than is saved.
const LEAST_COLUMNS: usize = 256;

/// Exponents below the largest that four bits reach.
const BELOW: i32 = 15;

/// Whether rows of so many columns can lie in 12 bits, and are read faster so.
pub(super) fn serves(kind: BlockType, columns: usize, isa: Isa) -> bool {
    kind == BlockType::BF16 && isa.is_avx512() && columns >= LEAST_COLUMNS && columns.is_multiple_of(BLOCK)
}

/// Bytes of a strip.
pub(super) fn stride(columns: usize) -> usize {
    columns / BLOCK * BLOCK_BYTES + HEAD + room(columns) * EXCEPTION
}

/// Most exceptions of a strip: a whole number of cache lines of them.
fn room(columns: usize) -> usize {
    columns.div_ceil(BLOCK * 32) * BLOCK
}

fn exponent(bits: u16) -> i32 {
    i32::from(bits >> 7 & 0xff)
}

/// Packs up to 16 stored rows into `strip`, which is zero; rows that are missing stay zero. `false` where they do not
/// fit.
pub(super) fn pack(columns: usize, stored: &[u8], strip: &mut [u8]) -> bool {
    let (blocks, tail) = strip.split_at_mut(columns / BLOCK * BLOCK_BYTES);
    let (head, list) = tail.split_at_mut(HEAD);
    let mut list = list.chunks_exact_mut(EXCEPTION);
    let mut exceptions = 0_u32;
    for (row, stored) in stored.chunks_exact(2 * columns).enumerate().take(STRIP) {
        let weights = || stored.as_chunks().0.iter().map(|bytes| u16::from_le_bytes(*bytes));
        let top = weights().map(exponent).max().unwrap_or(0);
        if weights().all(|bits| bits << 1 == 0) {
            continue;
        }
        // Infinite, no number, or nothing but numbers too small to be normal.
        if top == 255 || top == 0 {
            return false;
        }
        head[row] = top as u8;
        for (column, bits) in weights().enumerate() {
            let (block, lane) = (&mut blocks[column / BLOCK * BLOCK_BYTES..][..BLOCK_BYTES], row * 4);
            let above = exponent(bits) - (top - BELOW);
            if above >= 0 && exponent(bits) > 0 {
                block[column % BLOCK / 4 * 64 + lane + column % 4] = (bits >> 8 & 0x80 | bits & 0x7f) as u8;
                block[128 + lane + column % BLOCK / 2] |= (above as u8) << (4 * (column % 2));
                continue;
            }
            let Some(exception) = list.next() else { return false };
            exception[..4].copy_from_slice(&((column * STRIP + row) as u32).to_le_bytes());
            exception[4..6].copy_from_slice(&bits.to_le_bytes());
            exceptions += 1;
        }
    }
    head[STRIP..][..4].copy_from_slice(&exceptions.to_le_bytes());
    true
}

/// A strip in 12 bits.
#[derive(Clone, Copy)]
pub(super) struct Narrow<'a> {
    pub(super) columns: usize,
    pub(super) blocks: &'a [u8],
    /// Largest exponent of each row.
    pub(super) tops: &'a [u8; STRIP],
    list: &'a [[u8; EXCEPTION]],
}

/// A weight that four bits cannot say.
pub(super) struct Exception {
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) weight: bf16,
}

impl<'a> Narrow<'a> {
    /// `strip` is one that [`pack`] filled.
    pub(super) fn of(columns: usize, strip: &'a [u8]) -> Self {
        let (blocks, tail) = strip.split_at(columns / BLOCK * BLOCK_BYTES);
        let (head, list) = tail.split_at(HEAD);
        let count = u32::from_le_bytes([head[16], head[17], head[18], head[19]]) as usize;
        Self {
            columns,
            blocks,
            tops: head.first_chunk().expect("a head"),
            list: &list.as_chunks().0[..count],
        }
    }

    pub(super) fn exceptions(&self) -> impl Iterator<Item = Exception> {
        self.list.iter().map(|[a, b, c, d, low, high, ..]| {
            let place = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
            let weight = bf16::from_le_bytes([*low, *high]);
            Exception { row: place % STRIP, column: place / STRIP, weight }
        })
    }

    /// A weight, unless it is an exception.
    fn weight(&self, row: usize, column: usize) -> bf16 {
        let block = &self.blocks[column / BLOCK * BLOCK_BYTES..];
        let byte = u16::from(block[column % BLOCK / 4 * 64 + row * 4 + column % 4]);
        let above = u16::from(block[128 + row * 4 + column % BLOCK / 2] >> (4 * (column % 2)) & 15);
        match self.tops[row] {
            0 => bf16::ZERO,
            top => {
                let exponent = (u16::from(top) + above).wrapping_sub(BELOW as u16) & 0xff;
                bf16::from_bits((byte & 0x80) << 8 | exponent << 7 | byte & 0x7f)
            }
        }
    }

    /// Row `row` in f32.
    pub(super) fn row(&self, row: usize, out: &mut [f32]) {
        out.iter_mut().enumerate().for_each(|(column, w)| *w = self.weight(row, column).to_f32());
        for exception in self.exceptions().filter(|exception| exception.row == row) {
            out[exception.column] = exception.weight.to_f32();
        }
    }

    /// All weights in 16 bits, `[pair][row][2]`, as [`super::packed`] has them otherwise.
    pub(super) fn pairs(&self, out: &mut [bf16], isa: Isa) {
        #[cfg(target_arch = "x86_64")]
        if isa.is_avx512() {
            super::avx512::widen_pairs(self, out);
            return self.put_exceptions(out);
        }
        let _ = isa;
        for (pair, out) in out.chunks_exact_mut(2 * STRIP).enumerate() {
            for (at, w) in out.iter_mut().enumerate() {
                *w = self.weight(at / 2, 2 * pair + at % 2);
            }
        }
        self.put_exceptions(out);
    }

    fn put_exceptions(&self, out: &mut [bf16]) {
        for Exception { row, column, weight } in self.exceptions() {
            out[(column / 2 * STRIP + row) * 2 + column % 2] = weight;
        }
    }

    /// The products of `x` with the 16 rows.
    pub(super) fn gemv(&self, x: Vector<'_>, isa: Isa) -> [f32; STRIP] {
        #[cfg(target_arch = "x86_64")]
        if isa.is_avx512() {
            return super::avx512::gemv_narrow(self, x.numbers);
        }
        let mut pairs = vec![bf16::ZERO; self.columns * STRIP];
        self.pairs(&mut pairs, isa);
        tile::gemv_strip(BlockType::BF16, bytemuck::cast_slice::<u16, u8>(pairs.reinterpret_cast()), x, isa)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;
    use crate::cpu::packed::Packed;
    use crate::cpu::product::{Factor, multiply};

    const COLUMNS: usize = 512;

    /// Packed where the processor reads 12 bits faster, and as it was stored.
    fn both(rows: &[Vec<bf16>]) -> [Packed; 2] {
        let columns = rows[0].len();
        [true, false].map(|narrow| {
            let read = |first: usize, out: &mut [u8]| {
                let stored = rows[first..].iter().flatten().flat_map(|w| w.to_le_bytes());
                out.iter_mut().zip(stored).for_each(|(out, byte)| *out = byte);
                Ok::<(), Infallible>(())
            };
            Packed::pack_as(narrow, BlockType::BF16, rows.len(), columns, read).unwrap()
        })
    }

    /// Numbers of many sizes: sums of uniform ones, scaled by row.
    fn normal(rows: usize, columns: usize, seed: u64) -> Vec<Vec<bf16>> {
        let mut state = seed | 1;
        let mut uniform = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        let mut row = |row: usize| {
            let scale = 2f32.powi(row as i32 - 8);
            (0..columns).map(|_| bf16::from_f32(scale * (uniform() + uniform() + uniform()))).collect()
        };
        (0..rows).map(&mut row).collect()
    }

    fn rows_of(packed: &Packed) -> Vec<Vec<u32>> {
        let row = |row: usize| {
            let mut out = vec![0f32; packed.columns()];
            packed.row(row, &mut out);
            out.iter().map(|w| w.to_bits()).collect()
        };
        (0..packed.rows()).map(row).collect()
    }

    /// Every weight comes back to the bit, one by one and in pairs, and products are those of 16 bits.
    fn agree(rows: &[Vec<bf16>], x: &[f32]) {
        let [narrow, wide] = both(rows);
        assert!(narrow.is_narrow() && !wide.is_narrow());
        assert!(narrow.memory_bytes() < wide.memory_bytes() * 4 / 5);
        assert_eq!(rows_of(&narrow), rows_of(&wide));
        for isa in Isa::available() {
            let product =
                |matrix| multiply(x, rows[0].len(), &[Factor { matrix, bias: None }], isa).remove(0);
            let (got, expected) = (product(&narrow), product(&wide));
            let size = expected.iter().map(|y| y.abs()).fold(0.0, f32::max);
            for (got, expected) in got.iter().zip(&expected) {
                assert!((got - expected).abs() <= 1e-6 * size, "{isa:?}: {got} for {expected}");
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "large")]
    fn weights_come_back_to_the_bit_and_multiply_as_they_did() {
        let mut rows = normal(37, COLUMNS, 7);
        rows[3].fill(bf16::ZERO);
        rows[20] = vec![bf16::from_f32(-1.5); COLUMNS];
        // Two exceptions: a zero, and the least number there is.
        rows[5][77] = bf16::NEG_ZERO;
        rows[5][511] = bf16::from_bits(1);
        for count in [1, 2, 13] {
            let x: Vec<f32> = (0..count * COLUMNS).map(|at| (at * 31 % 101) as f32 / 50.0 - 1.0).collect();
            agree(&rows, &x);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "large")]
    fn what_does_not_fit_lies_in_sixteen_bits() {
        let fits = |change: &dyn Fn(&mut Vec<Vec<bf16>>)| {
            let mut rows = normal(20, COLUMNS, 3);
            change(&mut rows);
            let [narrow, wide] = both(&rows);
            assert_eq!(rows_of(&narrow), rows_of(&wide));
            narrow.is_narrow()
        };
        assert!(fits(&|_| ()));
        assert!(!fits(&|rows| rows[19][0] = bf16::NAN));
        assert!(!fits(&|rows| rows[0][9] = bf16::INFINITY));
        assert!(!fits(&|rows| rows[0].iter_mut().step_by(8).for_each(|w| *w = bf16::ZERO)));
        assert!(!fits(&|rows| rows[2].fill(bf16::from_bits(3))), "smaller than any normal number");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 32 }))]
        #[test]
        fn any_row_of_any_size_comes_back(
            seed in any::<u64>(), blocks in LEAST_COLUMNS / BLOCK..80, rows in 1_usize..40, lost in 0_usize..10,
        ) {
            let mut weights = normal(rows, blocks * BLOCK, seed);
            // A few exceptions in the first row.
            weights[0].iter_mut().skip(3).step_by(blocks).take(lost).for_each(|w| *w = bf16::from_bits(0x8003));
            let [narrow, wide] = both(&weights);
            prop_assert_eq!(rows_of(&narrow), rows_of(&wide));
        }
    }
}
