//! The experiment in its order: index, plan, model, retrieval alone, blocks, answers.

use std::sync::atomic::Ordering;

use super::Setup;
use super::answers::{self, Answered};
use super::model::{self, Loaded};
use super::plan::{self, Plan, Words};
use super::progress::BlocksObserver;
use super::record::Known;
use super::retrieval::{self, Source};
use super::router::Router;
use super::sizes;
use crate::cli::Quantization;
use crate::commands::progress::RunLine;
use crate::commands::run::command_line;
use crate::commands::run::record::Recorder;
use crate::engine::Engine as _;
use crate::prompts::corpus::Corpus;
use crate::prompts::general::GeneralQuestions;
use crate::prompts::grown::Grown;
use crate::prompts::questions::{Gold, Question};
use crate::rag::alone::{self, Retrieval};
use crate::rag::bench::Bench;
use crate::rag::blocks::{Blocks, Taken};
use crate::rag::pipeline::Pipeline;
use crate::rag::sizes::Size;
use crate::report::document::Document;
use crate::report::experiment::{AnswerRecord, RetrievalRecord};
use crate::retrieval::chunks::corpus::ChunkedCorpus;
use crate::sample::case::{CaseProgress, Kind};
use crate::verdict::claims::Rules;
use crate::weights::origin::WeightsOrigin;
use crate::workload::RequestBuilder;

/// Hits that retrieval alone asks for.
const ALONE_HITS: usize = 10;
/// Copied handbooks that questions are asked about, however many there are.
const COPIES_ASKED: u64 = 4;

/// Runs the whole experiment.
pub fn run(setup: &Setup) -> anyhow::Result<Document> {
    let config = &setup.config;
    let mut brought = retrieval::bring(setup)?;
    let source = Source::new(setup);
    let chunks = source.chunks(config.chunks)?;
    let asked = asked(setup, &chunks);
    let texts: Vec<&str> = asked.questions.iter().map(|question| question.text.as_str()).collect();
    let mut indexed = retrieval::index(setup, &chunks, brought.embedder.as_mut())?;
    let retrieval = retrieval::record(config, &chunks, &mut brought, &mut indexed, &texts)?;
    let mut sizes = sizes::build(setup, &source, brought.embedder.as_mut())?;
    let mut pipeline = Pipeline {
        embedder: brought.embedder.as_mut(),
        store: indexed.store.as_mut(),
        // A map would keep the box's own lifetime, which is longer than the borrow's.
        reranker: match &mut brought.reranker {
            Some(reranker) => Some(reranker.as_mut()),
            None => None,
        },
    };
    let line = RunLine::new();
    let taken =
        alone::run(&mut pipeline, &texts, config.retrievals, ALONE_HITS, &setup.clock, &mut |number| {
            line.show(&format!("retrieval alone: {number} of {}", config.retrievals), None);
            setup.stop.load(Ordering::Relaxed)
        });
    line.clear();
    let taken = taken?;
    let gold_in_hits = gold_in_hits(&chunks, &asked.questions, &taken, config.top_k as usize)?;
    let begun = Begun {
        retrieval: RetrievalRecord { gold_in_hits, ..retrieval },
        alone: taken,
        fallback: brought.fallback.clone(),
    };
    Measurement::new(setup, &asked, &mut pipeline)?.run(&mut pipeline, begun, &mut sizes)
}

/// The questions of the corpus; of a grown one, those about some of its copies too.
fn asked(setup: &Setup, chunks: &ChunkedCorpus<'_>) -> Corpus {
    let copies = chunks.whole_copies().min(COPIES_ASKED) as usize;
    Grown::new(&setup.texts.corpus, setup.config.run.seed).corpus_with_copies(copies)
}

/// Share of the questions with a known answer whose passage is among the `k` best hits.
fn gold_in_hits(
    chunks: &ChunkedCorpus<'_>,
    questions: &[Question],
    taken: &[Retrieval],
    k: usize,
) -> anyhow::Result<Option<f64>> {
    let (mut found, mut all) = (0u32, 0u32);
    for one in taken.iter().take(questions.len()) {
        let question = &questions[one.question];
        if question.gold.is_none() {
            continue;
        }
        let mut has = false;
        for hit in one.hits.iter().take(k) {
            has |= chunks.facts_of(hit.chunk)?.contains(&question.id);
        }
        (found, all) = (found + u32::from(has), all + 1);
    }
    Ok((all > 0).then(|| f64::from(found) / f64::from(all)))
}

