//! Weights from `model.safetensors`, or from its shards and their index. Memory-mapped.

use std::path::{Path, PathBuf};

use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};

use super::cut::Cut;
use super::error::WeightsError;
use super::precision::Precision;
use super::rows::{Rows, build};
use super::{Dialect, TensorSource};
use crate::model::linear::Matrix;

/// Tensors of one model folder.
pub struct SafetensorsSource {
    tensors: MmapedSafetensors,
    prefix: &'static str,
    origin: String,
}

/// The weight files of a model folder, in the order of their names; empty if there are none.
pub fn weight_files(folder: &Path) -> Result<Vec<PathBuf>, WeightsError> {
    let single = folder.join("model.safetensors");
    let index = folder.join("model.safetensors.index.json");
    if !index.is_file() {
        return Ok(single.is_file().then_some(single).into_iter().collect());
    }
    let mut names: Vec<String> = shard_names(&index)?;
    names.sort();
    names.dedup();
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

fn shard_names(index: &Path) -> Result<Vec<String>, WeightsError> {
    let corrupt = |reason: String| WeightsError::Corrupt { path: index.into(), reason };
    let text = std::fs::read_to_string(index)
        .map_err(|source| WeightsError::Unreadable { path: index.into(), source })?;
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|e| corrupt(e.to_string()))?;
    let map = json["weight_map"].as_object().ok_or_else(|| corrupt("it has no `weight_map`".into()))?;
    map.values()
        .map(|name| match name.as_str() {
            Some(name) if !name.contains(['/', '\\']) => Ok(name.to_owned()),
            _ => Err(corrupt(format!("shard name {name} is not a plain file name"))),
        })
        .collect()
}

impl SafetensorsSource {
    /// Maps `files`. Errors name the file that is missing or damaged.
    pub fn open(files: &[PathBuf]) -> Result<Self, WeightsError> {
        for path in files {
            std::fs::File::open(path)
                .map_err(|source| WeightsError::Unreadable { path: path.clone(), source })?;
            map(std::slice::from_ref(path))
                .map_err(|e| WeightsError::Corrupt { path: path.clone(), reason: root_cause(&e) })?;
        }
        let origin = origin(files);
        let tensors = map(files).map_err(|source| WeightsError::Candle { name: origin.clone(), source })?;
        let prefix = prefix(&tensors);
        Ok(Self { tensors, prefix, origin })
    }

    /// `lm_head.weight` stands outside the prefix that all other tensors share.
    fn full_name(&self, name: &str) -> String {
        if name == "lm_head.weight" { name.into() } else { format!("{}{name}", self.prefix) }
    }

    fn view(&self, name: &str, expected: &[usize]) -> Result<View<'_>, WeightsError> {
        let name = self.full_name(name);
        let tensor = self
            .tensors
            .get(&name)
            .map_err(|_| WeightsError::Missing { origin: self.origin.clone(), name: name.clone() })?;
        if tensor.shape() != expected {
            return Err(WeightsError::Shape {
                origin: self.origin.clone(),
                name,
                found: tensor.shape().to_vec(),
                expected: expected.to_vec(),
            });
        }
        let dtype = DType::try_from(tensor.dtype()).map_err(WeightsError::candle(&name))?;
        let columns = *expected.last().unwrap_or(&1);
        match dtype {
            DType::F32 | DType::BF16 | DType::F16 => Ok(View { bytes: tensor.data(), dtype, columns }),
            other => Err(WeightsError::Unsupported {
                origin: self.origin.clone(),
                feature: format!("tensor '{name}' in type {other:?}"),
            }),
        }
    }
}

/// What stands before the text model's names: multimodal files keep it beside a vision tower,
/// whose tensors are never asked for.
fn prefix(tensors: &MmapedSafetensors) -> &'static str {
    let of_text = |prefix: &&str| tensors.get(&format!("{prefix}embed_tokens.weight")).is_ok();
    ["model.language_model.", "model."].into_iter().find(of_text).unwrap_or_default()
}

#[expect(unsafe_code, reason = "candle's only constructor for mapped files")]
fn map(files: &[PathBuf]) -> candle_core::Result<MmapedSafetensors> {
    // SAFETY: the files are opened read-only and never written by this program; hub blobs are
    // replaced by rename, which leaves an existing mapping whole. A file that another program
    // truncates while it is mapped ends this process with SIGBUS, as for every mapping reader.
    unsafe { MmapedSafetensors::multi(files) }
}

fn root_cause(error: &candle_core::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().trim().to_owned()
}

fn origin(files: &[PathBuf]) -> String {
    match files {
        [one] => format!("'{}'", one.display()),
        [first, ..] => format!("'{}' and {} more", first.display(), files.len() - 1),
        [] => "an empty list of files".into(),
    }
}

impl TensorSource for SafetensorsSource {
    fn matrix(&mut self, cut: &Cut, precision: Precision, device: &Device) -> Result<Matrix, WeightsError> {
        let view = self.view(&cut.name, &cut.stored)?;
        let (rows, columns) = (cut.row_count(), cut.columns());
        let built = match &cut.rows {
            None => build(&view, rows, columns, precision, device),
            Some(chosen) => build(&Chosen { view, rows: chosen }, rows, columns, precision, device),
        };
        built.map_err(WeightsError::candle(&cut.name))
    }

    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, WeightsError> {
        let mut values = vec![0f32; shape.iter().product()];
        self.view(name, shape)?.read(0, &mut values);
        Tensor::from_vec(values, shape, &Device::Cpu).map_err(WeightsError::candle(name))
    }

    fn dialect(&self) -> Dialect {
        Dialect::Checkpoint
    }

    fn check(&self, name: &str, shape: &[usize]) -> Result<(), WeightsError> {
        self.view(name, shape).map(drop)
    }

    fn has(&self, name: &str) -> bool {
        self.tensors.get(&self.full_name(name)).is_ok()
    }
}

/// A tensor as it lies in the file, little-endian.
struct View<'a> {
    bytes: &'a [u8],
    dtype: DType,
    columns: usize,
}

/// Some rows of a tensor, in another order.
struct Chosen<'a> {
    view: View<'a>,
    rows: &'a [usize],
}

impl Rows for Chosen<'_> {
    fn read(&self, first: usize, out: &mut [f32]) {
        for (out, row) in out.chunks_mut(self.view.columns).zip(&self.rows[first..]) {
            self.view.read(*row, out);
        }
    }
}

impl Rows for View<'_> {
    fn read(&self, first: usize, out: &mut [f32]) {
        let width = self.dtype.size_in_bytes();
        let start = if first == 0 { 0 } else { first * self.columns * width };
        let bytes = &self.bytes[start..start + out.len() * width];
        match self.dtype {
            DType::F32 => convert(bytes, out, f32::from_le_bytes),
            DType::BF16 => convert(bytes, out, |b| bf16::from_le_bytes(b).to_f32()),
            _ => convert(bytes, out, |b| f16::from_le_bytes(b).to_f32()),
        }
    }
}

fn convert<const N: usize>(bytes: &[u8], out: &mut [f32], decode: impl Fn([u8; N]) -> f32) {
    let (numbers, _) = bytes.as_chunks::<N>();
    for (x, number) in out.iter_mut().zip(numbers) {
        *x = decode(*number);
    }
}
