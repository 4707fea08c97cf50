//! One token through the memory of a delta net, for devices that the CPU's kernel does not serve.

use candle_core::{Result, Tensor};

use super::causal_conv::SplitHeads;
use crate::model::delta_state::{DeltaHeads, ValueHeadOrder};

/// Decays the memory, corrects what it says of the key towards the value, and asks it the query.
///
/// `memory` is (value_heads, key_dim + 1, value_dim): the last row of a head is not read and
/// receives the answer. `token` holds one token, in one chunk of one. `gates` is (2, value_heads): logarithm
/// of the decay (≤ 0), then how much of the correction is made.
pub fn delta_step(
    memory: &Tensor,
    token: &SplitHeads,
    gates: &Tensor,
    heads: &DeltaHeads,
    order: ValueHeadOrder,
) -> Result<()> {
    let column = (heads.value_heads, 1, 1);
    let keyed = token.keyed.reshape((heads.key_heads, 2, heads.key_dim))?;
    let keyed = order.expand(&keyed, heads)?;
    let (query, key) = (keyed.narrow(1, 0, 1)?.contiguous()?, keyed.narrow(1, 1, 1)?.contiguous()?);
    let value = token.values.reshape((heads.value_heads, 1, heads.value_dim))?;
    let matrix = memory.narrow(1, 0, heads.key_dim)?.contiguous()?;
    let matrix = matrix.broadcast_mul(&gates.get(0)?.exp()?.reshape(column)?)?;
    let missing = (value - key.matmul(&matrix)?)?.broadcast_mul(&gates.get(1)?.reshape(column)?)?;
    let matrix = (matrix + key.transpose(1, 2)?.contiguous()?.matmul(&missing)?)?;
    memory.slice_set(&Tensor::cat(&[&matrix, &query.matmul(&matrix)?], 1)?, 1, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn a_full_correction_makes_the_memory_answer_with_the_value() {
        let tensor = |values: &[f32], shape: &[usize]| {
            Tensor::from_slice(values, shape, &Device::Cpu).expect("as many numbers as the shape has")
        };
        let heads = DeltaHeads { key_heads: 1, value_heads: 1, key_dim: 2, value_dim: 1, conv_width: 1 };
        let token = SplitHeads {
            flat: tensor(&[1.0, 0.0, 1.0, 0.0, 5.0], &[5]),
            keyed: tensor(&[1.0, 0.0, 1.0, 0.0], &[1, 1, 2, 1, 2]),
            values: tensor(&[5.0], &[1, 1, 1, 1]),
        };
        let (memory, gates) = (tensor(&[2.0, 8.0, 0.0], &[1, 3, 1]), tensor(&[0.5f32.ln(), 1.0], &[2, 1]));
        delta_step(&memory, &token, &gates, &heads, ValueHeadOrder::Grouped).unwrap();
        assert_eq!(memory.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [5.0, 4.0, 5.0]);
    }
}
