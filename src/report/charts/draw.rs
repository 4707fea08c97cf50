//! A chart onto an inline SVG, through plotters. All text that comes in is escaped.

use std::fmt::Write as _;

use plotters::chart::ChartContext;
use plotters::prelude::*;

use super::axis::{Ticks, token_ticks, value_ticks};
use super::{Chart, Median, Point, Series, palette};
use crate::units::significant;

/// Units of the drawing; it is shown at about half of that in pixels, so half a pixel is drawn exactly.
const SIZE: (u32, u32) = (1120, 680);
/// Plotters writes `font-size` as this divided by 1.24.
pub(super) const FONT: (&str, i32) = ("sans-serif", 31);

/// Length of a dash, and of the gap behind it.
const DASH: u32 = 12;

type Cartesian = Cartesian2d<Ticks, Ticks>;
pub(super) type DrawResult<'a> =
    Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

/// The chart as an `<svg>` element for an HTML page; `id` is unique on that page.
///
/// Errors only if plotters refuses the drawing, e.g. for axes without extent.
pub fn svg(chart: &Chart, id: &str) -> Result<String, String> {
    let mut drawing = String::new();
    draw(chart, &mut drawing).map_err(|error| error.to_string())?;
    Ok(framed(&drawing, SIZE, id, &chart.title, &description(chart)))
}

/// A drawing of plotters as an `<svg>` element of our own, with words for screen readers.
// Plotters' own root carries a fixed size and a namespace URL, and no words for screen readers.
pub(super) fn framed(drawing: &str, size: (u32, u32), id: &str, title: &str, description: &str) -> String {
    let body = drawing.split_once('>').map_or("", |(_, body)| body);
    let mut out = format!(
        "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-labelledby=\"{id}-title\" aria-describedby=\"{id}-desc\">\n",
        size.0, size.1
    );
    let _ = writeln!(out, "<title id=\"{id}-title\">{}</title>", escape(title));
    let _ = writeln!(out, "<desc id=\"{id}-desc\">{}</desc>", escape(description));
    out.push_str(body);
    out
}

/// The marker of a series as a small `<svg>` for the legend.
pub fn swatch(series: &Series) -> String {
    let color = palette::series_hex(series.look);
    if series.medians.is_empty() {
        let broken = if series.line.is_empty() { " stroke-dasharray=\"10 6\"" } else { "" };
        return format!(
            "<svg class=\"swatch\" viewBox=\"-14 -14 28 28\" aria-hidden=\"true\">\
             <line x1=\"-13\" y1=\"0\" x2=\"13\" y2=\"0\" stroke=\"{color}\" stroke-width=\"5\"{broken}/></svg>"
        );
    }
    let corners: Vec<String> = palette::shape(series.look).iter().map(|(x, y)| format!("{x},{y}")).collect();
    let fill = if series.hollow { "none" } else { color };
    format!(
        "<svg class=\"swatch\" viewBox=\"-14 -14 28 28\" aria-hidden=\"true\"><polygon points=\"{}\" fill=\"{fill}\" \
         stroke=\"{color}\" stroke-width=\"3\"/></svg>",
        corners.join(" ")
    )
}

/// The medians in words, or for a trace its length: what a reader without the picture gets.
fn description(chart: &Chart) -> String {
    let of_series = |series: &Series| {
        let medians: Vec<String> = series
            .medians
            .iter()
            .map(|m| format!("{} at {}", significant(m.at.y), significant(m.at.x)))
            .collect();
        if let ([first, .., last], true) = (&*series.dashed, medians.is_empty()) {
            let at = |point: &Point| format!("{} at {}", significant(point.y), significant(point.x));
            return format!("{}: from {} to {}.", series.name, at(first), at(last));
        }
        match medians.is_empty() {
            true => format!("{}: a line of {} points.", series.name, series.line.len()),
            false => format!("{}: {}.", series.name, medians.join(", ")),
        }
    };
    let all: Vec<String> = chart.series.iter().map(of_series).collect();
    format!("{} against {}. {}", chart.y.label, chart.x.label, all.join(" "))
}

fn draw<'a>(chart: &Chart, buffer: &'a mut String) -> DrawResult<'a> {
    let root = SVGBackend::with_string(buffer, SIZE).into_drawing_area();
    let x = token_ticks(chart.x.scale, chart.points().map(|p| p.x));
    let y = value_ticks(chart.points().map(|p| p.y));
    let mut context = ChartBuilder::on(&root)
        .margin(14)
        .margin_right(36)
        .x_label_area_size(92)
        .y_label_area_size(y_label_area(&y))
        .build_cartesian_2d(x.clone(), y.clone())?;
    axes(&mut context, chart, &x, &y)?;
    for series in &chart.series {
        line(&mut context, chart, series)?;
    }
    for series in &chart.series {
        marks(&mut context, chart, series)?;
    }
    root.present()
}

/// Room for the axis's own label and the longest number beside it.
fn y_label_area(y: &Ticks) -> u32 {
    let longest = y.at.iter().map(|position| y.value_label(*position).len() as u32).max().unwrap_or(0);
    62 + 15 * longest
}

