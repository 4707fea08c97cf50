//! JSON as Python's `json.dumps(x, ensure_ascii=False)` writes it, which chat templates count on.
//!
//! Comma and colon are followed by a space, nothing is escaped for HTML, keys keep their order, and
//! numbers have Python's exponents (not with `indent`). Integers above 2^64 are floats before they come here.

use std::io::{self, Write};

use minijinja::value::Kwargs;
use minijinja::{Error, ErrorKind, Value};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::python_text::float;

/// The filter `tojson` of transformers' templates; of its options, `indent` is known.
pub fn tojson(value: Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    // Accepted because templates pass it; false is what they pass, and what is done.
    let _: Option<bool> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    let json = serde_json::to_value(&value).map_err(wrong)?;
    match indent {
        Some(width) => write(&json, PrettyFormatter::with_indent(" ".repeat(width.min(16)).as_bytes())),
        None => write(&json, Spaced),
    }
}

fn write(json: &serde_json::Value, formatter: impl Formatter) -> Result<String, Error> {
    let mut out = Vec::new();
    json.serialize(&mut Serializer::with_formatter(&mut out, formatter)).map_err(wrong)?;
    String::from_utf8(out).map_err(wrong)
}

fn wrong(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::BadSerialization, format!("tojson: {error}"))
}

/// Python's default separators.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }

    fn write_f64<W: ?Sized + Write>(&mut self, out: &mut W, value: f64) -> io::Result<()> {
        out.write_all(float(value).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_like_python() {
        let mut environment = minijinja::Environment::new();
        environment.add_filter("tojson", tojson);
        let json = serde_json::json!({"z": "<a> & 'é'", "b": [1, 2.5, 1e-7, null, true], "c": {}});
        let value = Value::from(minijinja::value::Serde(&json));
        // json.dumps({...}, ensure_ascii=False)
        let plain = environment.render_str("{{ v|tojson }}", minijinja::context!(v => value)).unwrap();
        assert_eq!(plain, r#"{"z": "<a> & 'é'", "b": [1, 2.5, 1e-07, null, true], "c": {}}"#);
        let list = environment.render_str("{{ [1, 2]|tojson(indent=2) }}", ()).unwrap();
        assert_eq!(list, "[\n  1,\n  2\n]");
        assert!(environment.render_str("{{ 1|tojson(nonsense=2) }}", ()).is_err());
    }
}
