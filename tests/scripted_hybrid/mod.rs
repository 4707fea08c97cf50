//! The hybrid, with a model that says what it is told to say.

use std::path::Path;
use std::rc::Rc;

use ctxbench::prompts::questions::Question;
use ctxbench::rag::bench::Bench;
use ctxbench::rag::choice::Routing;
use ctxbench::rag::hybrid::{self, Decision, MOST_CALLS, Routed};
use ctxbench::rag::pipeline::Pipeline;
use ctxbench::rag::rehearsal::Asked;
use ctxbench::sample::Sample;
use ctxbench::sample::case::Kind;
use ctxbench::tokenizer::{Tokenizer, from_file};

use super::scripted::*;

const CALL: &str = r#"{"name": "search_handbook", "arguments": {"query": "pump E31"}}"#;

pub fn tiny() -> Box<dyn Tokenizer> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-tokenizer/tokenizer.json");
    Box::new(from_file::read(&file).expect("the tiny tokenizer"))
}

/// The ids with which a model would write `inside` as a call; a real model has one id for each of the marks.
fn call(inside: &str) -> Vec<u32> {
    ["<tool_call>", "\n", inside, "\n", "</tool_call>"]
        .iter()
        .flat_map(|part| tiny().encode(part).expect("ids"))
        .collect()
}

/// One question through the hybrid, of which the model writes `passes`.
fn ask(passes: Vec<Vec<u32>>, decision: Decision) -> (Routed, Rc<World>) {
    let world = Rc::new(World { passes, ..World::default() });
    let tokenizer = tiny();
    let routed = with_builder(tokenizer.as_ref(), |builder| {
        let engine = &mut ScriptedEngine::new(&world);
        let (embedder, store) = (&mut ScriptedEmbedder(world.clone()), &mut ScriptedStore(world.clone()));
        let tokenizer = tokenizer.as_ref();
        let mut bench = Bench { engine, tokenizer, builder, clock: &world.clock, output_tokens: OUTPUT };
        let mut pipeline = Pipeline { embedder, store, reranker: None };
        let (id, text) = ("q".to_owned(), "Why does it stop?".to_owned());
        let asked = Asked { id, text, number: 3, hits: HITS, context_tokens: 0 };
        hybrid::ask(&mut bench, &mut pipeline, &asked, decision)
    });
    (routed, world)
}

fn prefills(world: &World) -> Vec<Vec<u32>> {
    let ids = |event: &Event| match event {
        Event::Prefill(ids) => Some(ids.clone()),
        _ => None,
    };
    world.events.borrow().iter().filter_map(ids).collect()
}

fn count(world: &World, what: &Event) -> usize {
    world.events.borrow().iter().filter(|event| *event == what).count()
}

#[test]
fn a_call_is_searched_with_its_own_query_and_answered_behind_the_first_pass() {
    let written = call(CALL);
    let (routed, world) = ask(vec![written.clone()], Decision::Model);
    let sample = &routed.sample;
    assert_eq!((sample.error.as_ref(), sample.routed, routed.malformed), (None, Some(true), false));
    assert_eq!(*world.queries.borrow(), ["pump E31"]);
    let fed = prefills(&world);
    let [first, behind] = &fed[..] else { panic!("{} passes", fed.len()) };
    assert_eq!(behind[0], *written.last().unwrap(), "the id that was sampled and not run");
    let text = tiny().decode(&behind[1..]).unwrap();
    assert!(text.trim_start().starts_with("Tool: [1] Edition 0, chunk 0"), "{text}");
    assert!(!text.contains("Why does it stop?"), "{text}");
    let kept = [Event::Reset, Event::Mark, Event::Rewind].map(|event| count(&world, &event));
    assert_eq!(kept, [1, 0, 0], "the cache of the first pass stays");
    assert_eq!(sample.prompt_tokens as usize, first.len() + written.len() - 1 + behind.len());

    let stages = sample.stages_ms.unwrap();
    let deciding = PER_TOKEN * first.len() as f64 + SAMPLE + STEP * (written.len() - 1) as f64;
    close(stages.route.unwrap(), deciding);
    assert_eq!([stages.embed, stages.search, stages.fetch], [EMBED, SEARCH, FETCH].map(Some));
    close(stages.prefill.unwrap(), PER_TOKEN * behind.len() as f64);
    close(sample.rag_ttft_ms.unwrap(), stages.sum());
    close(sample.ttft_ms.unwrap(), stages.prefill.unwrap() + SAMPLE);
    assert_eq!(routed.output, [ANY_ID; OUTPUT as usize]);
}

#[test]
fn a_forced_call_costs_what_a_written_one_does() {
    let (routed, world) = ask(Vec::new(), Decision::Forced);
    let sample = &routed.sample;
    assert_eq!((sample.error.as_ref(), sample.routed), (None, Some(true)));
    assert_eq!(*world.queries.borrow(), ["Why does it stop?"]);
    let fed = prefills(&world);
    let written = sample.prompt_tokens as usize - fed[0].len() - fed[1].len();
    assert!(written > 20, "{written} ids of a call");
    let stages = sample.stages_ms.unwrap();
    close(stages.route.unwrap(), PER_TOKEN * fed[0].len() as f64 + SAMPLE + STEP * written as f64);
    close(sample.rag_ttft_ms.unwrap(), stages.sum());
}

