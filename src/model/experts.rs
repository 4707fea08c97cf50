//! The mixture of experts: a router sends each token to a few of many feed-forwards.
//!
//! Comes in: (tokens, hidden). Goes out: the same shape, the weighted sum of what the chosen experts
//! made of each token, plus the shared expert's part where a model has one. Rows are grouped by
//! expert, so that each expert's matrices are read once, and not at all if no token goes there.

use candle_core::{DType, Result, Tensor};

pub use self::on_cuda::CardTable;
use super::kernels::{Groups, Picks, add_rows, pick};
use super::linear::Linear;
use super::swiglu::SwiGlu;
use crate::cuda;

mod on_cuda;

/// Scores experts.
#[derive(Clone, Debug)]
pub struct Router {
    /// (experts, hidden), f32 whatever the type of the rest.
    pub weight: Linear,
    /// Experts a token goes to.
    pub used: usize,
    /// Whether the weights of those are scaled to sum to 1.
    pub renormalise: bool,
}

impl Router {
    /// Brings the scores to the host: (tokens · experts) f32. On a GPU that is one synchronisation a
    /// layer, some ten microseconds beyond the copy (512 tokens × 256 experts: 512 KiB), and no
    /// launch can be queued beyond it.
    fn pick(&self, x: &Tensor) -> Result<Picks> {
        let picks = pick(&self.weight.forward(&x.to_dtype(DType::F32)?)?, self.used)?;
        Ok(if self.renormalise { picks.renormalised() } else { picks })
    }
}

/// A feed-forward that every token goes through, scaled by a gate of its own.
#[derive(Clone, Debug)]
pub struct SharedExpert {
    /// The feed-forward.
    pub feed_forward: SwiGlu,
    /// (1, hidden), f32.
    pub gate: Linear,
}

impl SharedExpert {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let gate = candle_nn::ops::sigmoid(&self.gate.forward(&x.to_dtype(DType::F32)?)?)?;
        self.feed_forward.forward(x)?.broadcast_mul(&gate.to_dtype(x.dtype())?)
    }

    fn bytes(&self) -> u64 {
        self.feed_forward.bytes() + self.gate.bytes()
    }
}

/// The feed-forward of a layer that has experts.
#[derive(Clone, Debug)]
pub struct Experts {
    /// Chooses.
    pub router: Router,
    /// To choose from, all of one shape.
    pub experts: Vec<SwiGlu>,
    /// Beside the chosen ones.
    pub shared: Option<SharedExpert>,
    /// Where the experts' matrices lie on a card, once a token has come.
    pub table: CardTable,
}

