//! Ranges and ticks: where an axis begins and ends, and the few values it names.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};

use crate::units::{thousands, tokens};

/// Most ticks on one axis; more would touch each other on a narrow screen.
const MOST_TICKS: f64 = 6.0;

/// How values become positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Equal steps are equal distances; from zero.
    Linear,
    /// Doublings are equal distances.
    Log2,
    /// A share from 0 to 1, named in per cent.
    Share,
}

/// An axis ready to draw, in positions.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticks {
    /// First and last position.
    pub range: Range<f64>,
    /// Positions that are named, rising.
    pub at: Vec<f64>,
    /// Difference of two ticks in the axis's own unit; the decimals of labels follow from it.
    step: f64,
}

impl Scale {
    /// Log where the values span a factor of 16 or more, so that short contexts stay apart.
    pub fn for_values(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = extent(values);
        if low > 0.0 && high / low >= 16.0 { Self::Log2 } else { Self::Linear }
    }

    /// The position of a value. A log scale has none for zero and below; such values go to its start.
    pub fn position(self, value: f64) -> f64 {
        match self {
            Self::Linear | Self::Share => value,
            Self::Log2 => value.max(1.0).log2(),
        }
    }

    /// What the axis says of itself.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear | Self::Share => "linear",
            Self::Log2 => "log scale",
        }
    }
}

/// Ticks for token counts: multiples of a power of two, or powers of two.
pub fn token_ticks(scale: Scale, values: impl Iterator<Item = f64>) -> Ticks {
    let (low, high) = extent(values);
    match scale {
        Scale::Linear => {
            let mut step = 1.0;
            while high / step > MOST_TICKS {
                step *= 2.0;
            }
            Ticks { range: 0.0..(high * 1.04).max(1.0), at: multiples(step, high * 1.04), step }
        }
        Scale::Share => Ticks { range: 0.0..1.0, at: multiples(0.2, 1.0), step: 0.2 },
        Scale::Log2 => {
            let (first, last) = (low.max(1.0).log2(), high.max(1.0).log2());
            let step = ((last - first) / MOST_TICKS).ceil().max(1.0);
            let at = multiples(step, last + 0.01).into_iter().filter(|t| *t >= first - 0.01).collect();
            Ticks { range: first - 0.25..last + 0.25, at, step }
        }
    }
}

/// Ticks from zero in steps of 1, 2 or 5 times a power of ten; the range ends on a tick.
pub fn value_ticks(values: impl Iterator<Item = f64>) -> Ticks {
    let high = extent(values).1.max(f64::MIN_POSITIVE);
    let decade = 10f64.powf((high / MOST_TICKS).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * decade).into_iter().find(|s| high / s <= MOST_TICKS);
    let step = step.unwrap_or(10.0 * decade);
    let end = (high * 1.02 / step).ceil() * step;
    Ticks { range: 0.0..end, at: multiples(step, end), step }
}

/// Ticks as [`value_ticks`] has them, from below zero where values are negative; zero is always one of them.
pub fn signed_ticks(values: impl Iterator<Item = f64>) -> Ticks {
    let (low, high) = extent(values);
    let (low, high) = (low.min(0.0), high.max(0.0));
    let step = value_ticks([high - low].into_iter()).step;
    // Room beyond the outermost values, so that no marker is cut.
    let (below, above) = ((1.02 * low / step).floor() as i32, (1.02 * high / step).ceil().max(1.0) as i32);
    let at: Vec<f64> = (below..=above).map(|i| f64::from(i) * step).collect();
    Ticks { range: f64::from(below) * step..f64::from(above) * step, at, step }
}

impl Ticks {
    /// `2k`, for a position on a token axis.
    pub fn token_label(&self, scale: Scale, position: f64) -> String {
        let count = match scale {
            Scale::Share => return format!("{:.0} %", 100.0 * position),
            Scale::Linear => position,
            Scale::Log2 => position.exp2(),
        };
        match count.round() as u32 {
            half if half > 1024 && half % 1024 == 512 => format!("{}.5k", half / 1024),
            count => tokens(count),
        }
    }

