//! States of tokens to one vector of length 1.

use candle_core::{Result, Tensor};

use crate::catalog::embedder::Pooling;

/// One vector out of the states (tokens, hidden) of a text: (hidden,), not yet of length 1.
pub fn pooled(states: &Tensor, pooling: Pooling) -> Result<Tensor> {
    match pooling {
        Pooling::Mean => states.mean(0),
        Pooling::First => states.get(0),
        Pooling::Last => states.get(states.dim(0)? - 1),
    }
}

/// The vector scaled to length 1. Errors if that is impossible: its length is 0 or not a number.
pub fn unit(vector: Vec<f32>) -> Result<Vec<f32>> {
    let length = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    if !(length.is_finite() && length > 0.0) {
        candle_core::bail!("a text has a vector of length {length}; the weights may be damaged");
    }
    Ok(vector.into_iter().map(|x| (f64::from(x) / length) as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn each_pooling_takes_its_own_rows() {
        let states = Tensor::new(&[[1f32, 2.0], [3.0, 4.0], [8.0, 0.0]], &Device::Cpu).unwrap();
        let of = |pooling| pooled(&states, pooling).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(of(Pooling::Mean), [4.0, 2.0]);
        assert_eq!(of(Pooling::First), [1.0, 2.0]);
        assert_eq!(of(Pooling::Last), [8.0, 0.0]);
    }

    #[test]
    fn a_vector_gets_length_1_or_is_refused() {
        assert_eq!(unit(vec![3.0, 4.0]).unwrap(), [0.6, 0.8]);
        assert_eq!(unit(vec![3e30, 0.0]).unwrap(), [1.0, 0.0]);
        assert!(unit(vec![0.0, 0.0]).is_err() && unit(vec![f32::NAN]).is_err());
    }
}
