//! A strip made ready for many rows: see [`super::super::panel`].

use std::arch::x86_64::*;

use half::slice::HalfBitsSliceExt;
use half::{bf16, f16};

use super::super::block::{BlockType, STRIP, Scales};
use super::super::packed::scales_at;
use super::super::panel::{Line, Room};
use super::levels::{FIVE_BITS, NIBBLES, SIX_BITS, bytes_of, halves, levels, signed, unsigned};

/// As [`super::super::panel::fill_plainly`].
pub(in super::super) fn unpack(kind: BlockType, strip: &[u8], groups: usize, room: Room<'_>) {
    super::check();
    let at = scales_at(kind, groups * super::super::block::GROUP);
    let record = kind.scales().record();
    assert!(strip.len() >= at + groups / record.groups * record.bytes);
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
/// As many groups as `to` has room for can be read at `from`; the processor has AVX-512.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn unpack_levels<const FORM: u8>(from: *const u8, to: &mut [Line]) {
    for (group, lines) in to.chunks_exact_mut(8).enumerate() {
        // SAFETY: by the contract; a line is as long as a vector, and aligned.
        unsafe {
            let unpacked = levels::<FORM>(from.add(group * bytes_of(FORM)));
            for (line, vector) in lines.iter_mut().zip(unpacked) {
                _mm512_store_si512(line.0.as_mut_ptr().cast(), vector);
            }
        }
    }
}

/// # Safety
/// The records of all groups can be read at `from`; the processor has AVX-512.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn unpack_scales(form: Scales, from: *const u8, groups: usize, scales: &mut [f32], added: &mut [f32]) {
    let record = form.record();
    let put = |to: &mut [f32], place: usize, numbers: __m512| {
        // SAFETY: the slice is cut to 16 numbers.
        unsafe { _mm512_storeu_ps(to[place * STRIP..][..STRIP].as_mut_ptr(), numbers) };
    };
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
                    let least = _mm512_sub_ps(_mm512_setzero_ps(), halves(at.add(2 * STRIP)));
                    for part in 0..8 {
                        let (scale, min) = (at.add((4 + part) * STRIP), at.add((12 + part) * STRIP));
                        put(scales, 8 * index + part, _mm512_mul_ps(d, unsigned(scale)));
                        put(added, 8 * index + part, _mm512_mul_ps(least, unsigned(min)));
                    }
                }
                Scales::SuperOfHalves => {
                    for part in 0..16 {
                        let scale = signed(at.add((2 + part) * STRIP));
                        put(scales, 16 * index + part, _mm512_mul_ps(d, scale));
                    }
                }
            }
        }
    }
}

/// The numbers of a strip of f16 or of pairs of bf16 in f32, `[column][row]`.
pub(in super::super) fn widen(kind: BlockType, strip: &[u8], columns: usize, to: &mut [f32]) {
    super::check();
    assert!(to.len() >= columns * STRIP);
    match kind {
        BlockType::F16 => {
            assert!(strip.len() >= columns * STRIP * size_of::<f16>());
            for column in 0..columns {
                // SAFETY: the lengths were checked, and the processor.
                unsafe {
                    let numbers = halves(strip.as_ptr().add(column * 2 * STRIP));
                    store(numbers, to.as_mut_ptr().add(column * STRIP));
                }
            }
        }
        _ => {
            let words: &[u16] = bytemuck::cast_slice(&strip[..columns.next_multiple_of(2) * STRIP * 2]);
            let numbers: &[bf16] = words.reinterpret_cast();
            for (column, to) in to.chunks_exact_mut(STRIP).take(columns).enumerate() {
                let pairs = &numbers[column / 2 * 2 * STRIP..][..2 * STRIP];
                to.iter_mut().zip(pairs.chunks_exact(2)).for_each(|(w, pair)| *w = pair[column % 2].to_f32());
            }
        }
    }
}

/// # Safety
/// 16 numbers can be written at `to`; the processor has AVX-512.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store(numbers: __m512, to: *mut f32) {
    // SAFETY: by the contract.
    unsafe { _mm512_storeu_ps(to, numbers) };
}