    /// As many decimals as the step has.
    pub fn value_label(&self, position: f64) -> String {
        if self.step >= 1.0 {
            return thousands(position.round() as i64);
        }
        let decimals = (-self.step.log10()).ceil().clamp(0.0, 9.0) as usize;
        format!("{position:.decimals$}")
    }
}

/// Plotters' view: positions are linear, and only our own ticks are named.
impl Ranged for Ticks {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = (value - self.range.start) / (self.range.end - self.range.start);
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.at.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

/// Zero and the multiples of `step` up to `end`; a hair of slack for sums of floats.
fn multiples(step: f64, end: f64) -> Vec<f64> {
    let count = (end / step * (1.0 + 1e-9)).floor() as u32;
    (0..=count).map(|i| f64::from(i) * step).collect()
}

/// Smallest and largest value; zeros if there is none.
fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let mut values = values.filter(|value| value.is_finite());
    let Some(first) = values.next() else { return (0.0, 0.0) };
    values.fold((first, first), |(low, high), value| (low.min(value), high.max(value)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(ticks: &Ticks, scale: Scale) -> Vec<String> {
        ticks.at.iter().map(|&t| ticks.token_label(scale, t)).collect()
    }

    #[test]
    fn contexts_are_named_as_people_type_them() {
        let linear = token_ticks(Scale::Linear, [64.0, 4096.0].into_iter());
        assert_eq!(labels(&linear, Scale::Linear), ["0", "1k", "2k", "3k", "4k"]);
        let near = token_ticks(Scale::Linear, [64.0, 2048.0].into_iter());
        assert_eq!(labels(&near, Scale::Linear), ["0", "512", "1k", "1.5k", "2k"]);
        let log = token_ticks(Scale::Log2, [64.0, 2048.0].into_iter());
        assert_eq!(labels(&log, Scale::Log2), ["64", "128", "256", "512", "1k", "2k"]);
    }

    #[test]
    fn values_are_named_in_round_steps() {
        let ticks = value_ticks([1830.0].into_iter());
        let labels: Vec<String> = ticks.at.iter().map(|&t| ticks.value_label(t)).collect();
        assert_eq!(labels, ["0", "500", "1,000", "1,500", "2,000"]);
        let small = value_ticks([0.031].into_iter());
        assert_eq!(small.value_label(small.at[1]), "0.01");
    }

    #[test]
    fn differences_of_both_signs_have_a_zero_among_their_ticks() {
        let ticks = signed_ticks([-320.0, 4100.0].into_iter());
        assert!(
            ticks.at.contains(&0.0) && ticks.range.start <= -320.0 && ticks.range.end >= 4100.0,
            "{ticks:?}"
        );
        let labels: Vec<String> = ticks.at.iter().map(|&t| ticks.value_label(t)).collect();
        assert_eq!(labels[..3], ["-1,000", "0", "1,000"]);
        assert!(signed_ticks([].into_iter()).range.end > 0.0);
    }

    #[test]
    fn a_wide_span_of_contexts_is_logarithmic_and_depth_zero_is_not() {
        assert_eq!(Scale::for_values([64.0, 2048.0].into_iter()), Scale::Log2);
        assert_eq!(Scale::for_values([0.0, 2048.0].into_iter()), Scale::Linear);
        assert_eq!(Scale::for_values([512.0, 2048.0].into_iter()), Scale::Linear);
    }

    proptest! {
        #[test]
        fn every_value_lies_inside_and_ticks_stay_few(high in 1e-6..1e9f64) {
            let ticks = value_ticks([high].into_iter());
            prop_assert!(ticks.range.end >= high && ticks.at.len() <= 9 && ticks.at.len() >= 2, "{ticks:?}");
            let scale = Scale::for_values([1.0, high.max(1.0)].into_iter());
            let tokens = token_ticks(scale, [1.0, high.max(1.0)].into_iter());
            prop_assert!(tokens.range.contains(&scale.position(high.max(1.0))) && tokens.at.len() <= 9);
        }
    }
}
