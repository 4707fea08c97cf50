//! Tables of more numbers than 32 bits count, and the longest vocabulary.

use super::*;
use crate::cuda::edge::{UNSIGNED, last, put, taken, zeros};
use crate::cuda::on_host;
use crate::cuda::rows::tests::{numbers, random};
use candle_core::Device;

#[test]
fn rows_beyond_two_to_the_thirty_second_number_are_found() {
    let hidden = 1 << 13;
    let vocab = UNSIGNED / hidden + 2;
    let table = zeros(&[vocab, hidden], DType::BF16).unwrap();
    let row = random(3, &[1, hidden], 1.0, DType::BF16, 0);
    put(&table, (vocab - 1) * hidden, &row);
    let ids = Tensor::new(&[vocab as u32 - 1, 0, u32::MAX], &Device::Cpu).unwrap();
    let got = numbers(&on_host::with(|| embedding(&table, &ids)).unwrap());
    assert!(got[..hidden] == numbers(&row) && got[hidden..].iter().all(|x| *x == 0.0));
}

#[test]
fn the_last_row_of_as_many_as_a_launch_takes_is_written() {
    let hidden = 1 << 13;
    let tokens = (i32::MAX as usize) / hidden;
    let table = random(3, &[2, hidden], 1.0, DType::BF16, 0);
    let ids = zeros(&[tokens], DType::U32).unwrap();
    put(&ids, tokens - 1, &Tensor::new(&[1u32], &Device::Cpu).unwrap());
    let got = on_host::only_blocks(last, || embedding(&table, &ids)).unwrap();
    let part = hidden - 1024; // of the last block
    assert_eq!(taken(&got, (tokens - 1) * hidden + part, 1024), taken(&table, hidden + part, 1024));
}

#[test]
fn the_longest_vocabulary_is_searched_to_its_last_token_and_a_longer_one_refused() {
    let token = Tensor::zeros(1, DType::U32, &Device::Cpu).unwrap();
    let logits = zeros(&[MOST_VOCAB], DType::BF16).unwrap();
    put(&logits, MOST_VOCAB - 1, &Tensor::new(&[1f32], &Device::Cpu).unwrap().to_dtype(DType::BF16).unwrap());
    on_host::only_blocks(last, || greedy(&logits, &token)).unwrap();
    assert_eq!(token.to_vec1::<u32>().unwrap(), [MOST_VOCAB as u32 - 1]);
    let longer = zeros(&[MOST_VOCAB + 1], DType::BF16).unwrap();
    let error = greedy(&longer, &token).unwrap_err().to_string();
    assert!(error.contains("1073741824 logits at most"), "{error}");
}
