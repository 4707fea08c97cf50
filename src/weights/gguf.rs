//! Weights from a GGUF file, in the types it stores, or quantized from its floats.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::quantized::gguf_file::{Content, Value};
use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{Device, Tensor};

use super::cut::Cut;
use super::error::WeightsError;
use super::packing::{float_type, kernel_type, packs};
use super::precision::Precision;
use super::rows::{Floats, build};
use super::{Dialect, TensorSource, gguf_header, gguf_names, gguf_shape, positioned};
use crate::cli::Quantization;
use crate::cpu::block::BlockType;
use crate::cpu::packed::Packed;
use crate::model::linear::Matrix;
use crate::model::shape::ModelShape;

/// Tensors of one GGUF file.
#[derive(Debug)]
pub struct GgufSource {
    content: Content,
    reader: BufReader<File>,
    path: PathBuf,
}

impl GgufSource {
    /// Reads the header and checks that every tensor lies inside the file.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let unreadable = |source| WeightsError::Unreadable { path: path.into(), source };
        let file = File::open(path).map_err(unreadable)?;
        let bytes = file.metadata().map_err(unreadable)?.len();
        let mut reader = BufReader::new(file);
        if gguf_header::alignment_is_zero(&mut reader) {
            let reason = "its alignment is 0".into();
            return Err(WeightsError::Corrupt { path: path.into(), reason });
        }
        reader.rewind().map_err(unreadable)?;
        let content = Content::read(&mut reader).map_err(|e| explain(path, &mut reader, &e))?;
        let source = Self { content, reader, path: path.into() };
        source.check_whole()?;
        source.check_extents(bytes)?;
        Ok(source)
    }

    /// The shape that the metadata describes.
    pub fn shape(&self) -> Result<ModelShape, WeightsError> {
        gguf_shape::shape(&self.content, &self.origin())
    }

    /// All metadata: the tokenizer lives there too.
    pub fn metadata(&self) -> &std::collections::HashMap<String, Value> {
        &self.content.metadata
    }

    /// The file's own name for its mix of types, e.g. `Q4_K_M`, by the type most weights are in.
    pub fn quantization_name(&self) -> String {
        let mut weights = std::collections::BTreeMap::<String, usize>::new();
        for info in self.content.tensor_infos.values() {
            *weights.entry(format!("{:?}", info.ggml_dtype)).or_default() += info.shape.elem_count();
        }
        let most = weights.into_iter().max_by_key(|(_, count)| *count);
        let most = most.map_or_else(|| "empty".into(), |(name, _)| name);
        match self.metadata().get("general.file_type").and_then(|v| v.to_u32().ok()) {
            Some(15) => "Q4_K_M".into(),
            Some(14) => "Q4_K_S".into(),
            Some(17) => "Q5_K_M".into(),
            Some(16) => "Q5_K_S".into(),
            _ => most,
        }
    }

    /// Whether any tensor is in a block type.
    pub fn holds_blocks(&self) -> bool {
        self.content.tensor_infos.values().any(|info| info.ggml_dtype.block_size() > 1)
    }

    fn origin(&self) -> String {
        format!("'{}'", self.path.display())
    }

    /// The first part of a split file says so, and holds the metadata of the whole model.
    fn check_whole(&self) -> Result<(), WeightsError> {
        match self.metadata().get("split.count").and_then(|value| value.to_u64().ok()) {
            Some(parts @ 2..) => Err(WeightsError::Split { path: self.path.clone(), parts }),
            _ => Ok(()),
        }
    }

    /// Nothing else multiplies a shape from the header before this has passed.
    fn check_extents(&self, file_bytes: u64) -> Result<(), WeightsError> {
        for (name, info) in &self.content.tensor_infos {
            let count = info.shape.dims().iter().try_fold(1u64, |n, dim| n.checked_mul(*dim as u64));
            let blocks = count.unwrap_or(u64::MAX).div_ceil(info.ggml_dtype.block_size() as u64);
            let bytes = blocks.saturating_mul(info.ggml_dtype.type_size() as u64);
            let end = self.content.tensor_data_offset.saturating_add(info.offset).saturating_add(bytes);
            if end > file_bytes {
                let reason = format!("tensor '{name}' ends at byte {end}, the file at {file_bytes}");
                return Err(WeightsError::Corrupt { path: self.path.clone(), reason });
            }
        }
        Ok(())
    }

    /// The name under which this file holds `name`.
    fn stored_name(&self, name: &str) -> Option<String> {
        gguf_names::gguf_names(name).into_iter().find(|name| self.content.tensor_infos.contains_key(name))
    }

    /// The stored name of a tensor that is there and has the shape `expected`.
    fn checked(&self, name: &str, expected: &[usize]) -> Result<String, WeightsError> {
        let name = self.stored_name(name).ok_or_else(|| self.missing(name))?;
        let found = self.content.tensor_infos[&name].shape.dims();
        if found == expected {
            return Ok(name);
        }
        let (found, expected) = (found.to_vec(), expected.to_vec());
        Err(WeightsError::Shape { origin: self.origin(), name, found, expected })
    }

    /// The rows of `cut`, in the file's type, on `device`.
    fn tensor(&mut self, cut: &Cut, device: &Device) -> Result<QTensor, WeightsError> {
        let name = self.checked(&cut.name, &cut.stored)?;
        let info = &self.content.tensor_infos[&name];
        let (block, start) = (info.ggml_dtype, self.content.tensor_data_offset + info.offset);
        let row = cut.columns() / block.block_size() * block.type_size();
        let bytes = self
            .read(cut, start, row as u64)
            .map_err(|source| WeightsError::Unreadable { path: self.path.clone(), source })?;
        let shape = match cut.rows {
            None => cut.stored.clone(),
            Some(_) => vec![cut.row_count(), cut.columns()],
        };
        let wrap = || QTensor::new(QStorage::from_data(Cow::Owned(bytes), device, block)?, shape);
        wrap().map_err(WeightsError::candle(&name))
    }

    /// The bytes of the rows, `row` each, of a tensor that begins at byte `start`.
    fn read(&mut self, cut: &Cut, start: u64, row: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; cut.row_count() * row as usize];
        let mut rest = bytes.as_mut_slice();
        for run in cut.runs() {
            let (out, after) = rest.split_at_mut(run.len() * row as usize);
            self.reader.seek(io::SeekFrom::Start(start + run.start as u64 * row))?;
            self.reader.read_exact(out)?;
            rest = after;
        }
        Ok(bytes)
    }

    /// The rows of `cut` packed as they are stored, without a second copy; `None` where their type, or the device,
    /// or what was asked for needs another form.
    fn packed(
        &self,
        cut: &Cut,
        precision: Precision,
        device: &Device,
    ) -> Result<Option<Matrix>, WeightsError> {
        let name = self.checked(&cut.name, &cut.stored)?;
        let info = &self.content.tensor_infos[&name];
        let kind = kernel_type(info.ggml_dtype).filter(|_| packs(device));
        let as_it_is = |kind: &BlockType| {
            let native = precision.block_type(cut.columns()).is_none();
            native && (kind.is_quantized() || *kind == float_type(precision.dtype))
        };
        let Some(kind) = kind.filter(as_it_is) else { return Ok(None) };
        let file = self.reader.get_ref();
        let (rows, row) = (cut.row_count(), kind.row_bytes(cut.columns()) as u64);
        let start = self.content.tensor_data_offset + info.offset;
        let packed = Packed::pack(kind, rows, cut.columns(), |first, out| {
            let mut rest = out;
            for run in cut.runs_of(first, rest.len() / row.max(1) as usize) {
                let (out, after) = rest.split_at_mut(run.len() * row as usize);
                positioned::read(file, out, start + run.start as u64 * row)?;
                rest = after;
            }
            Ok(())
        });
        let packed = packed.map_err(|source| WeightsError::Unreadable { path: self.path.clone(), source })?;
        Ok(Some(Matrix::Packed(Arc::new(packed))))
    }

    fn missing(&self, name: &str) -> WeightsError {
        let names = gguf_names::gguf_names(name);
        let name = names.into_iter().next().unwrap_or_else(|| name.into());
        WeightsError::Missing { origin: self.origin(), name }
    }

    /// Floats are served in the type asked for; blocks stay as they are.
    fn convert(
        &self,
        name: &str,
        stored: QTensor,
        precision: Precision,
        device: &Device,
    ) -> Result<Matrix, WeightsError> {
        let floats = matches!(stored.dtype(), GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16);
        if !floats && precision.quantization != Quantization::Native {
            return Err(WeightsError::AlreadyQuantized {
                origin: self.origin(),
                found: format!("{:?}", stored.dtype()),
            });
        }
        if !floats {
            return Ok(Matrix::Quantized(Arc::new(stored)));
        }
        let wrap = |stored: QTensor| -> candle_core::Result<Matrix> {
            let (rows, columns) = stored.shape().dims2()?;
            let values = stored.dequantize(&Device::Cpu)?.flatten_all()?.to_vec1()?;
            build(&Floats { values, columns }, rows, columns, precision, device)
        };
        wrap(stored).map_err(WeightsError::candle(name))
    }
}

