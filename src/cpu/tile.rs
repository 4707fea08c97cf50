//! The innermost products, picked by instruction set, and their plain twins.

use half::bf16;

use super::activations::{LevelRow, Vector};
use super::block::{BlockType, GROUP, STRIP};
use super::isa::Isa;
use super::panel::{Form, Ready};
use super::unpack;

/// Most rows of [`int_tile`].
pub(super) const INT_ROWS: usize = 6;

/// Most rows of [`f32_tile`] and [`bf16_tile`].
pub(super) const DENSE_ROWS: usize = 12;

/// One row times the 16 rows of a strip of weights, as they lie.
pub(super) fn gemv_strip(kind: BlockType, strip: &[u8], x: Vector<'_>, isa: Isa) -> [f32; STRIP] {
    #[cfg(target_arch = "x86_64")]
    if isa.is_avx512() {
        return super::avx512::gemv_strip(kind, strip, x);
    }
    let _ = isa;
    gemv_plainly(kind, strip, x)
}

/// A few rows of levels times one or two strips that are ready.
pub(super) fn int_tile(
    x: &[LevelRow<'_>],
    form: Form,
    strips: &[Ready<'_>],
    out: &mut [[f32; 32]],
    isa: Isa,
) {
    #[cfg(target_arch = "x86_64")]
    if isa.is_avx512() {
        return super::avx512::int_tile(x, form, strips, out);
    }
    let _ = isa;
    int_tile_plainly(x, form, strips, out);
}

/// A few rows of f32 times one or two strips [column][16].
pub(super) fn f32_tile(x: &[&[f32]], strips: &[&[f32]], out: &mut [[f32; 32]], isa: Isa) {
    #[cfg(target_arch = "x86_64")]
    if isa.is_avx512() {
        return super::avx512::f32_tile(x, strips, out);
    }
    let _ = isa;
    f32_tile_plainly(x, strips, out);
}

/// A few rows of bf16 times one or two strips of pairs. Where the processor has no bf16 arithmetic, products are
/// made in f32 instead, and this is not called.
pub(super) fn bf16_tile(x: &[&[bf16]], strips: &[&[bf16]], out: &mut [[f32; 32]]) {
    #[cfg(target_arch = "x86_64")]
    return super::avx512::bf16_tile(x, strips, out);
    #[cfg(not(target_arch = "x86_64"))]
    unreachable!("no bf16 arithmetic here: {} rows, {} strips, {}", x.len(), strips.len(), out.len());
}

/// The plain twin of [`gemv_strip`].
pub(super) fn gemv_plainly(kind: BlockType, strip: &[u8], x: Vector<'_>) -> [f32; STRIP] {
    let mut out = [0f32; STRIP];
    match x.levels.filter(|_| kind.is_quantized()) {
        None => {
            for (column, x) in x.numbers.iter().enumerate() {
                let weights: [f32; STRIP] =
                    std::array::from_fn(|row| unpack::dense(kind, strip, row, column));
                out.iter_mut().zip(weights).for_each(|(y, w)| *y += w * x);
            }
        }
        Some(levels) => {
            let (weights, scales) = strip.split_at(super::packed::scales_at(kind, x.numbers.len()));
            for group in 0..levels.scales.len() {
                let weights = &weights[group * kind.level_bytes()..];
                let x_levels = &levels.levels[group * GROUP..][..GROUP];
                for (row, y) in out.iter_mut().enumerate() {
                    *y += group_plainly(kind, weights, scales, x_levels, group, row) * levels.scales[group];
                }
            }
        }
    }
    out
}

/// One row of one group, times levels.
fn group_plainly(kind: BlockType, weights: &[u8], scales: &[u8], x: &[i8], group: usize, row: usize) -> f32 {
    let half = |half: usize| {
        let scale = unpack::scale(kind, scales, group, half, row);
        let some = 16 * half..16 * half + 16;
        let dot: i32 =
            some.clone().map(|i| i32::from(unpack::level(kind, weights, row, i)) * i32::from(x[i])).sum();
        let sum: i32 = x[some].iter().map(|x| i32::from(*x)).sum();
        scale.factor * dot as f32 + scale.added * sum as f32
    };
    half(0) + half(1)
}

/// The plain twin of [`int_tile`].
pub(super) fn int_tile_plainly(x: &[LevelRow<'_>], form: Form, strips: &[Ready<'_>], out: &mut [[f32; 32]]) {
    for (x, out) in x.iter().zip(out) {
        for (strip, out) in strips.iter().zip(out.chunks_exact_mut(STRIP)) {
            out.fill(0.0);
            for half in 0..2 * x.scales.len() {
                half_plainly(x, form, strip, half, out);
            }
        }
    }
}

fn half_plainly(x: &LevelRow<'_>, form: Form, strip: &Ready<'_>, half: usize, out: &mut [f32]) {
    let group = half / 2;
    let (bits, part) = match form {
        Form::Offset(bits) => (bits, group),
        Form::Added => (0, group),
        Form::Halves(bits) => (bits, half),
    };
    let mut dots = match form {
        Form::Added => [0i32; STRIP],
        _ => [x.negative_sums[half] << bits; STRIP],
    };
    for (vector, four) in x.levels[16 * half..][..16].chunks_exact(4).enumerate() {
        let weights = &strip.levels[(4 * half + vector) * 64..][..64];
        for (dot, weights) in dots.iter_mut().zip(weights.chunks_exact(4)) {
            *dot += weights.iter().zip(four).map(|(w, x)| i32::from(*w) * i32::from(*x)).sum::<i32>();
        }
    }
    let scales = &strip.scales[part * STRIP..][..STRIP];
    for ((y, dot), scale) in out.iter_mut().zip(dots).zip(scales) {
        *y += scale * x.scales[group] * dot as f32;
    }
    if form == Form::Added && half % 2 == 1 {
        let added = &strip.added[group * STRIP..][..STRIP];
        out.iter_mut().zip(added).for_each(|(y, added)| *y += added * x.scaled_sums[group]);
    }
}

/// The plain twin of [`f32_tile`].
pub(super) fn f32_tile_plainly(x: &[&[f32]], strips: &[&[f32]], out: &mut [[f32; 32]]) {
    for (x, out) in x.iter().zip(out) {
        for (strip, out) in strips.iter().zip(out.chunks_exact_mut(STRIP)) {
            let mut sums = [0f32; STRIP];
            for (x, weights) in x.iter().zip(strip.chunks_exact(STRIP)) {
                sums.iter_mut().zip(weights).for_each(|(y, w)| *y += w * x);
            }
            out.copy_from_slice(&sums);
        }
    }
}
