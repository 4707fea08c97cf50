//! Models that differ in nothing the table shows, on one line under one name.

use crate::catalog::fit::ModelFit;

/// Longer names are not made by folding: the table has to fit a terminal. Some ids are as long.
const LONGEST: usize = 29;

/// One line of the table.
pub(super) struct Line<'a> {
    /// What is on it; never empty.
    pub models: Vec<&'a ModelFit>,
    /// `qwen2.5-3b[-instruct]`; of three, `name-{x,y,z}`.
    pub name: String,
}

/// The lines of one family's models, in their order.
pub(super) fn lines<'a>(models: &[&'a ModelFit]) -> Vec<Line<'a>> {
    let mut lines: Vec<Line<'a>> = Vec::new();
    for &model in models {
        let twin = lines.iter_mut().find_map(|line| {
            let name = name_with(line, model)?;
            Some((line, name))
        });
        match twin {
            Some((line, name)) => {
                line.models.push(model);
                line.name = name;
            }
            None => lines.push(Line { models: vec![model], name: model.id.clone() }),
        }
    }
    lines
}

/// The name of `line` with `model` on it, if both look the same and the name is short enough.
fn name_with(line: &Line<'_>, model: &ModelFit) -> Option<String> {
    let first = line.models[0];
    let same = (&first.fits, first.parameters, first.native_bytes, &first.license, first.max_positions)
        == (&model.fits, model.parameters, model.native_bytes, &model.license, model.max_positions);
    if !same || first.default || model.default {
        return None;
    }
    let ids: Vec<&str> = line.models.iter().copied().chain([model]).map(|m| m.id.as_str()).collect();
    folded(&ids).filter(|name| name.len() <= LONGEST)
}

/// One name for several ids that differ in the middle or at the end, in whole parts between hyphens.
fn folded(ids: &[&str]) -> Option<String> {
    let parts: Vec<Vec<&str>> = ids.iter().map(|id| id.split('-').collect()).collect();
    let shortest = parts.iter().map(Vec::len).min()?;
    let same = |part: &dyn Fn(&Vec<&str>) -> String| parts.iter().all(|p| part(p) == part(&parts[0]));
    let start = (0..shortest).take_while(|i| same(&|p| p[*i].to_owned())).count();
    let end = (0..shortest - start).take_while(|i| same(&|p| p[p.len() - 1 - i].to_owned())).count();
    let middles: Vec<String> = parts.iter().map(|p| p[start..p.len() - end].join("-")).collect();
    let (prefix, suffix) = (parts[0][..start].join("-"), parts[0][parts[0].len() - end..].join("-"));
    let suffix = if suffix.is_empty() { suffix } else { format!("-{suffix}") };
    match middles.iter().position(String::is_empty) {
        _ if start == 0 => None,
        None => Some(format!("{prefix}-{{{}}}{suffix}", middles.join(","))),
        Some(empty) if ids.len() == 2 => Some(format!("{prefix}[-{}]{suffix}", middles[1 - empty])),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, fit};

    #[test]
    fn ids_that_differ_in_one_place_have_one_name() {
        let name = |ids: &[&str]| folded(ids);
        assert_eq!(name(&["a-1b-instruct", "a-1b"]).unwrap(), "a-1b[-instruct]");
        assert_eq!(name(&["a-1b-x-2507", "a-1b-y-2507"]).unwrap(), "a-1b-{x,y}-2507");
        assert_eq!(name(&["a-1b-x", "a-1b-y-z"]).unwrap(), "a-1b-{x,y-z}");
        assert_eq!(name(&["a-1b", "a-1b-x", "a-1b-y"]), None);
        assert_eq!(name(&["a", "b"]), None);
    }

    #[test]
    fn twins_share_a_line_and_nobody_is_lost() {
        let rows = fit::rows(&Catalog::load(None).unwrap(), 32_768, Some(24 << 30));
        let all: Vec<&ModelFit> = rows.iter().collect();
        let lines = lines(&all);
        let names: Vec<&str> = lines.iter().map(|line| line.name.as_str()).collect();
        assert!(names.contains(&"qwen2.5-3b[-instruct]"), "{names:?}");
        assert!(names.iter().all(|name| name.len() <= LONGEST), "{names:?}");
        // A longer context than its twin's, a long name: lines of their own.
        assert!(names.contains(&"qwen2.5-7b") && names.contains(&"qwen3-4b-thinking-2507"), "{names:?}");
        assert_eq!(lines.iter().map(|line| line.models.len()).sum::<usize>(), rows.len());
    }
}
