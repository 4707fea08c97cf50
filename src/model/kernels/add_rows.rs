//! Adds weighted rows to some rows of a sum: what one expert made of its tokens.

use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Result, Tensor};

use crate::cpu::isa::isa;
use crate::cpu::rows;

/// `sum` (tokens, hidden) in f32 plus `weights[i]` · `rows[i]` at row `ids[i]`.
///
/// `rows` is (n, hidden), `ids` (n,) in u32, `weights` (n,) in f32. On the CPU `sum` itself is changed,
/// whatever the type of `rows`: elsewhere it is copied. Errors if an id lies outside `sum`.
pub fn add_rows(sum: Tensor, rows: &Tensor, ids: &Tensor, weights: &Tensor) -> Result<Tensor> {
    let rows = rows.to_dtype(DType::F32)?;
    if !super::is_plain_f32(&sum) || !super::is_plain_f32(&rows) {
        return plain(&sum, &rows, ids, weights);
    }
    let (n, hidden) = rows.dims2()?;
    if sum.dim(1)? != hidden || ids.dims1()? != n || weights.dims1()? != n {
        candle_core::bail!("{:?} rows at {:?} cannot be added to {:?}", rows, ids, sum);
    }
    let (ids, weights) = (ids.to_vec1()?, weights.to_vec1()?);
    sum.inplace_op2(&rows, &AddRows { hidden, ids, weights })?;
    Ok(sum)
}

fn plain(sum: &Tensor, rows: &Tensor, ids: &Tensor, weights: &Tensor) -> Result<Tensor> {
    sum.index_add(ids, &rows.broadcast_mul(&weights.unsqueeze(1)?)?, 0)
}

struct AddRows {
    hidden: usize,
    ids: Vec<u32>,
    weights: Vec<f32>,
}

impl InplaceOp2 for AddRows {
    fn name(&self) -> &'static str {
        "add-rows"
    }

    fn cpu_fwd(
        &self,
        sum: &mut CpuStorage,
        sum_at: &Layout,
        rows: &CpuStorage,
        rows_at: &Layout,
    ) -> Result<()> {
        let sum = &mut super::f32_slice(sum)?[super::contiguous_range(sum_at)?];
        let rows = &rows.as_slice::<f32>()?[super::contiguous_range(rows_at)?];
        for (row, (id, weight)) in rows.chunks(self.hidden).zip(self.ids.iter().zip(&self.weights)) {
            let Some(sum) = sum.chunks_mut(self.hidden).nth(*id as usize) else {
                candle_core::bail!("a row cannot be added to row {id} of fewer");
            };
            rows::scale_add(isa(), sum, *weight, row);
        }
        Ok(())
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
            tokens in 1usize..40, hidden in 1usize..100,
            at in prop::collection::vec((0u32..40, -2.0..2.0f32), 1..60),
        ) {
            let sum = Tensor::randn(0f32, 1.0, (tokens, hidden), &Device::Cpu).unwrap();
            let rows = Tensor::randn(0f32, 1.0, (at.len(), hidden), &Device::Cpu).unwrap();
            let ids: Vec<u32> = at.iter().map(|(id, _)| id % tokens as u32).collect();
            let ids = Tensor::new(ids, &Device::Cpu).unwrap();
            let weights: Vec<f32> = at.iter().map(|(_, weight)| *weight).collect();
            let weights = Tensor::new(weights, &Device::Cpu).unwrap();
            let expected = plain(&sum, &rows, &ids, &weights).unwrap();
            let difference = (add_rows(sum, &rows, &ids, &weights).unwrap() - expected).unwrap();
            let worst = difference.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            prop_assert!(worst < 1e-4, "{worst}");
        }
    }

    fn vector<T: candle_core::WithDType>(values: &[T]) -> Tensor {
        Tensor::new(values, &Device::Cpu).expect("a vector")
    }

    #[test]
    fn a_part_of_a_larger_tensor_is_read_where_it_lies() {
        let rows = Tensor::new(&[[9f32, 9.0], [1.0, 2.0], [3.0, 4.0]], &Device::Cpu).unwrap();
        let sum = Tensor::ones((3, 2), DType::F32, &Device::Cpu).unwrap();
        let part = rows.narrow(0, 1, 2).unwrap();
        let got = add_rows(sum, &part, &vector(&[2u32, 0]), &vector(&[10f32, 1.0])).unwrap();
        assert_eq!(got.to_vec2::<f32>().unwrap(), [[4.0, 5.0], [1.0, 1.0], [11.0, 21.0]]);
    }

    #[test]
    fn a_row_that_is_not_there_is_an_error() {
        let zeros = |n: usize| Tensor::zeros((n, 3), DType::F32, &Device::Cpu).unwrap();
        assert!(add_rows(zeros(2), &zeros(1), &vector(&[2u32]), &vector(&[1f32])).is_err());
        assert!(add_rows(zeros(2), &zeros(2), &vector(&[1u32]), &vector(&[1f32])).is_err());
    }
}
