//! The paired experiment, proved by scripted parts with known times on a manual clock.

mod scripted;
mod scripted_hybrid;
mod scripted_parts;

use std::rc::Rc;
use std::time::Duration;

use ctxbench::rag::alone;
use ctxbench::rag::pipeline::Pipeline;
use ctxbench::sample::Sample;
use ctxbench::sample::case::{CaseProgress, Kind};
use scripted::*;

const ALL: [Kind; 6] =
    [Kind::Short, Kind::Padded, Kind::Rag, Kind::RagWarmPrefix, Kind::RagWarmDocument, Kind::Hybrid];

fn case(seen: &Seen, kind: Kind) -> &CaseProgress {
    seen.taken.cases.iter().find(|case| case.spec.kind == kind).expect("the arm")
}

/// Ids that a request of `sample` ran while it was timed.
fn ran(sample: &Sample) -> f64 {
    sample.prefill_ms.expect("a prefill") / PER_TOKEN
}

#[test]
fn stages_have_their_scripted_times_and_add_up() {
    for reranks in [false, true] {
        let seen = run(Setup { reranks, ..setup(&ALL[..5], 3) });
        for case in &seen.taken.cases {
            assert_eq!((case.error.as_ref(), case.samples.len()), (None, 3));
            for sample in &case.samples {
                let stages = sample.stages_ms.expect("stages");
                let retrieves = !matches!(case.spec.kind, Kind::Short | Kind::Padded);
                let found = |ms: f64| retrieves.then_some(ms);
                assert_eq!(stages.route, None);
                assert_eq!([stages.tokenize_query, stages.embed], [TOKENIZE_QUERY, EMBED].map(found));
                assert_eq!([stages.search, stages.fetch], [SEARCH, FETCH].map(found));
                assert_eq!(stages.rerank, found(RERANK).filter(|_| reranks));
                assert_eq!([stages.assemble, stages.tokenize], [found(0.0), Some(0.0)]);
                assert_eq!([stages.first_token, stages.prefill], [Some(SAMPLE), sample.prefill_ms]);
                close(sample.rag_ttft_ms.unwrap(), stages.sum());
                close(sample.ttft_ms.unwrap(), stages.prefill.unwrap() + SAMPLE);
                assert_eq!(sample.token_ready_ms.len(), OUTPUT as usize);
                close(sample.tpot_ms().unwrap(), STEP);
                if matches!(case.spec.kind, Kind::Short | Kind::Padded | Kind::Rag) {
                    close(ran(sample), f64::from(sample.prompt_tokens));
                }
            }
        }
    }
}

#[test]
fn the_arms_of_a_block_are_paired() {
    let seen = run(setup(&ALL, 5));
    let of = |kind, block: usize| &case(&seen, kind).samples[block];
    for block in 0..5 {
        let [short, padded, rag] = [Kind::Short, Kind::Padded, Kind::Rag].map(|kind| of(kind, block));
        assert_eq!(padded.prompt_tokens, rag.prompt_tokens);
        assert!(rag.prompt_tokens > 2 * short.prompt_tokens, "{} tokens", rag.prompt_tokens);
        for kind in ALL {
            assert_eq!(of(kind, block).question_id, short.question_id, "{}", kind.name());
        }
    }
    let ids = |block| of(Kind::Short, block).question_id.clone();
    assert!((1..5).all(|block| ids(block).is_some() && ids(block) != ids(block - 1)), "other questions");
}

/// Ids before the code in plain text: a role and its colon.
const BEFORE_CODE: usize = 2;

#[test]
fn no_two_cold_prompts_begin_alike() {
    let arms = [Kind::Short, Kind::Padded, Kind::Rag, Kind::Hybrid];
    let seen = run(Setup { sizes: 2, ..setup(&arms, 6) });
    let fed: Vec<Vec<u32>> = seen
        .world
        .requests()
        .into_iter()
        .map(|events| match &events[0] {
            Event::Prefill(ids) => ids.clone(),
            other => panic!("a cold request begins with {other:?}"),
        })
        .collect();
    assert!(fed.len() >= 6 * (arms.len() + 2));
    for (place, one) in fed.iter().enumerate() {
        for other in &fed[..place] {
            let same = one.iter().zip(other).take_while(|(a, b)| a == b).count();
            assert!(same <= BEFORE_CODE, "request {place} begins with {same} ids of an earlier one");
        }
    }
}

