//! Proof of an engine against reference logits: whole prompt, token by token, in uneven chunks, by the steps that
//! decoding takes (on a card, its graph), and greedily, and its states after the prompt. Comes in: a loaded engine and a reference.
//! Goes out: one row per path.

mod bar;
mod states;

use candle_core::{Device, Tensor};
use serde::Serialize;

use super::Engine;
use super::candle::CandleEngine;
use super::reference::{Prompt, Reference};
use bar::{Against, Compared, compare};
pub use bar::{Bar, Noise, noise};

/// Pieces of the `chunks` path, repeated until the prompt ends: uneven, and none divides the other.
const CHUNKS: [usize; 5] = [7, 1, 19, 3, 64];
/// The same for prompts that are far longer.
const LARGE_CHUNKS: [usize; 5] = [509, 1, 1021, 63, 3001];
/// Prompts longer than this one are run id by id only where the reference has logits.
const LONG: usize = 4096;
/// Largest difference of a logit between two files of the same weights.
const TWINS: f64 = 1e-4;

/// One line of the result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PathResult {
    /// Weight file.
    pub file: String,
    /// `prefill`, `steps`, `chunks`, `decode`, `greedy`, `state` or `twin`.
    pub path: &'static str,
    /// `short`, `long` or `far`.
    pub prompt: &'static str,
    /// Largest absolute difference: of a logit; of a number in a state for `state`; `None` for `greedy`.
    pub max_abs_diff: Option<f64>,
    /// Mean over positions of KL(reference ‖ engine); `None` for `greedy` and `state`.
    pub mean_kl: Option<f64>,
    /// Largest of these divergences; `None` for `greedy` and `state`.
    pub max_kl: Option<f64>,
    /// Share of all positions with the same most likely id; `None` for `greedy` and `state`.
    pub top1_share: Option<f64>,
    /// Whether the most likely id is the same: everywhere, or where the bar asks for it; `None` for `state`.
    pub top1_equal: Option<bool>,
    /// Whether the bar is met.
    pub pass: bool,
}

/// What a file gave.
pub struct Verified {
    /// One row per path.
    pub rows: Vec<PathResult>,
    /// Logits of each prompt run at once, at the reference's positions.
    pub prefills: Vec<Tensor>,
}

/// Runs every path for every prompt of `reference` that `bar` applies to.
pub fn verify(
    file: &str,
    engine: &mut CandleEngine,
    reference: &Reference,
    bar: Bar,
) -> anyhow::Result<Verified> {
    let mut verified = Verified { rows: Vec::new(), prefills: Vec::new() };
    for prompt in prompts(reference, bar) {
        let far = (prompt.ids.len() > LONG).then(|| far(engine, &prompt)).transpose()?;
        let prefill = match &far {
            Some(far) => far.prefill.clone(),
            None => logits(engine, &prompt, &[prompt.ids.len()])?,
        };
        let compared = compare(&prompt.logits, &prefill, bar, Against::Reference)?;
        verified.rows.push(row(file, "prefill", &prompt, compared));
        if let (Bar::Exact { tolerance }, "short", true) = (bar, prompt.name, reference.has_states()) {
            verified.rows.push(state(file, engine, reference, tolerance)?);
        }
        let (expected, against) = match bar {
            Bar::Exact { .. } | Bar::Rounded(_) => (&prompt.logits, Against::Reference),
            Bar::Quantized { .. } => (&prefill, Against::OwnPrefill),
        };
        let paths = match far {
            Some(far) => vec![("steps", far.steps), ("chunks", logits(engine, &prompt, &LARGE_CHUNKS)?)],
            None => vec![
                ("steps", logits(engine, &prompt, &[1])?),
                ("chunks", logits(engine, &prompt, &CHUNKS)?),
                ("decode", decoded(engine, &prompt)?),
            ],
        };
        for (path, got) in paths {
            verified.rows.push(row(file, path, &prompt, compare(expected, &got, bar, against)?));
        }
        if let (Bar::Exact { .. }, Some(expected)) = (bar, &prompt.greedy) {
            verified.rows.push(greedy(file, engine, &prompt, expected)?);
        }
        verified.prefills.push(prefill);
    }
    Ok(verified)
}

/// Holds the prefills of `file` against those of another file with the same weights.
pub fn twins(
    file: &str,
    reference: &Reference,
    one: &[Tensor],
    other: &[Tensor],
) -> anyhow::Result<Vec<PathResult>> {
    let bar = Bar::Exact { tolerance: TWINS };
    let pairs = one.iter().zip(other);
    let result = pairs.zip(reference.exact()).map(|((one, other), prompt)| {
        Ok(row(file, "twin", &prompt, compare(one, other, bar, Against::OwnPrefill)?))
    });
    result.collect()
}

fn prompts(reference: &Reference, bar: Bar) -> Vec<Prompt> {
    match bar {
        Bar::Exact { .. } => reference.exact(),
        Bar::Quantized { .. } => reference.quantized(),
        // Noise is known for the short prompt.
        Bar::Rounded(_) => reference.exact().into_iter().filter(|prompt| prompt.name == "short").collect(),
    }
}

/// Logits of a prompt of tens of thousands of ids, (positions, vocabulary) on the CPU.
struct Far {
    /// Of the stretches that the reference has, each at once.
    prefill: Tensor,
    /// Of the same, id by id.
    steps: Tensor,
}

