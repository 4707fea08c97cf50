//! Tensors by name, from safetensors, GGUF or a seed.

pub mod block_type;
