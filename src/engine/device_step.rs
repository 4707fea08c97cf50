//! A decode step of which nothing passes through the host: the token, its place, the logits and the choice of the
//! next token lie on the device, so that every step starts the same launches, and a card plays them as one graph.
//!
//! The first step after a start runs launch by launch, which loads what is loaded once and tells how much memory a step
//! needs on its way; the second is captured, over such memory. Both belong to the warm-up of a benchmark.

#[cfg(feature = "cuda")]
use candle_core::Device;
use candle_core::{DType, Result, Tensor};

#[cfg(feature = "cuda")]
use crate::cuda::device::Graph;
use crate::cuda::scratch::Scratch;
use crate::cuda::{self, sample};
use crate::model::cache::Cache;
use crate::model::decoder::Decoder;
use crate::model::position::Position;
use crate::model::rope::Rope;

/// The step, and where it keeps what changes.
pub struct DeviceStep {
    /// u32 (1,): the token that is run, and then the one chosen.
    token: Tensor,
    /// u32 (1,): tokens before it.
    position: Tensor,
    /// (1, vocabulary) f32
    logits: Tensor,
    /// What `token` and `position` hold, as far as the host knows.
    held: Option<(u32, usize)>,
    /// Room for what a step makes on the way, since one has run.
    scratch: Option<Scratch>,
    #[cfg(feature = "cuda")]
    graph: Option<Graph>,
}

impl DeviceStep {
    /// For `decoder`, if kernels serve its device and know all its layers.
    pub fn new(decoder: &Decoder) -> Result<Option<Self>> {
        let device = &decoder.device;
        let number = || Tensor::zeros(1, DType::U32, device);
        let token = number()?;
        if !cuda::serves(&token) || !decoder.has_cuda_kernels() {
            return Ok(None);
        }
        Ok(Some(Self {
            token,
            position: number()?,
            logits: Tensor::zeros((1, decoder.shape.vocab_size), DType::F32, device)?,
            held: None,
            scratch: None,
            #[cfg(feature = "cuda")]
            graph: None,
        }))
    }

    /// (1, vocabulary) f32, of the last step.
    pub fn logits(&self) -> &Tensor {
        &self.logits
    }

    /// Whether the launches were captured, and are played as one graph from then on.
    #[cfg(feature = "cuda")]
    pub fn is_captured(&self) -> bool {
        self.graph.is_some()
    }

    /// Whether the launches were captured: never in a build without cards.
    #[cfg(not(feature = "cuda"))]
    pub fn is_captured(&self) -> bool {
        false
    }

    /// Runs `id` behind what `cache` holds, and returns the token of the largest logit, on the host.
    ///
    /// Errors if the cache has no room.
    pub fn decode(&mut self, decoder: &Decoder, rope: &Rope, cache: &mut Cache, id: u32) -> Result<u32> {
        cache.reserve(1)?;
        let at = cache.len();
        self.place(id, at)?;
        self.run(decoder, rope, cache)?;
        let next = match self.token.to_vec1::<u32>()?.as_slice() {
            [next] => *next,
            other => candle_core::bail!("a step chose {} tokens", other.len()),
        };
        cache.advance(1);
        self.held = Some((next, at + 1));
        Ok(next)
    }

    /// Tells the device which token comes, and where, unless it knows from its own last step.
    fn place(&mut self, id: u32, at: usize) -> Result<()> {
        let put = |to: &Tensor, number: u32| to.slice_set(&Tensor::new(&[number], to.device())?, 0, 0);
        if self.held.is_none_or(|(token, _)| token != id) {
            put(&self.token, id)?;
        }
        if self.held.is_none_or(|(_, position)| position != at) {
            put(&self.position, at as u32)?;
        }
        // Until the step has ended the device holds something between.
        self.held = None;
        Ok(())
    }

    fn run(&mut self, decoder: &Decoder, rope: &Rope, cache: &mut Cache) -> Result<()> {
        // What candle uploads for its own kernels, shapes and strides, stays there: a capture must see no upload.
        #[cfg(feature = "cuda")]
        let _kept = match &decoder.device {
            Device::Cuda(device) => Some(device.enable_cuda_graph_htod_cache()),
            _ => None,
        };
        match self.scratch.clone() {
            Some(scratch) => self.repeat(&scratch, decoder, rope, cache),
            None => {
                let first = || self.launches(decoder, rope, cache);
                self.scratch = Some(Scratch::measured(&decoder.device, first)?);
                Ok(())
            }
        }
    }

    #[cfg(not(feature = "cuda"))]
    fn repeat(&self, scratch: &Scratch, decoder: &Decoder, rope: &Rope, cache: &mut Cache) -> Result<()> {
        scratch.serve(|| self.launches(decoder, rope, cache))
    }

    #[cfg(feature = "cuda")]
    fn repeat(&mut self, scratch: &Scratch, decoder: &Decoder, rope: &Rope, cache: &mut Cache) -> Result<()> {
        let launches = || self.launches(decoder, rope, cache);
        let Device::Cuda(device) = &decoder.device else { return scratch.serve(launches) };
        if let Some(graph) = &self.graph {
            return graph.launch();
        }
        let graph = scratch.serve(|| Graph::capture(device, launches))?;
        graph.launch()?;
        self.graph = Some(graph);
        Ok(())
    }

    fn launches(&self, decoder: &Decoder, rope: &Rope, cache: &mut Cache) -> Result<()> {
        let position = Position::held_by(&self.position, cache.len());
        let logits = decoder.step(&self.token, &position, rope, cache)?;
        self.logits.slice_set(&logits, 0, 0)?;
        sample::greedy(&self.logits, &self.token)?;
        sample::advance(&self.position)
    }
}

#[cfg(test)]
mod tests;