fn explain(path: &Path, reader: &mut BufReader<File>, error: &candle_core::Error) -> WeightsError {
    match gguf_header::first_unreadable(reader) {
        Some(tensor) => WeightsError::UnreadableType {
            path: path.into(),
            tensor: tensor.name,
            type_name: tensor.type_name,
        },
        None => {
            let reason = error.to_string().lines().next().unwrap_or_default().to_owned();
            WeightsError::Corrupt { path: path.into(), reason }
        }
    }
}

impl TensorSource for GgufSource {
    fn matrix(&mut self, cut: &Cut, precision: Precision, device: &Device) -> Result<Matrix, WeightsError> {
        if let Some(packed) = self.packed(cut, precision, device)? {
            return Ok(packed);
        }
        let stored = self.tensor(cut, device)?;
        self.convert(&cut.name, stored, precision, device)
    }

    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, WeightsError> {
        let cut = Cut { name: name.into(), stored: shape.into(), rows: None };
        self.tensor(&cut, &Device::Cpu)?.dequantize(&Device::Cpu).map_err(WeightsError::candle(name))
    }

    fn check(&self, name: &str, shape: &[usize]) -> Result<(), WeightsError> {
        self.checked(name, shape).map(drop)
    }

    fn has(&self, name: &str) -> bool {
        self.stored_name(name).is_some()
    }

    fn dialect(&self) -> Dialect {
        Dialect::Gguf
    }
}