#[test]
fn a_warm_arm_runs_only_what_is_behind_its_mark() {
    let warm = |kind| {
        let seen = run(setup(&[kind], 3));
        let requests = seen.world.requests();
        let samples = &case(&seen, kind).samples;
        let mut cached_tokens = Vec::new();
        for (events, sample) in requests[requests.len() - 3..].iter().zip(samples) {
            let [Event::Prefill(cached), Event::Mark, Event::Rewind, Event::Prefill(rest), Event::Sample, ..] =
                &events[..]
            else {
                panic!("{events:?}")
            };
            assert_eq!(cached.len() + rest.len(), sample.prompt_tokens as usize);
            close(ran(sample), rest.len() as f64);
            cached_tokens.push(cached.len());
        }
        cached_tokens
    };
    let (prefix, document) = (warm(Kind::RagWarmPrefix), warm(Kind::RagWarmDocument));
    assert!(prefix[0] > 10 && prefix.iter().all(|tokens| *tokens == prefix[0]), "{prefix:?}");
    assert!(document.iter().all(|tokens| *tokens > prefix[0] + 40), "{document:?}");
}

#[test]
fn a_store_that_changes_its_mind_makes_an_error_and_no_number() {
    let world = World { shifts: true, ..World::default() };
    let seen = run(Setup { world, ..setup(&[Kind::Short, Kind::RagWarmPrefix, Kind::RagWarmDocument], 2) });
    let changed = case(&seen, Kind::RagWarmDocument);
    assert!(changed.error.as_ref().unwrap().contains("as if the store had changed"), "{:?}", changed.error);
    assert!(changed.headline_ms().is_empty());
    assert_eq!(case(&seen, Kind::RagWarmPrefix).headline_ms().len(), 2);
}

#[test]
fn a_store_that_fails_marks_its_arms_and_keeps_what_they_had() {
    let seen = run(Setup { down_after: Some(2), ..setup(&ALL, 6) });
    for kind in ALL {
        let case = case(&seen, kind);
        match kind {
            Kind::Short => assert_eq!((case.error.as_ref(), case.headline_ms().len()), (None, 6)),
            _ => {
                assert_eq!(case.error.as_deref(), Some("the store is out of reach"), "{}", kind.name());
                // Half of the hybrid's questions need no store.
                let kept = if kind == Kind::Hybrid { 2..=3 } else { 2..=2 };
                assert!(kept.contains(&case.headline_ms().len()), "{}", kind.name());
                let last = case.samples.last().unwrap();
                assert_eq!((last.error.is_some(), last.rag_ttft_ms), (true, None));
            }
        }
        assert_eq!(case.samples.len(), case.observed.len());
    }
}

#[test]
fn runs_asked_for_are_taken_exactly_and_every_sample_has_its_place() {
    let seen = run(setup(&ALL, 7));
    assert_eq!((seen.taken.blocks, seen.taken.interrupted), (7, false));
    assert!(seen.taken.cases.iter().all(|case| case.samples.len() == 7));
    let mut orders: Vec<u32> =
        seen.taken.cases.iter().flat_map(|case| &case.samples).map(|sample| sample.order).collect();
    orders.sort_unstable();
    assert_eq!(orders, (0..7 * ALL.len() as u32).collect::<Vec<_>>());
}

#[test]
fn arms_come_in_another_order_in_each_block_and_in_the_same_one_again() {
    let order = |seen: &Seen| -> Vec<u32> {
        seen.taken.cases.iter().flat_map(|case| &case.samples).map(|sample| sample.order).collect()
    };
    let [first, again] = [(); 2].map(|()| run(setup(&ALL, 6)));
    assert_eq!(order(&first), order(&again));
    let places = |case: &CaseProgress| -> Vec<u32> {
        case.samples.iter().map(|sample| sample.order % ALL.len() as u32).collect()
    };
    let moves = |case: &&CaseProgress| places(case).windows(2).any(|two| two[0] != two[1]);
    assert!(first.taken.cases.iter().filter(moves).count() >= 5);
}