/// Runs a prompt once for both: after each stretch with logits it goes back to the stretch's start.
fn far(engine: &mut CandleEngine, prompt: &Prompt) -> anyhow::Result<Far> {
    engine.reset()?;
    let (mut at, mut whole, mut single) = (0, Vec::new(), Vec::new());
    for size in stretches(prompt) {
        let piece = &prompt.ids[at..at + size];
        if prompt.positions.binary_search(&at).is_ok() {
            engine.mark()?;
            whole.push(engine.logits_of_all(piece)?);
            engine.rewind()?;
            for id in piece {
                single.push(engine.logits_of_all(&[*id])?);
            }
        } else {
            engine.prefill(piece)?;
        }
        at += size;
    }
    let join = |parts: &[Tensor]| Tensor::cat(parts, 0)?.to_device(&Device::Cpu);
    Ok(Far { prefill: join(&whole)?, steps: join(&single)? })
}

/// Stretches of positions that all have logits in the reference, or all have none: those without need no
/// logits at all, which for a real vocabulary would not fit memory.
fn stretches(prompt: &Prompt) -> Vec<usize> {
    let mut kept = vec![false; prompt.ids.len()];
    prompt.positions.iter().for_each(|p| kept[*p] = true);
    kept.chunk_by(|a, b| a == b).map(<[bool]>::len).collect()
}

/// `sizes` over and over, until they add up to `count`.
fn pieces(sizes: &[usize], count: usize) -> Vec<usize> {
    let mut rest = count;
    let cut = |size: &usize| {
        let piece = (*size).min(rest);
        rest -= piece;
        (piece > 0).then_some(piece)
    };
    sizes.iter().cycle().map_while(cut).collect()
}

/// Logits at the prompt's positions, fed in pieces of the given sizes, repeated; (positions, vocabulary) on the CPU.
fn logits(engine: &mut CandleEngine, prompt: &Prompt, sizes: &[usize]) -> anyhow::Result<Tensor> {
    engine.reset()?;
    let (mut at, mut parts) = (0, Vec::new());
    for size in pieces(sizes, prompt.ids.len()) {
        let piece = &prompt.ids[at..at + size];
        let first = prompt.positions.partition_point(|p| *p < at);
        let kept = prompt.positions[first..].iter().take_while(|p| **p < at + size);
        let kept: Vec<u32> = kept.map(|p| (p - at) as u32).collect();
        if kept.is_empty() {
            engine.prefill(piece)?;
        } else {
            let all = engine.logits_of_all(piece)?.to_device(&Device::Cpu)?;
            parts.push(all.index_select(&Tensor::new(kept, &Device::Cpu)?, 0)?);
        }
        at += size;
    }
    Ok(Tensor::cat(&parts, 0)?)
}

/// Logits at the prompt's positions, each id but the first run as a step of decode; (positions, vocabulary) on the CPU.
fn decoded(engine: &mut CandleEngine, prompt: &Prompt) -> anyhow::Result<Tensor> {
    engine.reset()?;
    let mut parts = Vec::new();
    for (at, id) in prompt.ids.iter().enumerate() {
        match at {
            0 => engine.prefill(&[*id])?,
            _ => engine.decode(*id).map(|_| ())?,
        }
        if prompt.positions.binary_search(&at).is_ok() {
            // The next step may write where these lie.
            parts.push(engine.logits()?.to_device(&Device::Cpu)?.unsqueeze(0)?.copy()?);
        }
    }
    Ok(Tensor::cat(&parts, 0)?)
}

/// The engine's states, which are those after the short prompt.
fn state(
    file: &str,
    engine: &CandleEngine,
    reference: &Reference,
    tolerance: f64,
) -> anyhow::Result<PathResult> {
    let difference = states::largest_difference(engine, reference)?;
    Ok(PathResult {
        file: file.into(),
        path: "state",
        prompt: "short",
        max_abs_diff: Some(difference),
        mean_kl: None,
        max_kl: None,
        top1_share: None,
        top1_equal: None,
        pass: difference <= tolerance,
    })
}

fn greedy(
    file: &str,
    engine: &mut CandleEngine,
    prompt: &Prompt,
    expected: &[u32],
) -> anyhow::Result<PathResult> {
    engine.reset()?;
    engine.prefill(&prompt.ids)?;
    let mut got = vec![engine.sample()?];
    while got.len() < expected.len() {
        got.push(engine.decode(got[got.len() - 1])?);
    }
    let equal = got == expected;
    Ok(PathResult {
        file: file.into(),
        path: "greedy",
        prompt: prompt.name,
        max_abs_diff: None,
        mean_kl: None,
        max_kl: None,
        top1_share: None,
        top1_equal: Some(equal),
        pass: equal,
    })
}

fn row(file: &str, path: &'static str, prompt: &Prompt, compared: Compared) -> PathResult {
    PathResult {
        file: file.into(),
        path,
        prompt: prompt.name,
        max_abs_diff: Some(compared.max_abs_diff),
        mean_kl: Some(compared.kl.mean),
        max_kl: Some(compared.kl.max),
        top1_share: Some(compared.top1_share),
        top1_equal: Some(compared.top1_equal),
        pass: compared.pass,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::DType;

    fn prompt(count: usize, positions: Vec<usize>) -> Prompt {
        let logits = Tensor::zeros((positions.len(), 3), DType::F32, &Device::Cpu).unwrap();
        Prompt { name: "far", ids: vec![0; count], positions, logits, greedy: None }
    }

    #[test]
    fn pieces_and_stretches_hold_every_id() {
        for count in [1, 8, 150, LONG, LONG + 1, 9000] {
            for sizes in [&[count][..], &[1], &CHUNKS, &LARGE_CHUNKS] {
                assert_eq!(pieces(sizes, count).iter().sum::<usize>(), count);
            }
        }
        assert_eq!(pieces(&CHUNKS, 32), [7, 1, 19, 3, 2]);
        assert_eq!(stretches(&prompt(5000, vec![2048, 2049, 2050, 4998, 4999])), [2048, 3, 2947, 2]);
    }
}
