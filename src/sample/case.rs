//! A case: one cell of the plan, and what has been taken for it so far.

use super::Sample;
use super::energy::CaseEnergy;
use crate::environment::card::{CardProcess, CardState};

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A question alone.
    Short,
    /// System text, passages, the question.
    Rag,
    /// Decode steps after a given number of tokens.
    Decode,
    /// As long as its `rag` twin, without retrieval.
    Padded,
    /// As `rag`, with the system text in the cache.
    RagWarmPrefix,
    /// As `rag`, with the system text and the first document in the cache.
    RagWarmDocument,
    /// The model, or a router before it, decides whether to retrieve.
    Hybrid,
}

impl Kind {
    /// As in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Rag => "rag",
            Self::Decode => "decode",
            Self::Padded => "padded",
            Self::RagWarmPrefix => "rag_warm_prefix",
            Self::RagWarmDocument => "rag_warm_document",
            Self::Hybrid => "hybrid",
        }
    }
}

/// One cell of the plan, for every arm alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CaseSpec {
    /// What is sent.
    pub kind: Kind,
    /// Prompt tokens; for [`Kind::Decode`] the depth of the cache.
    pub tokens: u32,
    /// Output ids per request.
    pub output_tokens: u32,
    /// Whether the user named this length, so that it is not dropped for a time limit of our own.
    pub asked_for: Wish,
}

/// Who wanted a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wish {
    /// The user, by name: it is run.
    User,
    /// The default plan: it may be left out for time.
    Plan,
}

impl CaseSpec {
    /// The part of a case's id behind the model and its quantization, e.g. `rag/2048`.
    pub fn label(&self) -> String {
        format!("{}/{}", self.kind.name(), self.tokens)
    }
}

/// A case of one arm as it fills up.
#[derive(Clone, Debug)]
pub struct CaseProgress {
    /// The plan.
    pub spec: CaseSpec,
    /// Every sample, failed ones too.
    pub samples: Vec<Sample>,
    /// Whole requests run before the first sample, in seconds.
    pub warmups_s: Vec<f64>,
    /// Whether warm-up came to rest; `None` where it was not asked to.
    pub settled: Option<bool>,
    /// What was seen of the box while its samples ran, one a sample.
    pub observed: Vec<Observed>,
    /// Whether the prompt had to be cut.
    pub truncated: bool,
    /// Whether it went in as plain text for want of a template.
    pub no_chat_template: bool,
    /// Whether every output looked at was finite; `None` before the first.
    pub output_finite: Option<bool>,
    /// Why the case was given up, before its first sample or after some.
    pub error: Option<String>,
    /// Whether that was for want of memory on the device.
    pub out_of_memory: bool,
    /// Energy of its phases, where the device counts it.
    pub energy: Option<CaseEnergy>,
}

/// What was seen of the box during one sample; `None` where it cannot be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Share of the processors' time that other processes took.
    pub others_share: Option<f64>,
    /// Highest resident set, or device memory.
    pub peak_memory_bytes: Option<u64>,
    /// Growth of swap in use.
    pub swap_growth_bytes: Option<u64>,
    /// Clock of the processors at the end of the sample, still under load.
    pub clock_mhz: Option<f64>,
    /// The card at the end of the sample, where one runs.
    pub card: Option<CardSeen>,
}

/// The card right after a sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CardSeen {
    /// What it told.
    pub state: CardState,
    /// Processes other than this one that have it open for computing.
    pub others: Option<Vec<CardProcess>>,
}

impl CaseProgress {
    /// Nothing taken yet.
    pub fn new(spec: CaseSpec) -> Self {
        Self {
            spec,
            samples: Vec::new(),
            warmups_s: Vec::new(),
            settled: None,
            observed: Vec::new(),
            truncated: false,
            no_chat_template: false,
            output_finite: None,
            error: None,
            out_of_memory: false,
            energy: None,
        }
    }

    /// The number that decides when enough was taken: TTFT, or TPOT in scenario `decode`.
    pub fn headline_ms(&self) -> Vec<f64> {
        let complete = self.samples.iter().filter(|s| s.is_complete());
        match self.spec.kind {
            Kind::Decode => complete.filter_map(Sample::tpot_ms).collect(),
            // The whole pipeline where there is one, else from the prompt in hand.
            _ => complete.filter_map(|s| s.rag_ttft_ms.or(s.ttft_ms)).collect(),
        }
    }
}
