//! Polynomials through points by least squares: coefficients only, no intervals, no choice.

/// Samples at one length: `tokens`, and every time that was measured there.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Context length or depth.
    pub tokens: u32,
    /// Measured values, at least one.
    pub values: Vec<f64>,
}

/// Coefficients `[a, b, …]` of `y = a + b·n + …` of the given degree, by least squares over all
/// values of all groups. `None` if there are no more distinct lengths than the degree.
///
/// Lengths are centred and scaled to [-1, 1] inside, so that tokens and millions of tokens do alike.
pub fn polynomial(groups: &[Group], degree: usize) -> Option<Vec<f64>> {
    let (low, high) = range(groups)?;
    let (center, scale) = ((low + high) / 2.0, (high - low) / 2.0);
    if scale <= 0.0 || groups.len() <= degree {
        return None;
    }
    let size = degree + 1;
    let mut system = vec![vec![0.0; size + 1]; size]; // normal equations, right side last
    for group in groups {
        let x = (f64::from(group.tokens) - center) / scale;
        let (count, sum) = (group.values.len() as f64, group.values.iter().sum::<f64>());
        for (row, equation) in system.iter_mut().enumerate() {
            for (column, cell) in equation[..size].iter_mut().enumerate() {
                *cell += count * x.powi((row + column) as i32);
            }
            equation[size] += sum * x.powi(row as i32);
        }
    }
    solve(system).map(|scaled| unscale(&scaled, center, scale))
}

/// Sum of squared distances of all values from the polynomial.
pub fn residual_sum(groups: &[Group], coefficients: &[f64]) -> f64 {
    let squares = |group: &Group| {
        let fitted = value_at(coefficients, f64::from(group.tokens));
        group.values.iter().map(|y| (y - fitted).powi(2)).sum::<f64>()
    };
    groups.iter().map(squares).sum()
}

/// The polynomial's value at `n`.
pub fn value_at(coefficients: &[f64], n: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, coefficient| sum * n + coefficient)
}

fn range(groups: &[Group]) -> Option<(f64, f64)> {
    let low = groups.iter().map(|group| group.tokens).min()?;
    let high = groups.iter().map(|group| group.tokens).max()?;
    Some((f64::from(low), f64::from(high)))
}

/// Coefficients in n of a polynomial whose coefficients in (n − center) / scale are given.
fn unscale(scaled: &[f64], center: f64, scale: f64) -> Vec<f64> {
    let mut plain = vec![0.0; scaled.len()];
    for coefficient in scaled.iter().rev() {
        // Horner: plain = plain · (n − center) / scale + coefficient
        for power in (0..plain.len()).rev() {
            let carried = if power > 0 { plain[power - 1] } else { 0.0 };
            plain[power] = (carried - plain[power] * center) / scale;
        }
        plain[0] += coefficient;
    }
    plain
}

/// Gauss with partial pivoting; `None` for a singular system.
fn solve(mut system: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let size = system.len();
    for column in 0..size {
        let pivot =
            (column..size).max_by(|i, j| system[*i][column].abs().total_cmp(&system[*j][column].abs()))?;
        system.swap(column, pivot);
        if system[column][column].abs() < 1e-12 {
            return None;
        }
        let (done, rest) = system.split_at_mut(column + 1);
        for equation in rest {
            let factor = equation[column] / done[column][column];
            for (cell, above) in equation.iter_mut().zip(&done[column]) {
                *cell -= factor * above;
            }
        }
    }
    let mut solution = vec![0.0; size];
    for row in (0..size).rev() {
        let known: f64 = (row + 1..size).map(|column| system[row][column] * solution[column]).sum();
        solution[row] = (system[row][size] - known) / system[row][row];
    }
    Some(solution)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NUMPY: [f64; 5] = [
        -13.008449336964981,
        0.15174641621820303,
        2.5193252667082984,
        0.10017083044754582,
        2.3189991478624144e-05,
    ];

    fn group(tokens: u32, values: &[f64]) -> Group {
        Group { tokens, values: values.to_vec() }
    }

    fn example() -> Vec<Group> {
        vec![
            group(100, &[12.0, 13.0]),
            group(512, &[60.0, 61.0]),
            group(1024, &[130.0, 128.0]),
            group(2048, &[300.0, 310.0]),
        ]
    }

    #[test]
    fn matches_numpy() {
        // n = [100,100,512,512,1024,1024,2048,2048]; y = [12,13,60,61,130,128,300,310]
        // numpy.polyfit(n, y, 1)[::-1], numpy.polyfit(n, y, 2)[::-1]
        let line = polynomial(&example(), 1).unwrap();
        let curve = polynomial(&example(), 2).unwrap();
        for (got, wanted) in line.iter().chain(&curve).zip(NUMPY) {
            assert!((got - wanted).abs() < 1e-9 * wanted.abs(), "{got} {wanted}");
        }
    }

    #[test]
    fn fewer_lengths_than_coefficients_have_no_polynomial() {
        assert_eq!(polynomial(&example()[..2], 2), None);
        assert_eq!(polynomial(&example()[..1], 1), None);
        assert_eq!(polynomial(&[], 0), None);
    }

    proptest! {
        #[test]
        fn an_exact_curve_comes_back_in_any_unit(
            a in 1.0..1e3f64, b in 1e-3..1.0f64, c in 1e-7..1e-4f64, unit in 1u32..500,
        ) {
            let groups: Vec<Group> = (1..6u32)
                .map(|i| group(i * unit, &[value_at(&[a, b, c], f64::from(i * unit))]))
                .collect();
            let got = polynomial(&groups, 2).unwrap();
            for i in 1..6u32 {
                let n = f64::from(i * unit);
                let (x, y) = (value_at(&got, n), value_at(&[a, b, c], n));
                prop_assert!((x - y).abs() < 1e-9 * y, "{x} {y}");
            }
        }
    }
}