#[test]
fn an_answer_without_a_call_is_not_routed_and_its_first_id_counts() {
    for decision in [Decision::Model, Decision::ForcedNot] {
        let (routed, world) = ask(Vec::new(), decision);
        let sample = &routed.sample;
        assert_eq!((sample.error.as_ref(), sample.routed, routed.malformed), (None, Some(false), false));
        assert!(world.queries.borrow().is_empty());
        close(sample.rag_ttft_ms.unwrap(), PER_TOKEN * prefills(&world)[0].len() as f64 + SAMPLE);
        assert_eq!(sample.ttft_ms, sample.rag_ttft_ms);
        let stages = sample.stages_ms.unwrap();
        assert_eq!([stages.route, stages.embed, stages.search, stages.assemble], [None; 4]);
        assert_eq!(sample.token_ready_ms.len(), OUTPUT as usize);
    }
}

fn hybrid_blocks(routing: Routing, passes: Vec<Vec<u32>>, runs: u32) -> Seen {
    let world = World { passes, ..World::default() };
    run(Setup { routing, world, tokenizer: tiny(), ..setup(&[Kind::Hybrid], runs) })
}

#[test]
fn a_malformed_call_is_an_answer_and_counted_without_the_warm_ups() {
    let seen = hybrid_blocks(Routing::Model, vec![call("{oops}")], 4);
    assert_eq!(seen.taken.malformed_calls, 4);
    let case = &seen.taken.cases[0];
    assert!(case.samples.iter().all(|sample| sample.is_complete() && sample.routed == Some(false)));
    assert!(seen.world.queries.borrow().is_empty());
    assert_eq!(seen.taken.routed.len(), 4);
}

#[test]
fn a_model_that_only_searches_is_stopped_and_its_arm_goes_on() {
    let seen = hybrid_blocks(Routing::Model, vec![call(CALL); MOST_CALLS + 3], 4);
    let case = &seen.taken.cases[0];
    assert_eq!((case.error.as_ref(), case.samples.len()), (None, 4));
    for sample in &case.samples {
        assert!(sample.error.as_ref().unwrap().contains("asked to search 3 times"), "{:?}", sample.error);
        assert_eq!((sample.rag_ttft_ms, sample.routed), (None, Some(true)));
    }
    assert_eq!(seen.world.searches.get(), MOST_CALLS * (4 + case.warmups_s.len()));
}

#[test]
fn a_model_may_search_as_often_as_is_allowed_and_then_answer() {
    let (routed, world) = ask(vec![call(CALL); MOST_CALLS], Decision::Model);
    assert_eq!((routed.sample.error.as_ref(), routed.looped), (None, false));
    assert_eq!(world.searches.get(), MOST_CALLS);
    let stages = routed.sample.stages_ms.unwrap();
    close(routed.sample.rag_ttft_ms.unwrap(), stages.sum());
}

#[test]
fn a_forced_share_is_met() {
    for (share, routed) in [(0.0, 0), (0.25, 2), (0.5, 4), (1.0, 8)] {
        let seen = hybrid_blocks(Routing::Forced(share), Vec::new(), 8);
        let samples = &seen.taken.cases[0].samples;
        assert_eq!(samples.iter().filter(|sample| sample.routed == Some(true)).count(), routed);
        assert!(samples.iter().all(|sample| sample.is_complete()));
        assert!(seen.taken.routed.is_empty(), "the decisions were not its own");
    }
}

#[test]
fn similarity_decides_by_the_best_hit() {
    for (threshold, near) in [(0.4, true), (f64::from(SCORE), true), (0.6, false)] {
        let seen = hybrid_blocks(Routing::Similarity(threshold), Vec::new(), 3);
        assert_eq!(seen.taken.routed.iter().filter(|routed| routed.routed == near).count(), 3);
        for sample in &seen.taken.cases[0].samples {
            let stages = sample.stages_ms.unwrap();
            assert_eq!((stages.search, stages.fetch), (Some(SEARCH), near.then_some(FETCH)));
            close(sample.rag_ttft_ms.unwrap(), stages.sum());
        }
    }
}

#[test]
fn a_hybrid_that_decides_is_asked_both_kinds_of_question_in_turn() {
    for (routing, needs) in [
        (Routing::Model, vec![true, false, true, false]),
        (Routing::Similarity(0.4), vec![true, false, true, false]),
        (Routing::Forced(0.5), Vec::new()),
    ] {
        let general =
            vec![Question { id: "general".into(), text: "What boils at 100 °C?".into(), gold: None }];
        let seen = run(Setup { routing, general, tokenizer: tiny(), ..setup(&[Kind::Hybrid], 4) });
        assert_eq!(seen.taken.routed.iter().map(|one| one.needs).collect::<Vec<_>>(), needs);
        let is_general = |sample: &Sample| sample.question_id.as_deref() == Some("general");
        let asked = seen.taken.cases[0].samples.iter().filter(|sample| is_general(sample)).count();
        assert_eq!(asked, needs.iter().filter(|needs| !**needs).count());
    }
}
