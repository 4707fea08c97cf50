//! A strip back to numbers, by plain loops: single rows for embeddings, and the panels of the portable products.

use half::{bf16, f16};

use super::block::{BlockType, GROUP, STRIP, Scales};
use super::packed::scales_at;

/// Row `row` of a strip, in f32.
pub(super) fn row(kind: BlockType, strip: &[u8], row: usize, out: &mut [f32]) {
    match kind {
        BlockType::F32 | BlockType::F16 | BlockType::BF16 => {
            out.iter_mut().enumerate().for_each(|(column, w)| *w = dense(kind, strip, row, column));
        }
        quantized => {
            let (levels, scales) = strip.split_at(scales_at(quantized, out.len()));
            for (group, out) in out.chunks_exact_mut(GROUP).enumerate() {
                let levels = &levels[group * quantized.level_bytes()..];
                for (weight, w) in out.iter_mut().enumerate() {
                    let scale = scale(quantized, scales, group, weight / 16, row);
                    *w = scale.factor * f32::from(level(quantized, levels, row, weight)) + scale.added;
                }
            }
        }
    }
}

/// Weight `column` of row `row` of a dense strip.
pub(super) fn dense(kind: BlockType, strip: &[u8], row: usize, column: usize) -> f32 {
    let at = column * STRIP + row;
    let two = |at: usize| [strip[at], strip[at + 1]];
    match kind {
        BlockType::F32 => {
            f32::from_le_bytes([strip[4 * at], strip[4 * at + 1], strip[4 * at + 2], strip[4 * at + 3]])
        }
        BlockType::F16 => f16::from_le_bytes(two(2 * at)).to_f32(),
        _ => bf16::from_le_bytes(two((column / 2 * STRIP + row) * 4 + column % 2 * 2)).to_f32(),
    }
}

/// Level of weight `weight` of a group, as stored: unsigned.
pub(super) fn level(kind: BlockType, levels: &[u8], row: usize, weight: usize) -> u8 {
    let (half, vector, byte) = (weight / 16, weight % 16 / 4, row * 4 + weight % 4);
    match kind.high_bits() {
        None => levels[weight / 4 * 64 + byte],
        Some(high) => {
            let low = levels[vector * 64 + byte] >> (4 * half) & 15;
            let upper = match high {
                1 => levels[256 + byte] >> (weight / 4) & 1,
                2 => levels[256 + half * 64 + byte] >> (2 * vector) & 3,
                _ => 0,
            };
            low | upper << 4
        }
    }
}

/// A weight is `factor · level + added`.
pub(super) struct Scale {
    pub(super) factor: f32,
    pub(super) added: f32,
}

/// The scale of one half (0 or 1) of group `group` in row `row`.
pub(super) fn scale(kind: BlockType, scales: &[u8], group: usize, half: usize, row: usize) -> Scale {
    let record = kind.scales().record();
    let scales = &scales[group / record.groups * record.bytes..];
    let number = |place: usize| {
        let at = place * 2 * STRIP + 2 * row;
        f16::from_le_bytes([scales[at], scales[at + 1]]).to_f32()
    };
    let offset = kind.offset_bits().map_or(0.0, |bits| (1u32 << bits) as f32);
    let part = group % record.groups;
    match kind.scales() {
        Scales::Plain => Scale { factor: number(0), added: -offset * number(0) },
        Scales::WithMin => Scale { factor: number(0), added: number(1) },
        Scales::SuperWithMin => {
            let of_part = |place: usize| f32::from(scales[4 * STRIP + place * STRIP + row]);
            Scale { factor: number(0) * of_part(part), added: -number(1) * of_part(8 + part) }
        }
        Scales::SuperOfHalves => {
            let signed = scales[2 * STRIP + (2 * part + half) * STRIP + row] as i8;
            let factor = number(0) * f32::from(signed);
            Scale { factor, added: -offset * factor }
        }
    }
}