/// What is known before the model is loaded.
struct Begun {
    retrieval: RetrievalRecord,
    alone: Vec<Retrieval>,
    fallback: Option<String>,
}

/// The part that needs the model.
struct Measurement<'a> {
    setup: &'a Setup,
    asked: &'a Corpus,
    builder: RequestBuilder<'a>,
    plan: Plan,
    general: Vec<Question>,
    router: Router,
}

impl<'a> Measurement<'a> {
    fn new(setup: &'a Setup, asked: &'a Corpus, pipeline: &mut Pipeline<'_>) -> anyhow::Result<Self> {
        let (config, model) = (&setup.config, setup.model());
        let builder = setup.texts.builder_over(asked, &model.text, &config.run);
        let tokenizer = model.text.tokenizer.as_ref();
        let words = Words { builder: &builder, tokenizer, clock: &setup.clock };
        let plan = plan::plan(config, &words, pipeline)?;
        let general = GeneralQuestions::shipped()?.questions;
        let general: Vec<Question> =
            general.into_iter().map(|q| Question { id: q.id, text: q.text, gold: None }).collect();
        let text = |questions: &'_ [Question]| -> Vec<String> {
            questions.iter().map(|question| question.text.clone()).collect()
        };
        let router = Router::new(
            config,
            model.origin == WeightsOrigin::Random,
            pipeline,
            [&text(&asked.questions), &text(&general)],
            &setup.clock,
        )?;
        Ok(Self { setup, asked, builder, plan, general, router })
    }

    fn run(self, pipeline: &mut Pipeline<'_>, begun: Begun, sizes: &mut [Size]) -> anyhow::Result<Document> {
        let setup = self.setup;
        let (config, models) = (&setup.config, &setup.models);
        let specs = [plan::arm_spec(config, setup.model(), &self.plan)?];
        let mut recorder = Recorder::new(
            &config.run,
            models,
            &specs,
            command_line(),
            setup.threads,
            &setup.device,
            &setup.clock,
        )?;
        recorder.on_card(setup.card.record());
        let quantization = specs[0].quantization;
        let line = RunLine::new();
        let tell = |what: &str| line.show(what, None);
        let loaded = model::load(setup, config.adapter.as_deref(), quantization, self.plan.capacity, &tell);
        line.clear();
        let loaded = loaded?;
        let known = Known {
            config,
            recorder: &recorder,
            retrieval: begun.retrieval,
            alone: begun.alone,
            router: self.router,
            rules: Rules::shipped()?,
            attention_path: loaded.engine.attention_path().into(),
            decode_weight_bytes: loaded.decode_weight_bytes,
            fallback: begun.fallback,
            random_weights: setup.model().origin == WeightsOrigin::Random,
        };
        let folder = setup.folder.path().to_path_buf();
        let mut observer = BlocksObserver::new(&known, folder, config.run.formats.clone());
        let mut work = Work {
            setup,
            builder: &self.builder,
            plan: &self.plan,
            general: &self.general,
            known: &known,
            quantization,
        };
        let (mut taken, loaded) = work.blocks(pipeline, loaded, sizes, &mut observer);
        let answers = match known.random_weights || taken.interrupted {
            true => Vec::new(),
            false => work.answers(pipeline, loaded, self.asked, &mut taken, &observer),
        };
        observer.finish()?;
        recorder.card_after(setup.card.state());
        recorder.finished(&known.outcome(&taken));
        Ok(known.document(&taken, sizes, &answers))
    }
}

/// What every request of the loaded model needs.
struct Work<'a> {
    setup: &'a Setup,
    builder: &'a RequestBuilder<'a>,
    plan: &'a Plan,
    general: &'a [Question],
    known: &'a Known<'a>,
    quantization: Quantization,
}

impl<'a> Work<'a> {
    fn bench<'b>(&'b self, loaded: &'b mut Loaded, output_tokens: u32) -> Bench<'b> {
        Bench {
            engine: &mut loaded.engine,
            tokenizer: self.setup.model().text.tokenizer.as_ref(),
            builder: self.builder,
            clock: &self.setup.clock,
            output_tokens,
        }
    }

