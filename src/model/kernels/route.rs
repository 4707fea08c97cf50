//! Which experts a token goes to: softmax over a row of router scores, and its largest few;
//! and the same the other way round, which tokens an expert gets.
//!
//! Comes in: scores (tokens, experts) in f32, on any device. Goes out: experts and weights on the host.

use candle_core::{DType, Result, Tensor};

use super::exp::exp;
use crate::cpu::pool;

/// Rows per parallel piece: enough work to be worth handing out.
const PIECE: usize = 32;

/// The experts of each token, `used` a token, one token after the other.
///
/// Within a token they stand in ascending order, so that sums over them have one order everywhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Picks {
    /// Experts a token goes to.
    pub used: usize,
    /// Indices, (tokens · used).
    pub experts: Vec<u32>,
    /// Softmax over all experts, of those picked: (tokens · used).
    pub weights: Vec<f32>,
}

impl Picks {
    /// Scales each token's weights so that they sum to 1.
    pub fn renormalised(mut self) -> Self {
        for weights in self.weights.chunks_mut(self.used) {
            let sum: f32 = weights.iter().sum();
            weights.iter_mut().for_each(|weight| *weight /= sum);
        }
        self
    }
}

/// Pairs of token and expert, sorted by expert and then by token.
#[derive(Debug)]
pub struct Groups {
    /// Token of each pair.
    pub tokens: Vec<u32>,
    /// Weight of each pair.
    pub weights: Vec<f32>,
    /// One per expert that has tokens, ascending.
    pub spans: Vec<Span>,
}

/// The pairs of one expert.
#[derive(Debug, PartialEq)]
pub struct Span {
    /// Its index.
    pub expert: usize,
    /// First of its pairs.
    pub first: usize,
    /// How many there are; not 0.
    pub rows: usize,
}

impl Groups {
    /// Sorts what was picked of `count` experts; errors if one is not among them.
    pub fn new(picks: &Picks, count: usize) -> Result<Self> {
        let mut rows = vec![0; count];
        for expert in &picks.experts {
            match rows.get_mut(*expert as usize) {
                Some(rows) => *rows += 1,
                None => candle_core::bail!("the router chose expert {expert} of {count}"),
            }
        }
        let mut next = Vec::with_capacity(count);
        let mut spans = Vec::new();
        let mut first = 0;
        for (expert, rows) in rows.into_iter().enumerate() {
            next.push(first);
            if rows > 0 {
                spans.push(Span { expert, first, rows });
            }
            first += rows;
        }
        let mut tokens = vec![0; picks.experts.len()];
        let mut weights = vec![0.0; picks.experts.len()];
        for (pair, (expert, weight)) in picks.experts.iter().zip(&picks.weights).enumerate() {
            let place = &mut next[*expert as usize];
            tokens[*place] = (pair / picks.used) as u32;
            weights[*place] = *weight;
            *place += 1;
        }
        Ok(Self { tokens, weights, spans })
    }
}

/// The `used` experts of highest probability for each row of `scores`; of equal ones, the lower index.
///
/// A row with a NaN gets NaN weights and the first experts. Errors if `used` is 0 or more than there are.
pub fn pick(scores: &Tensor, used: usize) -> Result<Picks> {
    let (tokens, count) = scores.dims2()?;
    if used == 0 || used > count {
        candle_core::bail!("a token cannot go to {used} of {count} experts");
    }
    let scores = scores.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    let mut picked = vec![(0, 0.0); tokens * used];
    pool::run_chunks(&mut picked, PIECE * used, |piece, picked| {
        let mut row = vec![0.0; count];
        let mut best = Vec::with_capacity(used + 1);
        let rows = scores.chunks(count).skip(piece * PIECE);
        for (scores, picked) in rows.zip(picked.chunks_mut(used)) {
            softmax(scores, &mut row);
            largest(&row, used, &mut best);
            for (place, index) in picked.iter_mut().zip(&best) {
                *place = (*index as u32, row[*index]);
            }
        }
    });
    let (experts, weights) = picked.into_iter().unzip();
    Ok(Picks { used, experts, weights })
}

fn softmax(scores: &[f32], out: &mut [f32]) {
    let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for (p, score) in out.iter_mut().zip(scores) {
        *p = exp(score - top);
    }
    let sum: f32 = out.iter().sum();
    out.iter_mut().for_each(|p| *p /= sum);
}

