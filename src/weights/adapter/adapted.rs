//! A source of tensors with an adapter merged into them.

use std::cell::RefCell;
use std::collections::BTreeSet;

use candle_core::{Device, Tensor};

use super::Adapter;
use super::error::AdapterError;
use super::factors::Factors;
use crate::model::linear::Matrix;
use crate::weights::cut::Cut;
use crate::weights::error::WeightsError;
use crate::weights::packing::unpacked;
use crate::weights::precision::Precision;
use crate::weights::rows::{Floats, build};
use crate::weights::{Dialect, TensorSource};

/// Another source, with an adapter merged into the tensors that it changes; all others pass as they are.
pub struct Adapted<'a> {
    base: &'a mut dyn TensorSource,
    adapter: &'a Adapter,
    /// Tensors of the adapter that were looked for and fit.
    met: RefCell<BTreeSet<String>>,
}

impl<'a> Adapted<'a> {
    /// Puts `adapter` over `base`.
    pub fn new(base: &'a mut dyn TensorSource, adapter: &'a Adapter) -> Self {
        Self { base, adapter, met: RefCell::default() }
    }

    /// Errors if a part of the adapter was not asked for in any [`TensorSource::check`] so far: after a
    /// [`crate::weights::rehearsal::Rehearsal`] that means that the model does not read it.
    pub fn all_met(&self) -> Result<(), WeightsError> {
        let met = self.met.borrow();
        let mut unmet = self.adapter.factors.iter().filter(|(name, _)| !met.contains(*name));
        match unmet.next() {
            None => Ok(()),
            Some((_, first)) => Err(AdapterError::NoTarget {
                count: 1 + unmet.count(),
                all: self.adapter.factors.len(),
                example: first.module.clone(),
                base: self.adapter.base_clause(),
            }
            .into()),
        }
    }

    /// The factors of `name`, if the adapter changes it; errors if they do not fit a tensor of `stored`.
    fn factors(&self, name: &str, stored: &[usize]) -> Result<Option<&'a Factors>, WeightsError> {
        let Some(factors) = self.adapter.factors.get(name) else { return Ok(None) };
        // A GGUF stores the one row of a shared expert's gate as a vector.
        let is_row = stored.len() == 1 && factors.shape() == [1, stored[0]];
        if stored != factors.shape() && !is_row {
            return Err(AdapterError::Shape {
                name: name.into(),
                adapter: factors.shape().to_vec(),
                model: stored.to_vec(),
                base: self.adapter.base_clause(),
            }
            .into());
        }
        // The converter tiles the value heads of some architectures; which ones is not this file's to know.
        if self.base.dialect() == Dialect::Gguf && name.contains(".linear_attn.") {
            return Err(AdapterError::Reordered { name: name.into() }.into());
        }
        Ok(Some(factors))
    }

    /// The rows of `cut` as the base has them, f32 on the CPU.
    fn stored(&mut self, cut: &Cut, factors: &Factors) -> Result<Tensor, WeightsError> {
        if let Some(base) = &factors.base {
            return chosen(base, cut).map_err(WeightsError::candle(&cut.name));
        }
        match self.base.matrix(cut, Precision::SMALL, &Device::Cpu)? {
            Matrix::Dense(rows) => Ok(rows),
            Matrix::Packed(rows) if !rows.kind().is_quantized() => {
                let shape = (rows.rows(), rows.columns());
                Tensor::from_vec(unpacked(&rows), shape, &Device::Cpu)
                    .map_err(WeightsError::candle(&cut.name))
            }
            Matrix::Packed(_) | Matrix::Quantized(_) => {
                Err(AdapterError::QuantizedBase { base: format!("tensor '{}'", cut.name) }.into())
            }
        }
    }
}

impl TensorSource for Adapted<'_> {
    fn matrix(&mut self, cut: &Cut, precision: Precision, device: &Device) -> Result<Matrix, WeightsError> {
        let Some(factors) = self.factors(&cut.name, &cut.stored)? else {
            return self.base.matrix(cut, precision, device);
        };
        let stored = self.stored(cut, factors)?;
        let merge = || {
            let change = (chosen(&factors.up, cut)?.matmul(&factors.down)? * factors.scale)?;
            let values = (stored + change)?.flatten_all()?.to_vec1()?;
            let rows = Floats { values, columns: cut.columns() };
            build(&rows, cut.row_count(), cut.columns(), precision, device)
        };
        merge().map_err(WeightsError::candle(&cut.name))
    }

    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, WeightsError> {
        let Some(factors) = self.factors(name, shape)? else { return self.base.values(name, shape) };
        let stored = match &factors.base {
            Some(base) => base.reshape(shape).map_err(WeightsError::candle(name))?,
            None => self.base.values(name, shape)?,
        };
        let merge = || stored + (factors.up.matmul(&factors.down)? * factors.scale)?.reshape(shape)?;
        merge().map_err(WeightsError::candle(name))
    }

    fn check(&self, name: &str, shape: &[usize]) -> Result<(), WeightsError> {
        self.base.check(name, shape)?;
        if self.factors(name, shape)?.is_some() {
            self.met.borrow_mut().insert(name.into());
        }
        Ok(())
    }

    /// A seed has every layout: it takes that of the adapter.
    fn has(&self, name: &str) -> bool {
        self.base.has(name) || (self.base.dialect() == Dialect::Seed && self.adapter.changes(name))
    }

    fn dialect(&self) -> Dialect {
        self.base.dialect()
    }
}

/// The rows of `cut`, of a tensor that has all of them.
fn chosen(whole: &Tensor, cut: &Cut) -> candle_core::Result<Tensor> {
    let Some(rows) = &cut.rows else { return Ok(whole.clone()) };
    let rows: Vec<u32> = rows.iter().map(|row| *row as u32).collect();
    whole.index_select(&Tensor::from_vec(rows, cut.row_count(), &Device::Cpu)?, 0)
}
