//! The tensors of a feed-forward: dense, or experts in whichever of the stored layouts they come.

use super::{Bias, Builder};
use crate::model::experts::{CardTable, Experts, Router, SharedExpert};
use crate::model::feed_forward::FeedForward;
use crate::model::linear::{Linear, Matrix};
use crate::model::shape::ExpertsShape;
use crate::model::swiglu::SwiGlu;
use crate::weights::Dialect;
use crate::weights::cut::Cut;
use crate::weights::error::WeightsError;

/// How a file stores the experts of a layer.
#[derive(Clone, Copy)]
enum Stored {
    /// Three matrices an expert.
    Apart,
    /// Three tensors (experts, rows, columns).
    Stacked,
    /// Gate and up in one tensor (experts, 2 · width, hidden), gate first.
    Fused,
}

impl Builder<'_> {
    pub(super) fn feed_forward(&mut self, index: usize) -> Result<FeedForward, WeightsError> {
        let at = format!("layers.{index}.mlp");
        match (&self.shape.experts, self.shape.intermediate_size) {
            (Some(experts), _) => Ok(FeedForward::Experts(self.experts(&at, experts)?)),
            (None, width) => Ok(FeedForward::Dense(self.swi_glu(&at, width.unwrap_or_default())?)),
        }
    }

    fn swi_glu(&mut self, at: &str, width: usize) -> Result<SwiGlu, WeightsError> {
        let hidden = self.shape.hidden_size;
        Ok(SwiGlu {
            gate: self.linear(&format!("{at}.gate_proj"), width, hidden, Bias::Without)?,
            up: self.linear(&format!("{at}.up_proj"), width, hidden, Bias::Without)?,
            down: self.linear(&format!("{at}.down_proj"), hidden, width, Bias::Without)?,
        })
    }

    fn experts(&mut self, at: &str, shape: &ExpertsShape) -> Result<Experts, WeightsError> {
        let weight = self.small(&format!("{at}.gate.weight"), shape.count, self.shape.hidden_size)?;
        let stored = self.stored(at);
        let experts = (0..shape.count)
            .map(|expert| self.expert(at, stored, shape, expert))
            .collect::<Result<_, _>>()?;
        let shared = shape.shared_width.map(|width| self.shared_expert(at, width)).transpose()?;
        let router = Router { weight, used: shape.used, renormalise: shape.renormalise };
        Ok(Experts { router, experts, shared, table: CardTable::default() })
    }

    fn stored(&self, at: &str) -> Stored {
        if self.source.has(&format!("{at}.experts.gate_up_proj")) {
            Stored::Fused
        } else if self.source.has(&format!("{at}.experts.gate_proj")) {
            Stored::Stacked
        } else {
            Stored::Apart
        }
    }

    fn expert(
        &mut self,
        at: &str,
        stored: Stored,
        shape: &ExpertsShape,
        expert: usize,
    ) -> Result<SwiGlu, WeightsError> {
        let (count, width, hidden) = (shape.count, shape.width, self.shape.hidden_size);
        let mut slice = |part: &str, stored_rows: usize, columns: usize, first: usize, rows: usize| {
            let first = expert * stored_rows + first;
            let name = format!("{at}.experts.{part}");
            self.rows(&Cut::rows(name, [count, stored_rows, columns], first..first + rows))
        };
        match stored {
            Stored::Apart => self.swi_glu(&format!("{at}.experts.{expert}"), width),
            Stored::Stacked => Ok(SwiGlu {
                gate: slice("gate_proj", width, hidden, 0, width)?,
                up: slice("up_proj", width, hidden, 0, width)?,
                down: slice("down_proj", hidden, width, 0, hidden)?,
            }),
            Stored::Fused => Ok(SwiGlu {
                gate: slice("gate_up_proj", 2 * width, hidden, 0, width)?,
                up: slice("gate_up_proj", 2 * width, hidden, width, width)?,
                down: slice("down_proj", hidden, width, 0, hidden)?,
            }),
        }
    }

    fn shared_expert(&mut self, at: &str, width: usize) -> Result<SharedExpert, WeightsError> {
        let feed_forward = self.swi_glu(&format!("{at}.shared_expert"), width)?;
        let gate = self.shared_gate(&format!("{at}.shared_expert_gate.weight"))?;
        Ok(SharedExpert { feed_forward, gate })
    }

    /// One row: (1, hidden) in a checkpoint, (hidden,) in GGUF.
    fn shared_gate(&mut self, name: &str) -> Result<Linear, WeightsError> {
        let hidden = self.shape.hidden_size;
        let row = match self.source.dialect() {
            Dialect::Gguf => self.values(name, &[hidden])?,
            Dialect::Checkpoint | Dialect::Seed => self.values(name, &[1, hidden])?,
        };
        let linear = || Linear::new(Matrix::Dense(row.reshape((1, hidden))?), None);
        linear().map_err(WeightsError::candle(name))
    }
}
