//! Which experts a token goes to.

use candle_core::{DType, Result, Tensor};

use crate::cuda::address::{address, output};
use crate::cuda::launch::Launch;

/// What becomes of the weights of the experts that a token goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// They stay shares of the softmax over all experts.
    AsPicked,
    /// They are divided by their sum.
    Renormalised,
}

/// The experts of each token, in ascending order, and their weights.
#[derive(Clone, Debug)]
pub struct Routes {
    /// (tokens, used), u32.
    pub experts: Tensor,
    /// (tokens, used), f32.
    pub weights: Tensor,
}

/// The `used` experts of highest probability for each row of `scores` (tokens, experts) in f32; of equal ones, the
/// lower index.
///
/// A row whose softmax is no number gets the first experts, with weights that are none either. Errors if `scores` is
/// not f32, if `used` is 0 or more than there are, and above 512 experts.
pub fn route(scores: &Tensor, used: usize, scaling: Scaling) -> Result<Routes> {
    let (tokens, count) = scores.dims2()?;
    if used == 0 || used > count {
        candle_core::bail!("a token cannot go to {used} of {count} experts");
    }
    if scores.dtype() != DType::F32 {
        candle_core::bail!("a router's scores are f32 here, not {:?}; convert them", scores.dtype());
    }
    let kernel = match count {
        0..=128 => "experts_route_128",
        129..=256 => "experts_route_256",
        257..=512 => "experts_route_512",
        _ => candle_core::bail!(
            "the routing kernel knows 512 experts at most, not {count}; run this model on the CPU"
        ),
    };
    let experts = output(&[tokens, used], scores, DType::U32)?;
    let weights = output(&[tokens, used], scores, DType::F32)?;
    let warps = tokens.clamp(1, 4);
    Launch::new(kernel, tokens.div_ceil(warps), 32 * warps as u32)?
        .overlapping()
        .address(address(scores)?)
        .address(address(&experts)?)
        .address(address(&weights)?)
        .int(tokens)?
        .int(count)?
        .int(used)?
        .int(usize::from(scaling == Scaling::Renormalised))?
        .run(scores.device())?;
    Ok(Routes { experts, weights })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::on_host;
    use candle_core::Device;
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    /// Experts and weights of each row.
    type Rows = (Vec<Vec<u32>>, Vec<Vec<f32>>);

    fn of(rows: &[Vec<f32>], used: usize, scaling: Scaling) -> Rows {
        let scores =
            Tensor::from_vec(rows.concat(), (rows.len(), rows[0].len()), &Device::Cpu).expect("a matrix");
        let routes = on_host::with(|| route(&scores, used, scaling)).expect("it can be routed");
        (routes.experts.to_vec2().expect("u32"), routes.weights.to_vec2().expect("f32"))
    }

    /// What the definition says, in double precision.
    fn expected(row: &[f32], used: usize, scaling: Scaling) -> Vec<(u32, f64)> {
        let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let p: Vec<f64> = row.iter().map(|x| (f64::from(*x) - f64::from(top)).exp()).collect();
        let sum: f64 = p.iter().sum();
        let mut order: Vec<u32> = (0..row.len() as u32).collect();
        order.sort_by(|a, b| row[*b as usize].total_cmp(&row[*a as usize]));
        order.truncate(used);
        order.sort_unstable();
        let picked: f64 = order.iter().map(|expert| p[*expert as usize]).sum();
        let whole = if scaling == Scaling::Renormalised { picked } else { sum };
        order.into_iter().map(|expert| (expert, p[expert as usize] / whole)).collect()
    }

    #[test]
    fn agrees_with_a_sorted_row_in_double_precision() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let cases = [
            (1, 1, 1),
            (3, 4, 4),
            (9, 16, 3),
            (5, 31, 2),
            (5, 33, 33),
            (2, 128, 8),
            (7, 129, 8),
            (6, 256, 8),
            (3, 300, 40),
            (2, 512, 1),
        ];
        for (tokens, count, used) in cases {
            for scaling in [Scaling::AsPicked, Scaling::Renormalised] {
                let row = |_| (0..count).map(|_| rng.random_range(-9.0..9.0f32)).collect();
                let rows: Vec<Vec<f32>> = (0..tokens).map(row).collect();
                let (experts, weights) = of(&rows, used, scaling);
                for ((row, experts), weights) in rows.iter().zip(experts).zip(weights) {
                    let expected = expected(row, used, scaling);
                    let of_expected: Vec<u32> = expected.iter().map(|(expert, _)| *expert).collect();
                    assert_eq!(experts, of_expected, "{used} of {count}");
                    for (got, (_, expected)) in weights.iter().zip(expected) {
                        assert!((f64::from(*got) - expected).abs() < 2e-6 * expected, "{got} {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn of_equal_experts_the_first_are_taken() {
        let picks = |row: Vec<f32>, used| of(&[row], used, Scaling::AsPicked).0.remove(0);
        assert_eq!(picks(vec![1.0; 200], 3), [0, 1, 2]);
        assert_eq!(picks(vec![0.0, 5.0, 1.0, 5.0, 5.0], 2), [1, 3]);
        assert_eq!(picks(vec![0.0, 1.0, 1.0, 1.0, 5.0], 3), [1, 2, 4]);
        // Equal ones in one lane of the warp, and in another lane but of a lower index.
        let mut row = vec![0.0; 100];
        (row[70], row[38], row[41]) = (2.0, 2.0, 2.0);
        assert_eq!(picks(row, 2), [38, 41]);
        // So far below the best that nothing is left of them.
        assert_eq!(picks(vec![-200.0, -300.0, 0.0, -150.0], 3), [0, 1, 2]);
    }

    #[test]
    fn numbers_that_are_none_spoil_only_their_row() {
        let rows = [
            vec![f32::NAN, 1.0, 2.0],
            vec![3.0, 1.0, 2.0],
            vec![f32::INFINITY, 1.0, 2.0],
            vec![f32::NEG_INFINITY; 3],
            vec![1.0, f32::NEG_INFINITY, 2.0],
        ];
        for scaling in [Scaling::AsPicked, Scaling::Renormalised] {
            let (experts, weights) = of(&rows, 2, scaling);
            for spoilt in [0, 2, 3] {
                assert_eq!(experts[spoilt], [0, 1]);
                assert!(weights[spoilt].iter().all(|weight| weight.is_nan()));
            }
            assert_eq!((&experts[1], &experts[4]), (&vec![0, 2], &vec![0, 2]));
            assert!(weights[1].iter().chain(&weights[4]).all(|weight| *weight > 0.0));
        }
    }

    #[test]
    fn what_cannot_be_routed_is_refused() {
        let refusal = |count: usize, used| {
            let scores = Tensor::zeros((2, count), DType::F32, &Device::Cpu).expect("zeros");
            on_host::with(|| route(&scores, used, Scaling::AsPicked)).expect_err("a refusal").to_string()
        };
        assert!(refusal(4, 5).contains("5 of 4 experts") && refusal(4, 0).contains("0 of 4"));
        assert!(refusal(513, 1).contains("512 experts at most"));
    }
}
