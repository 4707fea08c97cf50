//! Attention of many tokens, run on the processor, against candle's operations in f64.

use candle_core::DType;

use super::*;
use crate::cuda::attention_decode::tests::{Case, HEADS, KINDS, at, cache, plain};
use crate::cuda::on_host;
use crate::cuda::rows::tests::{numbers, random};

fn check(case: Case) {
    case.check(|q, caches, position| attend_many_on(case.kind.1, q, caches, position, case.heads[0]));
}

/// Every length of a chunk and every number of tokens before it, each pair with some heads, for heads of
/// `dim`.
fn chunks_of(dim: usize) {
    for (k, kind) in KINDS.into_iter().take(3).enumerate() {
        for (i, tokens) in [1, 7, 64, 65, 130].into_iter().enumerate() {
            let befores = [0, 1, 31, 63, 64, 100, 200 - tokens];
            // Some of them for each length and type, so that all are taken in turn.
            for before in [befores[i], befores[(i + 3 + tokens) % 7]].into_iter().skip(k % 2) {
                let heads = if tokens > 65 { [2, 1] } else { HEADS[(i + before) % 4] };
                check(Case { kind, heads, dim, capacity: 230, tokens, before, spread: 2.0 });
            }
        }
    }
}

#[test]
fn chunks_of_heads_of_64_see_all_before_them() {
    chunks_of(64);
}

#[test]
fn chunks_of_heads_of_128_see_all_before_them() {
    chunks_of(128);
}

#[test]
fn chunks_of_heads_of_256_see_all_before_them() {
    chunks_of(256);
}

#[test]
fn every_number_of_tokens_may_stand_before_a_chunk() {
    for kind in [KINDS[0], KINDS[2], KINDS[3], KINDS[4]] {
        for (i, before) in [0, 1, 31, 63, 64, 100, 123].into_iter().enumerate() {
            let dim = [64, 128, 256][i % 3];
            check(Case { kind, heads: [1, 1], dim, capacity: 130, tokens: 7, before, spread: 2.0 });
        }
    }
}

#[test]
fn heads_share_keys_in_groups() {
    for kind in KINDS {
        for heads in HEADS {
            check(Case { kind, heads, dim: 64, capacity: 40, tokens: 20, before: 11, spread: 2.0 });
        }
    }
}

/// Scores that grow along the keys, so that the largest is followed again and again, and by less than the
/// slack too.
#[test]
fn growing_scores_are_followed() {
    for kind in KINDS {
        for slope in [0.02, 0.2] {
            let dtype = kind.0;
            let keys = cache(3, [1, 200, 200, 64], DType::F32);
            let rise: Vec<f32> = (0..200).map(|key| slope * key as f32).collect();
            let rise = Tensor::from_vec(rise, (1, 200, 1), keys.device()).unwrap();
            let keys = keys.broadcast_add(&rise).unwrap().to_dtype(dtype).unwrap();
            let (values, q) =
                (cache(4, [1, 200, 200, 64], dtype), Tensor::ones((20, 64), dtype, keys.device()).unwrap());
            let attend = || attend_many_on(kind.1, &q, [&keys, &values], &at(180), 1);
            let got = numbers(&on_host::with(attend).unwrap());
            for (got, expected) in got.into_iter().zip(plain(&q, &keys, &values, 180, 1)) {
                assert!((got - expected).abs() < 0.02, "{kind:?} {slope}: {got} instead of {expected}");
            }
        }
    }
}

#[test]
fn no_tokens_are_no_launch() {
    let (q, cache) = (random(1, &[0, 64], 1.0, DType::F32, 0), random(2, &[1, 4, 64], 1.0, DType::F32, 0));
    let got = on_host::with(|| attend_many(&q, &cache, &cache, &at(0), 1)).unwrap();
    assert_eq!(got.dims(), [0, 64]);
}
