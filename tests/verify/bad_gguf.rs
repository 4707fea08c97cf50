//! GGUF files that cannot be read: each ends with exit code 2 and a sentence that says what to do.

use std::fs;

use crate::folder::{F32_GGUF, Folder, Outcome, Q8_0_GGUF, REFERENCE};

const STRING: u32 = 8;
const ARRAY: u32 = 9;
const U32: u32 = 4;
const IQ4_XS: u32 = 23;

/// The header's numbers of tensor `name` from its dimensions on: count (4), sizes (8 each), type (4).
fn after_name(bytes: &[u8], name: &str) -> usize {
    let found = bytes.windows(name.len()).position(|window| window == name.as_bytes());
    found.expect("the tensor is in the header") + name.len()
}

fn damaged(file: &str, damage: impl FnOnce(&mut Vec<u8>)) -> Outcome {
    let folder = Folder::with("qwen3", &[file, REFERENCE]);
    folder.edit_bytes(file, damage);
    folder.verify(&[])
}

#[test]
fn a_tensor_in_a_type_that_candle_cannot_read_is_named() {
    let outcome = damaged(Q8_0_GGUF, |bytes| {
        let kind = after_name(bytes, "blk.1.ffn_up.weight") + 4 + 2 * 8;
        bytes[kind..kind + 4].copy_from_slice(&IQ4_XS.to_le_bytes());
    });
    outcome.refused(&["'blk.1.ffn_up.weight' in type IQ4_XS", "Q4_K_M"]);
}

#[test]
fn truncated_anywhere() {
    let whole = fs::metadata(Folder::with("qwen3", &[F32_GGUF]).path(F32_GGUF)).unwrap().len() as usize;
    for length in [0, 3, 8, 30, 200, 1000, 3000, whole / 2, whole - 1] {
        let outcome = damaged(F32_GGUF, |bytes| bytes.truncate(length));
        outcome.refused(&["model-f32.gguf' is truncated or corrupt", "download it again"]);
    }
}

#[test]
fn counts_that_no_file_can_hold() {
    for at in [8, 16] {
        let outcome = damaged(F32_GGUF, |bytes| bytes[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes()));
        outcome.refused(&["is truncated or corrupt"]);
    }
}

#[test]
fn sizes_whose_product_overflows() {
    let outcome = damaged(F32_GGUF, |bytes| {
        let sizes = after_name(bytes, "blk.1.ffn_up.weight") + 4;
        bytes[sizes..sizes + 16].fill(0xff);
    });
    outcome.refused(&["is truncated or corrupt", "blk.1.ffn_up.weight"]);
}

/// A file with one metadata entry and no tensors.
fn with_entry(key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(3u32.to_le_bytes());
    bytes.extend([0u64, 1].map(u64::to_le_bytes).concat());
    bytes.extend((key.len() as u64).to_le_bytes());
    bytes.extend(key.as_bytes());
    bytes.extend(kind.to_le_bytes());
    bytes.extend(value);
    bytes.extend([0; 64]);
    bytes
}

#[test]
fn an_alignment_of_zero_and_arrays_within_arrays() {
    let zero = with_entry("general.alignment", U32, &[0; 4]);
    damaged(F32_GGUF, |bytes| *bytes = zero).refused(&["is truncated or corrupt", "alignment"]);
    let level = [ARRAY.to_le_bytes().to_vec(), 1u64.to_le_bytes().to_vec()].concat();
    let nested = with_entry("x", ARRAY, &level.repeat(500_000));
    damaged(F32_GGUF, |bytes| *bytes = nested).refused(&["is truncated or corrupt"]);
}

#[test]
fn another_architecture_and_none_at_all() {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let llama = with_entry("general.architecture", STRING, &text("llama"));
    damaged(F32_GGUF, |bytes| *bytes = llama).refused(&["'llama'", "qwen2, qwen2_moe, qwen3,", "qwen35moe"]);
    let none = with_entry("general.name", STRING, &text("tiny"));
    damaged(F32_GGUF, |bytes| *bytes = none).refused(&["`general.architecture`: it is not there"]);
    let number = with_entry("general.architecture", U32, &[1, 0, 0, 0]);
    damaged(F32_GGUF, |bytes| *bytes = number).refused(&["`general.architecture`"]);
}

#[test]
fn metadata_that_contradicts_the_tensors() {
    // Each key is followed by its type (4 bytes) and its value, a u32.
    for (key, value, part) in [
        ("qwen3.block_count", 5u32, "qwen3.block_count"),
        ("qwen3.attention.head_count", 0, "qwen3.attention.head_count"),
        ("qwen3.attention.head_count_kv", 3, "qwen3.attention.head_count"),
        ("qwen3.attention.key_length", 33, "qwen3.attention.key_length"),
        // As if absent: the width by the heads, which is not what the tensors have.
        ("qwen3.attention.key_length", 0, "blk.0.attn_q.weight"),
    ] {
        let outcome = damaged(F32_GGUF, |bytes| {
            let at = after_name(bytes, key) + 4;
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        });
        outcome.refused(&["model-f32.gguf", part, "again"]);
    }
}

#[test]
fn one_part_of_a_split_file() {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let mut value = 3u32.to_le_bytes().to_vec();
    value.extend(text("general.architecture"));
    value.extend(STRING.to_le_bytes());
    value.extend(text("qwen3"));
    let mut part = with_entry("split.count", U32, &value);
    part[16] = 2; // two entries
    damaged(F32_GGUF, |bytes| *bytes = part).refused(&["one of 3 parts", "merge"]);
}
