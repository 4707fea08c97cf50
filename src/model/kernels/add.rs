//! `x + y`, into `x` where that is possible.

use candle_core::{Result, Tensor};

use super::slices::{read, write};
use crate::cpu::isa::isa;
use crate::cpu::rows;
use crate::cuda;

/// The sum of two tensors of one shape, each in memory of its own. Where kernels do it `x` itself is changed.
pub fn add(x: Tensor, y: &Tensor) -> Result<Tensor> {
    if cuda::serves(&x) && x.dims() == y.dims() {
        cuda::rows::add(&x, y)?;
        return Ok(x);
    }
    if !super::is_plain_f32(&x) || !super::is_plain_f32(y) || x.dims() != y.dims() {
        return x + y;
    }
    let y = read(y)?;
    let y = y.slice()?;
    write(&x, |x| rows::add(isa(), x, y))?;
    Ok(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn the_sum_is_the_same_in_place_and_elsewhere() {
        let y = Tensor::arange(0f32, 6.0, &Device::Cpu).unwrap().reshape((2, 3)).unwrap();
        let x = y.ones_like().unwrap();
        let half = |x: &Tensor| x.to_dtype(DType::F16).unwrap();
        let elsewhere = add(half(&x), &half(&y)).unwrap().to_dtype(DType::F32).unwrap();
        let got = add(x.force_contiguous().unwrap(), &y).unwrap();
        assert_eq!(got.to_vec2::<f32>().unwrap(), [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
        assert_eq!(got.to_vec2::<f32>().unwrap(), elsewhere.to_vec2::<f32>().unwrap());
        // A shape that candle refuses is refused, not added number by number.
        assert!(add(x, &y.reshape((3, 2)).unwrap()).is_err());
    }
}
