//! Names in an adapter's file: the module that a factor belongs to, and the tensor of ours that it changes.

/// What one tensor of the file is to its module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A (rank, in).
    Down,
    /// B (out, rank).
    Up,
    /// A of an embedding, (rank, ids).
    TableDown,
    /// B of an embedding, (width, rank).
    TableUp,
    /// The base's own weight, which peft stores beside the factors of embedding and head.
    Base,
}

const ENDINGS: [(&str, Role); 5] = [
    (".lora_A.weight", Role::Down),
    (".lora_B.weight", Role::Up),
    (".lora_embedding_A", Role::TableDown),
    (".lora_embedding_B", Role::TableUp),
    (".base_layer.weight", Role::Base),
];

/// A name of the file, taken apart: the module's path in the base model, and the role.
pub(super) fn module_and_role(name: &str) -> Option<(&str, Role)> {
    let name = name.strip_prefix("base_model.model.")?;
    ENDINGS.iter().find_map(|(ending, role)| Some((name.strip_suffix(ending)?, *role)))
}

/// The name of a module's weight in [`crate::weights`]: that of the checkpoint without its prefix.
pub(super) fn weight_of(module: &str) -> String {
    const PREFIXES: [&str; 4] =
        ["model.language_model.", "language_model.model.", "language_model.", "model."];
    let bare = PREFIXES.iter().find_map(|prefix| module.strip_prefix(prefix)).unwrap_or(module);
    format!("{bare}.weight")
}

/// Whether the module's path is `name`, or its last parts are.
pub(super) fn ends_in(module: &str, name: &str) -> bool {
    module.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// peft's `(.*\.)?(pattern)$`, for patterns that are plain but for a leading `^`.
pub(super) fn matches_pattern(module: &str, pattern: &str) -> bool {
    match pattern.strip_prefix('^') {
        Some(whole) => module == whole,
        None => ends_in(module, pattern),
    }
}

/// The number of the decoder layer: the first part of the path that is a number.
pub(super) fn layer_of(module: &str) -> Option<usize> {
    module.split('.').find_map(|part| part.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_plain_and_wrapped_checkpoints_become_ours() {
        let part = |name| module_and_role(name).map(|(module, role)| (weight_of(module), role));
        let q = |role| Some(("layers.3.self_attn.q_proj.weight".to_owned(), role));
        assert_eq!(part("base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight"), q(Role::Down));
        let wrapped = "base_model.model.model.language_model.layers.3.self_attn.q_proj.lora_B.weight";
        assert_eq!(part(wrapped), q(Role::Up));
        let older = "base_model.model.language_model.model.layers.3.self_attn.q_proj.lora_B.weight";
        assert_eq!(part(older), q(Role::Up));
        let table = part("base_model.model.model.embed_tokens.lora_embedding_A");
        assert_eq!(table, Some(("embed_tokens.weight".into(), Role::TableDown)));
        let head = part("base_model.model.lm_head.base_layer.weight");
        assert_eq!(head, Some(("lm_head.weight".into(), Role::Base)));
        assert_eq!(part("base_model.model.model.layers.0.q_proj.lora_magnitude_vector"), None);
        assert_eq!(part("model.layers.0.self_attn.q_proj.lora_A.weight"), None);
    }

    #[test]
    fn endings_are_whole_parts_of_a_path() {
        assert!(ends_in("lm_head", "lm_head") && ends_in("a.b.q_proj", "b.q_proj"));
        assert!(!ends_in("a.seq_proj", "q_proj"));
        assert_eq!(
            (layer_of("model.layers.12.mlp.experts.3.up_proj"), layer_of("lm_head")),
            (Some(12), None)
        );
    }
}
