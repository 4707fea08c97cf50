//! A mixture of experts by the kernels of [`crate::cuda`]: nothing of the routing passes through the host.

use std::sync::OnceLock;

use candle_core::{DType, Result, Tensor};

use super::Experts;
use crate::cuda::experts::{Expert, Scaling, Table, mix_many, mix_one, route};
use crate::cuda::rows;
use crate::model::linear::Linear;
use crate::model::swiglu::SwiGlu;

/// The addresses of the experts' matrices, made when the first token comes; they do not move after.
#[derive(Clone, Debug, Default)]
pub struct CardTable(OnceLock<Table>);

impl Experts {
    /// As the plain form.
    pub(super) fn on_cuda(&self, x: &Tensor) -> Result<Tensor> {
        let scores = self.router.weight.forward(&x.to_dtype(DType::F32)?)?;
        let scaling = if self.router.renormalise { Scaling::Renormalised } else { Scaling::AsPicked };
        let (table, routes) = (self.card_table(x)?, route(&scores, self.router.used, scaling)?);
        let mixed = match x.dim(0)? {
            1 => mix_one(x, table, &routes)?,
            _ => mix_many(x, table, &routes)?,
        };
        if let Some(shared) = &self.shared {
            rows::add(&mixed, &shared.forward(x)?)?;
        }
        Ok(mixed)
    }

    fn card_table(&self, x: &Tensor) -> Result<&Table> {
        if let Some(table) = self.table.0.get() {
            return Ok(table);
        }
        let experts = self.experts.iter().map(of).collect::<Result<Vec<_>>>()?;
        let middle =
            self.experts.first().map_or(Ok(0), |expert| expert.gate.card_factor().map(|gate| gate.rows))?;
        let table = Table::new(&experts, x.dim(1)?, middle, x.device())?;
        Ok(self.table.0.get_or_init(|| table))
    }
}

fn of(expert: &SwiGlu) -> Result<Expert<'_>> {
    let [gate, up, down] = [&expert.gate, &expert.up, &expert.down].map(Linear::card_factor);
    Ok(Expert { gate: gate?.weights, up: up?.weights, down: down?.weights })
}
