//! Attention of one token, run on the processor, against candle's operations in f64; and what both
//! attentions' tests are made of.

use candle_core::{D, Device, IndexOp as _};

use super::*;
use crate::cuda::on_host;
use crate::cuda::rows::tests::{numbers, random};

/// Types, and the units that know them.
pub(in crate::cuda) const KINDS: [(DType, Unit); 5] = [
    (DType::BF16, Unit::TensorCores),
    (DType::F16, Unit::TensorCores),
    (DType::F32, Unit::Plain),
    (DType::BF16, Unit::Plain),
    (DType::F16, Unit::Plain),
];

/// Query heads, and key heads.
pub(in crate::cuda) const HEADS: [[usize; 2]; 4] = [[4, 1], [4, 2], [8, 8], [3, 1]];

/// A cache (kv_heads, capacity, dim) of which the first `visible` positions are random, and the rest no
/// numbers.
pub(in crate::cuda) fn cache(
    seed: u64,
    [kv_heads, visible, capacity, dim]: [usize; 4],
    dtype: DType,
) -> Tensor {
    let seen = random(seed, &[kv_heads, visible, dim], 1.0, dtype, 0);
    let rest = Tensor::full(f32::NAN, (kv_heads, capacity - visible, dim), &Device::Cpu).unwrap();
    Tensor::cat(&[seen, rest.to_dtype(dtype).unwrap()], 1).unwrap().contiguous().unwrap()
}

/// A position, where the kernels read it.
pub(in crate::cuda) fn at(position: usize) -> Tensor {
    Tensor::new(&[position as u32], &Device::Cpu).unwrap()
}

/// Attention of `q` after `before` tokens, head by head, in f64.
pub(in crate::cuda) fn plain(
    q: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    before: usize,
    heads: usize,
) -> Vec<f32> {
    let wide = |x: Tensor| x.contiguous().unwrap().to_dtype(DType::F64).unwrap();
    let (tokens, dim, group) = (q.dim(0).unwrap(), keys.dim(2).unwrap(), heads / keys.dim(0).unwrap());
    let visible = before + tokens;
    let hidden = |at: usize| at % visible > before + at / visible;
    let mask = (0..tokens * visible).map(|at| if hidden(at) { f64::NEG_INFINITY } else { 0.0 });
    let mask = Tensor::from_vec(mask.collect(), (tokens, visible), &Device::Cpu).unwrap();
    let of_head = |head: usize| {
        let seen = |cache: &Tensor| wide(cache.i((head / group, ..visible)).unwrap());
        let q = wide(q.narrow(1, head * dim, dim).unwrap());
        let scores = (q.matmul(&seen(keys).t().unwrap()).unwrap() / (dim as f64).sqrt()).unwrap();
        let weights = candle_nn::ops::softmax(&(scores + &mask).unwrap(), D::Minus1).unwrap();
        weights.matmul(&seen(values)).unwrap()
    };
    let all: Vec<Tensor> = (0..heads).map(of_head).collect();
    numbers(&Tensor::cat(&all, 1).unwrap())
}

/// What rounding to `dtype` changes at most, relative to the number.
fn rounding(dtype: DType) -> f32 {
    match dtype {
        DType::BF16 => 1.0 / 256.0,
        DType::F16 => 1.0 / 2048.0,
        _ => 0.0,
    }
}

/// One call of attention on random numbers.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct Case {
    pub kind: (DType, Unit),
    pub heads: [usize; 2],
    pub dim: usize,
    pub capacity: usize,
    pub tokens: usize,
    /// Tokens before the first.
    pub before: usize,
    /// Of queries: how far scores lie apart.
    pub spread: f32,
}

impl Case {
    /// Holds `attend` to the plain form. Weights are rounded by tensor cores and results by all, so an error
    /// is bounded by the roundings of what the same weights make of the values' magnitudes.
    pub fn check(self, attend: impl Fn(&Tensor, [&Tensor; 2], &Tensor) -> Result<Tensor>) {
        let Self { kind: (dtype, unit), heads: [heads, kv_heads], dim, capacity, tokens, before, spread } =
            self;
        let seed = (dim + 3 * heads + 5 * before + 7 * tokens) as u64;
        let q = random(seed, &[tokens, heads * dim], spread, dtype, 0);
        let keys = cache(seed ^ 91, [kv_heads, before + tokens, capacity, dim], dtype);
        let values = cache(seed ^ 92, [kv_heads, before + tokens, capacity, dim], dtype);
        let got = on_host::with(|| attend(&q, [&keys, &values], &at(before))).unwrap();
        assert_eq!((got.dims(), got.dtype()), (q.dims(), dtype));
        let expected = plain(&q, &keys, &values, before, heads);
        let magnitudes = plain(&q, &keys, &values.abs().unwrap(), before, heads);
        let roundings = if unit == Unit::TensorCores { 2.0 } else { 1.0 };
        for (i, got) in numbers(&got).into_iter().enumerate() {
            let allowed = (roundings * rounding(dtype) + 4e-6) * magnitudes[i];
            assert!((got - expected[i]).abs() <= allowed, "{self:?}: {i}: {got} instead of {}", expected[i]);
        }
    }
}