#[test]
fn a_stop_ends_after_the_sample_in_progress() {
    let seen = run(Setup { stop_after: Some(9), ..setup(&ALL, 7) });
    assert!(seen.taken.interrupted);
    let samples: Vec<&Sample> = seen.taken.cases.iter().flat_map(|case| &case.samples).collect();
    assert_eq!(samples.len(), 9);
    assert!(samples.iter().all(|sample| sample.is_complete()));
}

#[test]
fn a_strict_limit_of_time_holds_also_while_warming_up() {
    let longest = Duration::from_secs(2);
    for limit in [Duration::ZERO, Duration::from_millis(500), Duration::from_secs(10)] {
        let mut setup = setup(&ALL, 1000);
        (setup.budget.time, setup.budget.time_is_strict) = (Some(limit), true);
        let seen = run(setup);
        assert!(seen.elapsed >= limit && seen.elapsed < limit + longest, "{limit:?}: {:?}", seen.elapsed);
        assert!(!seen.taken.interrupted);
        assert_eq!(seen.taken.blocks > 0, limit > longest);
    }
}

#[test]
fn time_left_counts_the_least_blocks_where_the_limit_is_ours() {
    let lefts = |is_strict| {
        let mut setup = setup(&[Kind::Short, Kind::Rag], 3);
        (setup.budget.time, setup.budget.time_is_strict) = (Some(Duration::from_secs(1)), is_strict);
        let seen = run(setup);
        let warmup_s: f64 = seen.taken.cases.iter().filter_map(|case| case.warmups_s.last()).sum();
        (seen.lefts, Duration::from_secs_f64(warmup_s))
    };
    let (ours, a_block) = lefts(false);
    let of_blocks: Vec<Duration> = ours[ours.len() - 6..].iter().map(|left| left.unwrap()).collect();
    assert!(of_blocks[0] >= a_block * 3 && of_blocks[5] >= a_block / 4, "{of_blocks:?}, {a_block:?}");
    assert!(of_blocks.is_sorted_by(|a, b| a > b), "{of_blocks:?}");
    assert!(lefts(true).0.iter().all(|left| left.unwrap() <= Duration::from_secs(1)));
}

#[test]
fn retrieval_alone_asks_in_order_and_stops_when_told() {
    let world = Rc::new(World::default());
    let (embedder, store) = (&mut ScriptedEmbedder(world.clone()), &mut ScriptedStore(world.clone()));
    let mut pipeline = Pipeline { embedder, store, reranker: None };
    let mut ask = |stop_at: usize| {
        let mut stop = |number| number >= stop_at;
        alone::run(&mut pipeline, &["a", "b", "c"], 7, 4, &world.clock, &mut stop).expect("retrieval")
    };
    let all = ask(usize::MAX);
    assert_eq!(all.iter().map(|r| r.question).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2, 0]);
    for one in &all {
        assert_eq!((one.embed_ms, one.search_ms, one.hits.len()), (TOKENIZE_QUERY + EMBED, SEARCH, 4));
    }
    assert_eq!(world.queries.borrow()[..4], ["a", "b", "c", "a"]);
    assert_eq!(ask(2).len(), 2);
    assert_eq!(world.searches.get(), 9);
}

#[test]
fn each_size_gets_one_search_and_one_short_request_a_block() {
    let seen = run(Setup { sizes: 3, ..setup(&[Kind::Short], 4) });
    let short = case(&seen, Kind::Short).samples[0].rag_ttft_ms;
    for size in &seen.sizes {
        assert_eq!(size.search_ms, [SEARCH; 4]);
        assert_eq!(size.short_ttft_ms, [short; 4]);
    }
    assert_eq!(seen.world.searches.get(), 12);
}
