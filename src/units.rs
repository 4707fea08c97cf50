//! Quantities as people type and read them: `2k` tokens, `5%`, `3m`, `1.2 GiB`, `12.3 ms`.

/// Parses a token count: `512`, `2k` (= 2,048), `1.5k` (= 1,536).
///
/// `k` is 1,024, as context lengths are named in this field (32k = 32,768).
pub fn parse_tokens(text: &str) -> Result<u32, String> {
    let wrong = || format!("'{text}' is not a token count; write 512, 2k or 32k");
    let lower = text.trim().to_ascii_lowercase();
    let (number, factor) = match lower.strip_suffix('k') {
        Some(number) => (number, 1024.0),
        None => (lower.as_str(), 1.0),
    };
    let value: f64 = number.parse().map_err(|_| wrong())?;
    let tokens = value * factor;
    if !tokens.is_finite() || tokens < 0.0 || tokens > f64::from(u32::MAX) || tokens.fract() != 0.0 {
        return Err(wrong());
    }
    Ok(tokens as u32)
}

/// Parses a percentage into a share: `5%` and `5` are 0.05.
pub fn parse_percent(text: &str) -> Result<f64, String> {
    let trimmed = text.trim();
    let number = trimmed.strip_suffix('%').unwrap_or(trimmed).trim_end();
    match number.parse::<f64>() {
        Ok(percent) if percent.is_finite() && percent >= 0.0 => Ok(percent / 100.0),
        _ => Err(format!("'{text}' is not a percentage of 0 or more; write 5% or 2.5%")),
    }
}

/// Parses a share of a whole: `0.25`, or `25%`.
pub fn parse_share(text: &str) -> Result<f64, String> {
    let trimmed = text.trim();
    let value = match trimmed.strip_suffix('%') {
        Some(percent) => percent.trim_end().parse().map(|percent: f64| percent / 100.0),
        None => trimmed.parse::<f64>(),
    };
    match value {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(format!("'{text}' is not a share; write 0.25 or 25%")),
    }
}

/// Parses a number of things: `300`, `10k` (10,000) or `1m` (1,000,000).
pub fn parse_count(text: &str) -> Result<u32, String> {
    let wrong = || format!("'{text}' is not a number of things; write 300, 10k or 1m");
    let lower = text.trim().to_ascii_lowercase();
    let (number, factor) = match (lower.strip_suffix('k'), lower.strip_suffix('m')) {
        (Some(number), _) => (number, 1e3),
        (_, Some(number)) => (number, 1e6),
        _ => (lower.as_str(), 1.0),
    };
    let count = number.parse::<f64>().map_err(|_| wrong())? * factor;
    let whole = (1.0..=f64::from(u32::MAX)).contains(&count) && count.fract() == 0.0;
    if whole { Ok(count as u32) } else { Err(wrong()) }
}

/// Writes a token count the way [`parse_tokens`] reads it: 2048 becomes `2k`, 1000 stays `1000`.
pub fn tokens(count: u32) -> String {
    if count >= 1024 && count.is_multiple_of(1024) { format!("{}k", count / 1024) } else { count.to_string() }
}

/// Writes bytes in binary units with three significant digits: `1.40 GiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{} {}", significant(value), UNITS[unit]) }
}

/// Writes milliseconds, as seconds from ten seconds on: `12.3 ms`, `14.2 s`.
pub fn milliseconds(ms: f64) -> String {
    if ms >= 10_000.0 { format!("{} s", significant(ms / 1000.0)) } else { format!("{} ms", significant(ms)) }
}

/// Writes a time for reading: milliseconds below one second, seconds from there on: `312 ms`, `4.20 s`.
pub fn span(ms: f64) -> String {
    if ms.abs() >= 999.5 {
        format!("{} s", significant(ms / 1000.0))
    } else {
        format!("{} ms", significant(ms))
    }
}

/// Three significant digits, never in scientific notation; integers from 1,000 on, with separators.
pub fn significant(value: f64) -> String {
    let size = value.abs();
    if size >= 999.5 {
        return thousands(value.round() as i64);
    }
    let decimals = match size {
        s if s >= 99.95 => 0,
        s if s >= 9.995 => 1,
        s if s >= 0.9995 => 2,
        0.0 => 0,
        s => (2 - s.log10().floor() as i32).clamp(0, 9) as usize,
    };
    format!("{value:.decimals$}")
}

/// An integer with a comma between groups of three digits.
pub fn thousands(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if value < 0 { format!("-{out}") } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_counts_are_read_as_people_write_them() {
        assert_eq!(parse_share("25%"), parse_share(" 0.25"));
        assert!(parse_share("1.2").is_err() && parse_share("NaN").is_err());
        assert_eq!((parse_count("10k"), parse_count("1m")), (Ok(10_000), Ok(1_000_000)));
        assert_eq!(parse_count("1.5k"), Ok(1500));
        assert!(["0", "", "k", "1e300", "0.5", "-1"].into_iter().all(|text| parse_count(text).is_err()));
    }

    #[test]
    fn token_counts_read_and_write_alike() {
        for (text, count) in [("512", 512), ("2k", 2048), ("1.5k", 1536), ("32K", 32768), ("0", 0)] {
            assert_eq!(parse_tokens(text), Ok(count));
        }
        for wrong in ["", "k", "-1", "1.3", "2m", "nan", "1e99", "99999999k"] {
            assert!(parse_tokens(wrong).is_err(), "{wrong}");
        }
        assert_eq!((tokens(2048), tokens(1000)), ("2k".into(), "1000".into()));
    }

    #[test]
    fn percentages_read_with_and_without_their_sign() {
        for (text, share) in [("5%", 0.05), ("5", 0.05), (" 2.5 % ", 0.025), ("0%", 0.0), ("150%", 1.5)] {
            assert_eq!(parse_percent(text), Ok(share));
        }
        for wrong in ["", "%", "-5%", "five", "nan", "inf", "5%%", "1e999"] {
            assert!(parse_percent(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_keep_three_significant_digits() {
        let shown = [0.0, 0.012345, 1.2345, 12.345, 123.45, 999.6, 1_234_567.0].map(significant);
        assert_eq!(shown, ["0", "0.0123", "1.23", "12.3", "123", "1,000", "1,234,567"]);
        assert_eq!(thousands(-1234), "-1,234");
    }

    #[test]
    fn bytes_and_times_name_their_unit() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_503_300_328), "1.40 GiB");
        assert_eq!(milliseconds(12.34), "12.3 ms");
        assert_eq!(milliseconds(14_200.0), "14.2 s");
    }
}
