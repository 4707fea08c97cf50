//! Charts as data, and as inline SVG. A document comes in; no file, no font, no network is touched.

pub mod axis;
pub mod bars;
pub mod differences;
pub mod draw;
pub mod growth;
pub mod mix;
pub mod palette;
pub mod plots;
pub mod roof;
pub mod rows;
pub mod trace;
pub mod waterfall;

use axis::Scale;

/// One chart: what is drawn, before any pixel.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// What it shows, in a few words.
    pub title: String,
    /// How to read it, in a sentence.
    pub caption: String,
    /// Horizontal axis, in tokens.
    pub x: Axis,
    /// Vertical axis, from zero.
    pub y: Axis,
    /// In the order of the legend; never empty.
    pub series: Vec<Series>,
}

/// An axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// Quantity and unit, e.g. `TTFT [ms]`; the scale's name is added when it is drawn.
    pub label: String,
    /// How values become positions.
    pub scale: Scale,
}

/// What one colour shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// Index into the palette, which also gives the marker's shape.
    pub look: usize,
    /// Drawn as an outline, to be told from the filled series of the same look.
    pub hollow: bool,
    /// Single samples.
    pub samples: Vec<Point>,
    /// Medians with their intervals.
    pub medians: Vec<Median>,
    /// A line: a fitted law, a trace, or the medians joined.
    pub line: Vec<Point>,
    /// A broken line: what counting predicts, or a limit.
    pub dashed: Vec<Point>,
}

/// A point in the units of the axes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Horizontal.
    pub x: f64,
    /// Vertical.
    pub y: f64,
}

/// A median with the interval around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Median {
    /// Where.
    pub at: Point,
    /// Lower and upper end of the interval, where there is one.
    pub interval: Option<[f64; 2]>,
}

impl Chart {
    /// Every point that has to lie inside the axes.
    pub fn points(&self) -> impl Iterator<Item = Point> + '_ {
        self.series.iter().flat_map(|series| {
            let ends = series.medians.iter().flat_map(|median| {
                let ends = median.interval.into_iter().flatten();
                ends.map(|y| Point { x: median.at.x, y }).chain([median.at])
            });
            let lines = series.line.iter().chain(&series.dashed);
            series.samples.iter().chain(lines).copied().chain(ends)
        })
    }
}

impl Series {
    /// Whether there is anything to draw.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.medians.is_empty() && self.line.is_empty() && self.dashed.is_empty()
    }
}

impl Point {
    /// The point, if both of its numbers are finite.
    pub fn finite(x: f64, y: f64) -> Option<Self> {
        (x.is_finite() && y.is_finite()).then_some(Self { x, y })
    }
}
