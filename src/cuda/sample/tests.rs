//! The kernels, run on the processor, against the definitions.

use super::*;
use crate::cuda::on_host;
use crate::cuda::rows::tests::{numbers, random};
use candle_core::Device;
use proptest::prelude::*;

const TYPES: [DType; 3] = [DType::F32, DType::BF16, DType::F16];

fn chosen(logits: &Tensor) -> u32 {
    let token = Tensor::full(77u32, 1, &Device::Cpu).unwrap();
    on_host::with(|| greedy(logits, &token)).unwrap();
    token.to_vec1::<u32>().unwrap()[0]
}

/// The definition: the first of the greatest.
fn first_greatest(logits: &[f32]) -> u32 {
    let greater = |best: usize, i: usize| match logits[i] > logits[best] || logits[best].is_nan() {
        true => i,
        false => best,
    };
    let best = (0..logits.len()).reduce(greater).unwrap();
    if logits[best].is_nan() { 0 } else { best as u32 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn the_first_greatest_is_chosen(
        vocab in prop_oneof![1usize..70, 2000usize..4500], shift in 0usize..5, seed in 1u64..,
        spread in 0.1f32..3.0,
    ) {
        for dtype in TYPES {
            let logits = random(seed, &[1, vocab], spread, dtype, shift);
            prop_assert_eq!(chosen(&logits), first_greatest(&numbers(&logits)));
            // Rounded to integers there are many that are greatest; shifted below zero, their order turns in
            // bits.
            for below in [0.0, 100.0] {
                let ties = (logits.round().unwrap() - below).unwrap();
                prop_assert_eq!(chosen(&ties), first_greatest(&numbers(&ties)));
            }
        }
    }

    #[test]
    fn rows_are_those_of_the_table(
        vocab in 1usize..50, hidden in prop_oneof![1usize..40, Just(1024), Just(2000)], shift in 0usize..3,
        ids in prop::collection::vec(0u32..60, 1..9), seed in 1u64..,
    ) {
        for dtype in TYPES {
            let table = random(seed, &[vocab, hidden], 1.0, dtype, shift);
            let rows = Tensor::new(ids.as_slice(), &Device::Cpu).unwrap();
            let got = on_host::with(|| embedding(&table, &rows)).unwrap();
            let (got, table) = (numbers(&got), numbers(&table));
            for (row, id) in got.chunks(hidden).zip(&ids) {
                let at = *id as usize * hidden;
                let expected = table.get(at..at + hidden).map_or(vec![0.0; hidden], <[f32]>::to_vec);
                prop_assert_eq!(row, expected);
            }
        }
    }
}

#[test]
fn a_whole_vocabulary_is_searched_to_its_last_token() {
    let vocab = 151_936;
    for dtype in TYPES {
        for best in [0, 75_001, vocab - 1] {
            let mut logits = numbers(&random(5, &[vocab], 1.0, dtype, 0));
            logits[best] = 50.0;
            let logits = Tensor::new(logits.as_slice(), &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            assert_eq!(chosen(&logits), best as u32);
        }
    }
}

#[test]
fn what_is_no_number_is_never_chosen() {
    let logits = |numbers: &[f32]| Tensor::new(numbers, &Device::Cpu).unwrap();
    for dtype in TYPES {
        let of = |numbers: &[f32]| chosen(&logits(numbers).to_dtype(dtype).unwrap());
        assert_eq!(of(&[f32::NAN, -3.0, f32::NAN, -2.0]), 3);
        assert_eq!(of(&[f32::NAN, -f32::NAN, f32::NEG_INFINITY, f32::NAN]), 2);
        assert_eq!(of(&[f32::NAN, f32::NAN, -f32::NAN]), 0);
        assert_eq!(of(&[1.0, f32::INFINITY, f32::INFINITY, f32::NAN]), 1);
        assert_eq!(of(&[-1.0, -0.0, 0.0]), 1);
        assert_eq!(of(&[f32::NAN; 1000]), 0);
    }
}

#[test]
fn the_position_is_advanced_where_it_lies() {
    let all = Tensor::new(&[7u32, 8, 9], &Device::Cpu).unwrap();
    on_host::with(|| advance(&all.narrow(0, 1, 1).unwrap())).unwrap();
    assert_eq!(all.to_vec1::<u32>().unwrap(), [7, 9, 9]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let count = Tensor::zeros(1, DType::U32, &Device::Cpu).unwrap();
    let logits = random(1, &[2, 8], 1.0, DType::F32, 0);
    assert!(greedy(&logits, &count).unwrap_err().to_string().contains("one row of logits"));
    assert!(
        greedy(&random(1, &[8], 1.0, DType::F32, 0), &logits).unwrap_err().to_string().contains("one u32")
    );
    assert!(advance(&logits).is_err() && embedding(&logits, &logits.flatten_all().unwrap()).is_err());
    let (table, ids) = (Tensor::zeros((1, 1 << 13), DType::F32, &Device::Cpu).unwrap(), (1 << 18));
    let ids = Tensor::zeros(ids, DType::U32, &Device::Cpu).unwrap();
    assert!(embedding(&table, &ids).unwrap_err().to_string().contains("take fewer tokens"));
}
