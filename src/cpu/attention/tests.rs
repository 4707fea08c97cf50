//! Every available instruction set against the definition of attention, in f64, one number at a time.

use proptest::prelude::*;

use super::{HeadNorm, HeadShape, KvCache, KvType, Prepare, Queries, Rows, Turn};
use crate::cpu::isa::Isa;

/// Numbers in [-spread, spread] that look random.
fn numbers(count: usize, seed: u64, spread: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * spread
    };
    (0..count).map(|_| next()).collect()
}

/// Weight of the norm, tables of the rotation.
struct Tables {
    weight: Option<Vec<f32>>,
    cos: Vec<f32>,
    sin: Vec<f32>,
    half: usize,
}

impl Tables {
    fn new(dim: usize, half: usize, positions: usize) -> Self {
        let angle = |at: usize| (at / half.max(1)) as f32 * 0.9f32.powi((at % half.max(1)) as i32);
        let table = |f: fn(f32) -> f32| (0..positions * half).map(|at| f(angle(at))).collect();
        Self { weight: Some(numbers(dim, 5, 1.5)), cos: table(f32::cos), sin: table(f32::sin), half }
    }

    fn prepare(&self) -> Prepare<'_> {
        Prepare {
            norm: self.weight.as_deref().map(|weight| HeadNorm { weight: Some(weight), eps: 1e-6 }),
            turn: Some(Turn { cos: &self.cos, sin: &self.sin, half: self.half }),
        }
    }

    /// The definition of norm and rotation.
    fn head(&self, x: &[f32], position: usize) -> Vec<f64> {
        let mut x: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
        if let Some(weight) = &self.weight {
            let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
            x.iter_mut().zip(weight).for_each(|(x, w)| *x *= f64::from(*w) / (mean + 1e-6).sqrt());
        }
        for i in 0..self.half {
            let at = position * self.half + i;
            let (cos, sin) = (f64::from(self.cos[at]), f64::from(self.sin[at]));
            let (a, b) = (x[i], x[i + self.half]);
            (x[i], x[i + self.half]) = (a * cos - b * sin, b * cos + a * sin);
        }
        x
    }
}

/// Projected rows of all tokens.
struct Sequence {
    shape: HeadShape,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    tables: Tables,
    scale: f32,
}

impl Sequence {
    fn new(shape: HeadShape, half: usize, tokens: usize, spread: f32) -> Self {
        Self {
            shape,
            q: numbers(tokens * shape.heads * shape.dim, 1, spread),
            k: numbers(tokens * shape.kv_heads * shape.dim, 2, 1.0),
            v: numbers(tokens * shape.kv_heads * shape.dim, 3, 1.0),
            tables: Tables::new(shape.dim, half, tokens),
            scale: 1.0 / (shape.dim as f32).sqrt(),
        }
    }

    /// Feeds the tokens in runs of the given sizes, repeated; what comes out, (tokens, heads · dim).
    fn mixed(&self, isa: Isa, cache: &mut KvCache, sizes: &[usize]) -> Vec<f32> {
        let HeadShape { heads, kv_heads, dim } = self.shape;
        let tokens = self.q.len() / (heads * dim);
        let (mut at, mut out) = (0, Vec::new());
        for size in sizes.iter().cycle() {
            let end = tokens.min(at + size);
            let kv = at * kv_heads * dim..end * kv_heads * dim;
            let keys = Rows::dense(&self.k[kv.clone()], kv_heads * dim);
            cache.append(isa, &keys, &Rows::dense(&self.v[kv], kv_heads * dim), &self.tables.prepare(), at);
            let rows = Rows::dense(&self.q[at * heads * dim..end * heads * dim], heads * dim);
            let queries = Queries { rows, prepare: self.tables.prepare(), scale: self.scale };
            let mut part = vec![f32::NAN; (end - at) * heads * dim];
            cache.attend(isa, &queries, at, &mut part);
            out.extend(part);
            at = end;
            if at == tokens {
                break;
            }
        }
        out
    }

    /// The definition.
    fn expected(&self) -> Vec<f64> {
        let HeadShape { heads, kv_heads, dim } = self.shape;
        let tokens = self.q.len() / (heads * dim);
        let key = |token: usize, head: usize| {
            self.tables.head(&self.k[(token * kv_heads + head) * dim..][..dim], token)
        };
        let keys: Vec<Vec<f64>> =
            (0..tokens * kv_heads).map(|at| key(at / kv_heads, at % kv_heads)).collect();
        let mut out = Vec::new();
        for (at, q) in self.q.chunks_exact(dim).enumerate() {
            let (token, of) = (at / heads, at % heads / self.shape.group());
            let q = self.tables.head(q, token);
            let dot = |t: usize| q.iter().zip(&keys[t * kv_heads + of]).map(|(a, b)| a * b).sum::<f64>();
            let scores: Vec<f64> = (0..=token).map(|t| dot(t) * f64::from(self.scale)).collect();
            let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|s| (s - top).exp()).collect();
            let sum: f64 = weights.iter().sum();
            let value = |t: usize, d: usize| f64::from(self.v[(t * kv_heads + of) * dim + d]);
            out.extend((0..dim).map(|d| (0..=token).map(|t| weights[t] * value(t, d)).sum::<f64>() / sum));
        }
        out
    }
}

