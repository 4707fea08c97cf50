//! What came before the first sample: opening the device, and each arm's load and first calls. As data, and in words.

use serde::{Deserialize, Serialize};

use super::document::Document;
use super::{NOT_AVAILABLE, one_line};
use crate::sample::first_times::FirstTimes;
use crate::units::span;

/// What a run took before its first sample.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StartUp {
    /// Opening the device, without its kernels.
    pub device_ms: f64,
    /// Loading our kernels, which the driver compiles for the card unless it remembers them; `None` where none are
    /// loaded.
    pub kernels_ms: Option<f64>,
    /// One per model × quantization that was loaded, at its first load.
    pub arms: Vec<ArmStartUp>,
}

/// One model in one quantization before its first sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmStartUp {
    /// As in cases.
    pub model: String,
    /// As in cases.
    pub quantization: String,
    /// What its load and its first calls took.
    #[serde(flatten)]
    pub times: FirstTimes,
}

/// Rows for the record of the box; none where a document does not tell.
pub(super) fn facts(document: &Document) -> Vec<(&'static str, String)> {
    let Some(start_up) = &document.start_up else { return Vec::new() };
    let opened = format!("{}, then its kernels {}", span(start_up.device_ms), known(start_up.kernels_ms));
    let arms: Vec<String> = start_up.arms.iter().map(words).collect();
    let mut facts = vec![("Opening the device", opened)];
    facts.extend((!arms.is_empty()).then(|| ("Before the first sample", arms.join("; "))));
    facts
}

fn words(arm: &ArmStartUp) -> String {
    let FirstTimes { load_ms, first_prompt_ms, first_step_ms, capture_ms } = arm.times;
    one_line(&format!(
        "{}/{} loaded in {}, first prompt {}, first decode step {}, capture of the step as a graph {}",
        arm.model,
        arm.quantization,
        span(load_ms),
        known(first_prompt_ms),
        known(first_step_ms),
        known(capture_ms)
    ))
}

fn known(ms: Option<f64>) -> String {
    ms.map_or(NOT_AVAILABLE.into(), span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;
    use crate::report::html::Html;
    use crate::report::markdown::Markdown;

    fn document(kernels_ms: Option<f64>, capture_ms: Option<f64>) -> Document {
        let times = FirstTimes {
            load_ms: 4100.0,
            first_prompt_ms: Some(310.0),
            first_step_ms: Some(12.5),
            capture_ms,
        };
        let arm = ArmStartUp { model: "m".into(), quantization: "native".into(), times };
        let start_up = StartUp { device_ms: 412.0, kernels_ms, arms: vec![arm] };
        Document { start_up: Some(start_up), ..fixture::document() }
    }

    #[test]
    fn page_and_markdown_tell_what_came_before_the_first_sample() {
        let document = document(Some(3200.0), Some(45.0));
        for text in [fixture::render(&Html, &document), fixture::render(&Markdown, &document)] {
            for part in [
                "412 ms, then its kernels 3.20 s",
                "m/native loaded in 4.10 s, first prompt 310 ms, first decode step 12.5 ms, ",
                "capture of the step as a graph 45.0 ms",
            ] {
                assert!(text.contains(part), "'{part}' is not in {text}");
            }
        }
    }

    #[test]
    fn what_a_processor_does_not_have_is_not_available_and_an_older_report_says_nothing() {
        let told: Vec<String> = facts(&document(None, None)).into_iter().map(|(_, text)| text).collect();
        assert!(told[0].ends_with("its kernels n/a") && told[1].ends_with("as a graph n/a"), "{told:?}");
        assert!(facts(&fixture::document()).is_empty());
    }
}
