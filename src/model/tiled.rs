//! Attention by the CPU's kernels: tensors in, their numbers to [`crate::cpu::attention`], a tensor out.

use std::ops::Deref;

use candle_core::backend::BackendStorage as _;
use candle_core::{DType, Device, Layout, Result, Storage, Tensor};

use super::attention::Attention;
use super::norm::RmsNorm;
use super::rope::Rope;
use crate::cpu::attention::{HeadNorm, KvCache, Prepare, Queries, Rows, Turn, gate_outputs};
use crate::cpu::isa::isa;

/// One attention layer at one place of the sequence.
pub(super) struct Layer<'a> {
    pub attention: &'a Attention,
    pub rope: &'a Rope,
    /// Position of the first token.
    pub offset: usize,
}

/// What the projections made of some tokens, each (tokens, …) f32.
pub(super) struct Projected {
    pub q: Tensor,
    pub k: Tensor,
    pub v: Tensor,
    pub gate: Option<Tensor>,
}

impl Layer<'_> {
    /// Appends keys and values to `cache`, and mixes values for the queries: (tokens, heads · dim), gated.
    ///
    /// Errors if the tables of the rotation or the cache end before the last token.
    pub fn mix(&self, cache: &mut KvCache, projected: Projected) -> Result<Tensor> {
        let (heads, dim) = (self.attention.heads, self.attention.head_dim);
        let tokens = projected.q.dim(0)?;
        if self.offset + tokens > cache.capacity() {
            candle_core::bail!("the cache has room for {} tokens", cache.capacity());
        }
        let [cos, sin] = self.rope.tables();
        let (half, tables) = (cos.dim(1)?, (numbers(cos)?, numbers(sin)?));
        let turn = Turn { cos: tables.0.row_after_row()?, sin: tables.1.row_after_row()?, half };
        let norms = self.attention.head_norms.as_ref();
        let weights = norms.map(|norms| [weight(&norms.query), weight(&norms.key)]);
        let weights = weights.map(|[query, key]| Ok::<_, candle_core::Error>([query?, key?])).transpose()?;
        let prepare = |which: usize| {
            let norm = norms.map(|norms| [&norms.query, &norms.key][which]);
            let weight = weights.as_ref().map(|weights| &*weights[which]);
            Prepare { norm: norm.map(|norm| HeadNorm { weight, eps: norm.eps() }), turn: Some(turn) }
        };
        let (queries, keys) = (prepare(0), prepare(1));
        if !queries.fits(dim, self.offset + tokens) || !keys.fits(dim, self.offset + tokens) {
            candle_core::bail!(
                "position {} lies beyond the tables of the rotation",
                self.offset + tokens - 1
            );
        }
        let (k, v) = (numbers(&projected.k)?, numbers(&projected.v)?);
        cache.append(isa(), &k.rows()?, &v.rows()?, &keys, self.offset);
        let q = numbers(&projected.q)?;
        let queries = Queries { rows: q.rows()?, prepare: queries, scale: 1.0 / (dim as f32).sqrt() };
        let mut mixed = vec![0f32; tokens * heads * dim];
        cache.attend(isa(), &queries, self.offset, &mut mixed);
        if let Some(gate) = &projected.gate {
            let gate = gate.contiguous()?;
            gate_outputs(isa(), &mut mixed, numbers(&gate)?.row_after_row()?);
        }
        Tensor::from_vec(mixed, (tokens, heads * dim), &Device::Cpu)
    }
}

/// The weight of a norm, in f32.
fn weight(norm: &RmsNorm) -> Result<Vec<f32>> {
    norm.weight().to_dtype(DType::F32)?.to_vec1()
}

/// The numbers of an f32 tensor on the CPU, where they lie.
struct Numbers<'a, S> {
    storage: S,
    layout: &'a Layout,
}

fn numbers(tensor: &Tensor) -> Result<Numbers<'_, impl Deref<Target = Storage> + '_>> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(values) if values.dtype() == DType::F32 => {}
        _ => candle_core::bail!("the CPU's attention works on its own memory, in f32"),
    }
    Ok(Numbers { storage, layout })
}

impl<S: Deref<Target = Storage>> Numbers<'_, S> {
    fn all(&self) -> Result<&[f32]> {
        match &*self.storage {
            Storage::Cpu(values) => Ok(&values.as_slice::<f32>()?[self.layout.start_offset()..]),
            _ => candle_core::bail!("the CPU's attention works on its own memory, in f32"),
        }
    }

    fn row_after_row(&self) -> Result<&[f32]> {
        match self.layout.is_contiguous() {
            true => Ok(&self.all()?[..self.layout.shape().elem_count()]),
            false => candle_core::bail!("numbers in another order than that of their shape"),
        }
    }

    /// Of (tokens, width): rows that may be parts of wider ones.
    fn rows(&self) -> Result<Rows<'_>> {
        let (count, width) = self.layout.shape().dims2()?;
        let rows = match self.layout.stride() {
            [stride, 1] => Rows::new(self.all()?, count, width, *stride),
            _ => None,
        };
        rows.ok_or_else(|| candle_core::Error::Msg("the numbers of a row do not lie together".into()))
    }
}