/// Largest difference; infinite if a number is none.
fn worst(got: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let differences = got.iter().zip(expected).map(|(g, e)| (f64::from(*g) - e).abs());
    differences.fold(0.0, |worst, d| if d.is_finite() { worst.max(d) } else { f64::INFINITY })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 24 }))]
    #[test]
    fn every_way_through_agrees_with_the_definition(
        kv_heads in 1usize..4, group in 1usize..9, dim in 1usize..70, half in 0.0..1.0f64,
        tokens in 1usize..if cfg!(miri) { 20 } else { 300 }, spread in 0.1f32..8.0, sizes in prop::collection::vec(1usize..150, 1..5), normed in any::<bool>(),
    ) {
        let shape = HeadShape { heads: kv_heads * group, kv_heads, dim };
        let mut sequence = Sequence::new(shape, (half * (dim / 2 + 1) as f64) as usize, tokens, spread);
        if !normed {
            sequence.tables.weight = None;
        }
        let expected = sequence.expected();
        for isa in Isa::available() {
            for kind in [KvType::F32, KvType::F16] {
                let mut cache = KvCache::new(shape, kind, tokens);
                let worst = worst(&sequence.mixed(isa, &mut cache, &sizes), &expected);
                // Rounding of a score grows with it; keys of f16 are off by 2⁻¹¹ of themselves.
                let bar = if kind == KvType::F32 { 1e-5 } else { 4e-3 };
                prop_assert!(worst < bar * (1.0 + f64::from(spread)), "{isa:?} {kind:?}: {worst}");
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "large")]
fn the_shapes_of_real_models_agree_with_the_definition() {
    for (heads, kv_heads, dim, half) in [(4, 2, 128, 64), (7, 1, 64, 32), (4, 1, 256, 32), (1, 1, 80, 40)] {
        let shape = HeadShape { heads, kv_heads, dim };
        let sequence = Sequence::new(shape, half, 400, 1.0);
        let expected = sequence.expected();
        for isa in Isa::available() {
            for sizes in [&[400][..], &[1], &[130, 1, 2, 3], &[127, 1, 128]] {
                let mut cache = KvCache::new(shape, KvType::F32, 400);
                let worst = worst(&sequence.mixed(isa, &mut cache, sizes), &expected);
                assert!(worst < 1e-5, "{isa:?} {shape:?} {sizes:?}: {worst}");
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "large")]
fn what_was_appended_is_held_and_what_is_beyond_it_does_not_matter() {
    let shape = HeadShape { heads: 2, kv_heads: 2, dim: 20 };
    let mut sequence = Sequence::new(shape, 4, 200, 1.0);
    for isa in Isa::available() {
        let mut cache = KvCache::new(shape, KvType::F32, 200);
        assert_eq!(cache.capacity(), 256);
        let first = sequence.mixed(isa, &mut cache, &[150, 50]);
        let held = cache.held(200);
        let key: Vec<f64> = sequence.tables.head(&sequence.k[(137 * 2 + 1) * 20..][..20], 137);
        assert!(worst(&held.keys[(200 + 137) * 20..][..20], &key) < 1e-6);
        assert_eq!(held.values[(200 + 137) * 20..][..20], sequence.v[(137 * 2 + 1) * 20..][..20]);
        // The same tokens again over what is there, and over numbers that are none.
        assert_eq!(first, sequence.mixed(isa, &mut cache, &[150, 50]));
        let kept = std::mem::replace(&mut sequence.v, vec![f32::NAN; 200 * 40]);
        sequence.mixed(isa, &mut cache, &[200]);
        sequence.v = kept;
        assert_eq!(first, sequence.mixed(isa, &mut cache, &[150, 50]));
    }
}

#[test]
#[cfg_attr(miri, ignore = "large")]
fn blocks_that_end_where_others_begin_agree_with_the_definition() {
    let shape = HeadShape { heads: 2, kv_heads: 1, dim: 16 };
    let tokens = 258;
    let sequence = Sequence::new(shape, 8, tokens, 1.0);
    let expected = sequence.expected();
    for isa in Isa::available() {
        // Runs that end one token before, at, and one token behind the end of a block of keys.
        for sizes in [&[127, 128, 3][..], &[128, 130], &[129, 129], &[128, 129, 1], &[124, 4, 1, 127, 2]] {
            let mut cache = KvCache::new(shape, KvType::F32, tokens);
            let worst = worst(&sequence.mixed(isa, &mut cache, sizes), &expected);
            assert!(worst < 1e-5, "{isa:?} {sizes:?}: {worst}");
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "large")]
fn heads_of_small_numbers_are_held_up_by_what_is_added_to_their_square() {
    let shape = HeadShape { heads: 2, kv_heads: 1, dim: 24 };
    let mut sequence = Sequence::new(shape, 4, 40, 1e-3);
    sequence.k.iter_mut().for_each(|k| *k *= 1e-3);
    let expected = sequence.expected();
    for isa in Isa::available() {
        for sizes in [&[40][..], &[1]] {
            let mut cache = KvCache::new(shape, KvType::F32, 40);
            let worst = worst(&sequence.mixed(isa, &mut cache, sizes), &expected);
            assert!(worst < 2e-5, "{isa:?} {sizes:?}: {worst}");
        }
    }
}

#[test]
fn what_a_thread_has_left_of_earlier_work_does_not_matter() {
    let shape = HeadShape { heads: 1, kv_heads: 1, dim: 20 };
    let sound = Sequence::new(shape, 4, 12, 1.0);
    let mut wrong = Sequence::new(shape, 4, 12, 1.0);
    wrong.k.fill(f32::NAN);
    for isa in Isa::available() {
        let run = |of: &Sequence| of.mixed(isa, &mut KvCache::new(shape, KvType::F32, 12), &[12]);
        run(&wrong);
        assert!(worst(&run(&sound), &sound.expected()) < 1e-5, "{isa:?}");
    }
}

#[test]
fn keys_and_values_beyond_f16_are_stored_at_its_ends() {
    let shape = HeadShape { heads: 1, kv_heads: 1, dim: 16 };
    let numbers: Vec<f32> = (0..16).map(|i| [1e6, -1e6, f32::INFINITY, 3.0][i % 4]).collect();
    for isa in Isa::available() {
        let mut cache = KvCache::new(shape, KvType::F16, 1);
        let rows = Rows::dense(&numbers, 16);
        cache.append(isa, &rows, &rows, &Prepare::default(), 0);
        let expected: Vec<f32> = (0..16).map(|i| [65_504.0, -65_504.0, 65_504.0, 3.0][i % 4]).collect();
        let held = cache.held(1);
        assert_eq!((&held.keys, &held.values), (&expected, &expected), "{isa:?}");
    }
}

#[test]
fn scores_far_apart_do_not_overflow_and_a_wrong_number_is_not_hidden() {
    let shape = HeadShape { heads: 1, kv_heads: 1, dim: 16 };
    for isa in Isa::available() {
        for tokens in [2, 40] {
            let mut sequence = Sequence::new(shape, 0, tokens, 1.0);
            sequence.tables.weight = None;
            sequence.q.fill(1e4);
            sequence.k.fill(-1e4);
            sequence.k[..16].fill(1e4);
            let run = |sequence: &Sequence| {
                sequence.mixed(isa, &mut KvCache::new(shape, KvType::F32, tokens), &[tokens])
            };
            let last = run(&sequence)[(tokens - 1) * 16..].to_vec();
            assert!(
                last.iter().zip(&sequence.v[..16]).all(|(o, v)| (o - v).abs() < 1e-6),
                "{isa:?} {last:?}"
            );
            sequence.q[(tokens - 1) * 16] = f32::NAN;
            assert!(run(&sequence)[(tokens - 1) * 16..].iter().all(|o| o.is_nan()), "{isa:?}");
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "large")]
fn rows_inside_wider_rows_are_read_where_they_lie() {
    let shape = HeadShape { heads: 4, kv_heads: 2, dim: 16 };
    let sequence = Sequence::new(shape, 8, 30, 1.0);
    // (query, key, value) side by side, as one product makes them.
    let row =
        |t: usize| [&sequence.q[t * 64..][..64], &sequence.k[t * 32..][..32], &sequence.v[t * 32..][..32]];
    let joined: Vec<f32> = (0..30).flat_map(|t| row(t).concat()).collect();
    let part = |at: usize, width: usize| Rows::new(&joined[at..], 30, width, 128).unwrap();
    for isa in Isa::available() {
        let mut cache = KvCache::new(shape, KvType::F32, 30);
        let expected = sequence.mixed(isa, &mut cache, &[30]);
        cache.append(isa, &part(64, 32), &part(96, 32), &sequence.tables.prepare(), 0);
        let queries =
            Queries { rows: part(0, 64), prepare: sequence.tables.prepare(), scale: sequence.scale };
        let mut out = vec![0.0; 30 * 64];
        cache.attend(isa, &queries, 0, &mut out);
        assert_eq!(out, expected, "{isa:?}");
    }
}
