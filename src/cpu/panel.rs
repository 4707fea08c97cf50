//! Up to two strips of weights made ready for many rows: levels a byte each, scales in f32. What a product of
//! many rows unpacks once, and then reads for every few rows.

#![expect(unsafe_code, reason = "a line of bytes is plain data")]

use half::bf16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};

use super::block::{BlockType, GROUP, STRIP, Scales};
use super::isa::Isa;
use super::narrow::Narrow;
use super::packed::{Packed, scales_at};
use super::unpack;

/// A cache line, which is a vector: aligned as loads like it.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u8; 64]);

/// Scratch memory of one thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    levels: Vec<Line>,
    scales: Vec<f32>,
    added: Vec<f32>,
    /// Dense weights as f32, `[strip][column][row]`.
    wide: Vec<f32>,
    /// bf16 out of 12 bits, `[strip][pair][row][2]`.
    pairs: Vec<Line>,
}

/// One strip, ready.
#[derive(Clone, Copy)]
pub(super) struct Ready<'a> {
    /// (groups, 8, 64) bytes, as [`super::packed`] has them for 8 bits; for a form that [is wide](Form::is_wide)
    /// (groups, 16, 64), where vector v holds the words 2v, 2v+1 of each row, without offset.
    pub(super) levels: &'a [u8],
    /// (parts, 16): a part is a group, or half of one.
    pub(super) scales: &'a [f32],
    /// (groups, 16): what is added to each weight of the group; empty where an offset is subtracted from levels.
    pub(super) added: &'a [f32],
}

/// What is common to all strips of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A scale for each group; log2 of the offset of levels.
    Offset(u32),
    /// A scale and an addend for each group; bits of a level above the lowest four.
    Added(usize),
    /// Scales for halves of groups; log2 of the offset of levels.
    Halves(u32),
}

impl Form {
    pub(super) fn of(kind: BlockType) -> Self {
        match (kind.scales(), kind.offset_bits()) {
            (Scales::SuperOfHalves, bits) => Self::Halves(bits.unwrap_or(0)),
            (Scales::Plain, bits) => Self::Offset(bits.unwrap_or(0)),
            (Scales::WithMin | Scales::SuperWithMin, _) => Self::Added(kind.high_bits().unwrap_or(0)),
        }
    }

    /// Whether levels are made ready as words: 256-bit vectors multiply bytes of which one side has no sign, and sums of
    /// such products with whole bytes would have to be widened one by one.
    pub(super) fn is_wide(self, isa: Isa) -> bool {
        isa == Isa::Avx2 && self == Self::Offset(7)
    }

    /// Whether something is added to each weight of a group.
    pub(super) fn is_added(self) -> bool {
        matches!(self, Self::Added(_))
    }

    /// Vectors of the levels of a group, ready.
    fn lines(self, isa: Isa) -> usize {
        if self.is_wide(isa) { 16 } else { 8 }
    }

    /// Scales of a group.
    fn parts(self) -> usize {
        if matches!(self, Self::Halves(_)) { 2 } else { 1 }
    }
}

impl Scratch {
    /// Makes strip `first` and, if there is one, its neighbour ready.
    pub(super) fn ready<'a>(
        &'a mut self,
        matrix: &'a Packed,
        first: usize,
        isa: Isa,
    ) -> ([Ready<'a>; 2], usize) {
        let (kind, groups) = (matrix.kind(), matrix.columns() / GROUP);
        let form = Form::of(kind);
        let strips = (matrix.strips() - first).min(2);
        let (lines, scales) = (groups * form.lines(isa), groups * form.parts() * STRIP);
        let added = if form.is_added() { groups * STRIP } else { 0 };
        let unpacks = kind.high_bits().is_some() || form.is_wide(isa);
        self.levels.resize(if unpacks { 2 * lines } else { 0 }, Line([0; 64]));
        self.scales.resize(2 * scales, 0.0);
        self.added.resize(2 * added, 0.0);
        for index in 0..strips {
            let room = Room {
                levels: if unpacks { &mut self.levels[index * lines..][..lines] } else { &mut [] },
                scales: &mut self.scales[index * scales..][..scales],
                added: &mut self.added[index * added..][..added],
            };
            fill(kind, matrix.strip(first + index), groups, room, isa);
        }
        let ready = |index: usize| Ready {
            levels: match unpacks {
                true => bytes(&self.levels[index * lines..][..lines]),
                false => &matrix.strip(first + index.min(strips - 1))[..groups * 512],
            },
            scales: &self.scales[index * scales..][..scales],
            added: &self.added[index * added..][..added],
        };
        ([ready(0), ready(1)], strips)
    }
}

