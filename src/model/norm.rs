//! RMSNorm, the only one: `x / sqrt(mean(x²) + eps) · w`, accumulated in f32.

use candle_core::{DType, Result, Tensor};

use super::kernels::{is_plain_f32, read, write};
use crate::cpu::{isa::isa, rows};
use crate::cuda;

/// Normalises the last dimension.
#[derive(Clone, Debug)]
pub struct RmsNorm {
    weight: Tensor,
    eps: f32,
}

impl RmsNorm {
    /// `weight` (dim,) in the type of the activations, or in f32: then it multiplies in f32.
    pub fn new(weight: Tensor, eps: f64) -> Self {
        Self { weight, eps: eps as f32 }
    }

    /// (dim,)
    pub(super) fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// Added to the mean square.
    pub(super) fn eps(&self) -> f32 {
        self.eps
    }

    /// `x` (…, dim), contiguous, to the same shape.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if cuda::serves(x) {
            return cuda::rows::rms_norm(&x.contiguous()?, &self.weight, self.eps);
        }
        if !self.applies(x) {
            return self.plain(x);
        }
        let (x_numbers, weight) = (read(x)?, read(&self.weight)?);
        let mut out = vec![0f32; x.elem_count()];
        rows::norm(isa(), x_numbers.slice()?, weight.slice()?, self.eps, &mut out);
        Tensor::from_vec(out, x.shape(), x.device())
    }

    /// Adds `y` to the residual `stream`, and returns the norm of the sum: all of (…, dim), contiguous, each in
    /// memory of its own. Where kernels do it both are changed in place, and `y` becomes the result.
    pub fn after_adding(&self, stream: &mut Tensor, y: Tensor) -> Result<Tensor> {
        if cuda::serves(&y) && stream.dims() == y.dims() {
            cuda::rows::add_rms_norm(stream, &y, &self.weight, self.eps)?;
            return Ok(y);
        }
        if !self.applies(&y) || !is_plain_f32(stream) || stream.dims() != y.dims() {
            *stream = (&*stream + y)?;
            return self.forward(stream);
        }
        let weight = read(&self.weight)?;
        let weight = weight.slice()?;
        write(stream, |stream| write(&y, |y| rows::add_norm(isa(), stream, y, weight, self.eps)))??;
        Ok(y)
    }

    /// Whether the CPU's own kernel does it.
    fn applies(&self, x: &Tensor) -> bool {
        let fits = x.dims().last() == Some(&self.weight.elem_count());
        is_plain_f32(x) && is_plain_f32(&self.weight) && fits && self.weight.dtype() == DType::F32
    }

    /// The same in candle's operations, for every device.
    fn plain(&self, x: &Tensor) -> Result<Tensor> {
        if x.dtype() == self.weight.dtype() {
            return candle_nn::ops::rms_norm(x, &self.weight, self.eps);
        }
        let wide = x.to_dtype(self.weight.dtype())?;
        candle_nn::ops::rms_norm(&wide, &self.weight, self.eps)?.to_dtype(x.dtype())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use proptest::prelude::*;

    fn worst(got: &Tensor, expected: &Tensor) -> f32 {
        let difference = (got - expected).expect("one shape").abs().expect("numbers");
        difference.max_all().expect("numbers").to_scalar().expect("f32")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(30))]
        #[test]
        fn agrees_with_the_plain_form(rows in 1usize..40, dim in 1usize..700, spread in 0.01f32..100.0) {
            let randn = |spread: f32| Tensor::randn(0f32, spread, (rows, dim), &Device::Cpu).unwrap();
            let weight = Tensor::randn(1f32, 1.0, dim, &Device::Cpu).unwrap();
            let norm = RmsNorm::new(weight, 1e-6);
            let (mut stream, y) = (randn(spread), randn(spread));
            let sum = (&stream + &y).unwrap();
            let expected = norm.plain(&sum).unwrap();
            prop_assert!(worst(&norm.forward(&sum).unwrap(), &expected) < 1e-4);
            let normed = norm.after_adding(&mut stream, y).unwrap();
            prop_assert!(worst(&stream, &sum) == 0.0 && worst(&normed, &expected) < 1e-4);
        }
    }

    #[test]
    fn activations_of_sixteen_bits_are_added_and_normalised_too() {
        let half = |x: Tensor| x.to_dtype(DType::F16).unwrap();
        let x = Tensor::new(&[[3f32, 4.0]], &Device::Cpu).unwrap();
        let norm = RmsNorm::new(Tensor::ones(2, DType::F32, &Device::Cpu).unwrap(), 0.0);
        let mut stream = half(x.clone());
        let normed = norm.after_adding(&mut stream, half(x)).unwrap();
        assert_eq!((stream.dtype(), normed.dtype()), (DType::F16, DType::F16));
        let stream = stream.to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(stream, [[6.0, 8.0]]);
        let expected = Tensor::new(&[[6f32 / 50f32.sqrt(), 8.0 / 50f32.sqrt()]], &Device::Cpu).unwrap();
        assert!(worst(&normed.to_dtype(DType::F32).unwrap(), &expected) < 1e-3);
    }
}
