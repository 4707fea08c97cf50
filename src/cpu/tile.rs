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
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Avx2 {
        return super::avx2::gemv_strip(kind, strip, x);
    }
    #[cfg(target_arch = "aarch64")]
    if isa == Isa::Neon {
        return super::neon::gemv_strip(kind, strip, x);
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
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Avx2 {
        return super::avx2::int_tile(x, form, strips, out);
    }
    #[cfg(target_arch = "aarch64")]
    if isa == Isa::Neon {
        return super::neon::int_tile(x, form, strips, out);
    }
    let _ = isa;
    int_tile_plainly(x, form, strips, out);
}

/// A few rows of f32 times one or two strips `[column][16]`.
pub(super) fn f32_tile(x: &[&[f32]], strips: &[&[f32]], out: &mut [[f32; 32]], isa: Isa) {
    #[cfg(target_arch = "x86_64")]
    if isa.is_avx512() {
        return super::avx512::f32_tile(x, strips, out);
    }
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Avx2 {
        return super::avx2::f32_tile(x, strips, out);
    }
    #[cfg(target_arch = "aarch64")]
    if isa == Isa::Neon {
        return super::neon::f32_tile(x, strips, out);
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
        Form::Added(_) => (0, group),
        Form::Halves(bits) => (bits, half),
    };
    let mut dots = match form {
        Form::Added(_) => [0i32; STRIP],
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
    if form.is_added() && half % 2 == 1 {
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::cpu::packed::Packed;
    use crate::cpu::product::{Factor, multiply};

    const ROWS: usize = 37;

    /// Where the floats of a stored block have the byte with the top of their exponent.
    fn exponents(kind: BlockType) -> &'static [usize] {
        match kind {
            BlockType::Q4_1 | BlockType::Q5_1 | BlockType::Q4K | BlockType::Q5K => &[1, 3],
            BlockType::Q6K => &[209],
            BlockType::F32 => &[3],
            _ => &[1],
        }
    }

    /// A matrix of such bytes, save that none of its floats reaches 2.
    fn matrix(kind: BlockType, columns: usize, mut byte: impl FnMut() -> u8) -> Packed {
        let row_bytes = kind.row_bytes(columns);
        let mut stored: Vec<u8> = (0..ROWS * row_bytes).map(|_| byte()).collect();
        for block in stored.chunks_exact_mut(kind.block_bytes()) {
            exponents(kind).iter().for_each(|at| block[*at] &= 0xbf);
        }
        Packed::pack(kind, ROWS, columns, |first, out| {
            out.copy_from_slice(&stored[first * row_bytes..][..out.len()]);
            Ok::<(), Infallible>(())
        })
        .unwrap()
    }

    /// The products of each instruction set stand near the plain ones, which take offsets off in f32.
    fn agree(matrix: &Packed, x: &[f32]) {
        let (kind, columns) = (matrix.kind(), matrix.columns());
        let factors = [Factor { matrix, bias: None }];
        let plain = multiply(x, columns, &factors, Isa::Portable).remove(0);
        let norm = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|n| n * n).sum::<f64>().sqrt();
        for isa in Isa::available() {
            let got = multiply(x, columns, &factors, isa).remove(0);
            let apart = norm(&mut got.iter().zip(&plain).map(|(a, b)| f64::from(*a) - f64::from(*b)));
            let whole = norm(&mut plain.iter().map(|y| f64::from(*y)));
            // Many rows are rounded to bf16 where its arithmetic is used.
            let rounds = isa == Isa::Avx512Bf16 && kind == BlockType::BF16;
            let bar = if rounds { 1e-2 } else { 1e-5 };
            let rows = x.len() / columns;
            assert!(apart <= bar * whole, "{isa:?} {kind:?} {rows} × {columns}: {apart:e} of {whole:e}");
        }
    }

    #[test]
    fn each_instruction_set_multiplies_as_the_plain_loops_do() {
        let mut state = 88_172_645_463_325_252_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u32
        };
        for kind in BlockType::ALL {
            for columns in [1, 32, 33, 64, 75, 512].into_iter().filter(|n| n % kind.block_len() == 0) {
                let matrix = matrix(kind, columns, || random() as u8);
                for rows in [1, 2, 5, 7, 13] {
                    let x: Vec<f32> =
                        (0..rows * columns).map(|_| (random() % 2001) as f32 / 1000.0 - 1.0).collect();
                    agree(&matrix, &x);
                }
            }
        }
    }

    #[test]
    fn the_largest_levels_do_not_overflow() {
        for kind in BlockType::ALL {
            // All bits, and the least and the largest signed byte.
            for byte in [0xff, 0x80, 0x7f] {
                let matrix = matrix(kind, 256, || byte);
                for x in [1.0, -1.0] {
                    agree(&matrix, &[x; 256]);
                    agree(&matrix, &[x; 7 * 256]);
                }
            }
        }
    }
}