impl Scratch {
    /// One or two strips of dense weights in f32, `[column][row]`.
    pub(super) fn widened<'a>(&'a mut self, matrix: &'a Packed, first: usize, isa: Isa) -> Vec<&'a [f32]> {
        let (kind, columns) = (matrix.kind(), matrix.columns());
        let strips = first..matrix.strips().min(first + 2);
        if kind == BlockType::F32 {
            return strips.map(|strip| bytemuck::cast_slice(matrix.strip(strip))).collect();
        }
        let each = columns * STRIP;
        self.wide.resize(2 * each, 0.0);
        for (strip, to) in strips.clone().zip(self.wide.chunks_exact_mut(each)) {
            let stored = match matrix.narrow(strip) {
                Some(narrow) => bytemuck::cast_slice::<u16, u8>(
                    unpacked(&mut self.pairs, 0, &narrow, isa).reinterpret_cast(),
                ),
                None => matrix.strip(strip),
            };
            widen(kind, stored, columns, to, isa);
        }
        self.wide.chunks_exact(each).take(strips.len()).collect()
    }
}

impl Scratch {
    /// One or two strips of bf16, `[pair][row][2]`.
    pub(super) fn pairs<'a>(&'a mut self, matrix: &'a Packed, first: usize, isa: Isa) -> Vec<&'a [bf16]> {
        let strips = first..matrix.strips().min(first + 2);
        if !matrix.is_narrow() {
            return strips.map(|strip| bf16s(matrix.strip(strip))).collect();
        }
        for (index, strip) in strips.clone().enumerate() {
            if let Some(narrow) = matrix.narrow(strip) {
                unpacked(&mut self.pairs, index, &narrow, isa);
            }
        }
        let each = matrix.columns() / 2;
        self.pairs.chunks_exact(each).take(strips.len()).map(|lines| bf16s(bytes(lines))).collect()
    }
}

/// A strip out of 12 bits, in the place of strip `index`.
fn unpacked<'a>(lines: &'a mut Vec<Line>, index: usize, narrow: &Narrow<'_>, isa: Isa) -> &'a [bf16] {
    let each = narrow.columns / 2;
    lines.resize(2 * each, Line([0; 64]));
    let words: &mut [u16] = bytemuck::cast_slice_mut(&mut lines[index * each..][..each]);
    let out: &mut [bf16] = words.reinterpret_cast_mut();
    narrow.pairs(out, isa);
    out
}

fn bf16s(bytes: &[u8]) -> &[bf16] {
    bytemuck::cast_slice::<u8, u16>(bytes).reinterpret_cast()
}

fn widen(kind: BlockType, strip: &[u8], columns: usize, to: &mut [f32], isa: Isa) {
    #[cfg(target_arch = "x86_64")]
    if isa.is_avx512() {
        return super::avx512::widen(kind, strip, columns, to);
    }
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Avx2 {
        return super::avx2::widen(kind, strip, columns, to);
    }
    #[cfg(target_arch = "aarch64")]
    if isa == Isa::Neon {
        return super::neon::widen(kind, strip, columns, to);
    }
    let _ = isa;
    for (column, to) in to.chunks_exact_mut(STRIP).enumerate().take(columns) {
        to.iter_mut().enumerate().for_each(|(row, w)| *w = unpack::dense(kind, strip, row, column));
    }
}

/// Where a strip is unpacked to; no levels if they lie ready in the matrix.
pub(super) struct Room<'a> {
    pub(super) levels: &'a mut [Line],
    pub(super) scales: &'a mut [f32],
    pub(super) added: &'a mut [f32],
}

fn fill(kind: BlockType, strip: &[u8], groups: usize, room: Room<'_>, isa: Isa) {
    #[cfg(target_arch = "x86_64")]
    if isa.is_avx512() {
        return super::avx512::unpack(kind, strip, groups, room);
    }
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Avx2 {
        return super::avx2::unpack(kind, strip, groups, room);
    }
    #[cfg(target_arch = "aarch64")]
    if isa == Isa::Neon {
        return super::neon::unpack(kind, strip, groups, room);
    }
    let _ = isa;
    fill_plainly(kind, strip, groups, room);
}

/// The plain twin.
pub(super) fn fill_plainly(kind: BlockType, strip: &[u8], groups: usize, room: Room<'_>) {
    let (levels, scales) = strip.split_at(scales_at(kind, groups * GROUP));
    for (group, lines) in room.levels.chunks_exact_mut(8).enumerate() {
        let levels = &levels[group * kind.level_bytes()..];
        for (q, line) in lines.iter_mut().enumerate() {
            for (at, byte) in line.0.iter_mut().enumerate() {
                *byte = unpack::level(kind, levels, at / 4, 4 * q + at % 4);
            }
        }
    }
    let parts = Form::of(kind).parts();
    for (at, out) in room.scales.iter_mut().enumerate() {
        let (part, row) = (at / STRIP, at % STRIP);
        *out = unpack::scale(kind, scales, part / parts, part % parts, row).factor;
    }
    for (at, out) in room.added.iter_mut().enumerate() {
        *out = unpack::scale(kind, scales, at / STRIP, 0, at % STRIP).added;
    }
}

// SAFETY: all bits are zero in a line of zeros.
unsafe impl bytemuck::Zeroable for Line {}
// SAFETY: an array of bytes as long as its alignment: no padding, no invalid bits.
unsafe impl bytemuck::Pod for Line {}

fn bytes(lines: &[Line]) -> &[u8] {
    bytemuck::cast_slice(lines)
}
