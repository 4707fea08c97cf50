//! The hybrid's router: who decides, how well, and what a mix of its two kinds of request takes.

use super::config::RagConfig;
use crate::cli::RouterChoice;
use crate::clock::Clock;
use crate::rag::blocks::Taken;
use crate::rag::choice::Routing;
use crate::rag::pipeline::Pipeline;
use crate::report::document::Case;
use crate::report::experiment::{Crossing, Mix, RouterRecord};
use crate::sample::Stages;
use crate::stats::mix::{MixCrossing, MixMetric, Mixture, Request as MixRequest};
use crate::stats::router::{self, Decision, Halves, Labelled};
use crate::verdict::claims::{Evidence, Request};

/// Shares of routed questions that the mix is shown at.
const SHARES: [f64; 9] = [0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0];
/// Questions of either kind that the threshold is fitted and judged with.
const LABELLED: usize = 80;

/// Who decides, and what is known of it before the blocks.
pub struct Router {
    /// How requests are decided.
    pub routing: Routing,
    /// The share, where it was forced.
    pub forced: Option<f64>,
    /// Decisions of the similarity router on the half that it was not fitted on.
    judged: Vec<Decision>,
    /// Whether the embedder knows no meaning, so that its decisions say nothing.
    stand_in: bool,
}

impl Router {
    /// Who decides by the arguments; fits the similarity's threshold where that is who does.
    pub fn new(
        config: &RagConfig,
        random_weights: bool,
        pipeline: &mut Pipeline<'_>,
        [handbook, general]: [&[String]; 2],
        clock: &dyn Clock,
    ) -> anyhow::Result<Self> {
        let stand_in = pipeline.embedder.is_stand_in();
        let forced = config.forced_share(random_weights);
        let plain = |routing| Self { routing, forced, judged: Vec::new(), stand_in };
        if let Some(share) = forced {
            return Ok(plain(Routing::Forced(share)));
        }
        if config.router == RouterChoice::ToolCall {
            return Ok(plain(Routing::Model));
        }
        let mut labelled = scores(pipeline, handbook, true, clock)?;
        labelled.extend(scores(pipeline, general, false, clock)?);
        let Halves { fit, judge } = router::halves(&labelled, config.run.seed);
        let threshold = router::fit_threshold(&fit).ok_or_else(|| {
            anyhow::anyhow!(
                "--router similarity has no questions to fit its threshold on; use --router tool-call"
            )
        })?;
        let judged = router::decide(&judge, threshold);
        Ok(Self { routing: Routing::Similarity(threshold), forced, judged, stand_in })
    }

    /// Whether decisions are made for the router.
    pub fn is_forced(&self) -> bool {
        self.forced.is_some()
    }

    /// The record; `None` where no hybrid ran.
    pub fn record(&self, cases: &[Case], evidence: &Evidence, taken: &Taken) -> Option<RouterRecord> {
        cases.iter().find(|case| case.scenario == "hybrid")?;
        let own = taken.routed.iter().map(|one| Decision { needs: one.needs, routed: one.routed });
        let decisions: Vec<Decision> = match self.routing {
            Routing::Model => own.collect(),
            Routing::Similarity(_) if !self.stand_in => self.judged.clone(),
            _ => Vec::new(),
        };
        let quality = router::precision_recall(&decisions);
        let (routed, unrouted) = (requests(&evidence.routed), requests(&evidence.unrouted));
        let mixture = Mixture::new(&routed, &unrouted);
        Some(RouterRecord {
            kind: self.kind().into(),
            precision: quality.precision,
            recall: quality.recall,
            threshold: match self.routing {
                Routing::Similarity(threshold) => Some(threshold),
                _ => None,
            },
            judged: decisions.len() as u32,
            malformed_calls: taken.malformed_calls,
            routed_samples: routed.len() as u32,
            unrouted_samples: unrouted.len() as u32,
            mix: SHARES.iter().map(|r| at_share(&mixture, *r)).collect(),
            crossings: crossings(&mixture, &requests(&evidence.rag)),
        })
    }

    fn kind(&self) -> &'static str {
        match self.routing {
            Routing::Model => "tool_call",
            Routing::Forced(_) => "forced",
            Routing::Similarity(_) => "similarity",
        }
    }
}

/// Similarity of the nearest chunk, for questions of one kind.
fn scores(
    pipeline: &mut Pipeline<'_>,
    questions: &[String],
    needs: bool,
    clock: &dyn Clock,
) -> anyhow::Result<Vec<Labelled>> {
    let score = |question: &String| {
        let hits = pipeline.search(question, 1, clock, &mut Stages::default())?;
        Ok(Labelled { score: hits.first().map_or(-1.0, |hit| f64::from(hit.score)), needs })
    };
    questions.iter().take(LABELLED).map(score).collect()
}

fn requests(taken: &[Request]) -> Vec<MixRequest> {
    let request = |one: &Request| {
        let Request { ttft_ms, busy_ms, prompt_tokens } = *one;
        MixRequest { ttft_ms, busy_ms, prompt_tokens }
    };
    taken.iter().map(request).collect()
}

fn at_share(mixture: &Mixture, r: f64) -> Mix {
    let at = mixture.at(r);
    Mix {
        r,
        ttft_ms_mean: at.ttft_ms_mean,
        ttft_ms_p50: at.ttft_ms_p50,
        ttft_ms_p95: at.ttft_ms_p95,
        prompt_tokens_mean: at.prompt_tokens_mean,
        box_seconds_per_1k: at.box_seconds_per_1k,
    }
}

fn crossings(mixture: &Mixture, rag: &[MixRequest]) -> Vec<Crossing> {
    let crossing = |found: MixCrossing| Crossing {
        metric: found.metric.name().into(),
        plain_rag: found.plain_rag,
        r: found.r,
        below_at_zero: found.below_at_zero,
    };
    MixMetric::ALL.iter().filter_map(|metric| mixture.crossing(rag, *metric)).map(crossing).collect()
}
