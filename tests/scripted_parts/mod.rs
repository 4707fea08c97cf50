//! Single parts of the experiment on their own: the order of hits, the index of a size, what is cached, an answer's end.

use std::rc::Rc;

use ctxbench::rag::answers::closed_book;
use ctxbench::rag::bench::Bench;
use ctxbench::rag::pipeline::Pipeline;
use ctxbench::rag::rehearsal::{Asked, code_at, common, rehearse};
use ctxbench::rag::sizes::Size;
use ctxbench::retrieval::{Reranker, VectorStore};
use ctxbench::sample::Stages;
use ctxbench::sample::case::Kind;
use ctxbench::tokenizer::Tokenizer;
use ctxbench::tokenizer::stand_in::StandIn;

use super::scripted::*;
use super::scripted_hybrid::tiny;

fn asked() -> Asked {
    let (id, text) = ("q".to_owned(), "Why does it stop?".to_owned());
    Asked { id, text, number: 1, hits: HITS, context_tokens: 0 }
}

#[test]
fn a_reranker_chooses_among_more_and_its_best_come_first() {
    for (reranks, chunks) in [(false, [0, 1, 2]), (true, [11, 10, 9])] {
        let world = Rc::new(World::default());
        let (embedder, store) = (&mut ScriptedEmbedder(world.clone()), &mut ScriptedStore(world.clone()));
        let mut reranker = reranks.then(|| ScriptedReranker(world.clone()));
        let reranker = reranker.as_mut().map(|reranker| reranker as &mut dyn Reranker);
        let mut pipeline = Pipeline { embedder, store, reranker };
        let found = pipeline.find("q", 3, &world.clock, &mut Stages::default()).unwrap();
        assert_eq!(found.hits.iter().map(|hit| hit.chunk).collect::<Vec<_>>(), chunks);
        assert_eq!(found.passages.len(), 3);
        for (passage, chunk) in found.passages.iter().zip(chunks) {
            assert!(passage.starts_with(&format!("Edition 0, chunk {chunk}:")), "{passage}");
        }
    }
}

#[test]
fn a_size_is_searched_in_its_own_index_where_it_has_one() {
    for (has_own, searches) in [(true, [0, 1]), (false, [1, 0])] {
        let [world, own] = [(); 2].map(|()| Rc::new(World::default()));
        let store = has_own.then(|| Box::new(ScriptedStore(own.clone())) as Box<dyn VectorStore>);
        let mut size = Size::new(100, store);
        let tokenizer = &StandIn::new(151_936);
        with_builder(tokenizer, |builder| {
            let engine = &mut ScriptedEngine::new(&world);
            let mut bench = Bench { engine, tokenizer, builder, clock: &world.clock, output_tokens: OUTPUT };
            size.visit(&mut bench, &mut ScriptedStore(world.clone()), &[1.0], &asked(), "a short prompt");
        });
        assert_eq!([world.searches.get(), own.searches.get()], searches);
        assert!(size.search_ms.len() == 1 && size.short_ttft_ms[0].is_some());
    }
}

#[test]
fn all_ids_that_no_code_changes_are_cached() {
    let world = Rc::new(World::default());
    let (embedder, store) = (&mut ScriptedEmbedder(world.clone()), &mut ScriptedStore(world.clone()));
    let mut pipeline = Pipeline { embedder, store, reranker: None };
    let tokenizer = &StandIn::new(151_936);
    for kind in [Kind::RagWarmPrefix, Kind::RagWarmDocument] {
        with_builder(tokenizer, |builder| {
            let clock = &world.clock;
            let cached = rehearse(builder, tokenizer, clock, &mut pipeline, &asked(), kind).unwrap().cached;
            let found = pipeline.find(&asked().text, HITS, clock, &mut Stages::default()).unwrap();
            let serial = asked().serial(kind);
            let prompt = builder.retrieved(&asked().text, &found.passages, serial, code_at(kind)).unwrap();
            let whole = tokenizer.encode(&prompt.text).unwrap();
            let shared = tokenizer.encode(&prompt.text[..prompt.shared_bytes]).unwrap();
            assert_eq!(cached.len(), common(&shared, &whole), "{}", kind.name());
            assert_eq!(cached, whole[..cached.len()]);
        });
    }
}

#[test]
fn an_answer_ends_with_the_turn() {
    let tokenizer = tiny();
    let tokenizer = tokenizer.as_ref();
    let stop = tokenizer.stop_ids()[0];
    let world = Rc::new(World { passes: vec![vec![5, 6, stop, 8, 9]], ..World::default() });
    with_builder(tokenizer, |builder| {
        let engine = &mut ScriptedEngine::new(&world);
        let mut bench = Bench { engine, tokenizer, builder, clock: &world.clock, output_tokens: OUTPUT };
        assert_eq!(closed_book(&mut bench, &asked()).unwrap(), tokenizer.decode(&[5, 6]).unwrap());
    });
    let decoded = world.events.borrow().iter().filter(|event| matches!(event, Event::Decode(_))).count();
    assert_eq!(decoded, 2);
}
