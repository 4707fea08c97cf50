//! The kernel, run on the processor, against norm, rotation and copies in candle's operations.

use super::*;
use crate::cuda::on_host;
use crate::cuda::rows::tests::{numbers, random, rounding};
use candle_core::Device;
use proptest::prelude::*;

const EPS: f32 = 0.1;

/// A layer's projections, norms, tables and caches, owned.
pub(super) struct Layer {
    pub(super) heads: Heads,
    pub(super) q: Tensor,
    pub(super) k: Tensor,
    pub(super) v: Tensor,
    pub(super) norms: Option<[Tensor; 2]>,
    pub(super) tables: [Tensor; 2],
    pub(super) position: Tensor,
    pub(super) caches: [Tensor; 2],
}

/// Sizes that a test chooses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) heads: Heads,
    pub(super) tokens: usize,
    pub(super) capacity: usize,
    pub(super) half: usize,
    pub(super) position: usize,
    /// Where the numbers begin in their memory.
    pub(super) shift: usize,
}

impl Case {
    pub(super) fn layer(&self, seed: u64, dtype: DType, weights: Option<DType>) -> Layer {
        let Heads { heads, kv_heads, dim } = self.heads;
        let some = |k: u64, dims: &[usize]| random(seed ^ k << 8, dims, 2.0, dtype, self.shift);
        let angle = random(seed, &[self.capacity, self.half], 3.0, DType::F32, 0);
        let cache = |k| some(k, &[kv_heads, self.capacity, dim]);
        Layer {
            heads: self.heads,
            q: some(1, &[self.tokens, heads * dim]),
            k: some(2, &[self.tokens, kv_heads * dim]),
            v: some(3, &[self.tokens, kv_heads * dim]),
            norms: weights.map(|kind| [4, 5].map(|k| random(seed ^ k, &[dim], 1.0, kind, 0))),
            tables: [angle.cos().unwrap(), angle.sin().unwrap()],
            position: Tensor::full(self.position as u32, 1, &Device::Cpu).unwrap(),
            caches: [cache(6), cache(7)],
        }
    }
}

impl Layer {
    pub(super) fn prepare(&self) -> Result<()> {
        let norms = self.norms.as_ref().map(|[query, key]| HeadNorms { query, key, eps: EPS });
        let (q, k, v, position) = (&self.q, &self.k, &self.v, &self.position);
        let ([cos, sin], [keys, values]) = (&self.tables, &self.caches);
        let prepare = Prepare { q, k, v, norms, cos, sin, position, keys, values };
        on_host::with(|| prepare.run(self.heads))
    }

    /// One projection as (tokens, heads, dim), normalised and turned, as the plain path does it.
    fn plain(&self, x: &Tensor, norm: usize, position: usize) -> Result<Tensor> {
        let (tokens, dim, [cos, sin]) = (x.dim(0)?, self.heads.dim, &self.tables);
        let mut x = x.reshape((tokens, x.dim(1)? / dim, dim))?.copy()?;
        if let Some(weights) = &self.norms {
            let wide = candle_nn::ops::rms_norm(
                &x.to_dtype(DType::F32)?,
                &weights[norm].to_dtype(DType::F32)?,
                EPS,
            )?;
            x = wide.to_dtype(x.dtype())?;
        }
        let turned = 2 * cos.dim(1)?;
        if turned == 0 {
            return Ok(x);
        }
        let part = x.narrow(2, 0, turned)?.contiguous()?.to_dtype(DType::F32)?.unsqueeze(0)?;
        let [cos, sin] = [cos.narrow(0, position, tokens)?, sin.narrow(0, position, tokens)?];
        let part = candle_nn::rotary_emb::rope_thd(&part, &cos, &sin)?.squeeze(0)?.to_dtype(x.dtype())?;
        Tensor::cat(&[&part, &x.narrow(2, turned, dim - turned)?], 2)
    }
}

