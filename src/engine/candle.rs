//! The engine that runs a [`Decoder`] through candle, greedily.

use candle_core::{DType, Device, Tensor};
use candle_transformers::generation::{LogitsProcessor, Sampling};

use super::device_step::DeviceStep;
use super::{Engine, Steps};
use crate::model::cache::{Cache, Mark};
use crate::model::decoder::{Decoder, Logits};
use crate::model::rope::Rope;

/// A decoder with its cache and the last logits.
pub struct CandleEngine {
    decoder: Decoder,
    rope: Rope,
    cache: Cache,
    mark: Option<Mark>,
    /// Where a device runs whole steps by itself.
    step: Option<DeviceStep>,
    logits: Option<Tensor>,
    sampler: LogitsProcessor,
}

impl CandleEngine {
    /// Allocates a cache for `capacity` tokens.
    pub fn new(decoder: Decoder, capacity: usize) -> candle_core::Result<Self> {
        let shape = &decoder.shape;
        let rope = Rope::new(capacity, shape.rotary_dim(), shape.rope_theta, &decoder.device)?;
        let cache = Cache::new(shape, capacity, decoder.dtype, decoder.kv_type(), &decoder.device)?;
        let step = DeviceStep::new(&decoder)?;
        let sampler = LogitsProcessor::from_sampling(0, Sampling::ArgMax);
        Ok(Self { decoder, rope, cache, mark: None, step, logits: None, sampler })
    }

    /// The model inside.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// What it remembers of the tokens so far.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Runs `ids` and returns the logits of all of them, (ids, vocabulary), f32.
    pub fn logits_of_all(&mut self, ids: &[u32]) -> candle_core::Result<Tensor> {
        self.logits = None;
        self.decoder.forward(ids, &self.rope, &mut self.cache, Logits::All)
    }

    fn forward(&mut self, ids: &[u32]) -> candle_core::Result<()> {
        self.logits = None;
        let logits = self.decoder.forward(ids, &self.rope, &mut self.cache, Logits::Last)?;
        synchronize(&self.decoder.device)?;
        self.logits = Some(logits.squeeze(0)?);
        Ok(())
    }

    /// Those that the next token is chosen by: (vocabulary,) f32. Errors before the first pass, and after a step back.
    pub fn logits(&self) -> anyhow::Result<&Tensor> {
        self.logits.as_ref().ok_or_else(|| anyhow::anyhow!("there are no logits to sample from"))
    }
}

impl Engine for CandleEngine {
    fn reset(&mut self) -> anyhow::Result<()> {
        self.logits = None;
        Ok(self.cache.reset()?)
    }

    fn prefill(&mut self, ids: &[u32]) -> anyhow::Result<()> {
        Ok(self.forward(ids)?)
    }

    fn sample(&mut self) -> anyhow::Result<u32> {
        let logits = self.logits()?.clone();
        Ok(self.sampler.sample(&logits)?)
    }

    fn decode(&mut self, id: u32) -> anyhow::Result<u32> {
        let Some(step) = &mut self.step else {
            self.forward(&[id])?;
            return self.sample();
        };
        self.logits = None;
        self.decoder.check(&[id])?;
        let next = step.decode(&self.decoder, &self.rope, &mut self.cache, id)?;
        self.logits = Some(step.logits().squeeze(0)?);
        Ok(next)
    }

    fn depth(&self) -> usize {
        self.cache.len()
    }

    fn mark(&mut self) -> anyhow::Result<()> {
        self.mark = Some(self.cache.mark()?);
        Ok(())
    }

    fn rewind(&mut self) -> anyhow::Result<()> {
        self.logits = None;
        let mark = self.mark.as_ref().ok_or_else(|| anyhow::anyhow!("there is no mark to go back to"))?;
        Ok(self.cache.rewind(mark)?)
    }

    fn capacity(&self) -> usize {
        self.cache.capacity()
    }

    fn attention_path(&self) -> &'static str {
        self.decoder.attention_path()
    }

    fn steps(&self) -> Steps {
        match &self.step {
            Some(step) if step.is_captured() => Steps::Graph,
            _ => Steps::Launched,
        }
    }

    fn output_is_finite(&self) -> anyhow::Result<bool> {
        let sum = self.logits()?.to_dtype(DType::F32)?.sum_all()?.to_scalar::<f32>()?;
        Ok(sum.is_finite())
    }
}

/// Waits until the device is idle; the CPU always is when a call returns.
fn synchronize(device: &Device) -> candle_core::Result<()> {
    device.synchronize()
}
