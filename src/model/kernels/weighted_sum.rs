//! Sums a few weighted rows into each row of the result: what several experts made of one token.

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// Rows of the result per parallel piece.
const PIECE: usize = 8;

/// Which rows go into each row of the result, `used` a row, with the weight of each.
#[derive(Clone, Copy, Debug)]
pub struct Mix<'a> {
    /// Rows summed into one.
    pub used: usize,
    /// Indices of rows, (result rows · used).
    pub places: &'a [u32],
    /// Their weights, (result rows · used).
    pub weights: &'a [f32],
}

/// `rows` (n, hidden) to (places / used, hidden), in the type of `rows`.
///
/// Weights are rounded to that type first; products and sums are in f32, in the order of `places`.
pub fn weighted_sum(rows: &Tensor, mix: Mix<'_>) -> Result<Tensor> {
    let (n, hidden) = rows.dims2()?;
    let fits = mix.used > 0 && mix.places.len() == mix.weights.len() && mix.places.len() % mix.used == 0;
    if !fits || mix.places.iter().any(|place| *place as usize >= n) {
        candle_core::bail!("{} places of {n} rows cannot be summed by {}", mix.places.len(), mix.used);
    }
    match super::is_plain_f32(rows) {
        true => rows.apply_op1_no_bwd(&WeightedSum { hidden, mix }),
        false => plain(rows, mix),
    }
}

fn plain(rows: &Tensor, mix: Mix<'_>) -> Result<Tensor> {
    let (hidden, dtype, device) = (rows.dim(1)?, rows.dtype(), rows.device());
    let count = mix.places.len() / mix.used;
    let weights = Tensor::from_slice(mix.weights, (count, mix.used, 1), device)?;
    let weights = weights.to_dtype(dtype)?.to_dtype(DType::F32)?;
    let rows = rows.contiguous()?.index_select(&Tensor::new(mix.places, device)?, 0)?;
    let rows = rows.reshape((count, mix.used, hidden))?.to_dtype(DType::F32)?;
    rows.broadcast_mul(&weights)?.sum(1)?.to_dtype(dtype)
}

struct WeightedSum<'a> {
    hidden: usize,
    mix: Mix<'a>,
}

impl CustomOp1 for WeightedSum<'_> {
    fn name(&self) -> &'static str {
        "weighted-sum"
    }

    fn cpu_fwd(&self, rows: &CpuStorage, at: &Layout) -> Result<(CpuStorage, Shape)> {
        let rows = &rows.as_slice::<f32>()?[super::contiguous_range(at)?];
        let Mix { used, places, weights } = self.mix;
        let count = places.len() / used;
        let mut out = vec![0f32; count * self.hidden];
        out.par_chunks_mut(PIECE * self.hidden)
            .zip(places.par_chunks(PIECE * used).zip(weights.par_chunks(PIECE * used)))
            .for_each(|(out, (places, weights))| {
                let chosen = places.chunks(used).zip(weights.chunks(used));
                for (out, (places, weights)) in out.chunks_mut(self.hidden).zip(chosen) {
                    for (place, weight) in places.iter().zip(weights) {
                        let row = &rows[*place as usize * self.hidden..][..self.hidden];
                        out.iter_mut().zip(row).for_each(|(o, r)| *o += weight * r);
                    }
                }
            });
        Ok((CpuStorage::F32(out), Shape::from((count, self.hidden))))
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
            n in 1usize..40, hidden in 1usize..100, used in 1usize..5,
            picks in prop::collection::vec((0u32..40, -2.0..2.0f32), 20..60),
        ) {
            let rows = Tensor::randn(0f32, 1.0, (n, hidden), &Device::Cpu).unwrap();
            let whole = picks.len() / used * used;
            let places: Vec<u32> = picks[..whole].iter().map(|(place, _)| place % n as u32).collect();
            let weights: Vec<f32> = picks[..whole].iter().map(|(_, weight)| *weight).collect();
            let mix = Mix { used, places: &places, weights: &weights };
            let difference = (weighted_sum(&rows, mix).unwrap() - plain(&rows, mix).unwrap()).unwrap();
            let worst = difference.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            prop_assert!(worst < 1e-5, "{worst}");
        }
    }

    #[test]
    fn a_part_of_a_larger_tensor_is_read_where_it_lies() {
        let rows = Tensor::new(&[[9f32, 9.0], [1.0, 2.0], [3.0, 4.0]], &Device::Cpu).unwrap();
        let mix = Mix { used: 2, places: &[1, 0], weights: &[10.0, 1.0] };
        let got = weighted_sum(&rows.narrow(0, 1, 2).unwrap(), mix).unwrap();
        assert_eq!(got.to_vec2::<f32>().unwrap(), [[31.0, 42.0]]);
    }

    #[test]
    fn weights_are_rounded_as_the_rows_are() {
        let rows = Tensor::ones((1, 1), DType::BF16, &Device::Cpu).unwrap();
        let third = 1.0 / 3.0;
        let got = weighted_sum(&rows, Mix { used: 1, places: &[0], weights: &[third] }).unwrap();
        assert_eq!(got.dtype(), DType::BF16);
        let got = got.to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(got, [[half::bf16::from_f32(third).to_f32()]]);
    }

    #[test]
    fn a_row_that_is_not_there_is_an_error() {
        let rows = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        for (used, places) in [(1, vec![2]), (2, vec![0]), (0, vec![])] {
            let weights = vec![1.0; places.len()];
            assert!(weighted_sum(&rows, Mix { used, places: &places, weights: &weights }).is_err());
        }
    }
}
