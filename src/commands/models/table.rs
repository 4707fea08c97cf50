//! The table of `ctxbench models`: at most 100 columns wide; the rest is in `--format json`.

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, presets};

use super::Listing;
use crate::catalog::fit::{LISTED, ModelFit, QuantizationFit};
use crate::units;

/// Writes the table, its legend, the footnotes and the answer.
pub(super) fn write(out: &mut dyn Write, listing: &Listing) -> io::Result<()> {
    let footnotes = footnotes(&listing.models);
    // Trailing blanks would wrap on a terminal of the table's own width.
    for line in table(listing, &footnotes).to_string().lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    legend(out, listing)?;
    for (number, text) in footnotes.iter().enumerate() {
        writeln!(out, "[{}] unverified: {text}", number + 1)?;
    }
    writeln!(out, "\n{}", listing.answer)
}

fn table(listing: &Listing, footnotes: &[&str]) -> Table {
    let with_state = listing.models.iter().any(|model| model.constant_state_bytes > 0);
    let mut head = vec!["model", "weights", "size", "KV/token"];
    head.extend(with_state.then_some("state"));
    head.extend(LISTED.iter().map(|(_, name)| *name));
    head.extend(["licence", "notes"]);
    let numbers = 1..head.len() - 2;
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head);
    for model in &listing.models {
        table.add_row(row(model, with_state, listing, footnotes));
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        let is_number = numbers.contains(&index);
        column.set_padding((0, if is_number && index + 1 != numbers.end { 1 } else { 2 }));
        if is_number {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn row(model: &ModelFit, with_state: bool, listing: &Listing, footnotes: &[&str]) -> Vec<String> {
    let mark = if model.default { " *" } else { "" };
    let mut row = vec![
        format!("{}{mark}", model.id),
        format!("{:.2}B", model.parameters as f64 / 1e9),
        units::bytes(model.native_bytes),
        units::bytes(model.kv_bytes_per_token),
    ];
    row.extend(with_state.then(|| units::bytes(model.constant_state_bytes)));
    row.extend(model.fits.iter().map(|fit| longest(fit, listing.available_bytes)));
    let notes: Vec<String> = footnotes
        .iter()
        .enumerate()
        .filter(|(_, text)| model.unverified.iter().any(|note| note == *text))
        .map(|(number, _)| (number + 1).to_string())
        .collect();
    row.extend([model.license.clone(), notes.join(",")]);
    row
}

/// The longest context that fits: `40k`, `(3k)` if that is less than was asked for, `no`.
fn longest(fit: &QuantizationFit, available_bytes: Option<u64>) -> String {
    match (fit.largest_context, fit.fits) {
        (Some(tokens), Some(true)) => rounded_down(tokens),
        (Some(tokens), _) => format!("({})", rounded_down(tokens)),
        (None, _) if available_bytes.is_none() => "n/a".into(),
        (None, _) => "no".into(),
    }
}

/// Whole thousands (of 1,024) that fit; below one, the tokens themselves.
fn rounded_down(tokens: u64) -> String {
    if tokens >= 1024 { format!("{}k", tokens / 1024) } else { tokens.to_string() }
}

/// Each distinct note, in the order of the models.
fn footnotes(models: &[ModelFit]) -> Vec<&str> {
    let mut notes: Vec<&str> = Vec::new();
    for note in models.iter().flat_map(|model| &model.unverified) {
        if !notes.contains(&note.as_str()) {
            notes.push(note);
        }
    }
    notes
}

fn legend(out: &mut dyn Write, listing: &Listing) -> io::Result<()> {
    let names: Vec<&str> = LISTED.iter().map(|(_, name)| *name).collect();
    let asked = units::tokens(listing.context_tokens);
    let names = names.join(", ");
    writeln!(out, "\n{names}: tokens of context that fit this box's free memory, at most the model's own")?;
    writeln!(out, "limit; (in brackets): less than the {asked} asked for (--context); no: not one token.")?;
    writeln!(out, "* runs when no model is named. KV/token: bytes of bf16 cache that one token adds.")?;
    if listing.models.iter().all(|model| model.constant_state_bytes == 0) {
        writeln!(
            out,
            "None of these models has a state of constant size: all their memory grows with context."
        )?;
    }
    writeln!(
        out,
        "bf16: `--quant native --dtype bf16`; f32 takes twice the weights. The others: with the packed"
    )?;
    writeln!(out, "copy that candle keeps beside them on x86-64. Repositories and bytes: --format json.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, fit};

    fn shown(context: u32, memory: u64) -> String {
        let models = fit::rows(&Catalog::load(None).unwrap(), context.into(), Some(memory));
        let answer = fit::answer(&models, context, Some(memory));
        let listing = Listing {
            context_tokens: context,
            memory_bytes: Some(memory),
            available_bytes: Some(memory),
            answer,
            models,
        };
        let mut out = Vec::new();
        write(&mut out, &listing).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn no_line_is_wider_than_a_hundred_columns() {
        for text in [shown(8192, 16 << 30), shown(131_072, 1 << 40), shown(512, 1 << 20)] {
            let table = text.split("\n\n").next().unwrap();
            for line in table.lines() {
                assert!(line.chars().count() <= 100, "{line}");
            }
        }
    }

    #[test]
    fn what_fits_less_than_asked_stands_in_brackets() {
        let text = shown(65_536, 1 << 40);
        let line = text.lines().find(|line| line.starts_with("qwen3-0.6b *")).unwrap();
        assert_eq!(line.matches("(40k)").count(), 4, "{line}");
        let text = shown(512, 1 << 30);
        let line = text.lines().find(|line| line.starts_with("qwen3-32b")).unwrap();
        assert_eq!(line.matches(" no ").count(), 4, "{line}");
    }

    #[test]
    fn unverified_figures_point_to_their_footnote() {
        let text = shown(512, 1 << 30);
        let line = text.lines().find(|line| line.starts_with("qwen2.5-3b ")).unwrap();
        let note = line.split_whitespace().last().unwrap();
        let footnote = text.lines().find(|line| line.starts_with(&format!("[{note}]"))).unwrap();
        assert!(footnote.contains("Qwen Research licence from memory"), "{footnote}");
    }
}
