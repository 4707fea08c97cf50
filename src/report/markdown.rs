//! The report as Markdown: headline, stamp, table, what was left out, box, models, definitions.

use std::io::{self, Write};

use super::document::Document;
use super::rag::{self, verdicts};
use super::table::{self, Grid, status_name};
use super::{Exporter, NOT_AVAILABLE, growth_table, headline, notes, one_line};
use crate::units::bytes;

/// Markdown tables.
#[derive(Clone, Copy, Debug)]
pub struct Markdown;

impl Exporter for Markdown {
    fn name(&self) -> &'static str {
        "md"
    }

    fn write(&self, document: &Document, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "# {}\n", escape(&headline::title(document)))?;
        findings(document, out)?;
        claims(document, out)?;
        stamp(document, out)?;
        sections(&rag::sections(document), out)?;
        results(document, out)?;
        growth(document, out)?;
        sections(&rag::behind_results(document), out)?;
        bullets(out, "Failed", &notes::failures(document))?;
        bullets(out, "Left out, and how to ask for it", &notes::left_out(document))?;
        bullets(out, "Not tested, and what it would take", &verdicts::not_tested(document))?;
        facts(document, out)?;
        models(document, out)?;
        definitions(document, out)?;
        writeln!(out, "\n## Run it again\n\n```sh\n{}\n```", notes::command(document))
    }
}

fn findings(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    for headline in headline::headlines(document) {
        writeln!(out, "**{}**\n", escape(&headline.subject))?;
        for sentence in headline.sentences {
            let [before, key, after] = [&sentence.before, &sentence.key, &sentence.after].map(|s| escape(s));
            writeln!(out, "- {before}**{key}**{after}")?;
        }
        writeln!(out)?;
    }
    for limit in headline::limits(document) {
        writeln!(out, "> {}\n", escape(&limit))?;
    }
    Ok(())
}

fn stamp(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "**Validity: {}**", status_name(document.validity.status))?;
    let all = notes::notes(document);
    if !all.is_empty() {
        writeln!(out)?;
    }
    for note in all {
        writeln!(out, "- {}", escape(&note.line()))?;
    }
    Ok(())
}

fn claims(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    let cards = verdicts::cards(document);
    if cards.is_empty() {
        return Ok(());
    }
    writeln!(out, "## {}\n\n{}\n", verdicts::HEADING, escape(&verdicts::hint(document)))?;
    for card in cards {
        let outcome = verdicts::outcome_name(card.outcome);
        writeln!(out, "- **{outcome}: {}** ({})", escape(&card.claim), escape(&card.id))?;
        writeln!(out, "  - {}", escape(&card.reason))?;
        if let Some(number) = card.number {
            writeln!(out, "  - Number: {}", escape(&number))?;
        }
        writeln!(out, "  - Rule: {}", escape(&card.rule))?;
    }
    writeln!(out)
}

fn sections(sections: &[rag::Section], out: &mut dyn Write) -> io::Result<()> {
    for section in sections {
        writeln!(out, "\n## {}\n\n{}\n", section.heading, escape(&section.hint))?;
        if let Some(grid) = &section.grid {
            table_of(grid, out)?;
            if !section.lines.is_empty() {
                writeln!(out)?;
            }
        }
        section.lines.iter().try_for_each(|line| writeln!(out, "- {}", escape(line)))?;
    }
    Ok(())
}

fn results(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\n## Results\n\n{}\n", table::hint(document))?;
    table_of(&table::grid(document), out)
}

fn growth(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    let laws = growth_table::laws(document);
    if laws.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## {}\n\n{}\n", growth_table::HEADING, growth_table::HINT)?;
    table_of(&Grid::new(growth_table::COLUMNS, growth_table::rows(document)), out)?;
    for law in laws {
        writeln!(out, "\n**{}**\n", escape(&law.subject))?;
        law.lines.iter().try_for_each(|line| writeln!(out, "- {}", escape(line)))?;
    }
    Ok(())
}

fn table_of(grid: &Grid, out: &mut dyn Write) -> io::Result<()> {
    let columns = &grid.heads;
    for column in columns {
        let unit = if column.unit.is_empty() { String::new() } else { format!(" [{}]", column.unit) };
        write!(out, "| {}{unit} ", column.name)?;
    }
    writeln!(out, "|")?;
    for column in columns {
        write!(out, "{}", if column.numeric { "|---:" } else { "|:---" })?;
    }
    writeln!(out, "|")?;
    for row in &grid.rows {
        for cell in row {
            write!(out, "| {} ", escape(cell))?;
        }
        writeln!(out, "|")?;
    }
    Ok(())
}

fn bullets(out: &mut dyn Write, heading: &str, lines: &[String]) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## {heading}\n")?;
    lines.iter().try_for_each(|line| writeln!(out, "- {}", escape(line)))
}

fn facts(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\n## Environment\n\n| | |\n|:---|:---|")?;
    notes::environment(document)
        .iter()
        .try_for_each(|(label, value)| writeln!(out, "| {label} | {} |", escape(value)))
}

fn models(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\n## Models\n")?;
    for model in &document.models {
        writeln!(out, "- **{}**: {}", escape(&one_line(&model.id)), escape(&notes::provenance(model)))?;
        for file in &model.files {
            let sum = file.sha256.as_deref().unwrap_or(NOT_AVAILABLE);
            let (name, size) = (escape(&one_line(&file.name)), bytes(file.bytes));
            writeln!(out, "  - {name}, {size}, SHA-256 {}", escape(&one_line(sum)))?;
        }
    }
    Ok(())
}

fn definitions(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\n## What each number means\n")?;
    document
        .definitions
        .iter()
        .try_for_each(|(name, text)| writeln!(out, "- `{}`: {}", one_line(name), escape(&one_line(text))))
}

/// Keeps text from being read as markup; an underscore inside a word is none.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if "|<>*`\\".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn foreign_text_cannot_break_the_table() {
        let mut document = fixture::document();
        document.cases[0].model = "a|b\n<script>".into();
        let text = fixture::render(&Markdown, &document);
        assert!(text.contains(r"| a\|b \<script\> |"), "{text}");
    }

    #[test]
    fn the_headline_comes_before_the_table() {
        let text = fixture::render(&Markdown, &fixture::document());
        let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("no '{what}' in\n{text}"));
        assert!(at("Each further 1,000 tokens of context") < at("Validity:"));
        assert!(at("Validity:") < at("| Model |"));
        assert!(at("| Model |") < at("## What each number means"));
    }
}