/// Indices of the `used` largest of `row` into `best`, ascending.
fn largest(row: &[f32], used: usize, best: &mut Vec<usize>) {
    best.clear();
    for (index, p) in row.iter().enumerate() {
        let full = best.len() == used;
        if full && best.last().is_some_and(|last| p.total_cmp(&row[*last]).is_le()) {
            continue;
        }
        // Behind its equals, which have lower indices.
        let place = best.partition_point(|other| row[*other].total_cmp(p).is_ge());
        best.insert(place, index);
        best.truncate(used);
    }
    best.sort_unstable();
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use proptest::prelude::*;

    fn of(rows: &[Vec<f32>], used: usize) -> Picks {
        let flat = rows.concat();
        let scores = Tensor::from_vec(flat, (rows.len(), rows[0].len()), &Device::Cpu).expect("a matrix");
        pick(&scores, used).expect("it can be picked from")
    }

    proptest! {
        #[test]
        fn agrees_with_a_sorted_row_in_double_precision(
            row in prop::collection::vec(-20.0..20.0f32, 1..200), share in 0.0..1.0f64,
        ) {
            let used = 1 + (share * (row.len() - 1) as f64) as usize;
            let got = of(std::slice::from_ref(&row), used);
            let sum: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
            let mut order: Vec<usize> = (0..row.len()).collect();
            order.sort_by(|a, b| row[*b].total_cmp(&row[*a]));
            // Scores too close for f32 may change places: the weights of both orders agree all the same.
            let mut expected: Vec<f64> = order[..used].iter().map(|i| f64::from(row[*i]).exp() / sum).collect();
            let mut weights = got.weights.clone();
            expected.sort_by(f64::total_cmp);
            weights.sort_by(f32::total_cmp);
            for (got, expected) in weights.iter().zip(&expected) {
                prop_assert!((f64::from(*got) - expected).abs() < 1e-5 * expected + 1e-12, "{got} {expected}");
            }
            prop_assert!(got.experts.is_sorted_by(|a, b| a < b));
            let whole: f32 = got.renormalised().weights.iter().sum();
            prop_assert!((whole - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn of_equal_experts_the_first_are_taken() {
        assert_eq!(of(&[vec![1.0; 9]], 3).experts, [0, 1, 2]);
        assert_eq!(of(&[vec![0.0, 5.0, 1.0, 5.0, 5.0]], 2).experts, [1, 3]);
        assert_eq!(of(&[vec![0.0, 1.0, 1.0, 1.0, 5.0]], 3).experts, [1, 2, 4]);
    }

    #[test]
    fn each_row_is_its_own() {
        let rows: Vec<Vec<f32>> = (0..100).map(|r| (0..7).map(|e| ((r + e) % 7) as f32).collect()).collect();
        let all = of(&rows, 2);
        for (index, row) in rows.iter().enumerate() {
            let alone = of(std::slice::from_ref(row), 2);
            assert_eq!(all.experts[2 * index..][..2], alone.experts[..]);
            assert_eq!(all.weights[2 * index..][..2], alone.weights[..]);
        }
    }

    #[test]
    fn numbers_that_are_none_do_not_panic() {
        let got = of(&[vec![f32::NAN, 1.0, 2.0], vec![3.0, 1.0, 2.0]], 2);
        assert!(got.weights[..2].iter().all(|weight| weight.is_nan()));
        assert_eq!(got.experts[2..], [0, 2]);
        assert!(of(&[vec![f32::INFINITY, 1.0]], 1).weights[0].is_nan());
        assert!(of(&[vec![f32::NEG_INFINITY; 2]], 2).weights[0].is_nan());
    }

    #[test]
    fn groups_hold_every_pair_once_by_expert_and_then_by_token() {
        let picks =
            Picks { used: 2, experts: vec![1, 4, 0, 4, 1, 4], weights: vec![0.1, 0.2, 0.3, 0.4, 0.5, 0.6] };
        let groups = Groups::new(&picks, 5).unwrap();
        assert_eq!(groups.tokens, [1, 0, 2, 0, 1, 2]);
        assert_eq!(groups.weights, [0.3, 0.1, 0.5, 0.2, 0.4, 0.6]);
        let span = |expert, first, rows| Span { expert, first, rows };
        assert_eq!(groups.spans, [span(0, 0, 1), span(1, 1, 2), span(4, 3, 3)]);
        assert!(Groups::new(&picks, 4).unwrap_err().to_string().contains("expert 4 of 4"));
    }

    #[test]
    fn more_experts_than_there_are_is_an_error() {
        let scores = Tensor::zeros((2, 4), DType::F32, &Device::Cpu).unwrap();
        assert!(pick(&scores, 5).unwrap_err().to_string().contains("5 of 4 experts"));
        assert!(pick(&scores, 0).is_err());
    }
}
