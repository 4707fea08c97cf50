//! The levels of one group of four rows, unpacked, their products with the levels of a row, and the scales of 16
//! rows.

use std::arch::aarch64::*;

use super::Rows;
use super::instructions::dot;

/// How levels are stored.
pub(super) const BYTES: u8 = 8;
pub(super) const NIBBLES: u8 = 4;
pub(super) const FIVE_BITS: u8 = 5;
pub(super) const SIX_BITS: u8 = 6;

/// Half a group of four rows: vector q holds weights 4q..4q+4.
pub(super) type Half = [int8x16_t; 4];

/// Bytes of a group of a strip.
pub(super) const fn bytes_of(form: u8) -> usize {
    match form {
        BYTES => 512,
        NIBBLES => 256,
        FIVE_BITS => 320,
        _ => 384,
    }
}

/// Both halves of the group at `at`, which is 16 bytes further for each next four rows. From whole bytes 128 is
/// subtracted; no other offset is.
///
/// # Safety
/// A group of `FORM` can be read at `at`, up to the end of these rows.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn levels<const FORM: u8>(at: *const u8) -> [Half; 2] {
    // SAFETY: inside the group, by the contract.
    let load = |line: usize| unsafe { vld1q_u8(at.add(64 * line)) };
    let stored = [load(0), load(1), load(2), load(3)];
    match FORM {
        BYTES => [stored.map(|v| less_128(v)), [load(4), load(5), load(6), load(7)].map(|v| less_128(v))],
        NIBBLES => nibbles(stored),
        FIVE_BITS => five_bits(stored, load(4)),
        _ => six_bits(stored, [load(4), load(5)]),
    }
}

/// Bytes less 128, signed.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn less_128(bytes: uint8x16_t) -> int8x16_t {
    vreinterpretq_s8_u8(veorq_u8(bytes, vdupq_n_u8(0x80)))
}

#[inline]
#[target_feature(enable = "neon")]
fn nibbles(stored: [uint8x16_t; 4]) -> [Half; 2] {
    let bits = vdupq_n_u8(15);
    [
        stored.map(|v| vreinterpretq_s8_u8(vandq_u8(v, bits))),
        stored.map(|v| vreinterpretq_s8_u8(vshrq_n_u8::<4>(v))),
    ]
}

/// Bit q of each byte of `high` is the fifth bit of weights 4q..4q+4.
#[inline]
#[target_feature(enable = "neon")]
fn five_bits(stored: [uint8x16_t; 4], high: uint8x16_t) -> [Half; 2] {
    // Fifth bits of both halves: of weights 4q.. in bit 0, of weights 16+4q.. in bit 4.
    let placed = [high, vshrq_n_u8::<1>(high), vshrq_n_u8::<2>(high), vshrq_n_u8::<3>(high)];
    joined::<31>(stored, placed, placed)
}

/// Bits 2q, 2q+1 of each byte are the upper bits of weights 4q..4q+4 of a half.
#[inline]
#[target_feature(enable = "neon")]
fn six_bits(stored: [uint8x16_t; 4], high: [uint8x16_t; 2]) -> [Half; 2] {
    let [low, high] = high;
    let first = [low, vshrq_n_u8::<2>(low), vshrq_n_u8::<4>(low), vshrq_n_u8::<6>(low)];
    let second = [vshlq_n_u8::<4>(high), vshlq_n_u8::<2>(high), high, vshrq_n_u8::<2>(high)];
    joined::<63>(stored, first, second)
}

/// Levels of both halves: their low four bits with those above, which stand at the bottom of `first`'s bytes and
/// in the upper half of `second`'s. What else stands there is cut off by `BITS`.
#[inline]
#[target_feature(enable = "neon")]
fn joined<const BITS: u8>(
    stored: [uint8x16_t; 4],
    first: [uint8x16_t; 4],
    second: [uint8x16_t; 4],
) -> [Half; 2] {
    let bits = vdupq_n_u8(BITS);
    let mut out = [[vdupq_n_s8(0); 4]; 2];
    for q in 0..4 {
        out[0][q] = vreinterpretq_s8_u8(vandq_u8(vsliq_n_u8::<4>(stored[q], first[q]), bits));
        out[1][q] = vreinterpretq_s8_u8(vandq_u8(vsriq_n_u8::<4>(second[q], stored[q]), bits));
    }
    out
}

/// `sum` plus the products of half a group of weights with 16 levels of a row, in each lane those of one row of
/// weights. Sums have 32 bits: no level is too large.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(super) fn add_dots(sum: int32x4_t, weights: &Half, x: int8x16_t) -> int32x4_t {
    let sum = dot::<0>(sum, weights[0], x);
    let sum = dot::<1>(sum, weights[1], x);
    let sum = dot::<2>(sum, weights[2], x);
    dot::<3>(sum, weights[3], x)
}

/// 16 numbers of f16 in f32.
///
/// # Safety
/// 32 bytes can be read at `at`.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn halves(at: *const u8) -> Rows {
    // SAFETY: by the contract.
    let [low, high] = unsafe { [vld1q_u16(at.cast()), vld1q_u16(at.add(16).cast())] };
    let wide = |four: uint16x4_t| vcvt_f32_f16(vreinterpret_f16_u16(four));
    [wide(vget_low_u16(low)), wide(vget_high_u16(low)), wide(vget_low_u16(high)), wide(vget_high_u16(high))]
}

/// 16 unsigned bytes in f32.
///
/// # Safety
/// They can be read at `at`.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn unsigned(at: *const u8) -> Rows {
    // SAFETY: by the contract.
    let bytes = unsafe { vld1q_u8(at) };
    let (low, high) = (vmovl_u8(vget_low_u8(bytes)), vmovl_high_u8(bytes));
    [
        vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))),
        vcvtq_f32_u32(vmovl_high_u16(low)),
        vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))),
        vcvtq_f32_u32(vmovl_high_u16(high)),
    ]
}

/// 16 signed bytes in f32.
///
/// # Safety
/// They can be read at `at`.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn signed(at: *const u8) -> Rows {
    // SAFETY: by the contract.
    let bytes = unsafe { vld1q_s8(at.cast()) };
    let (low, high) = (vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes));
    [
        vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))),
        vcvtq_f32_s32(vmovl_high_s16(low)),
        vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))),
        vcvtq_f32_s32(vmovl_high_s16(high)),
    ]
}