fn axes<'a, 'b>(
    context: &mut ChartContext<'b, SVGBackend<'a>, Cartesian>,
    chart: &Chart,
    x: &Ticks,
    y: &Ticks,
) -> DrawResult<'a> {
    let text = FONT.into_font().color(&palette::text());
    let scaled = |axis: &super::Axis| format!("{}, {}", axis.label, axis.scale.name());
    context
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(palette::grid().stroke_width(2))
        .light_line_style(TRANSPARENT)
        .axis_style(palette::axis().stroke_width(2))
        .label_style(text.clone())
        .axis_desc_style(text)
        .x_desc(scaled(&chart.x))
        .y_desc(scaled(&chart.y))
        .x_label_formatter(&|position| x.token_label(chart.x.scale, *position))
        .y_label_formatter(&|position| y.value_label(*position))
        .draw()
}

fn line<'a, 'b>(
    context: &mut ChartContext<'b, SVGBackend<'a>, Cartesian>,
    chart: &Chart,
    series: &Series,
) -> DrawResult<'a> {
    let style = palette::series(series.look).stroke_width(4);
    let path = |line: &[Point]| line.iter().map(|point| position(chart, *point)).collect::<Vec<_>>();
    if series.line.len() > 1 {
        context.draw_series([PathElement::new(path(&series.line), style)])?;
    }
    if series.dashed.len() > 1 {
        context.draw_series(DashedLineSeries::new(path(&series.dashed), DASH, DASH, style))?;
    }
    Ok(())
}

fn marks<'a, 'b>(
    context: &mut ChartContext<'b, SVGBackend<'a>, Cartesian>,
    chart: &Chart,
    series: &Series,
) -> DrawResult<'a> {
    let color = palette::series(series.look);
    let sample = |point: &Point| Circle::new(position(chart, *point), 5, color.mix(0.35).filled());
    context.draw_series(series.samples.iter().map(sample))?;
    for median in &series.medians {
        context.draw_series(
            whisker(chart, median).into_iter().map(|path| PathElement::new(path, color.stroke_width(3))),
        )?;
        let at = position(chart, median.at);
        let corners = palette::shape(series.look).to_vec();
        if series.hollow {
            context.draw_series([
                EmptyElement::at(at) + PathElement::new(ring(&corners), color.stroke_width(3))
            ])?;
        } else {
            context.draw_series([EmptyElement::at(at) + Polygon::new(corners, color.filled())])?;
        }
    }
    Ok(())
}

/// A closed outline around the filled marker of the same shape, so that neither hides the other.
fn ring(corners: &[(i32, i32)]) -> Vec<(i32, i32)> {
    corners.iter().chain(corners.first()).map(|(x, y)| (x * 8 / 5, y * 8 / 5)).collect()
}

/// The interval of a median as a vertical stroke.
fn whisker(chart: &Chart, median: &Median) -> Option<Vec<(f64, f64)>> {
    let ends = median.interval?;
    Some(ends.map(|y| position(chart, Point { x: median.at.x, y })).to_vec())
}

fn position(chart: &Chart, point: Point) -> (f64, f64) {
    (chart.x.scale.position(point.x), point.y)
}

/// Text for an element's content or a quoted attribute.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::charts::Axis;
    use crate::report::charts::axis::Scale;

    fn chart(name: &str, points: &[(f64, f64)]) -> Chart {
        let medians = points.iter().map(|&(x, y)| Median { at: Point { x, y }, interval: Some([y, y]) });
        Chart {
            title: name.into(),
            caption: String::new(),
            x: Axis { label: name.into(), scale: Scale::Linear },
            y: Axis { label: name.into(), scale: Scale::Linear },
            series: vec![Series { name: name.into(), medians: medians.collect(), ..Series::default() }],
        }
    }

    #[test]
    fn text_in_a_chart_is_escaped_and_no_url_is_left() {
        let svg = svg(&chart("<script>alert('x')</script>", &[(64.0, 5.0)]), "c").unwrap();
        assert!(!svg.contains("<script") && !svg.contains("http"), "{svg}");
        assert!(svg.contains("&lt;script&gt;"), "{svg}");
    }

    #[test]
    fn degenerate_numbers_draw_and_do_not_panic() {
        for points in [&[(0.0, 0.0)][..], &[(1.0, 1e-9)], &[(1e6, 1e12), (1.0, 0.0)], &[]] {
            svg(&chart("odd", points), "c").unwrap();
        }
    }

    #[test]
    fn a_screen_reader_gets_title_and_medians() {
        let svg = svg(&chart("TTFT", &[(64.0, 55.0)]), "c1").unwrap();
        assert!(svg.contains("role=\"img\" aria-labelledby=\"c1-title\""), "{svg}");
        assert!(svg.contains("<title id=\"c1-title\">TTFT</title>") && svg.contains("55.0 at 64.0"), "{svg}");
    }
}
