//! Where the first token of a forward pass stands.

use candle_core::{Result, Tensor};

use crate::cuda;

/// So many tokens lie before the first of a pass.
#[derive(Clone, Debug)]
pub struct Position {
    first: usize,
    on_device: Option<Tensor>,
}

impl Position {
    /// Behind `first` tokens, beside the ids `ids`: on a card its kernels read the number there.
    pub fn new(first: usize, ids: &Tensor) -> Result<Self> {
        let on_device = match cuda::serves(ids) {
            true => Some(Tensor::new(&[first as u32], ids.device())?),
            false => None,
        };
        Ok(Self { first, on_device })
    }

    /// Behind as many tokens as `number`, u32 (1,), says when kernels read it: `first` at present.
    pub fn held_by(number: &Tensor, first: usize) -> Self {
        Self { first, on_device: Some(number.clone()) }
    }

    /// Tokens before the first.
    pub fn first(&self) -> usize {
        self.first
    }

    /// The same on the device, u32 (1,), where kernels read it.
    pub fn on_device(&self) -> Option<&Tensor> {
        self.on_device.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::on_host;
    use candle_core::{DType, Device};

    fn told(position: &Position) -> Option<Vec<u32>> {
        position.on_device().map(|number| number.to_vec1().unwrap())
    }

    #[test]
    fn a_card_is_told_the_number_and_a_processor_is_not() {
        let ids = Tensor::zeros(3, DType::U32, &Device::Cpu).unwrap();
        let new = || Position::new(41, &ids).unwrap();
        let (here, there) = (new(), on_host::with(new));
        assert_eq!((here.first(), told(&here)), (41, None));
        assert_eq!((there.first(), told(&there)), (41, Some(vec![41])));
    }

    #[test]
    fn a_number_that_is_held_is_read_where_it_lies() {
        let number = Tensor::zeros(1, DType::U32, &Device::Cpu).unwrap();
        let position = Position::held_by(&number, 7);
        number.slice_set(&Tensor::new(&[9u32], &Device::Cpu).unwrap(), 0, 0).unwrap();
        assert_eq!((position.first(), told(&position)), (7, Some(vec![9])));
    }
}
