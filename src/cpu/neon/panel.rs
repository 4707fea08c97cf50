//! A strip made ready for many rows: see [`super::super::panel`].

use std::arch::aarch64::*;

use super::super::block::{BlockType, GROUP, STRIP, Scales};
use super::super::packed::scales_at;
use super::super::panel::{Line, Room};
use super::levels::{FIVE_BITS, NIBBLES, SIX_BITS, bytes_of, halves, levels, signed, unsigned};
use super::{LANES, Rows};

/// As [`super::super::panel::fill_plainly`].
pub(in super::super) fn unpack(kind: BlockType, strip: &[u8], groups: usize, room: Room<'_>) {
    super::check();
    let at = scales_at(kind, groups * GROUP);
    let record = kind.scales().record();
    assert!(strip.len() >= at + groups / record.groups * record.bytes && room.levels.len() <= 8 * groups);
    // SAFETY: the processor was checked, and the strip holds all levels and records.
    unsafe {
        match kind.high_bits() {
            Some(0) => unpack_levels::<NIBBLES>(strip.as_ptr(), room.levels),
            Some(1) => unpack_levels::<FIVE_BITS>(strip.as_ptr(), room.levels),
            Some(_) => unpack_levels::<SIX_BITS>(strip.as_ptr(), room.levels),
            None => {}
        }
        unpack_scales(kind.scales(), strip.as_ptr().add(at), groups, room.scales, room.added);
    }
}

/// # Safety
/// As many groups as `to` has room for can be read at `from`.
#[target_feature(enable = "neon")]
unsafe fn unpack_levels<const FORM: u8>(from: *const u8, to: &mut [Line]) {
    for (group, lines) in to.chunks_exact_mut(8).enumerate() {
        for at in [0, 16, 32, 48] {
            // SAFETY: by the contract; a line is as long as four vectors.
            unsafe {
                let unpacked = levels::<FORM>(from.add(group * bytes_of(FORM) + at));
                for (line, vector) in lines.iter_mut().zip(unpacked.as_flattened()) {
                    vst1q_s8(line.0.as_mut_ptr().add(at).cast(), *vector);
                }
            }
        }
    }
}

/// # Safety
/// The records of all groups can be read at `from`.
#[target_feature(enable = "neon")]
unsafe fn unpack_scales(form: Scales, from: *const u8, groups: usize, scales: &mut [f32], added: &mut [f32]) {
    let record = form.record();
    for index in 0..groups / record.groups {
        // SAFETY: record `index` lies in the strip, by the contract.
        unsafe {
            let at = from.add(index * record.bytes);
            let d = halves(at);
            match form {
                Scales::Plain => put(scales, index, d),
                Scales::WithMin => {
                    put(scales, index, d);
                    put(added, index, halves(at.add(2 * STRIP)));
                }
                Scales::SuperWithMin => {
                    let least = halves(at.add(2 * STRIP)).map(|min| vnegq_f32(min));
                    for part in 0..8 {
                        let (scale, min) = (at.add((4 + part) * STRIP), at.add((12 + part) * STRIP));
                        put(scales, 8 * index + part, product(d, unsigned(scale)));
                        put(added, 8 * index + part, product(least, unsigned(min)));
                    }
                }
                Scales::SuperOfHalves => {
                    for part in 0..16 {
                        put(scales, 16 * index + part, product(d, signed(at.add((2 + part) * STRIP))));
                    }
                }
            }
        }
    }
}

/// Writes the numbers of the 16 rows of part `place`.
#[inline]
#[target_feature(enable = "neon")]
fn put(to: &mut [f32], place: usize, numbers: Rows) {
    for (to, four) in to[place * STRIP..][..STRIP].chunks_exact_mut(LANES).zip(numbers) {
        // SAFETY: the chunk has as many numbers as the vector.
        unsafe { vst1q_f32(to.as_mut_ptr(), four) };
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn product(a: Rows, b: Rows) -> Rows {
    let mut out = a;
    for (out, b) in out.iter_mut().zip(b) {
        *out = vmulq_f32(*out, b);
    }
    out
}

/// The numbers of a strip of f16 or of pairs of bf16 in f32, `[column][row]`.
pub(in super::super) fn widen(kind: BlockType, strip: &[u8], columns: usize, to: &mut [f32]) {
    super::check();
    let to = &mut to[..columns * STRIP];
    // SAFETY: the processor was checked, and the strip is as long as its columns say.
    unsafe {
        if kind == BlockType::F16 {
            assert!(strip.len() >= columns * 2 * STRIP);
            widen_f16(strip, to);
        } else {
            assert!(strip.len() >= columns.next_multiple_of(2) * 2 * STRIP);
            widen_bf16(strip, to);
        }
    }
}

/// # Safety
/// `strip` has two bytes for each number of `to`.
#[target_feature(enable = "neon")]
unsafe fn widen_f16(strip: &[u8], to: &mut [f32]) {
    for column in 0..to.len() / STRIP {
        // SAFETY: by the contract.
        put(to, column, unsafe { halves(strip.as_ptr().add(2 * STRIP * column)) });
    }
}

/// # Safety
/// `strip` has 64 bytes for each two columns of `to`, or the one left over.
#[target_feature(enable = "neon")]
unsafe fn widen_bf16(strip: &[u8], to: &mut [f32]) {
    for (pair, to) in to.chunks_mut(2 * STRIP).enumerate() {
        // SAFETY: by the contract.
        let [first, second] = unsafe { pairs(strip.as_ptr().add(64 * pair)) };
        put(to, 0, first);
        if to.len() > STRIP {
            put(to, 1, second);
        }
    }
}

/// 16 pairs of bf16: the first of each, and the second.
///
/// # Safety
/// 64 bytes can be read at `at`.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn pairs(at: *const u8) -> [Rows; 2] {
    // SAFETY: by the contract.
    let load = |four: usize| unsafe { vld1q_u32(at.add(16 * four).cast()) };
    let both = [load(0), load(1), load(2), load(3)];
    let upper = vdupq_n_u32(0xffff_0000);
    [
        both.map(|pairs| vreinterpretq_f32_u32(vshlq_n_u32::<16>(pairs))),
        both.map(|pairs| vreinterpretq_f32_u32(vandq_u32(pairs, upper))),
    ]
}
