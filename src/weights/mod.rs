//! Tensors by name, from safetensors, GGUF or a seed.
