//! "What fits this box, and at which quantization", answered in sentences from the rows of [`super::fit`].

use super::fit::{ModelFit, QuantizationFit};
use crate::units;

/// The largest model that fits, in its most exact weight type that does.
pub fn largest(rows: &[ModelFit]) -> Option<(&ModelFit, &QuantizationFit)> {
    largest_of(rows, most_exact)
}

fn most_exact(row: &ModelFit) -> Option<&QuantizationFit> {
    row.fits.iter().find(|fit| fit.fits == Some(true))
}

/// The largest model of those to which `choose` gives a weight type.
fn largest_of<'a>(
    rows: &'a [ModelFit],
    choose: impl Fn(&'a ModelFit) -> Option<&'a QuantizationFit>,
) -> Option<(&'a ModelFit, &'a QuantizationFit)> {
    let fitting = rows.iter().filter_map(|row| Some((row, choose(row)?)));
    // The first of several equally large ones: max_by_key would take the last.
    fitting.reduce(|best, next| if next.0.parameters > best.0.parameters { next } else { best })
}

/// Sentences, each for a line of its own: the largest model × weight type that fits `memory_bytes` at
/// `context` tokens, the largest of each weight type, and the most exact one of the default model.
pub fn sentences(rows: &[ModelFit], context: u32, memory_bytes: Option<u64>) -> Vec<String> {
    let at = format!("at {} tokens", units::tokens(context));
    let Some(memory) = memory_bytes else {
        return vec![format!("The memory of this box is unknown, so what fits {at} cannot be told.")];
    };
    let free = units::bytes(memory);
    let Some((row, fit)) = largest(rows) else { return vec![nothing_fits(rows, &at, &free)] };
    let first = format!(
        "Largest that fits this box {at}: {} in {} ({} of {free} free).",
        row.id,
        fit.quantization,
        units::bytes(fit.needed_bytes)
    );
    let others = [by_type(rows), default_model(rows, &at)];
    [first].into_iter().chain(others.into_iter().flatten()).collect()
}

/// The largest model of each weight type: `a in bf16, b in q8_0 and q6_k`.
fn by_type(rows: &[ModelFit]) -> Option<String> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for kind in rows.first()?.fits.iter().map(|fit| fit.quantization) {
        let fitting = |fit: &&QuantizationFit| fit.quantization == kind && fit.fits == Some(true);
        let best = largest_of(rows, |row| row.fits.iter().find(fitting)).map_or("none", |(row, _)| &row.id);
        match groups.last_mut() {
            Some((id, kinds)) if *id == best => kinds.push(kind),
            _ => groups.push((best, vec![kind])),
        }
    }
    let parts: Vec<String> =
        groups.iter().map(|(id, kinds)| format!("{id} in {}", kinds.join(" and "))).collect();
    Some(format!("By weight type: {}.", parts.join(", ")))
}

fn default_model(rows: &[ModelFit], at: &str) -> Option<String> {
    let row = rows.iter().find(|row| row.default)?;
    if let Some(fit) = most_exact(row) {
        let needs = units::bytes(fit.needed_bytes);
        return Some(format!("The default, {}, fits {at} in {} ({needs}).", row.id, fit.quantization));
    }
    let longest = row.fits.iter().max_by_key(|fit| fit.largest_context)?;
    Some(match longest.largest_context {
        Some(tokens) => format!(
            "The default, {}, does not fit {at}: {} tokens in {} is its longest.",
            row.id,
            units::thousands(tokens as i64),
            longest.quantization
        ),
        None => format!("The default, {}, does not fit.", row.id),
    })
}

fn nothing_fits(rows: &[ModelFit], at: &str, free: &str) -> String {
    let all = rows.iter().flat_map(|row| row.fits.iter().map(move |fit| (row, fit)));
    match all.min_by_key(|(_, fit)| fit.needed_bytes) {
        Some((row, fit)) => format!(
            "No model of the catalog fits this box {at}: the least, {} in {}, needs {} of {free} free, \
             and takes at most {} tokens.",
            row.id,
            fit.quantization,
            units::bytes(fit.needed_bytes),
            units::thousands(row.max_positions as i64)
        ),
        None => "The catalog is empty.".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, fit};

    fn shipped(context: u32, memory: Option<u64>) -> Vec<ModelFit> {
        fit::rows(&Catalog::load(None).unwrap(), u64::from(context), memory)
    }

    #[test]
    fn the_largest_model_in_its_most_exact_type_is_named() {
        let rows = shipped(32_768, Some(24 << 30));
        let (row, fit) = largest(&rows).unwrap();
        for other in &rows {
            let better = other.parameters > row.parameters && most_exact(other).is_some();
            assert!(!better, "{} fits and is larger than {}", other.id, row.id);
        }
        let sentences = sentences(&rows, 32_768, Some(24 << 30));
        let start = format!("Largest that fits this box at 32k tokens: {} in {} (", row.id, fit.quantization);
        assert!(sentences[0].starts_with(&start), "{sentences:?}");
        assert!(fit.needed_bytes <= 24 << 30);
    }

    #[test]
    fn each_weight_type_names_a_model_that_fits_in_it_and_none_that_is_larger_does() {
        let rows = shipped(32_768, Some(12 << 30));
        let text = by_type(&rows).unwrap();
        let parts = text.trim_start_matches("By weight type: ").trim_end_matches('.').split(", ");
        let mut answered = Vec::new();
        for (id, kinds) in parts.map(|part| part.split_once(" in ").unwrap()) {
            let named = rows.iter().find(|row| row.id == id).unwrap();
            for kind in kinds.split(" and ") {
                let fits = |row: &&ModelFit| {
                    row.fits.iter().any(|fit| fit.quantization == kind && fit.fits == Some(true))
                };
                let most = rows.iter().filter(fits).map(|row| row.parameters).max();
                assert!(fits(&named) && most == Some(named.parameters), "{kind} in {text}");
                answered.push(kind);
            }
        }
        assert_eq!(answered, ["bf16", "q8_0", "q6_k", "q4_k"]);
    }

    #[test]
    fn the_default_model_is_answered_for_by_itself() {
        let text = |memory| sentences(&shipped(32_768, Some(memory)), 32_768, Some(memory)).pop().unwrap();
        assert!(text(16 << 30).starts_with("The default, qwen3.5-0.8b, fits at 32k tokens in bf16 ("));
        // Without gigabytes for others: a small window of memory fits the smallest model only.
        let rows = shipped(262_144, Some(2 << 30));
        let sentence = default_model(&rows, "at 256k tokens").unwrap();
        assert!(sentence.contains("does not fit at 256k tokens: "), "{sentence}");
    }

    #[test]
    fn too_little_memory_and_unknown_memory_are_said() {
        let rows = shipped(8192, Some(1 << 20));
        assert_eq!(largest(&rows), None);
        let said = sentences(&rows, 8192, Some(1 << 20));
        assert!(said[0].starts_with("No model of the catalog fits this box at 8k"), "{said:?}");
        let rows = shipped(8192, None);
        assert_eq!(rows[0].fits[0].fits, None);
        assert!(sentences(&rows, 8192, None)[0].starts_with("The memory of this box is unknown"));
        assert_eq!(sentences(&[], 8192, Some(1)), ["The catalog is empty."]);
    }
}
