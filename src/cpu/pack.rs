//! Rows as a GGUF file stores them, to a strip as [`super::packed`] describes it. Loading only: plain loops.

use super::block::{BlockType, GROUP, STRIP, Scales};
use super::packed::scales_at;

/// What one block of a file says, each level as an unsigned number.
struct Block {
    levels: [u8; 256],
    /// Scale and minimum, f16.
    d: [[u8; 2]; 2],
    /// Scales of 8 or 16 parts, then minima of 8 parts.
    parts: [u8; 16],
}

/// Packs up to 16 stored rows into `strip`, which is zero; rows that are missing stay zero.
pub(super) fn strip(kind: BlockType, columns: usize, stored: &[u8], strip: &mut [u8]) {
    let row_bytes = kind.row_bytes(columns);
    for (row, stored) in stored.chunks_exact(row_bytes.max(1)).enumerate().take(STRIP) {
        match kind {
            BlockType::F32 => dense::<4>(row, stored, strip),
            BlockType::F16 => dense::<2>(row, stored, strip),
            BlockType::BF16 => pairs(row, stored, strip),
            quantized => blocks(quantized, columns, row, stored, strip),
        }
    }
}

/// `[weight][row]`
fn dense<const BYTES: usize>(row: usize, stored: &[u8], strip: &mut [u8]) {
    for (weight, out) in stored.chunks_exact(BYTES).zip(strip.chunks_exact_mut(BYTES * STRIP)) {
        out[row * BYTES..][..BYTES].copy_from_slice(weight);
    }
}

/// `[pair][row][2]`
fn pairs(row: usize, stored: &[u8], strip: &mut [u8]) {
    for (pair, out) in stored.chunks(4).zip(strip.chunks_exact_mut(4 * STRIP)) {
        out[row * 4..][..pair.len()].copy_from_slice(pair);
    }
}

fn blocks(kind: BlockType, columns: usize, row: usize, stored: &[u8], strip: &mut [u8]) {
    let (levels, scales) = strip.split_at_mut(scales_at(kind, columns));
    let (record, per_block) = (kind.scales().record().bytes, kind.block_len() / GROUP);
    let group_bytes = kind.level_bytes();
    let blocks = stored.chunks_exact(kind.block_bytes());
    let places = levels.chunks_exact_mut(group_bytes * per_block).zip(scales.chunks_exact_mut(record));
    for (stored, (levels, scales)) in blocks.zip(places) {
        let block = read(kind, stored);
        for (group, out) in levels.chunks_exact_mut(group_bytes).enumerate() {
            put_levels(kind, row, &block.levels[group * GROUP..][..GROUP], out);
        }
        put_scales(kind.scales(), row, &block, scales);
    }
}

fn put_levels(kind: BlockType, row: usize, levels: &[u8], out: &mut [u8]) {
    let Some(high) = kind.high_bits() else {
        for (vector, four) in levels.chunks_exact(4).enumerate() {
            out[vector * 64 + row * 4..][..4].copy_from_slice(four);
        }
        return;
    };
    // Four neighbouring levels are a word: what holds for one byte is done for four.
    let mut fours = [0u32; GROUP / 4];
    for (word, four) in fours.iter_mut().zip(levels.chunks_exact(4)) {
        *word = u32::from_le_bytes([four[0], four[1], four[2], four[3]]);
    }
    let (first, second) = fours.split_at(4);
    let mut put = |vector: usize, word: u32| {
        out[vector * 64 + row * 4..][..4].copy_from_slice(&word.to_le_bytes());
    };
    for (vector, (low, high)) in first.iter().zip(second).enumerate() {
        put(vector, low & 0x0f0f_0f0f | (high & 0x0f0f_0f0f) << 4);
    }
    let gathered = |words: &[u32], bits: usize| {
        let mask = 0x0101_0101 * ((1 << bits) - 1);
        words.iter().enumerate().fold(0, |all, (place, word)| all | (word >> 4 & mask) << (bits * place))
    };
    match high {
        1 => put(4, gathered(&fours, 1)),
        2 => {
            put(4, gathered(first, 2));
            put(5, gathered(second, 2));
        }
        _ => {}
    }
}