    fn blocks(
        &mut self,
        pipeline: &mut Pipeline<'_>,
        mut loaded: Loaded,
        sizes: &mut [Size],
        observer: &mut BlocksObserver<'_>,
    ) -> (Taken, Loaded) {
        let run = &self.setup.config.run;
        let cases = self.plan.cases.iter().cloned().map(CaseProgress::new).collect();
        let mut blocks = Blocks {
            bench: self.bench(&mut loaded, run.output_tokens),
            pipeline: Pipeline {
                embedder: &mut *pipeline.embedder,
                store: &mut *pipeline.store,
                reranker: match &mut pipeline.reranker {
                    Some(reranker) => Some(&mut **reranker),
                    None => None,
                },
            },
            lengths: self.plan.lengths.clone(),
            arms: self.plan.arms.clone(),
            routing: self.known.router.routing,
            general: self.general,
            sizes,
            budget: self.setup.config.blocks_budget(&self.setup.clock),
            seed: run.seed,
            witness: &mut self.setup.card.witness(),
            observer,
            stop: &self.setup.stop,
        };
        let taken = blocks.run(cases);
        (taken, loaded)
    }

    /// Answers of the tuned model closed-book, and of the base model with retrieval and as a hybrid, until the
    /// time that the user set is up. A failure ends them and marks its arm in `taken`; what was scored stays.
    fn answers(
        &mut self,
        pipeline: &mut Pipeline<'_>,
        mut loaded: Loaded,
        asked: &Corpus,
        taken: &mut Taken,
        observer: &BlocksObserver<'_>,
    ) -> Vec<AnswerRecord> {
        let config = &self.setup.config;
        let with_gold =
            asked.questions.iter().filter_map(|question| Some((question, question.gold.as_ref()?)));
        let questions: Vec<(&Question, &Gold)> = spread(with_gold.collect(), config.answers as usize);
        let mut scored = Vec::new();
        for kind in answers::ARMS.iter().filter(|kind| config.arms.contains(kind) && !questions.is_empty()) {
            if *kind != Kind::Short && config.adapter.is_some() && scored.len() == 1 {
                drop(loaded);
                loaded = match self.base_model(observer) {
                    Ok(base) => base,
                    Err(error) => {
                        fail(taken, *kind, &error);
                        break;
                    }
                };
            }
            let answered = self.answers_of(*kind, pipeline, &mut loaded, &questions, observer);
            scored.extend(answered.record);
            if let Some(error) = answered.failure {
                fail(taken, *kind, &error);
                break;
            }
        }
        scored
    }

    fn base_model(&self, observer: &BlocksObserver<'_>) -> anyhow::Result<Loaded> {
        let tell = |_: &str| observer.step("loading the base model, whose answers with retrieval are scored");
        model::load(self.setup, None, self.quantization, self.plan.capacity, &tell)
    }

    fn answers_of(
        &self,
        kind: Kind,
        pipeline: &mut Pipeline<'_>,
        loaded: &mut Loaded,
        questions: &[(&Question, &Gold)],
        observer: &BlocksObserver<'_>,
    ) -> Answered {
        let hits = self.plan.lengths[0].hits;
        let mut bench = self.bench(loaded, crate::rag::answers::LONGEST);
        let mut stop = |place: usize| {
            observer.step(&format!("answers of {}: {} of {}", kind.name(), place + 1, questions.len()));
            self.setup.stop.load(Ordering::Relaxed) || self.setup.config.is_over(&self.setup.clock)
        };
        answers::arm(&mut bench, pipeline, kind, questions, hits, &mut stop)
    }
}

/// Marks the arm of `kind`, whose answers could not all be had.
fn fail(taken: &mut Taken, kind: Kind, error: &anyhow::Error) {
    let case = taken.cases.iter_mut().find(|case| case.spec.kind == kind && case.error.is_none());
    if let Some(case) = case {
        case.error = Some(format!("while answers were scored: {error:#}"));
    }
}

/// `count` of `all`, evenly over their order.
fn spread<T: Copy>(all: Vec<T>, count: usize) -> Vec<T> {
    let count = count.min(all.len());
    (0..count).map(|place| all[place * all.len() / count]).collect()
}
