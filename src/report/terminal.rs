//! The result for people, as a table of a given width, under the headline.
//!
//! The width is a parameter, never asked of the terminal here, so that the text is a pure function
//! of document and width. Columns that do not fit are left out, the least asked-for first, and named.

use std::io::{self, Write};

use comfy_table::{Cell, CellAlignment, ContentArrangement, LineStyle, Table, presets};

use super::document::Document;
use super::rag::{self, verdicts};
use super::table::{self, Grid, Head, status_name};
use super::{Exporter, growth_table, headline, notes};

/// Width where stdout is not a terminal, in characters.
pub const STANDARD_WIDTH: u16 = 120;

/// Heading over claims that no run can test yet.
const NOT_TESTED: &str = "Not tested, and what it would take";

/// Blanks and separator that a column adds to its content.
const PADDING: usize = 3;

/// Table for people.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// Characters per line.
    pub width: u16,
}

impl Default for Terminal {
    fn default() -> Self {
        Self { width: STANDARD_WIDTH }
    }
}

impl Exporter for Terminal {
    fn name(&self) -> &'static str {
        "terminal"
    }

    fn write(&self, document: &Document, out: &mut dyn Write) -> io::Result<()> {
        self.paragraph(out, "", &headline::title(document))?;
        self.findings(document, out)?;
        self.experiment(document, out)?;
        writeln!(out)?;
        self.table(&table::grid(document), out)?;
        self.growth(document, out)?;
        self.sections(&rag::behind_results(document), out)?;
        self.list(out, "Failed", &notes::failures(document))?;
        self.list(out, "Left out", &notes::left_out(document))?;
        self.list(out, NOT_TESTED, &verdicts::not_tested(document))?;
        self.stamp(document, out)
    }
}

impl Terminal {
    fn findings(self, document: &Document, out: &mut dyn Write) -> io::Result<()> {
        for headline in headline::headlines(document) {
            writeln!(out)?;
            self.paragraph(out, "", &headline.subject)?;
            headline.sentences.iter().try_for_each(|sentence| self.paragraph(out, "  ", &sentence.text()))?;
        }
        let limits = headline::limits(document);
        if !limits.is_empty() {
            writeln!(out)?;
        }
        limits.iter().try_for_each(|limit| self.paragraph(out, "", limit))
    }

    /// A table of the columns that have room, and the names of the others.
    fn table(self, grid: &Grid, out: &mut dyn Write) -> io::Result<()> {
        let (columns, rows) = (&grid.heads, &grid.rows);
        let shown = columns_that_fit(columns, rows, self.width.into());
        let mut table = Table::new();
        table.force_no_tty().load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(self.width);
        let cell = |at: usize, text: String| {
            let align = if columns[at].numeric { CellAlignment::Right } else { CellAlignment::Left };
            Cell::new(text).set_alignment(align)
        };
        table.set_header(shown.iter().map(|&at| cell(at, header(&columns[at]))));
        for row in rows {
            table.add_row(shown.iter().map(|&at| cell(at, row[at].clone())));
        }
        if !rows.is_empty() {
            writeln!(out, "{}", table.trim_fmt())?;
        }
        self.omitted(columns, &shown, out)
    }

    fn omitted(self, columns: &[Head], shown: &[usize], out: &mut dyn Write) -> io::Result<()> {
        let names = (0..columns.len()).filter(|at| !shown.contains(at)).map(|at| header(&columns[at]));
        let names: Vec<String> = names.map(|name| name.replace('\n', " ")).collect();
        let text = format!("No room for {}: see --format md or html.", names.join(", "));
        if names.is_empty() { Ok(()) } else { self.paragraph(out, "", &text) }
    }

    /// Verdicts, then the sections of an experiment; nothing for other documents.
    fn experiment(self, document: &Document, out: &mut dyn Write) -> io::Result<()> {
        let cards = verdicts::cards(document);
        if !cards.is_empty() {
            writeln!(out, "\n{}", verdicts::HEADING)?;
        }
        for card in cards {
            let outcome = verdicts::outcome_name(card.outcome);
            self.paragraph(out, "  ", &format!("{outcome}: {} ({})", card.claim, card.id))?;
            self.paragraph(out, "      ", &card.reason)?;
        }
        self.sections(&rag::sections(document), out)?;
        if rag::is_experiment(document) {
            // The line ends before the table.
            write!(out, "\nAll arms")?;
        }
        Ok(())
    }