fn check(case: Case) {
    case.check(|q, caches, position| attend_one_on(case.kind.1, q, caches, position, case.heads[0]));
}

fn case(kind: (DType, Unit), heads: [usize; 2], dim: usize, before: usize) -> Case {
    Case { kind, heads, dim, capacity: 300, tokens: 1, before, spread: 2.0 }
}

#[test]
fn one_token_sees_all_before_it_and_itself() {
    for kind in KINDS {
        for dim in [64, 128, 256] {
            for (i, before) in [0, 1, 31, 63, 64, 100, 299].into_iter().enumerate() {
                check(case(kind, HEADS[(i + dim / 64) % 4], dim, before));
            }
        }
    }
}

#[test]
fn heads_share_keys_in_groups_of_every_size() {
    for kind in KINDS {
        for heads in [[4, 1], [4, 2], [8, 8], [3, 1], [8, 1], [16, 1], [18, 2], [1, 1]] {
            check(case(kind, heads, 64, 100));
        }
    }
}

#[test]
fn long_caches_are_split_over_blocks_and_joined() {
    for kind in KINDS {
        for (dim, capacity, before) in
            [(64, 3000, 2999), (128, 1300, 1001), (256, 1300, 1299), (256, 700, 64)]
        {
            check(Case { capacity, spread: 6.0, ..case(kind, [2, 1], dim, before) });
        }
    }
}

/// As on a long cache, where blocks are fewer than what they are worth, and each warp takes tile after tile.
#[test]
fn a_warp_goes_on_from_tile_to_tile() {
    for kind in KINDS {
        for (splits, dim, before) in [(1, 64, 599), (2, 128, 560), (3, 256, 599), (1, 256, 300)] {
            let case = Case { capacity: 600, ..case(kind, [3, 1], dim, before) };
            case.check(|q, caches, position| {
                let shape = Shape::of(q, caches, position, 3).unwrap();
                Split { splits, ..Split::of(shape, kind.1, 132) }.attend(q, caches, position)
            });
        }
    }
}

#[test]
fn a_position_beyond_the_cache_is_its_last() {
    let [q, keys, values] = [1, 2, 3].map(|seed| random(seed, &[1, 1, 64], 1.0, DType::F32, 0));
    let q = q.reshape((1, 64)).unwrap();
    for (keys, values) in [(&keys, &values), (&values, &keys)] {
        let got = on_host::with(|| attend_one(&q, keys, values, &at(70_000), 1)).unwrap();
        assert_eq!(numbers(&got), numbers(values)); // the one key has all the weight
    }
}

#[test]
fn splits_fill_a_large_card_and_depend_on_the_capacity_alone() {
    let split = |heads, kv_heads, dim, capacity| {
        let shape = Shape { tokens: 1, heads, kv_heads, capacity, dim };
        let split = Split::of(shape, Unit::TensorCores, 132);
        [Split::columns(shape, Unit::TensorCores), split.splits]
    };
    assert_eq!(split(32, 8, 128, 32_768), [8, 33]);
    assert_eq!(split(16, 4, 256, 131_072), [4, 66]);
    assert_eq!(split(32, 2, 128, 131_072), [4, 66]); // 16 heads to a key head: two blocks
    assert_eq!(split(32, 8, 128, 100), [8, 1]);
}

#[test]
fn what_does_not_fit_is_refused_with_a_sentence() {
    let tensor = |dims: &[usize]| Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap();
    let error = |q: &[usize], cache: &[usize], heads| {
        let (q, cache) = (tensor(q), tensor(cache));
        on_host::with(|| attend_one(&q, &cache, &cache, &at(0), heads)).unwrap_err().to_string()
    };
    assert!(error(&[1, 4 * 96], &[1, 8, 96], 4).contains("not of 96"));
    assert!(error(&[1, 3 * 64], &[2, 8, 64], 3).contains("3 heads over a cache of [2, 8, 64]"));
    assert!(error(&[2, 64], &[1, 8, 64], 1).contains("one token, not 2"));
    assert!(error(&[9, 64], &[1, 8, 64], 1).contains("do not fit a cache of 8 positions"));
    let q = tensor(&[1, 64]).to_dtype(DType::F16).unwrap();
    let cache = tensor(&[1, 8, 64]);
    assert!(on_host::with(|| attend_one(&q, &cache, &cache, &at(0), 1)).is_err());
}