/// (tokens, heads, dim) from row `at` of a copy of `cache` (heads, capacity, dim) on.
fn appended(cache: &Tensor, rows: &Tensor, at: usize) -> Tensor {
    let cache = cache.copy().unwrap();
    cache.slice_set(&rows.transpose(0, 1).unwrap().contiguous().unwrap(), 1, at).unwrap();
    cache
}

/// The same but for what the order of a sum in f32 may do: a number in a hundred rounded the other way,
/// before the rotation or after it.
fn same(got: &Tensor, expected: &Tensor, what: &str) -> std::result::Result<(), TestCaseError> {
    let (all, half_ulp) = (numbers(got), rounding(got.dtype()));
    let expected = numbers(expected);
    prop_assert_eq!(all.len(), expected.len());
    let largest = expected.iter().fold(0f32, |most, x| most.max(x.abs()));
    let mut others = 0;
    for (i, (g, e)) in all.iter().zip(&expected).enumerate() {
        prop_assert!((g - e).abs() <= 4.0 * half_ulp * largest, "{what} {i}: {g} instead of {e}");
        others += usize::from((g - e).abs() > 3e-6 * largest);
    }
    prop_assert!(others <= 4 + all.len() / 100, "{others} of {} of {what} are rounded otherwise", all.len());
    Ok(())
}

