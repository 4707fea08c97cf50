//! One token through the memory of a delta net, in place: each head's matrix is read and written once.

use candle_core::{CpuStorage, InplaceOp3, Layout, Result, Tensor};
use rayon::prelude::*;

use super::causal_conv::SplitHeads;
use super::exp::exp;
use crate::model::delta_state::{DeltaHeads, ValueHeadOrder};

/// Columns of a matrix taken at a time: 128 rows of them stay in the first cache between the pass
/// that reads and the pass that writes, and their sums in registers.
const COLUMNS: usize = 16;

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
    let step = DeltaStep { heads: *heads, order };
    if [memory, &token.flat, gates].into_iter().all(super::is_plain_f32) {
        return memory.inplace_op3(&token.flat, gates, &step);
    }
    memory.slice_set(&step.plain(memory, token, gates)?, 1, 0)
}

struct DeltaStep {
    heads: DeltaHeads,
    order: ValueHeadOrder,
}

/// What one head takes in.
struct Token<'a> {
    query: &'a [f32],
    key: &'a [f32],
    value: &'a [f32],
    decay: f32,
    beta: f32,
    /// query · key
    overlap: f32,
}

impl InplaceOp3 for DeltaStep {
    fn name(&self) -> &'static str {
        "delta-step"
    }

    fn cpu_fwd(
        &self,
        memory: &mut CpuStorage,
        memory_at: &Layout,
        token: &CpuStorage,
        token_at: &Layout,
        gates: &CpuStorage,
        gates_at: &Layout,
    ) -> Result<()> {
        let heads = &self.heads;
        let memory = &mut super::f32_slice(memory)?[super::contiguous_range(memory_at)?];
        let token = &token.as_slice::<f32>()?[super::contiguous_range(token_at)?];
        let gates = &gates.as_slice::<f32>()?[super::contiguous_range(gates_at)?];
        let (keyed, values) = token.split_at(2 * heads.key_channels());
        let (log_decay, beta) = gates.split_at(heads.value_heads);
        let matrix = (heads.key_dim + 1) * heads.value_dim;
        memory.par_chunks_mut(matrix).enumerate().for_each(|(head, memory)| {
            let key_head = self.order.key_head(head, heads);
            let (query, key) =
                keyed[key_head * 2 * heads.key_dim..][..2 * heads.key_dim].split_at(heads.key_dim);
            let token = Token {
                query,
                key,
                value: &values[head * heads.value_dim..][..heads.value_dim],
                decay: exp(log_decay[head]),
                beta: beta[head],
                overlap: query.iter().zip(key).map(|(q, k)| q * k).sum(),
            };
            let (matrix, out) = memory.split_at_mut(heads.key_dim * heads.value_dim);
            token.mix(matrix, out);
        });
        Ok(())
    }
}

impl DeltaStep {
    /// The same in candle's operations, for every device: all of the new `memory`.
    fn plain(&self, memory: &Tensor, token: &SplitHeads, gates: &Tensor) -> Result<Tensor> {
        let heads = &self.heads;
        let column = (heads.value_heads, 1, 1);
        let keyed = token.keyed.reshape((heads.key_heads, 2, heads.key_dim))?;
        let keyed = self.order.expand(&keyed, heads)?;
        let (query, key) = (keyed.narrow(1, 0, 1)?.contiguous()?, keyed.narrow(1, 1, 1)?.contiguous()?);
        let value = token.values.reshape((heads.value_heads, 1, heads.value_dim))?;
        let matrix = memory.narrow(1, 0, heads.key_dim)?.contiguous()?;
        let matrix = matrix.broadcast_mul(&gates.get(0)?.exp()?.reshape(column)?)?;
        let missing = (value - key.matmul(&matrix)?)?.broadcast_mul(&gates.get(1)?.reshape(column)?)?;
        let matrix = (matrix + key.transpose(1, 2)?.contiguous()?.matmul(&missing)?)?;
        Tensor::cat(&[&matrix, &query.matmul(&matrix)?], 1)
    }
}

impl Token<'_> {
    /// `memory` (key_dim, value_dim) after this token, and its answer to the query.
    fn mix(&self, memory: &mut [f32], out: &mut [f32]) {
        let dim = out.len();
        let whole = dim - dim % COLUMNS;
        for first in (0..whole).step_by(COLUMNS) {
            self.mix_columns::<COLUMNS>(memory, out, first);
        }
        for first in whole..dim {
            self.mix_columns::<1>(memory, out, first);
        }
    }

    /// `N` columns from `first` on. The answer is made of what is read before the correction:
    /// qᵀ(decay·S + k δᵀ) = decay·qᵀS + (q·k) δ.
    fn mix_columns<const N: usize>(&self, memory: &mut [f32], out: &mut [f32], first: usize) {
        let dim = out.len();
        let (mut said, mut asked) = ([0f32; N], [0f32; N]);
        for ((row, k), q) in memory.chunks_exact(dim).zip(self.key).zip(self.query) {
            for (lane, s) in row[first..first + N].iter().enumerate() {
                said[lane] += k * s;
                asked[lane] += q * s;
            }
        }
        let mut correction = [0f32; N];
        for lane in 0..N {
            correction[lane] = self.beta * (self.value[first + lane] - self.decay * said[lane]);
            out[first + lane] = self.decay * asked[lane] + self.overlap * correction[lane];
        }
        for (row, k) in memory.chunks_exact_mut(dim).zip(self.key) {
            for (s, c) in row[first..first + N].iter_mut().zip(&correction) {
                *s = self.decay * *s + k * c;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn agrees_with_the_plain_form(
            key_heads in 1usize..4, group in 1usize..4, key_dim in 1usize..40, value_dim in 1usize..40,
            spread in 0.01f32..30.0, tiled in 0usize..2,
        ) {
            let device = Device::Cpu;
            let heads = DeltaHeads { key_heads, value_heads: key_heads * group, key_dim, value_dim, conv_width: 1 };
            let order = [ValueHeadOrder::Grouped, ValueHeadOrder::Tiled][tiled];
            let randn = |rows: usize, columns: usize| Tensor::randn(0f32, spread, (rows, columns), &device).unwrap();
            let (x, none) = (randn(1, heads.conv_channels()), randn(0, heads.conv_channels()));
            let token = super::super::causal_conv(&x, &none, &x.ones_like().unwrap(), &heads, 1).unwrap();
            let beta = Tensor::rand(0f32, 1.0, (1, heads.value_heads), &device).unwrap();
            let log_decay = randn(1, heads.value_heads).abs().unwrap().neg().unwrap();
            let gates = Tensor::cat(&[log_decay, beta], 0).unwrap();
            let memory = randn(heads.value_heads, (key_dim + 1) * value_dim);
            let memory = memory.reshape((heads.value_heads, key_dim + 1, value_dim)).unwrap();
            let expected = DeltaStep { heads, order }.plain(&memory, &token, &gates).unwrap();
            delta_step(&memory, &token, &gates, &heads, order).unwrap();
            let worst = (memory - expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            prop_assert!(worst < 2e-5 * (1.0 + spread), "{worst}");
        }
    }

    #[test]
    fn a_full_correction_makes_the_memory_answer_with_the_value() {
        let token = Token {
            query: &[1.0, 0.0],
            key: &[1.0, 0.0],
            value: &[5.0],
            decay: 0.5,
            beta: 1.0,
            overlap: 1.0,
        };
        let (mut memory, mut out) = ([2.0, 8.0], [0.0]);
        token.mix(&mut memory, &mut out);
        assert_eq!((memory, out), ([5.0, 4.0], [5.0]));
    }
}
