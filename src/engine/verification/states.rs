//! What an engine remembers of the short prompt, held against the reference's cache, layer by layer.

use candle_core::{DType, Device, Tensor};

use super::bar::max_abs_diff;
use crate::engine::candle::CandleEngine;
use crate::engine::reference::Reference;
use crate::model::decoder::Mixer;
use crate::model::delta_net::ValueHeadOrder;
use crate::model::delta_state::{DeltaHeads, DeltaState};

/// Largest absolute difference over all layers; NaN if any number is.
///
/// Errors if the reference lacks a layer or has it in another shape.
pub(super) fn largest_difference(engine: &CandleEngine, reference: &Reference) -> anyhow::Result<f64> {
    let mut worst = 0.0;
    for (index, layer) in engine.decoder().layers.iter().enumerate() {
        let pairs = match &layer.mixer {
            Mixer::Attention(_) => key_values(engine, reference, index)?,
            Mixer::DeltaNet(net) => delta(engine, reference, index, (net.heads, net.order))?,
        };
        for pair in pairs {
            let difference = max_abs_diff(&pair.expected, &pair.got)?;
            worst = if worst >= difference || f64::is_nan(worst) { worst } else { difference };
        }
    }
    Ok(worst)
}

struct Pair {
    expected: Tensor,
    got: Tensor,
}

fn key_values(engine: &CandleEngine, reference: &Reference, index: usize) -> anyhow::Result<Vec<Pair>> {
    let seen = engine.cache().seen(index).ok_or_else(|| other_cache(index))??;
    Ok(vec![
        Pair { expected: reference.state(index, "key")?, got: plain(&seen.keys)? },
        Pair { expected: reference.state(index, "value")?, got: plain(&seen.values)? },
    ])
}

fn delta(
    engine: &CandleEngine,
    reference: &Reference,
    index: usize,
    (heads, order): (DeltaHeads, ValueHeadOrder),
) -> anyhow::Result<Vec<Pair>> {
    let state: &DeltaState = engine.cache().state(index).ok_or_else(|| other_cache(index))?;
    let recurrent = grouped(&plain(&state.recurrent()?)?, &heads, order)?;
    let conv = plain(&state.conv()?)?.t()?.contiguous()?;
    let (qk, rows) = (2 * heads.key_channels(), conv.dim(1)?);
    let values = conv.narrow(0, qk, heads.value_channels())?.contiguous()?;
    let values = values.reshape((heads.value_heads, heads.value_dim * rows))?;
    let values = grouped(&values, &heads, order)?.reshape((heads.value_channels(), rows))?;
    // The reference keeps as many rows as the convolution is wide; the oldest is not needed again.
    let kept = reference.state(index, "conv")?;
    let kept = kept.narrow(1, kept.dim(1)?.saturating_sub(rows), rows)?;
    Ok(vec![
        Pair { expected: reference.state(index, "recurrent")?, got: recurrent },
        Pair { expected: kept.contiguous()?, got: Tensor::cat(&[conv.narrow(0, 0, qk)?, values], 0)? },
    ])
}

/// Value heads, the first dimension, in the reference's order: grouped by key head.
fn grouped(x: &Tensor, heads: &DeltaHeads, order: ValueHeadOrder) -> candle_core::Result<Tensor> {
    match order {
        ValueHeadOrder::Grouped => Ok(x.clone()),
        ValueHeadOrder::Tiled => {
            let place = |head: usize| head % heads.group() * heads.key_heads + head / heads.group();
            let places: Vec<u32> = (0..heads.value_heads).map(|head| place(head) as u32).collect();
            x.index_select(&Tensor::new(places, x.device())?, 0)
        }
    }
}

fn plain(x: &Tensor) -> candle_core::Result<Tensor> {
    x.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.contiguous()
}

fn other_cache(index: usize) -> anyhow::Error {
    anyhow::anyhow!("the cache of layer {index} is not that of its mixer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiled_heads_come_back_grouped() {
        let heads = DeltaHeads { key_heads: 2, value_heads: 6, key_dim: 1, value_dim: 1, conv_width: 4 };
        // Grouped by key head, heads are a0 a1 a2 b0 b1 b2; tiled over key heads, a0 b0 a1 b1 a2 b2.
        let tiled = Tensor::new(&[[0f32], [10.0], [1.0], [11.0], [2.0], [12.0]], &Device::Cpu).unwrap();
        let back = grouped(&tiled, &heads, ValueHeadOrder::Tiled).unwrap();
        assert_eq!(back.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [0.0, 1.0, 2.0, 10.0, 11.0, 12.0]);
        let same = grouped(&tiled, &heads, ValueHeadOrder::Grouped).unwrap();
        assert_eq!(same.to_vec2::<f32>().unwrap(), tiled.to_vec2::<f32>().unwrap());
    }
}