fn cases() -> impl Strategy<Value = Case> {
    let sizes = prop_oneof![
        Just((64, 32)),
        Just((128, 64)),
        Just((256, 32)),
        Just((256, 128)),
        Just((200, 48)),
        Just((10, 3)),
        Just((2, 1)),
        Just((96, 24)),
        Just((254, 101)),
        Just((12, 0)),
    ];
    let heads = prop_oneof![Just((4, 2)), Just((3, 3)), Just((6, 1)), Just((1, 2))];
    (sizes, heads, 1usize..7, 0usize..5, 0usize..5, prop_oneof![Just(0usize), Just(1), Just(2)]).prop_map(
        |((dim, half), (heads, kv_heads), tokens, position, spare, shift)| {
            let heads = Heads { heads, kv_heads, dim };
            Case { heads, tokens, capacity: position + tokens + spare, half, position, shift }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn norm_rotation_and_cache_are_those_of_candle(case in cases(), seed in 1u64..) {
        for (dtype, weights) in [
            (DType::F32, Some(DType::F32)), (DType::BF16, Some(DType::BF16)), (DType::F16, Some(DType::F32)),
            (DType::BF16, Some(DType::F32)), (DType::F16, Some(DType::F16)), (DType::BF16, None),
            (DType::F32, None),
        ] {
            let layer = case.layer(seed, dtype, weights);
            let [q, k] = [&layer.q, &layer.k].map(|x| x.copy().unwrap());
            let q = layer.plain(&q, 0, case.position).unwrap();
            let keys = appended(&layer.caches[0], &layer.plain(&k, 1, case.position).unwrap(), case.position);
            let v = layer.v.reshape((case.tokens, case.heads.kv_heads, case.heads.dim)).unwrap();
            let values = appended(&layer.caches[1], &v, case.position);
            layer.prepare().unwrap();
            same(&layer.q, &q, "q")?;
            same(&layer.caches[0], &keys, "the keys")?;
            prop_assert_eq!(numbers(&layer.caches[1]), numbers(&values));
            prop_assert_eq!(numbers(&layer.k), numbers(&k));
        }
    }

    #[test]
    fn a_prompt_at_once_is_its_tokens_one_by_one(case in cases(), seed in 1u64..) {
        let whole = case.layer(seed, DType::BF16, Some(DType::BF16));
        let tokens = case.layer(seed, DType::BF16, Some(DType::BF16));
        whole.prepare().unwrap();
        for token in 0..case.tokens {
            let one = |x: &Tensor| x.narrow(0, token, 1).unwrap();
            let position = Tensor::full((case.position + token) as u32, 1, &Device::Cpu).unwrap();
            let (tables, caches) = (tokens.tables.clone(), tokens.caches.clone());
            let norms = tokens.norms.clone();
            let (q, k, v) = (one(&tokens.q), one(&tokens.k), one(&tokens.v));
            Layer { heads: case.heads, q, k, v, norms, tables, position, caches }.prepare().unwrap();
        }
        prop_assert_eq!(numbers(&whole.q), numbers(&tokens.q));
        prop_assert_eq!(numbers(&whole.caches[0]), numbers(&tokens.caches[0]));
        prop_assert_eq!(numbers(&whole.caches[1]), numbers(&tokens.caches[1]));
    }
}

#[test]
fn what_lies_beyond_the_capacity_is_not_written() {
    let heads = Heads { heads: 4, kv_heads: 2, dim: 64 };
    for position in [6, 8, 9, u32::MAX as usize] {
        let case = Case { heads, tokens: 4, capacity: 8, half: 32, position, shift: 0 };
        let mut layer = case.layer(3, DType::BF16, Some(DType::BF16));
        layer.tables = [1, 2].map(|k| random(k, &[16, 32], 1.0, DType::F32, 0));
        // The caches are the middle of a longer memory, whose ends must stay as well.
        let around = [8, 9].map(|k| random(k, &[4, 8, 64], 1.0, DType::BF16, 0));
        layer.caches = around.clone().map(|all| all.narrow(0, 1, 2).unwrap());
        let (q, before) = (numbers(&layer.q), around.clone().map(|all| numbers(&all)));
        layer.prepare().unwrap();
        let fitting = 8usize.saturating_sub(position);
        for (all, before) in around.iter().zip(before) {
            for (row, (got, before)) in numbers(all).chunks(64).zip(before.chunks(64)).enumerate() {
                let written = (8..24).contains(&row) && row % 8 >= position;
                assert_eq!(got != before, written, "row {row} at position {position}");
            }
        }
        let got = numbers(&layer.q);
        let changed = |token: usize| got[token * 256..][..256] != q[token * 256..][..256];
        assert!((0..4).all(|token| changed(token) == (token < fitting)), "queries at position {position}");
    }
}

#[test]
fn tables_that_end_before_the_cache_end_the_tokens() {
    let heads = Heads { heads: 1, kv_heads: 1, dim: 8 };
    let case = Case { heads, tokens: 2, capacity: 8, half: 4, position: 3, shift: 0 };
    let mut layer = case.layer(3, DType::F32, None);
    layer.tables = layer.tables.map(|table| table.narrow(0, 0, 4).unwrap());
    let before = numbers(&layer.caches[1]);
    layer.prepare().unwrap();
    let after = numbers(&layer.caches[1]);
    assert!(before[..24] == after[..24] && before[24..32] != after[24..32] && before[32..] == after[32..]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let heads = Heads { heads: 2, kv_heads: 1, dim: 8 };
    let case = Case { heads, tokens: 3, capacity: 4, half: 4, position: 0, shift: 0 };
    let layer = || case.layer(1, DType::BF16, Some(DType::BF16));
    let sentence = |layer: Layer| layer.prepare().unwrap_err().to_string();
    let odd = Layer { heads: Heads { dim: 7, ..heads }, ..layer() };
    assert!(sentence(odd).contains("an even number of dimensions"));
    let narrow = Layer { k: random(1, &[3, 16], 1.0, DType::BF16, 0), ..layer() };
    assert!(sentence(narrow).starts_with("k should be [3, 8] of BF16"));
    let long = Layer { position: Tensor::zeros(1, DType::I64, &Device::Cpu).unwrap(), ..layer() };
    assert!(sentence(long).starts_with("position should be"));
    let wide = Layer { tables: [0, 1].map(|k| random(k, &[4, 5], 1.0, DType::F32, 0)), ..layer() };
    assert!(sentence(wide).contains("turn 10 of a head's 8 numbers"));
    let few = Layer { tables: [0, 1].map(|k| random(k, &[2, 4], 1.0, DType::F32, 0)), ..layer() };
    assert!(sentence(few).contains("take fewer at a time"));
    let mixed = [DType::BF16, DType::F32].map(|kind| random(1, &[8], 1.0, kind, 0));
    assert!(sentence(Layer { norms: Some(mixed), ..layer() }).starts_with("the norm of keys should be"));
}
