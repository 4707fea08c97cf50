//! Where random routers send tokens: what the caveat `random_routing` states.

use candle_core::{DType, Device, Tensor};
use ctxbench::engine::load::OpenModel;
use ctxbench::model::cache::{Cache, KvType};
use ctxbench::model::decoder::{Decoder, Logits};
use ctxbench::model::feed_forward::FeedForward;
use ctxbench::model::kernels::pick;
use ctxbench::model::rope::Rope;
use ctxbench::model::shape::{Architecture, ExpertsShape, ModelShape};

use crate::models::{NATIVE, decoder, shape};

const TOKENS: u32 = 512;
const LAYERS: usize = 24;

fn mixture() -> ModelShape {
    ModelShape {
        vocab_size: 5000,
        hidden_size: 256,
        layers: LAYERS,
        head_dim: 64,
        intermediate_size: None,
        experts: Some(ExpertsShape { count: 64, used: 8, width: 64, shared_width: None, renormalise: true }),
        ..shape(Architecture::Qwen3Moe)
    }
}

/// Makes the router of layer `depth` the head of a model that ends before that layer.
fn ending_in_router(mut decoder: Decoder, depth: usize) -> Decoder {
    let layer = decoder.layers.drain(depth..).next().expect("the layer is there");
    let FeedForward::Experts(experts) = layer.feed_forward else { panic!("a mixture") };
    decoder.head = experts.router.weight;
    decoder.norm = layer.post_norm;
    decoder
}

/// Router scores of 512 different ids, (512, experts).
fn scores(depth: usize, seed: u64) -> Tensor {
    let shape = mixture();
    let whole = decoder(&mut OpenModel::random(shape.clone(), seed), NATIVE);
    let rope = Rope::new(1024, shape.head_dim, shape.rope_theta, &Device::Cpu).expect("tables");
    let mut cache = Cache::new(&shape, 1024, DType::F32, KvType::F32, &Device::Cpu).expect("a cache");
    // 2,003 is prime to 5,000: no id comes twice.
    let ids: Vec<u32> = (0..TOKENS).map(|i| i * 2003 % 5000).collect();
    ending_in_router(whole, depth).forward(&ids, &rope, &mut cache, Logits::All).expect("it runs")
}

/// Tokens that each expert of layer `depth` gets, of 512 that take 8 each.
fn taken(depth: usize, seed: u64) -> [u32; 64] {
    let mut taken = [0; 64];
    for expert in pick(&scores(depth, seed), 8).expect("they can be picked").experts {
        taken[expert as usize] += 1;
    }
    taken
}

#[test]
fn every_layer_spreads_tokens_nearly_evenly() {
    for depth in [0, 1, LAYERS / 2, LAYERS - 1] {
        for seed in 0..2 {
            let taken = taken(depth, seed);
            assert!(taken.iter().all(|tokens| (1..3 * 64).contains(tokens)), "layer {depth}: {taken:?}");
        }
    }
}
