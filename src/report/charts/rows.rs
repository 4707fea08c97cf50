//! A chart of named rows over one horizontal axis: the frame that bars and whiskers are drawn into.
//!
//! The name stands above its row and what it comes to at the row's right end, so that long names have room on a
//! narrow screen. Not here: what is drawn in a row.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::Ticks;
use super::draw::{DrawResult, FONT, framed};
use super::palette;

/// Width of the drawing, in the units of [`super::draw`].
const WIDTH: i32 = 1120;
/// Room left and right of the axis, for half a label.
const SIDE: i32 = 48;
/// Height of a row with its name.
const ROW: i32 = 96;
/// Where the row's content begins below its name, and how high it is.
const NAME: i32 = 42;
/// Height of a row's content.
const CONTENT: i32 = 34;
/// Room below the rows for the axis.
const FOOT: i32 = 92;

/// A drawing area of plotters.
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The words of one row.
pub(super) struct Label {
    /// Above the row, to the left.
    pub name: String,
    /// Above the row, to the right.
    pub told: String,
}

/// Rows and their axis, before anything is drawn in them.
pub(super) struct Rows<'c> {
    pub title: &'c str,
    pub description: String,
    /// Quantity and unit of the axis.
    pub axis: &'c str,
    pub ticks: Ticks,
    pub labels: Vec<Label>,
}

/// The strip of one row.
pub(super) struct Strip {
    /// Upper edge.
    pub top: i32,
    /// Lower edge.
    pub bottom: i32,
}

impl Rows<'_> {
    /// Horizontal place of a value.
    pub fn x(&self, value: f64) -> i32 {
        let range = &self.ticks.range;
        let share = (value - range.start) / (range.end - range.start);
        SIDE + (share * f64::from(WIDTH - 2 * SIDE)).round() as i32
    }

    /// The whole as an `<svg>` element; `row` draws the content of one.
    pub fn svg<F>(&self, id: &str, row: F) -> Result<String, String>
    where
        F: for<'a> Fn(&Area<'a>, usize, Strip) -> DrawResult<'a>,
    {
        let size = (WIDTH as u32, (self.height() + FOOT) as u32);
        let mut drawing = String::new();
        self.draw(&mut drawing, size, row).map_err(|error| error.to_string())?;
        Ok(framed(&drawing, size, id, self.title, &self.description))
    }

    fn height(&self) -> i32 {
        ROW * self.labels.len() as i32 + 10
    }

    fn draw<'a, F>(&self, buffer: &'a mut String, size: (u32, u32), row: F) -> DrawResult<'a>
    where
        F: Fn(&Area<'a>, usize, Strip) -> DrawResult<'a>,
    {
        let area = SVGBackend::with_string(buffer, size).into_drawing_area();
        self.axis(&area)?;
        for (at, label) in self.labels.iter().enumerate() {
            let top = ROW * at as i32;
            text(&area, &label.name, (SIDE, top + 4), HPos::Left)?;
            text(&area, &label.told, (WIDTH - SIDE, top + 4), HPos::Right)?;
            row(&area, at, Strip { top: top + NAME, bottom: top + NAME + CONTENT })?;
        }
        area.present()
    }

    fn axis<'a>(&self, area: &Area<'a>) -> DrawResult<'a> {
        let foot = self.height();
        for &at in &self.ticks.at {
            let x = self.x(at);
            let style = if at == 0.0 { palette::axis() } else { palette::grid() };
            // Lines run behind the content of the rows only, not through their names.
            for row in 0..self.labels.len() as i32 {
                let top = ROW * row + NAME - 6;
                area.draw(&PathElement::new([(x, top), (x, top + CONTENT + 12)], style.stroke_width(2)))?;
            }
            text(area, &self.ticks.value_label(at), (x, foot + 6), HPos::Center)?;
        }
        let line = [(SIDE, foot), (WIDTH - SIDE, foot)];
        area.draw(&PathElement::new(line, palette::axis().stroke_width(2)))?;
        text(area, self.axis, (WIDTH / 2, foot + 48), HPos::Center)
    }
}

fn text<'a>(area: &Area<'a>, words: &str, at: (i32, i32), side: HPos) -> DrawResult<'a> {
    let style = FONT.into_font().color(&palette::text()).pos(Pos::new(side, VPos::Top));
    area.draw(&Text::new(words.to_owned(), at, style))
}
