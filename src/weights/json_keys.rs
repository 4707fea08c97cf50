//! Typed look-ups in a `config.json`, each with an error that names file and key.

use serde_json::Value;

use super::error::WeightsError;

/// A JSON object, and the file it comes from for errors.
pub(super) struct Keys<'a> {
    pub json: &'a Value,
    pub origin: &'a str,
}

impl<'a> Keys<'a> {
    /// What is inside `key`, which is an object or nothing.
    pub fn inside(&self, key: &str) -> Option<Keys<'a>> {
        let json = self.json.get(key).filter(|value| value.is_object())?;
        Some(Keys { json, origin: self.origin })
    }

    pub fn has(&self, key: &str) -> bool {
        self.value(key).is_ok()
    }

    pub fn wrong(&self, key: &str, reason: impl Into<String>) -> WeightsError {
        WeightsError::Config { origin: self.origin.into(), key: key.into(), reason: reason.into() }
    }

    pub fn refuse<T>(&self, feature: impl Into<String>) -> Result<T, WeightsError> {
        Err(WeightsError::Unsupported { origin: self.origin.into(), feature: feature.into() })
    }

    pub fn value(&self, key: &str) -> Result<&'a Value, WeightsError> {
        self.json.get(key).filter(|v| !v.is_null()).ok_or_else(|| self.wrong(key, "it is not there"))
    }

    pub fn text(&self, key: &str) -> Result<&'a str, WeightsError> {
        let value = self.value(key)?;
        value.as_str().ok_or_else(|| self.wrong(key, format!("{value} is not a text")))
    }

    pub fn count(&self, key: &str) -> Result<usize, WeightsError> {
        let value = self.value(key)?;
        match value.as_u64() {
            Some(n @ 1..=0x7fff_ffff) => Ok(n as usize),
            _ => Err(self.wrong(key, format!("{value} is not a positive whole number"))),
        }
    }

    pub fn optional_count(&self, key: &str) -> Result<Option<usize>, WeightsError> {
        self.has(key).then(|| self.count(key)).transpose()
    }

    pub fn number(&self, key: &str) -> Result<f64, WeightsError> {
        let value = self.value(key)?;
        let number = value.as_f64().filter(|x| x.is_finite() && *x > 0.0);
        number.ok_or_else(|| self.wrong(key, format!("{value} is not a positive number")))
    }

    /// `None` where the key is absent.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, WeightsError> {
        let Ok(value) = self.value(key) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| self.wrong(key, format!("{value} is not true or false")))
    }
}
