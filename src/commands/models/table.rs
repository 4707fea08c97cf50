//! The table of `ctxbench models`: a family under its heading; the rest is in `--format json`.

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, presets};

use super::fold::{Line, lines};
use super::{Listing, embedders};
use crate::catalog::fit::{LISTED, ModelFit, QuantizationFit};
use crate::units;

/// Columns of numbers: parameters, bytes per token, state, then one per weight type.
const NUMBERS: usize = 3 + LISTED.len();

/// Writes the tables, the legend, the footnotes and the answer.
pub(super) fn write(out: &mut dyn Write, listing: &Listing) -> io::Result<()> {
    let footnotes = footnotes(listing);
    // Trailing blanks would wrap on a terminal of the table's own width.
    for line in table(listing, &footnotes).to_string().lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    legend(out, listing)?;
    embedders::write(out, &listing.embedders, &footnotes)?;
    writeln!(out)?;
    for (number, text) in footnotes.iter().enumerate() {
        writeln!(out, "[{}] unverified: {text}", mark(number))?;
    }
    writeln!(out)?;
    listing.answer.iter().try_for_each(|sentence| writeln!(out, "{sentence}"))
}

fn table(listing: &Listing, footnotes: &[&str]) -> Table {
    let mut table = Table::new();
    let types = LISTED.iter().map(|(_, name)| *name);
    let head = ["model", "size", "KV/tok", "state"].into_iter().chain(types).chain(["see"]);
    table.load_style(presets::NOTHING).set_header(head);
    for family in families(&listing.models) {
        let license = main_license(&family);
        table.add_row([format!("{} ({license})", family[0].family)]);
        for line in lines(&family) {
            table.add_row(row(&line, license, listing.available_bytes, footnotes));
        }
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 1));
        if (1..=NUMBERS).contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// The models of each family, in the order of the catalog.
fn families(models: &[ModelFit]) -> Vec<Vec<&ModelFit>> {
    let mut families: Vec<Vec<&ModelFit>> = Vec::new();
    for model in models {
        match families.iter_mut().find(|family| family[0].family == model.family) {
            Some(family) => family.push(model),
            None => families.push(vec![model]),
        }
    }
    families
}

/// The licence that most models of a family have; the first of equally frequent ones.
fn main_license<'a>(family: &[&'a ModelFit]) -> &'a str {
    let count = |license: &str| family.iter().filter(|model| model.license == license).count();
    let licenses = family.iter().map(|model| model.license.as_str());
    licenses.reduce(|best, next| if count(next) > count(best) { next } else { best }).unwrap_or("n/a")
}

fn row(line: &Line<'_>, license: &str, available: Option<u64>, footnotes: &[&str]) -> Vec<String> {
    let model = line.models[0];
    let mark = if model.default { " *" } else { "" };
    let mut row = vec![
        format!(" {}{mark}", line.name),
        billions(model.parameters),
        whole(model.kv_bytes_per_token),
        whole(model.constant_state_bytes),
    ];
    row.extend(model.fits.iter().map(|fit| longest(fit, available)));
    let unverified: Vec<String> = line.models.iter().flat_map(|m| m.unverified.clone()).collect();
    let own_license = (model.license != license).then(|| model.license.clone());
    let notes = [marks(&unverified, footnotes), own_license.unwrap_or_default()];
    row.push(notes.join(" ").trim().to_owned());
    row
}

/// `0.75B`, `34.7B`.
fn billions(parameters: u64) -> String {
    let billions = parameters as f64 / 1e9;
    if billions < 1.0 { format!("{billions:.2}B") } else { format!("{}B", units::significant(billions)) }
}

