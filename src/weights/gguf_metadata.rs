//! Typed look-ups in a GGUF's metadata, each with an error that names file and key.

use candle_core::quantized::gguf_file::{Content, Value};

use super::error::WeightsError;

/// The keys of one architecture, and the file they come from for errors.
pub(super) struct Metadata<'a> {
    pub content: &'a Content,
    pub origin: &'a str,
    /// What stands before every key: the architecture and a dot.
    pub prefix: String,
}

impl Metadata<'_> {
    pub fn wrong(&self, key: &str, reason: impl Into<String>) -> WeightsError {
        let key = format!("{}{key}", self.prefix);
        WeightsError::Config { origin: self.origin.into(), key, reason: reason.into() }
    }

    fn find(&self, key: &str) -> Option<&Value> {
        self.content.metadata.get(&format!("{}{key}", self.prefix))
    }

    fn value(&self, key: &str) -> Result<&Value, WeightsError> {
        self.find(key).ok_or_else(|| self.wrong(key, "it is not there"))
    }

    pub fn text(&self, key: &str) -> Result<String, WeightsError> {
        self.value(key)?.to_string().cloned().map_err(|_| self.wrong(key, "it is not a text"))
    }

    pub fn count(&self, key: &str) -> Result<usize, WeightsError> {
        let value = self.value(key)?;
        let number = value.to_u64().or_else(|_| value.to_u32().map(u64::from));
        match number {
            Ok(n @ 1..=0x7fff_ffff) => Ok(n as usize),
            _ => Err(self.wrong(key, format!("{value:?} is not a positive whole number"))),
        }
    }

    /// `None` where the key is absent, or 0.
    pub fn optional_count(&self, key: &str) -> Result<Option<usize>, WeightsError> {
        match self.find(key).map(Value::to_u64) {
            None | Some(Ok(0)) => Ok(None),
            Some(_) => self.count(key).map(Some),
        }
    }

    pub fn number(&self, key: &str) -> Result<f64, WeightsError> {
        let value = self.value(key)?;
        let number = value.to_f32().map(f64::from).or_else(|_| value.to_f64());
        match number {
            // Written as f32: 1e-6 comes back as 9.99999997e-7, so round to f32's digits.
            Ok(x) if x.is_finite() && x > 0.0 => Ok((x as f32).to_string().parse().unwrap_or(x)),
            _ => Err(self.wrong(key, format!("{value:?} is not a positive number"))),
        }
    }

    /// `None` where the key is absent or no truth value.
    pub fn flag(&self, key: &str) -> Option<bool> {
        self.find(key).and_then(|value| value.to_bool().ok())
    }

    /// The dimensions of tensor `name`, rows first.
    pub fn dimensions(&self, name: &str) -> Option<&[usize]> {
        self.content.tensor_infos.get(name).map(|info| info.shape.dims())
    }

    /// One more than the highest block of which there is a tensor.
    pub fn stored_blocks(&self) -> usize {
        let block = |name: &String| name.strip_prefix("blk.")?.split('.').next()?.parse::<usize>().ok();
        self.content.tensor_infos.keys().filter_map(block).max().map_or(0, |last| last.saturating_add(1))
    }

    pub fn refuse_scaling(&self) -> Result<(), WeightsError> {
        match self.find("rope.scaling.type").and_then(|v| v.to_string().ok()) {
            Some(kind) if kind != "none" => Err(WeightsError::Unsupported {
                origin: self.origin.into(),
                feature: format!("RoPE scaling '{kind}'"),
            }),
            _ => Ok(()),
        }
    }
}
