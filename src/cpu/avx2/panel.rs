//! A strip made ready for many rows: see [`super::super::panel`].

use std::arch::x86_64::*;

use super::super::block::{BlockType, GROUP, STRIP, Scales};
use super::super::packed::scales_at;
use super::super::panel::{Line, Room};
use super::LANES;
use super::levels::{FIVE_BITS, NIBBLES, SIX_BITS, bytes_of, halves, levels, signed, unsigned};

/// As [`super::super::panel::fill_plainly`].
pub(in super::super) fn unpack(kind: BlockType, strip: &[u8], groups: usize, room: Room<'_>) {
    super::check();
    let at = scales_at(kind, groups * GROUP);
    let record = kind.scales().record();
    let lines = if kind.high_bits().is_some() { 8 } else { 16 };
    assert!(strip.len() >= at + groups / record.groups * record.bytes && room.levels.len() <= lines * groups);
    // SAFETY: the processor was checked, and the strip holds all levels and records.
    unsafe {
        match kind.high_bits() {
            Some(0) => unpack_levels::<NIBBLES>(strip.as_ptr(), room.levels),
            Some(1) => unpack_levels::<FIVE_BITS>(strip.as_ptr(), room.levels),
            Some(_) => unpack_levels::<SIX_BITS>(strip.as_ptr(), room.levels),
            None => unpack_bytes(strip.as_ptr(), room.levels),
        }
        for lane in [0, LANES] {
            let from = strip.as_ptr().add(at);
            unpack_scales(kind.scales(), from, groups, lane, room.scales, room.added);
        }
    }
}

/// # Safety
/// As many groups as `to` has room for can be read at `from`; the processor has AVX2.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn unpack_levels<const FORM: u8>(from: *const u8, to: &mut [Line]) {
    for (group, lines) in to.chunks_exact_mut(8).enumerate() {
        for lane in [0, LANES] {
            // SAFETY: by the contract; a line is as long as two vectors.
            unsafe {
                let unpacked = levels::<FORM>(from.add(group * bytes_of(FORM) + 4 * lane));
                for (line, vector) in lines.iter_mut().zip(unpacked.as_flattened()) {
                    _mm256_storeu_si256(line.0.as_mut_ptr().add(4 * lane).cast(), *vector);
                }
            }
        }
    }
}

/// Bytes, 128 added, as words: those of weights 2v, 2v+1 of each row in line v.
///
/// # Safety
/// Half as many bytes as `to` has room for can be read at `from`; the processor has AVX2.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn unpack_bytes(from: *const u8, to: &mut [Line]) {
    // Bytes 0, 1 of each row to the upper bytes of words, or bytes 2, 3; -1 leaves a zero.
    let first =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(-1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13));
    let second = _mm256_or_si256(first, _mm256_set1_epi16(2 << 8));
    for (index, lines) in to.chunks_exact_mut(2).enumerate() {
        for at in [0, 32] {
            // SAFETY: by the contract; a line is as long as two vectors.
            unsafe {
                let bytes = _mm256_loadu_si256(from.add(64 * index + at).cast());
                let signed = _mm256_xor_si256(bytes, _mm256_set1_epi8(i8::MIN));
                for (line, places) in lines.iter_mut().zip([first, second]) {
                    let words = _mm256_srai_epi16::<8>(_mm256_shuffle_epi8(signed, places));
                    _mm256_storeu_si256(line.0.as_mut_ptr().add(at).cast(), words);
                }
            }
        }
    }
}

/// The scales of the eight rows from `lane` on.
///
/// # Safety
/// The records of all groups can be read at `from`, and `lane` is 0 or 8; the processor has AVX2 and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn unpack_scales(
    form: Scales,
    from: *const u8,
    groups: usize,
    lane: usize,
    scales: &mut [f32],
    added: &mut [f32],
) {
    let record = form.record();
    let put = |to: &mut [f32], place: usize, numbers: __m256| {
        // SAFETY: the slice is cut to 8 numbers.
        unsafe { _mm256_storeu_ps(to[place * STRIP + lane..][..LANES].as_mut_ptr(), numbers) };
    };
    for index in 0..groups / record.groups {
        // SAFETY: record `index` lies in the strip, by the contract.
        unsafe {
            let at = from.add(index * record.bytes);
            let number = |place: usize| halves(at.add(2 * (place * STRIP + lane)));
            let bytes = |place: usize| at.add(place * STRIP + lane);
            let d = number(0);
            match form {
                Scales::Plain => put(scales, index, d),
                Scales::WithMin => {
                    put(scales, index, d);
                    put(added, index, number(1));
                }
                Scales::SuperWithMin => {
                    let least = _mm256_sub_ps(_mm256_setzero_ps(), number(1));
                    for part in 0..8 {
                        put(scales, 8 * index + part, _mm256_mul_ps(d, unsigned(bytes(4 + part))));
                        put(added, 8 * index + part, _mm256_mul_ps(least, unsigned(bytes(12 + part))));
                    }
                }
                Scales::SuperOfHalves => {
                    for part in 0..16 {
                        put(scales, 16 * index + part, _mm256_mul_ps(d, signed(bytes(2 + part))));
                    }
                }
            }
        }
    }
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
/// `strip` has two bytes for each number of `to`; the processor has F16C.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn widen_f16(strip: &[u8], to: &mut [f32]) {
    for (index, to) in to.chunks_exact_mut(LANES).enumerate() {
        // SAFETY: by the contract; the chunk has as many numbers as the vector.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), halves(strip.as_ptr().add(2 * LANES * index))) };
    }
}

/// # Safety
/// `strip` has 64 bytes for each two columns of `to`, or the one left over; the processor has AVX2.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn widen_bf16(strip: &[u8], to: &mut [f32]) {
    for (pair, to) in to.chunks_mut(2 * STRIP).enumerate() {
        for lane in [0, LANES] {
            // SAFETY: by the contract; a second column is written where there is one.
            unsafe {
                let [first, second] = pairs(strip.as_ptr().add(64 * pair + 4 * lane));
                _mm256_storeu_ps(to[lane..][..LANES].as_mut_ptr(), first);
                if to.len() > STRIP {
                    _mm256_storeu_ps(to[STRIP + lane..][..LANES].as_mut_ptr(), second);
                }
            }
        }
    }
}

/// Eight pairs of bf16: the first of each, and the second.
///
/// # Safety
/// 32 bytes can be read at `at`; the processor has AVX2.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn pairs(at: *const u8) -> [__m256; 2] {
    // SAFETY: by the contract.
    let both = unsafe { _mm256_loadu_si256(at.cast()) };
    let upper = _mm256_set1_epi32(0xffff_0000_u32 as i32);
    [_mm256_castsi256_ps(_mm256_slli_epi32::<16>(both)), _mm256_castsi256_ps(_mm256_and_si256(both, upper))]
}
