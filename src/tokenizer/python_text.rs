//! Values as Python's `str` writes them, where that differs from what the template engine writes.
//!
//! `True`, `None` and `1e+16`, not `true`, `none` and `1e16`. Lists and maps are left to the engine:
//! templates write them through `tojson`.

use minijinja::value::ValueKind;
use minijinja::{Error, Output, State, Value, escape_formatter};

/// The filter `string` of templates.
pub fn string(value: &Value) -> String {
    python(value).unwrap_or_else(|| value.to_string())
}

/// What `{{ value }}` writes.
pub fn formatter(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match python(value) {
        Some(text) => out.write_str(&text).map_err(Error::from),
        None => escape_formatter(out, state, value),
    }
}

/// The text, where it is not the engine's own.
fn python(value: &Value) -> Option<String> {
    match value.kind() {
        ValueKind::None => Some("None".into()),
        ValueKind::Bool => Some(if value.is_true() { "True" } else { "False" }.into()),
        ValueKind::Number if !value.is_integer() => f64::try_from(value.clone()).ok().map(float),
        _ => None,
    }
}

/// A finite number as `repr` writes it: the shortest digits that read back as the same number, with an
/// exponent below 1e-4 and from 1e16 on.
pub(super) fn float(value: f64) -> String {
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(-4..16) => format!("{value:?}"),
        Ok(power) => format!("{digits}e{}{:02}", if power < 0 { '-' } else { '+' }, power.abs()),
        Err(_) => scientific,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_like_python() {
        // [repr(x) for x in (...)] in Python 3.11
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (20.0, "20.0"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.00001234, "1.234e-05"),
            (1e-7, "1e-07"),
            (9999999999999998.0, "9999999999999998.0"),
            (1e16, "1e+16"),
            (-1.5e300, "-1.5e+300"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(float(value), expected);
        }
    }

    #[test]
    fn values_are_written_as_str_writes_them() {
        let mut environment = minijinja::Environment::new();
        environment.set_formatter(formatter);
        environment.add_filter("string", string);
        let source = "{{ true }} {{ none }} {{ 1.0 }} {{ 3 }} {{ 'é<' }} {{ nothing }}|\
                      {{ false|string + none|string + (1e16)|string + 3|string + 'a'|string }}";
        let text = environment.render_str(source, ()).unwrap();
        assert_eq!(text, "True None 1.0 3 é< |FalseNone1e+163a");
    }
}
