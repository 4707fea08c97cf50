//! The CPU's kernels against the plain form, through the whole layer.

use candle_core::{DType, Device, Result, Tensor};
use proptest::prelude::*;

use super::{Attention, HeadNorms, HeadsKnown, path};
use crate::cpu::attention::{HeadShape, KvCache};
use crate::model::cache::{KeyValues, KvType, PlainKeyValues};
use crate::model::linear::{Linear, Matrix};
use crate::model::norm::RmsNorm;
use crate::model::position::Position;
use crate::model::rope::Rope;

fn randn(rows: usize, columns: usize, spread: f32) -> Tensor {
    Tensor::randn(0f32, spread, (rows, columns), &Device::Cpu).expect("numbers")
}

fn linear(rows: usize, columns: usize) -> Linear {
    let weight = randn(rows, columns, 1.0 / (columns as f32).sqrt());
    Linear::new(Matrix::Dense(weight), None).expect("a matrix")
}

const HIDDEN: usize = 24;

fn attention(heads: usize, kv_heads: usize, head_dim: usize, extras: [bool; 2]) -> Attention {
    let norm = || RmsNorm::new(randn(1, head_dim, 1.0).squeeze(0).expect("a row"), 1e-6);
    let [normed, gated] = extras;
    Attention {
        query: linear(heads * head_dim, HIDDEN),
        gate: gated.then(|| linear(heads * head_dim, HIDDEN)),
        key: linear(kv_heads * head_dim, HIDDEN),
        value: linear(kv_heads * head_dim, HIDDEN),
        output: linear(HIDDEN, heads * head_dim),
        head_norms: normed.then(|| HeadNorms { query: norm(), key: norm() }),
        heads,
        kv_heads,
        head_dim,
    }
}

/// The outputs for `x`, fed in pieces of the given sizes, repeated.
fn outputs(
    attention: &Attention,
    rope: &Rope,
    cache: &mut KeyValues,
    x: &Tensor,
    sizes: &[usize],
) -> Result<Tensor> {
    let (mut at, mut parts) = (0, Vec::new());
    for size in sizes.iter().cycle() {
        let count = (*size).min(x.dim(0)? - at);
        let (part, position) = (x.narrow(0, at, count)?, Position::new(at, x)?);
        parts.push(attention.forward(&part, rope, cache, &position)?);
        at += count;
        if at == x.dim(0)? {
            break;
        }
    }
    Tensor::cat(&parts, 0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_kernels_agree_with_the_plain_form(
        kv_heads in 1usize..4, group in 1usize..5, half_dim in 1usize..24, turned in 0.1..1.0f64,
        tokens in 1usize..200, sizes in prop::collection::vec(1usize..150, 1..4), extras in any::<[bool; 2]>(),
    ) {
        let (heads, dim) = (kv_heads * group, 2 * half_dim);
        let attention = attention(heads, kv_heads, dim, extras);
        let turned = 2 * ((half_dim as f64 * turned).ceil() as usize);
        let rope = Rope::new(tokens, turned, 1e4, &Device::Cpu).unwrap();
        let x = randn(tokens, HIDDEN, 1.0);
        let zeros = || Tensor::zeros((kv_heads, tokens, dim), DType::F32, &Device::Cpu).unwrap();
        let mut plain = KeyValues::Plain(PlainKeyValues::new(zeros(), zeros()));
        let expected = outputs(&attention, &rope, &mut plain, &x, &sizes).unwrap();
        for (kind, bar) in [(KvType::F32, 2e-5), (KvType::F16, 1e-2)] {
            let mut tiled = KeyValues::Tiled(KvCache::new(HeadShape { heads, kv_heads, dim }, kind, tokens));
            let got = outputs(&attention, &rope, &mut tiled, &x, &sizes).unwrap();
            let worst = (got - &expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            prop_assert!(worst < bar, "{kind:?}: {worst}");
        }
    }
}

#[test]
fn a_position_beyond_tables_or_cache_is_an_error() {
    let attention = attention(2, 1, 4, [true, false]);
    let mut cache =
        KeyValues::Tiled(KvCache::new(HeadShape { heads: 2, kv_heads: 1, dim: 4 }, KvType::F16, 128));
    let mut fails = |positions: usize, offset: usize| {
        let (x, rope) = (randn(2, HIDDEN, 1.0), Rope::new(positions, 4, 1e4, &Device::Cpu).unwrap());
        let position = Position::new(offset, &x).unwrap();
        attention.forward(&x, &rope, &mut cache, &position).unwrap_err().to_string()
    };
    assert!(fails(4, 3).contains("position 4 lies beyond the tables"));
    assert!(fails(200, 127).contains("the cache has room for 128 tokens"));
}

#[test]
fn the_path_says_what_keys_and_values_are_stored_as() {
    assert_eq!(path(&Device::Cpu, DType::F32, KvType::F16, HeadsKnown::Yes), "tiled, f16 KV");
    assert_eq!(path(&Device::Cpu, DType::F32, KvType::F32, HeadsKnown::Yes), "tiled, f32 KV");
    assert_eq!(path(&Device::Cpu, DType::BF16, KvType::F16, HeadsKnown::Yes), "blocked-matmul");
}