    fn sections(self, sections: &[rag::Section], out: &mut dyn Write) -> io::Result<()> {
        for section in sections {
            writeln!(out, "\n{}", section.heading)?;
            if let Some(grid) = &section.grid {
                self.table(grid, out)?;
            }
            section.lines.iter().try_for_each(|line| self.paragraph(out, "  ", line))?;
        }
        Ok(())
    }

    fn growth(self, document: &Document, out: &mut dyn Write) -> io::Result<()> {
        let (rows, laws) = (growth_table::rows(document), growth_table::laws(document));
        if laws.is_empty() {
            return Ok(());
        }
        writeln!(out, "\n{}", growth_table::HEADING)?;
        if !rows.is_empty() {
            self.table(&Grid::new(growth_table::COLUMNS, rows), out)?;
            self.paragraph(out, "", growth_table::HINT)?;
        }
        for law in laws {
            writeln!(out)?;
            self.paragraph(out, "", &law.subject)?;
            law.lines.iter().try_for_each(|line| self.paragraph(out, "  ", line))?;
        }
        Ok(())
    }

    fn list(self, out: &mut dyn Write, heading: &str, lines: &[String]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        writeln!(out, "\n{heading}")?;
        lines.iter().try_for_each(|line| self.paragraph(out, "  ", line))
    }

    fn stamp(self, document: &Document, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "\nValidity: {}", status_name(document.validity.status))?;
        notes::notes(document).iter().try_for_each(|note| self.paragraph(out, "  ", &note.line()))
    }

    /// Breaks `text` between words, never before a `%`; lines after the first are indented by two more.
    fn paragraph(self, out: &mut dyn Write, indent: &str, text: &str) -> io::Result<()> {
        let glued = text.split_whitespace().collect::<Vec<_>>().join(" ").replace(" %", "\0%");
        let mut line = indent.to_owned();
        for word in glued.split(' ').map(|word| word.replace('\0', " ")) {
            let begun = line.trim_start().is_empty();
            if !begun && line.chars().count() + 1 + word.chars().count() > self.width.into() {
                writeln!(out, "{line}")?;
                line = format!("{indent}  {word}");
                continue;
            }
            if !begun {
                line.push(' ');
            }
            line.push_str(&word);
        }
        writeln!(out, "{line}")
    }
}

fn header(column: &Head) -> String {
    if column.unit.is_empty() { column.name.into() } else { format!("{}\n{}", column.name, column.unit) }
}

/// Indices of the columns to show: all, less those of the highest rank until the rest fits.
fn columns_that_fit(columns: &[Head], rows: &[Vec<String>], width: usize) -> Vec<usize> {
    let mut shown: Vec<usize> = (0..columns.len()).collect();
    while shown.iter().map(|&at| column_width(&columns[at], rows, at)).sum::<usize>() > width {
        let Some(last) = shown.iter().copied().max_by_key(|&at| columns[at].rank) else { break };
        if columns[last].rank == 0 {
            break;
        }
        shown.retain(|&at| at != last);
    }
    shown
}

fn column_width(column: &Head, rows: &[Vec<String>], at: usize) -> usize {
    let header = header(column);
    let cells = rows.iter().map(|row| row[at].as_str()).chain(header.lines());
    PADDING + cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn no_line_of_the_table_is_wider_than_asked() {
        for width in [80, 100, 120, 200] {
            let text = fixture::render(&Terminal { width }, &fixture::document());
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= width.into(), "{widest} > {width}\n{text}");
        }
    }

    #[test]
    fn columns_without_room_are_named() {
        let narrow = fixture::render(&Terminal { width: 80 }, &fixture::document());
        assert!(narrow.contains("No room for "), "{narrow}");
        let wide = fixture::render(&Terminal { width: 250 }, &fixture::document());
        assert!(!wide.contains("No room for "), "{wide}");
    }

    #[test]
    fn escape_sequences_of_others_do_not_reach_the_terminal() {
        let mut document = fixture::document();
        document.cases[0].model = "evil\u{1b}[2J".into();
        document.models[0].id = "evil\u{1b}[2J".into();
        document.validity.reasons[0].text = "evil\u{1b}[2J".into();
        assert!(!fixture::render(&Terminal::default(), &document).contains('\u{1b}'));
    }
}