/// Bytes in whole binary units: `12 KiB`, `19 MiB`, `0`.
fn whole(bytes: u64) -> String {
    match bytes {
        0 => "0".into(),
        1..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{} MiB", bytes.div_ceil(1_048_576)),
    }
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

/// The marks of the footnotes that `notes` are: `ac`.
pub(super) fn marks(notes: &[String], footnotes: &[&str]) -> String {
    let is_there = |text: &str| notes.iter().any(|note| note == text);
    let marked = footnotes.iter().enumerate().filter(|(_, text)| is_there(text));
    marked.map(|(index, _)| mark(index)).collect()
}

/// The footnote's letter; beyond the alphabet, its number.
fn mark(index: usize) -> String {
    let letter = u8::try_from(index).ok().filter(|index| *index < 26);
    letter.map_or_else(|| format!("({})", index + 1), |index| char::from(b'a' + index).into())
}

/// Each distinct note, in the order of the models and the embedders.
fn footnotes(listing: &Listing) -> Vec<&str> {
    let of_models = listing.models.iter().flat_map(|model| &model.unverified);
    let of_embedders = listing.embedders.iter().flat_map(|embedder| &embedder.unverified);
    let mut notes: Vec<&str> = Vec::new();
    for note in of_models.chain(of_embedders) {
        if !notes.contains(&note.as_str()) {
            notes.push(note);
        }
    }
    notes
}

fn legend(out: &mut dyn Write, listing: &Listing) -> io::Result<()> {
    let types: Vec<&str> = LISTED.iter().map(|(_, name)| *name).collect();
    let (types, asked) = (types.join(", "), units::tokens(listing.context_tokens));
    let lines = [
        format!("\n{types}: tokens of context that fit this box's free memory,"),
        format!("at most the model's own limit; (in brackets): less than the {asked} asked for"),
        "(--context); no: not one. bf16: `--quant native --dtype bf16`; f32 takes twice".into(),
        "the weights. A mixture needs all its experts in memory. size: parameters.".into(),
        "KV/tok: bytes of bf16 cache that one token adds. state: bytes of f32 state that".into(),
        "a conversation takes at any length; 0 where all memory grows with it.".into(),
        "* runs when no model is named. (In brackets): the family's licence, where a line".into(),
        "names no other. name[-x]: two models, name and name-x. see: notes below.".into(),
        "Repositories, GGUF files and bytes: --format json.".into(),
    ];
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;
    use crate::device::memory::Memory;

    fn shown(context: u32, memory: u64) -> String {
        let memory = Memory { available_bytes: Some(memory), ..Memory::now() };
        let listing = Listing::new(Catalog::load(None).unwrap(), context, memory);
        let mut out = Vec::new();
        write(&mut out, &listing).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn line<'a>(text: &'a str, model: &str) -> &'a str {
        text.lines().find(|line| line.trim_start().starts_with(model)).unwrap()
    }

    #[test]
    fn no_line_of_a_table_is_wider_than_a_hundred_columns() {
        for text in [shown(32_768, 16 << 30), shown(262_144, 1 << 42), shown(512, 1 << 20)] {
            let tables = text.split("[a] unverified").next().unwrap();
            for line in tables.lines() {
                assert!(line.chars().count() <= 100, "{line}");
            }
        }
    }

    #[test]
    fn what_fits_less_than_asked_stands_in_brackets() {
        let text = shown(65_536, 1 << 40);
        assert_eq!(line(&text, "qwen3-0.6b").matches("(40k)").count(), 4);
        let text = shown(512, 1 << 30);
        assert_eq!(line(&text, "qwen3-32b").matches(" no").count(), 4);
    }

    #[test]
    fn a_state_of_constant_size_stands_beside_what_a_token_adds() {
        let text = shown(32_768, 16 << 30);
        let hybrid: Vec<&str> = line(&text, "qwen3.5-0.8b *").split_whitespace().collect();
        assert_eq!(hybrid[2..7], ["0.75B", "12", "KiB", "20", "MiB"]);
        let dense: Vec<&str> = line(&text, "qwen3-0.6b").split_whitespace().collect();
        assert_eq!(dense[1..5], ["0.60B", "112", "KiB", "0"]);
    }

    #[test]
    fn families_have_headings_with_their_licence_and_exceptions_are_named() {
        let text = shown(32_768, 16 << 30);
        let headings: Vec<&str> = text.lines().filter(|line| line.starts_with("Qwen")).collect();
        assert_eq!(headings.len(), 7, "{headings:?}");
        assert_eq!(headings[0], "Qwen3.5 (Apache-2.0)");
        assert!(line(&text, "qwen2.5-3b[-instruct]").ends_with("Qwen-Research"), "{text}");
        assert!(!line(&text, "qwen2.5-7b ").contains("Apache"));
    }

    #[test]
    fn unverified_figures_point_to_their_footnote() {
        let text = shown(512, 1 << 30);
        let note = line(&text, "qwen3.5-2b").split_whitespace().last().unwrap();
        let footnote = text.lines().find(|line| line.starts_with(&format!("[{note}]"))).unwrap();
        assert!(footnote.contains("inferred from the family"), "{footnote}");
        let embedder = line(&text, "all-minilm-l6-v2");
        assert!(embedder.contains("22.7M") && embedder.contains("384") && embedder.contains("86.7 MiB"));
    }
}
