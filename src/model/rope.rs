//! Rotary position embedding, the only one.
//!
//! Qwen pairs dimension `i` with `i + dim/2`. Tables are built in f64 and stored in f32 whatever
//! the model's type: in f16 positions above 2,048 are rounded, and above 65,504 they overflow.

use candle_core::{DType, Device, Result, Tensor};

/// Tables of cos and sin, each (positions, dim/2), f32.
#[derive(Clone, Debug)]
pub struct Rope {
    cos: Tensor,
    sin: Tensor,
}

impl Rope {
    /// Tables for positions `0..positions` that turn the first `dim` dimensions of each head.
    pub fn new(positions: usize, dim: usize, theta: f64, device: &Device) -> Result<Self> {
        let half = dim / 2;
        let frequency: Vec<f64> = (0..half).map(|i| theta.powf(-2.0 * i as f64 / dim as f64)).collect();
        let table = |f: fn(f64) -> f64| {
            let values: Vec<f32> = (0..positions)
                .flat_map(|position| frequency.iter().map(move |w| f(position as f64 * w) as f32))
                .collect();
            Tensor::from_vec(values, (positions, half), device)
        };
        Ok(Self { cos: table(f64::cos)?, sin: table(f64::sin)? })
    }

    /// cos and sin, each (positions, dim/2).
    pub(super) fn tables(&self) -> [&Tensor; 2] {
        [&self.cos, &self.sin]
    }

    /// Rotates `x` (tokens, heads, dim); token `t` stands at position `offset + t`.
    ///
    /// Errors if a position lies beyond the tables.
    pub fn forward(&self, x: &Tensor, offset: usize) -> Result<Tensor> {
        let tokens = x.dim(0)?;
        let cos = self.cos.narrow(0, offset, tokens)?;
        let sin = self.sin.narrow(0, offset, tokens)?;
        let (dim, turned) = (x.dim(2)?, 2 * cos.dim(1)?);
        let part = if turned == dim { x.clone() } else { x.narrow(2, 0, turned)?.contiguous()? };
        let part = candle_nn::rotary_emb::rope_thd(&part.to_dtype(DType::F32)?.unsqueeze(0)?, &cos, &sin)?;
        let part = part.squeeze(0)?.to_dtype(x.dtype())?;
        match turned == dim {
            true => Ok(part),
            false => Tensor::cat(&[&part, &x.narrow(2, turned, dim - turned)?], 2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, in f64, one number at a time.
    fn rotated(x: &[f64], position: f64, theta: f64) -> Vec<f64> {
        let half = x.len() / 2;
        let mut out = x.to_vec();
        for i in 0..half {
            let (sin, cos) = (position * theta.powf(-2.0 * i as f64 / x.len() as f64)).sin_cos();
            out[i] = x[i] * cos - x[i + half] * sin;
            out[i + half] = x[i + half] * cos + x[i] * sin;
        }
        out
    }

    #[test]
    fn positions_far_beyond_half_precision_are_exact() {
        let (dim, theta) = (8, 1e6);
        let rope = Rope::new(70_000, dim, theta, &Device::Cpu).unwrap();
        let x: Vec<f32> = (0..dim).map(|i| 0.3 + i as f32).collect();
        for position in [0, 1, 2_049, 65_505, 69_999] {
            let input = Tensor::from_slice(&x, (1, 1, dim), &Device::Cpu).unwrap();
            let got =
                rope.forward(&input, position).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let wide: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
            for (g, e) in got.iter().zip(rotated(&wide, position as f64, theta)) {
                assert!((f64::from(*g) - e).abs() < 1e-5, "position {position}: {g} against {e}");
            }
        }
    }

    #[test]
    fn splitting_the_prompt_changes_nothing() {
        let rope = Rope::new(8, 4, 1e4, &Device::Cpu).unwrap();
        let x = Tensor::randn(0f32, 1.0, (5, 2, 4), &Device::Cpu).unwrap();
        let whole = rope.forward(&x, 0).unwrap();
        let tail = rope.forward(&x.narrow(0, 3, 2).unwrap().contiguous().unwrap(), 3).unwrap();
        let expected = whole.narrow(0, 3, 2).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(tail.flatten_all().unwrap().to_vec1::<f32>().unwrap(), expected);
    }

    #[test]
    fn dimensions_beyond_the_turned_ones_pass_through() {
        let rope = Rope::new(16, 4, 1e4, &Device::Cpu).unwrap();
        let x = Tensor::randn(0f32, 1.0, (3, 2, 10), &Device::Cpu).unwrap();
        let part = |t: &Tensor, from, n| t.narrow(2, from, n).unwrap().contiguous().unwrap();
        let values = |t: Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let got = rope.forward(&x, 7).unwrap();
        assert_eq!(values(part(&got, 4, 6)), values(part(&x, 4, 6)));
        assert_eq!(values(part(&got, 0, 4)), values(rope.forward(&part(&x, 0, 4), 7).unwrap()));
    }

    #[test]
    fn a_position_beyond_the_tables_is_an_error() {
        let rope = Rope::new(4, 4, 1e4, &Device::Cpu).unwrap();
        let x = Tensor::zeros((2, 1, 4), DType::F32, &Device::Cpu).unwrap();
        assert!(rope.forward(&x, 3).is_err());
    }
}
