//! `adapter_model.safetensors` to pairs of factors by the name of the tensor that they change.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};

use super::config::AdapterConfig;
use super::error::AdapterError;
use super::names::{Role, module_and_role, weight_of};

/// The change of one matrix, W + scale · up · down, in f32 on the CPU.
#[derive(Clone, Debug)]
pub(super) struct Factors {
    /// (out, rank).
    pub up: Tensor,
    /// (rank, in).
    pub down: Tensor,
    pub scale: f64,
    /// W itself, (out, in), where the adapter brings it.
    pub base: Option<Tensor>,
    /// The module's path in the base model, for errors.
    pub module: String,
}

impl Factors {
    pub fn rank(&self) -> usize {
        self.up.dims().get(1).copied().unwrap_or(0)
    }

    /// Shape of the matrix that is changed: (out, in).
    pub fn shape(&self) -> [usize; 2] {
        let side = |tensor: &Tensor, dim: usize| tensor.dims().get(dim).copied().unwrap_or(0);
        [side(&self.up, 0), side(&self.down, 1)]
    }
}

/// The tensors of one module as they lie in the file.
#[derive(Default)]
struct Parts {
    up: Option<Tensor>,
    down: Option<Tensor>,
    base: Option<Tensor>,
}

/// Reads all factors; every tensor of the file must be a part of some.
pub(super) fn read(
    folder: &Path,
    file: &Path,
    config: &AdapterConfig,
) -> Result<BTreeMap<String, Factors>, AdapterError> {
    let corrupt = |reason: String| AdapterError::Corrupt { path: file.into(), reason };
    let unmergeable = |feature: String| AdapterError::Unmergeable { folder: folder.into(), feature };
    let stored = candle_core::safetensors::load(file, &Device::Cpu).map_err(|e| corrupt(first_line(&e)))?;
    let mut modules = BTreeMap::<String, Parts>::new();
    for (name, tensor) in stored {
        let Some((module, role)) = module_and_role(&name) else {
            return Err(unmergeable(format!("its tensor '{name}' is none of a plain LoRA's")));
        };
        if !config.attaches(module) {
            let reason = format!("it holds '{name}', which adapter_config.json leaves out");
            return Err(corrupt(reason));
        }
        let tensor = tensor.to_dtype(DType::F32).map_err(|e| corrupt(first_line(&e)))?;
        if tensor.rank() != 2 {
            let shape = tensor.dims();
            return Err(unmergeable(format!(
                "its tensor '{name}' is {shape:?}, and only matrices are merged"
            )));
        }
        place(modules.entry(module.to_owned()).or_default(), role, tensor)
            .map_err(|e| corrupt(first_line(&e)))?;
    }
    if modules.is_empty() {
        return Err(corrupt("it holds no tensors".into()));
    }
    let mut factors = BTreeMap::new();
    for (module, parts) in modules {
        let pair = pair(module, parts, config, &corrupt)?;
        let name = weight_of(&pair.module);
        if let Some(other) = factors.insert(name, pair).map(|other: Factors| other.module) {
            return Err(corrupt(format!("it changes '{other}' twice, under two names")));
        }
    }
    Ok(factors)
}

/// A row of an embedding's table changes by a column of (B · A), so the factors change places.
fn place(parts: &mut Parts, role: Role, tensor: Tensor) -> candle_core::Result<()> {
    let (place, tensor) = match role {
        Role::Down => (&mut parts.down, tensor),
        Role::Up => (&mut parts.up, tensor),
        Role::TableDown => (&mut parts.up, tensor.t()?.contiguous()?),
        Role::TableUp => (&mut parts.down, tensor.t()?.contiguous()?),
        Role::Base => (&mut parts.base, tensor),
    };
    *place = Some(tensor);
    Ok(())
}

fn pair(
    module: String,
    parts: Parts,
    config: &AdapterConfig,
    corrupt: &dyn Fn(String) -> AdapterError,
) -> Result<Factors, AdapterError> {
    let (Some(up), Some(down)) = (parts.up, parts.down) else {
        return Err(corrupt(format!("it holds one factor of '{module}' without the other")));
    };
    let rank = config.rank(&module).map_err(corrupt)?;
    let scale = config.scale(&module).map_err(corrupt)?;
    if up.dims()[1] != rank || down.dims()[0] != rank {
        let (a, b) = (down.dims().to_vec(), up.dims().to_vec());
        return Err(AdapterError::Factors { module, a, b, rank });
    }
    let factors = Factors { up, down, scale, base: parts.base, module };
    match &factors.base {
        Some(base) if base.dims() != factors.shape() => {
            let reason = format!(
                "its weight of '{}' is {:?}, and the factors make {:?}",
                factors.module,
                base.dims(),
                factors.shape()
            );
            Err(corrupt(reason))
        }
        _ => Ok(factors),
    }
}

fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().trim().to_owned()
}
