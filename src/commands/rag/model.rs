//! The model that answers: loaded once, with its adapter merged if one was named.

use std::path::Path;

use super::Setup;
use crate::cli::Quantization;
use crate::commands::progress::remark;
use crate::commands::run::arms;
use crate::engine::candle::CandleEngine;
use crate::weights::adapter::Adapter;
use crate::weights::precision::Precision;

/// A loaded model.
pub struct Loaded {
    /// Ready to run.
    pub engine: CandleEngine,
    /// Bytes of weights that a decode step reads.
    pub decode_weight_bytes: u64,
}

/// Loads the model with room for `capacity` tokens; `tell` hears of what takes a while.
///
/// Errors if weights or adapter do not fit the model.
pub fn load(
    setup: &Setup,
    adapter: Option<&Path>,
    quantization: Quantization,
    capacity: u32,
    tell: &dyn Fn(&str),
) -> anyhow::Result<Loaded> {
    let mut open = arms::open(setup.model(), setup.config.run.seed)?;
    if let Some(folder) = adapter {
        let adapter = Adapter::open(folder)?;
        adapter.remarks(&setup.model().id).iter().for_each(|text| remark(text));
        open = open.with_adapter(adapter)?;
    }
    tell("loading the model");
    let precision = Precision { quantization, dtype: setup.config.run.dtype };
    let decoder = open.decoder(precision, &setup.device, &mut |_, _| {})?;
    let decode_weight_bytes = decoder.decode_weight_bytes();
    let engine = CandleEngine::new(decoder, capacity as usize)?;
    Ok(Loaded { engine, decode_weight_bytes })
}
