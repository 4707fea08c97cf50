//! The delta net between its projections as one kernel of the CPU, in f32.

use candle_core::{Result, Tensor};

use super::{DeltaNet, Projected};
use crate::cpu::delta::{Order, Shape, State, Tokens, Weights, mix as mix_numbers};
use crate::cpu::isa::isa;
use crate::model::delta_state::{DeltaState, ValueHeadOrder};
use crate::model::kernels::{is_plain_f32, read, write};

/// Whether all of it lies on the CPU in f32.
pub(super) fn applies(net: &DeltaNet, projected: &Projected, state: &DeltaState) -> bool {
    let Projected { qkv, gate, beta, decay } = projected;
    let weights = [&net.conv, &net.decay_rate, &net.decay_bias, &net.norm];
    let all = [qkv, gate, beta, decay, state.memory(), state.rows()];
    all.into_iter().chain(weights).all(is_plain_f32)
}

/// What the output projection reads, (tokens, value channels), in the memory of the gate; `state` moves on.
pub(super) fn mix(net: &DeltaNet, projected: Projected, state: &DeltaState) -> Result<Tensor> {
    let Projected { qkv, gate, beta, decay } = projected;
    let (conv, rate, bias, norm) =
        (read(&net.conv)?, read(&net.decay_rate)?, read(&net.decay_bias)?, read(&net.norm)?);
    let weights = Weights {
        conv: conv.slice()?,
        decay_rate: rate.slice()?,
        decay_bias: bias.slice()?,
        norm: norm.slice()?,
        eps: net.eps as f32,
    };
    let (qkv, beta, decay) = (read(&qkv)?, read(&beta)?, read(&decay)?);
    let (qkv, beta, decay) = (qkv.slice()?, beta.slice()?, decay.slice()?);
    let (shape, step) = (shape(net), (net.heads.key_dim + 1) * net.heads.value_dim);
    write(&gate, |gate| {
        write(state.rows(), |conv| {
            write(state.memory(), |memory| {
                let tokens = Tokens { qkv, beta, decay, gate };
                mix_numbers(isa(), &shape, &weights, tokens, State { conv, memory, step });
            })
        })
    })???;
    Ok(gate)
}

fn shape(net: &DeltaNet) -> Shape {
    let heads = net.heads;
    Shape {
        key_heads: heads.key_heads,
        value_heads: heads.value_heads,
        key_dim: heads.key_dim,
        value_dim: heads.value_dim,
        conv_width: heads.conv_width,
        order: match net.order {
            ValueHeadOrder::Grouped => Order::Grouped,
            ValueHeadOrder::Tiled => Order::Tiled,
        },
    }
}
