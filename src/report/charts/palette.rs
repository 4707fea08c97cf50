//! Colours and marker shapes that stay apart for colour-blind readers, in light and in dark.
//!
//! Charts are drawn in the light colours; [`dark_css`] maps each one, so an SVG alone is readable too.

use plotters::style::RGBColor;

/// A colour on light paper, and the one that takes its place on dark.
struct Ink {
    light: &'static str,
    dark: &'static str,
}

/// After Okabe and Ito (2008), darkened or lightened for contrast with the paper.
const SERIES: [Ink; 6] = [
    Ink { light: "#0067A8", dark: "#62B5F0" },
    Ink { light: "#C65100", dark: "#FF9147" },
    Ink { light: "#007F5F", dark: "#34CFA4" },
    Ink { light: "#A64D82", dark: "#E79BC6" },
    Ink { light: "#8A6D00", dark: "#E8C53A" },
    Ink { light: "#4A5060", dark: "#B4BCCB" },
];
const TEXT: Ink = Ink { light: "#444B56", dark: "#B9C0CB" };
const LINE: Ink = Ink { light: "#8C939E", dark: "#6A7280" };
const GRID: Ink = Ink { light: "#E3E6EA", dark: "#31363F" };

/// Corners of a marker of radius 10 around the origin.
const SHAPES: [&[(i32, i32)]; 6] = [
    &[
        (10, 0),
        (9, 5),
        (5, 9),
        (0, 10),
        (-5, 9),
        (-9, 5),
        (-10, 0),
        (-9, -5),
        (-5, -9),
        (0, -10),
        (5, -9),
        (9, -5),
    ],
    &[(-8, -8), (8, -8), (8, 8), (-8, 8)],
    &[(0, -11), (11, 8), (-11, 8)],
    &[(0, -12), (12, 0), (0, 12), (-12, 0)],
    &[(0, 11), (11, -8), (-11, -8)],
    &[
        (-4, -11),
        (4, -11),
        (4, -4),
        (11, -4),
        (11, 4),
        (4, 4),
        (4, 11),
        (-4, 11),
        (-4, 4),
        (-11, 4),
        (-11, -4),
        (-4, -4),
    ],
];

/// Colour of a series, as `#RRGGBB` in capitals.
pub fn series_hex(look: usize) -> &'static str {
    SERIES[look % SERIES.len()].light
}

/// Colour of a series.
pub fn series(look: usize) -> RGBColor {
    rgb(series_hex(look))
}

/// Marker of a series: corners around the origin, in units of the chart.
///
/// Moves on by one with each round of colours, so that the seventh series is no copy of the first.
pub fn shape(look: usize) -> &'static [(i32, i32)] {
    SHAPES[(look + look / SERIES.len()) % SHAPES.len()]
}

/// Colour of labels.
pub fn text() -> RGBColor {
    rgb(TEXT.light)
}

/// Colour of the axes.
pub fn axis() -> RGBColor {
    rgb(LINE.light)
}

/// Colour of the grid.
pub fn grid() -> RGBColor {
    rgb(GRID.light)
}

/// CSS rules that repaint a chart for dark paper, by the colours it was drawn in.
pub fn dark_css() -> String {
    let rule = |ink: &Ink| {
        format!("svg [fill=\"{0}\"]{{fill:{1}}}svg [stroke=\"{0}\"]{{stroke:{1}}}", ink.light, ink.dark)
    };
    SERIES.iter().chain([&TEXT, &LINE, &GRID]).map(rule).collect()
}

fn rgb(hex: &str) -> RGBColor {
    let channel = |at: usize| hex.get(at..at + 2).and_then(|h| u8::from_str_radix(h, 16).ok()).unwrap_or(0);
    RGBColor(channel(1), channel(3), channel(5))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance after WCAG 2.
    fn luminance(hex: &str) -> f64 {
        let RGBColor(r, g, b) = rgb(hex);
        let linear = |c: u8| {
            let c = f64::from(c) / 255.0;
            if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
    }

    fn contrast(a: &str, b: &str) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn every_series_and_label_can_be_read_on_both_papers() {
        for ink in SERIES.iter().chain([&TEXT]) {
            assert!(contrast(ink.light, "#FFFFFF") >= 4.5, "{} on white", ink.light);
            assert!(contrast(ink.dark, "#16191F") >= 4.5, "{} on dark", ink.dark);
        }
    }

    #[test]
    fn thirty_six_series_look_different() {
        let mut looks: Vec<_> = (0..36).map(|look| (series_hex(look), shape(look))).collect();
        looks.sort_unstable();
        looks.dedup();
        assert_eq!(looks.len(), 36);
    }

    #[test]
    fn no_two_colours_share_a_rule() {
        let mut lights: Vec<&str> = SERIES.iter().chain([&TEXT, &LINE, &GRID]).map(|ink| ink.light).collect();
        lights.sort_unstable();
        lights.dedup();
        assert_eq!(lights.len(), SERIES.len() + 3);
    }
}