impl Experts {
    /// `x` (tokens, hidden) to the same shape.
    ///
    /// Weights are rounded to the type of `x`; their sum runs over ascending experts, in f32.
    /// Errors if the router scores another number of experts than there are, or picks more.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.contiguous()?;
        if cuda::serves(&x) && self.has_cuda_kernels() {
            return self.on_cuda(&x);
        }
        let groups = Groups::new(&self.router.pick(&x)?, self.experts.len())?;
        let mixed = self.mix(&x, &groups)?.to_dtype(x.dtype())?;
        match &self.shared {
            Some(shared) => mixed + shared.forward(&x)?,
            None => Ok(mixed),
        }
    }

    /// (tokens, hidden) in f32. Each expert takes a copy of its own rows, small enough for a cache.
    fn mix(&self, x: &Tensor, groups: &Groups) -> Result<Tensor> {
        let device = x.device();
        let ids = Tensor::new(groups.tokens.as_slice(), device)?;
        let weights = Tensor::new(groups.weights.as_slice(), device)?;
        let weights = weights.to_dtype(x.dtype())?.to_dtype(DType::F32)?;
        let mut sum = Tensor::zeros(x.shape(), DType::F32, device)?;
        let only = x.dim(0)? == 1;
        for span in &groups.spans {
            let ids = ids.narrow(0, span.first, span.rows)?;
            let rows = if only { x.clone() } else { x.index_select(&ids, 0)? };
            let made = self.experts[span.expert].forward(&rows)?;
            sum = add_rows(sum, &made, &ids, &weights.narrow(0, span.first, span.rows)?)?;
        }
        Ok(sum)
    }

    /// Whether kernels for cards know its matrices.
    pub(super) fn has_cuda_kernels(&self) -> bool {
        self.experts
            .iter()
            .chain(self.shared.iter().map(|shared| &shared.feed_forward))
            .all(SwiGlu::has_cuda_kernels)
    }

    /// Bytes that one decode step reads: router, shared expert, and as many experts as a token uses.
    pub fn decode_bytes(&self) -> u64 {
        let count = self.experts.len().max(1) as u64;
        self.every_token_bytes() + self.expert_bytes() / count * (self.router.used as u64).min(count)
    }

    fn every_token_bytes(&self) -> u64 {
        self.router.weight.bytes() + self.shared.as_ref().map_or(0, SharedExpert::bytes)
    }

    fn expert_bytes(&self) -> u64 {
        self.experts.iter().map(SwiGlu::bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::linear::Matrix;
    use candle_core::Device;
    use candle_core::quantized::{GgmlDType, QTensor};
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;
    use std::cell::RefCell;

    const HIDDEN: usize = 12;
    const WIDTH: usize = 10;

    /// Weights, once as numbers and once as the layer.
    struct Twin {
        layer: Experts,
        router: Tensor,
        experts: Vec<[Tensor; 3]>,
        shared: Option<([Tensor; 3], Tensor)>,
    }

    thread_local! {
        /// Each test has a thread and so a sequence of its own: the same in every run.
        static NUMBERS: RefCell<Xoshiro256PlusPlus> = RefCell::new(Xoshiro256PlusPlus::seed_from_u64(1));
    }

    fn random(rows: usize, columns: usize) -> Tensor {
        let number = || NUMBERS.with_borrow_mut(|rng| rng.random::<f32>()) - 0.5;
        let values = (0..rows * columns).map(|_| 1.7 * number()).collect();
        Tensor::from_vec(values, (rows, columns), &Device::Cpu).expect("a matrix")
    }

    fn linear(weight: &Tensor) -> Linear {
        Linear::new(Matrix::Dense(weight.clone()), None).expect("a linear")
    }

    fn three() -> [Tensor; 3] {
        [random(WIDTH, HIDDEN), random(WIDTH, HIDDEN), random(HIDDEN, WIDTH)]
    }

    fn feed_forward([gate, up, down]: &[Tensor; 3]) -> SwiGlu {
        SwiGlu { gate: linear(gate), up: linear(up), down: linear(down) }
    }

    impl Twin {
        fn new(count: usize, used: usize, shared: Option<([Tensor; 3], Tensor)>) -> Self {
            let router = random(count, HIDDEN);
            let experts: Vec<[Tensor; 3]> = (0..count).map(|_| three()).collect();
            let of_shared = |(weights, gate): &([Tensor; 3], Tensor)| SharedExpert {
                feed_forward: feed_forward(weights),
                gate: linear(gate),
            };
            let layer = Experts {
                router: Router { weight: linear(&router), used, renormalise: false },
                experts: experts.iter().map(feed_forward).collect(),
                shared: shared.as_ref().map(of_shared),
                table: CardTable::default(),
            };
            Self { layer, router, experts, shared }
        }

        fn with_shared(count: usize, used: usize) -> Self {
            Self::new(count, used, Some((three(), random(1, HIDDEN))))
        }

        /// What the definition says, one token at a time in double precision.
        fn expected(&self, x: &[f64]) -> Vec<f64> {
            let scores = product(&self.router, x);
            let sum: f64 = scores.iter().map(|s| s.exp()).sum();
            let mut order: Vec<usize> = (0..scores.len()).collect();
            order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
            order.truncate(self.layer.router.used);
            let of_picked: f64 = order.iter().map(|e| scores[*e].exp() / sum).sum();
            let scale = if self.layer.router.renormalise { of_picked } else { 1.0 };
            let mut y = vec![0.0; HIDDEN];
            for expert in order {
                add(&mut y, scores[expert].exp() / sum / scale, &swiglu(&self.experts[expert], x));
            }
            if let Some((weights, gate)) = &self.shared {
                add(&mut y, 1.0 / (1.0 + (-product(gate, x)[0]).exp()), &swiglu(weights, x));
            }
            y
        }

        fn assert_agrees(&self, x: &Tensor, what: &str) {
            let got = numbers(&self.layer.forward(x).expect("it runs"));
            assert_eq!(got.len(), x.dim(0).expect("a matrix"));
            for (x, got) in numbers(x).iter().zip(got) {
                for (got, expected) in got.iter().zip(self.expected(x)) {
                    assert!(
                        (got - expected).abs() < 1e-5 * (1.0 + expected.abs()),
                        "{what}: {got} {expected}"
                    );
                }
            }
        }
    }

    fn numbers(t: &Tensor) -> Vec<Vec<f64>> {
        t.to_dtype(DType::F64).and_then(|t| t.to_vec2()).expect("a matrix")
    }

    fn product(weight: &Tensor, x: &[f64]) -> Vec<f64> {
        numbers(weight).iter().map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum()).collect()
    }

    fn swiglu([gate, up, down]: &[Tensor; 3], x: &[f64]) -> Vec<f64> {
        let middle =
            product(gate, x).into_iter().zip(product(up, x)).map(|(g, u)| g / (1.0 + (-g).exp()) * u);
        product(down, &middle.collect::<Vec<_>>())
    }

    fn add(y: &mut [f64], weight: f64, part: &[f64]) {
        y.iter_mut().zip(part).for_each(|(y, p)| *y += weight * p);
    }

    fn worst(a: &Tensor, b: &Tensor) -> f32 {
        let worst = (a - b).and_then(|d| d.to_dtype(DType::F32)?.abs()?.max_all()?.to_scalar());
        worst.expect("of one shape")
    }

    #[test]
    fn agrees_with_the_definition_token_by_token() {
        for (count, used) in [(9, 1), (9, 3), (9, 9), (1, 1), (32, 4)] {
            for mut twin in [Twin::new(count, used, None), Twin::with_shared(count, used)] {
                for tokens in [1, 2, 37] {
                    for renormalise in [false, true] {
                        twin.layer.router.renormalise = renormalise;
                        let what = format!("{used} of {count}, {tokens} tokens, {renormalise}");
                        twin.assert_agrees(&random(tokens, HIDDEN), &what);
                    }
                }
            }
        }
    }

    #[test]
    fn an_expert_without_tokens_is_not_run() {
        let mut twin = Twin::with_shared(5, 2);
        // Score of expert 3: far below the others, whose scores stay near 0.
        let low = Tensor::full(-100f32, (1, HIDDEN), &Device::Cpu).unwrap();
        let others = (&twin.router * 0.01).unwrap();
        let parts = [others.narrow(0, 0, 3).unwrap(), low, others.narrow(0, 4, 1).unwrap()];
        twin.router = Tensor::cat(&parts, 0).unwrap();
        twin.layer.router.weight = linear(&twin.router);
        let x = (random(37, HIDDEN).abs().unwrap() + 0.1).unwrap();
        twin.assert_agrees(&x, "before");
        let poison = Tensor::full(f32::NAN, (HIDDEN, WIDTH), &Device::Cpu).unwrap();
        twin.layer.experts[3].down = linear(&poison);
        twin.assert_agrees(&x, "expert 3 would spoil everything it touched");
    }

    #[test]
    fn permuted_tokens_give_permuted_results_and_a_token_alone_the_same() {
        let twin = Twin::with_shared(8, 3);
        let x = random(37, HIDDEN);
        let order: Vec<u32> = (0..37).map(|i| i * 10 % 37).collect();
        let order = Tensor::new(order, &Device::Cpu).unwrap();
        let whole = twin.layer.forward(&x).unwrap();
        let permuted = twin.layer.forward(&x.index_select(&order, 0).unwrap()).unwrap();
        assert!(worst(&permuted, &whole.index_select(&order, 0).unwrap()) < 1e-5);
        for token in [0, 20, 36] {
            let alone = twin.layer.forward(&x.narrow(0, token, 1).unwrap()).unwrap();
            assert!(worst(&alone, &whole.narrow(0, token, 1).unwrap()) < 1e-5);
        }
    }

    #[test]
    fn quantized_experts_agree_with_running_them_one_by_one() {
        let blocks = |rows, columns| {
            let blocks = QTensor::quantize(&random(rows, columns), GgmlDType::Q4K).expect("rows of 256");
            Linear::new(Matrix::Quantized(std::sync::Arc::new(blocks)), None).expect("a linear")
        };
        let expert = |_| SwiGlu { gate: blocks(512, 256), up: blocks(512, 256), down: blocks(256, 512) };
        let router = Router { weight: linear(&random(6, 256)), used: 2, renormalise: true };
        let layer = Experts {
            router,
            experts: (0..6).map(expert).collect(),
            shared: None,
            table: CardTable::default(),
        };
        for tokens in [1, 19] {
            let x = random(tokens, 256);
            let got = layer.forward(&x).unwrap();
            let picks = layer.router.pick(&x).unwrap();
            for token in 0..tokens {
                let row = x.narrow(0, token, 1).unwrap();
                let mut expected = Tensor::zeros((1, 256), DType::F32, &Device::Cpu).unwrap();
                for pair in 2 * token..2 * token + 2 {
                    let y = layer.experts[picks.experts[pair] as usize].forward(&row).unwrap();
                    expected = (expected + (y * f64::from(picks.weights[pair])).unwrap()).unwrap();
                }
                let size = expected.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                assert!(worst(&got.narrow(0, token, 1).unwrap(), &expected) < 1e-4 * (1.0 + size));
            }
        }
    }

    #[test]
    fn sixteen_bits_stay_within_their_rounding() {
        let twin = Twin::with_shared(8, 2);
        for dtype in [DType::BF16, DType::F16] {
            let x = random(20, HIDDEN).to_dtype(dtype).unwrap();
            let expected = twin.layer.forward(&x.to_dtype(DType::F32).unwrap()).unwrap();
            let half = |w: &[Tensor; 3]| feed_forward(&w.clone().map(|t| t.to_dtype(dtype).expect("a cast")));
            let mut layer = twin.layer.clone();
            layer.experts = twin.experts.iter().map(half).collect();
            if let (Some(shared), Some((weights, _))) = (&mut layer.shared, &twin.shared) {
                shared.feed_forward = half(weights);
            }
            let got = layer.forward(&x).unwrap();
            assert_eq!(got.dtype(), dtype);
            let worst = worst(&got.to_dtype(DType::F32).unwrap(), &expected);
            assert!(worst > 0.0 && worst < 0.05, "{dtype:?} {worst}");
        }
    }

    #[test]
    fn tokens_that_are_no_numbers_spoil_only_themselves() {
        let layer = Twin::with_shared(4, 2).layer;
        let x = Tensor::cat(&[random(2, HIDDEN), (random(1, HIDDEN) * f64::NAN).unwrap()], 0).unwrap();
        let y = numbers(&layer.forward(&x).unwrap());
        assert!(y[2].iter().all(|y| y.is_nan()) && y[..2].iter().flatten().all(|y| y.is_finite()));
    }

    #[test]
    fn a_step_reads_the_router_the_shared_expert_and_the_used_experts() {
        let layer = Twin::with_shared(8, 3).layer;
        let one = 4 * 3 * (HIDDEN * WIDTH) as u64;
        let always = 4 * (8 * HIDDEN + HIDDEN) as u64 + one;
        assert_eq!(layer.decode_bytes(), always + 3 * one);
    }

    #[test]
    fn a_router_of_another_size_is_an_error() {
        let mut layer = Twin::new(4, 4, None).layer;
        layer.experts.pop();
        assert!(layer.forward(&random(3, HIDDEN)).unwrap_err().to_string().contains("expert 3 of 3"));
        layer.router.used = 5;
        assert!(layer.forward(&random(3, HIDDEN)).unwrap_err().to_string().contains("5 of 4 experts"));
    }
}