fn put_scales(scales: Scales, row: usize, block: &Block, out: &mut [u8]) {
    let mut put_f16 = |place: usize, value: [u8; 2]| {
        out[place * 2 * STRIP + 2 * row..][..2].copy_from_slice(&value);
    };
    put_f16(0, block.d[0]);
    let mut parts_at = 2 * STRIP;
    if matches!(scales, Scales::WithMin | Scales::SuperWithMin) {
        put_f16(1, block.d[1]);
        parts_at = 4 * STRIP;
    }
    if matches!(scales, Scales::SuperWithMin | Scales::SuperOfHalves) {
        for (part, value) in block.parts.iter().enumerate() {
            out[parts_at + part * STRIP + row] = *value;
        }
    }
}

fn read(kind: BlockType, stored: &[u8]) -> Block {
    let mut block = Block { levels: [0; 256], d: [[0; 2]; 2], parts: [0; 16] };
    let f16_at = |at: usize| [stored[at], stored[at + 1]];
    block.d = [f16_at(0), [0; 2]];
    match kind {
        BlockType::Q8_0 => {
            block.levels.iter_mut().zip(&stored[2..]).for_each(|(level, byte)| *level = byte ^ 0x80);
        }
        BlockType::Q4_0 => nibbles(&stored[2..], &mut block.levels),
        BlockType::Q4_1 => {
            block.d[1] = f16_at(2);
            nibbles(&stored[4..], &mut block.levels);
        }
        BlockType::Q5_0 => {
            nibbles(&stored[6..], &mut block.levels);
            fifth_bits(&stored[2..6], &mut block.levels);
        }
        BlockType::Q5_1 => {
            block.d[1] = f16_at(2);
            nibbles(&stored[8..], &mut block.levels);
            fifth_bits(&stored[4..8], &mut block.levels);
        }
        BlockType::Q4K | BlockType::Q5K => k_quant(kind, stored, &mut block),
        BlockType::Q6K => q6_k(stored, &mut block),
        BlockType::F16 | BlockType::BF16 | BlockType::F32 => {}
    }
    block
}

/// 32 weights: the low halves of 16 bytes, then the high ones.
fn nibbles(bytes: &[u8], levels: &mut [u8]) {
    for (index, byte) in bytes.iter().take(16).enumerate() {
        levels[index] = byte & 15;
        levels[index + 16] = byte >> 4;
    }
}

fn fifth_bits(bytes: &[u8], levels: &mut [u8]) {
    for (index, level) in levels.iter_mut().take(GROUP).enumerate() {
        *level |= (bytes[index / 8] >> (index % 8) & 1) << 4;
    }
}

/// Q4_K and Q5_K: d, dmin, 12 bytes of scales and minima of 6 bits, the fifth bits, the nibbles.
fn k_quant(kind: BlockType, stored: &[u8], block: &mut Block) {
    block.d = [[stored[0], stored[1]], [stored[2], stored[3]]];
    let packed = &stored[4..16];
    for part in 0..4 {
        block.parts[part] = packed[part] & 63;
        block.parts[8 + part] = packed[4 + part] & 63;
        block.parts[4 + part] = packed[8 + part] & 15 | packed[part] >> 6 << 4;
        block.parts[12 + part] = packed[8 + part] >> 4 | packed[4 + part] >> 6 << 4;
    }
    let high = (kind == BlockType::Q5K).then(|| &stored[16..48]);
    let low = if kind == BlockType::Q5K { &stored[48..] } else { &stored[16..] };
    for (part, levels) in block.levels.chunks_exact_mut(32).enumerate() {
        let shift = 4 * (part % 2);
        levels.iter_mut().zip(&low[part / 2 * 32..]).for_each(|(level, byte)| *level = byte >> shift & 15);
        if let Some(high) = high {
            levels.iter_mut().zip(high).for_each(|(level, bits)| *level |= (bits >> part & 1) << 4);
        }
    }
}

/// Q6_K: 128 bytes of low halves, 64 of upper pairs of bits, 16 scales, d.
fn q6_k(stored: &[u8], block: &mut Block) {
    let (low, high) = (&stored[..128], &stored[128..192]);
    block.parts.copy_from_slice(&stored[192..208]);
    block.d[0] = [stored[208], stored[209]];
    for (part, levels) in block.levels.chunks_exact_mut(32).enumerate() {
        let (half, quarter) = (part / 4, part % 4);
        let nibbles = low[half * 64 + quarter % 2 * 32..].iter().map(|byte| byte >> (quarter / 2 * 4) & 15);
        let upper = high[half * 32..].iter().map(|byte| (byte >> (2 * quarter) & 3) << 4);
        levels
            .iter_mut()
            .zip(nibbles.zip(upper))
            .for_each(|(level, (nibble, upper))| *level = nibble | upper);
    }
}
