//! What must hold for every request, whichever the tokenizer.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::prompts::corpus::{Corpus, mini};
use crate::prompts::passages::sentences;
use crate::prompts::scenarios::Scenarios;
use crate::tokenizer::Tokenizer;
use crate::tokenizer::chat::{ChatTemplate, Thinking};
use crate::tokenizer::fixture;
use crate::tokenizer::from_file::HubTokenizer;
use crate::tokenizer::stand_in::StandIn;

/// Ids by which any two requests differ at the latest, after the template's fixed head.
const DIFFERENT_WITHIN: usize = 6;

struct World {
    scenarios: Scenarios,
    corpus: Corpus,
    stand_in: StandIn,
    bpe: HubTokenizer,
    template: ChatTemplate,
}

impl World {
    fn new() -> Self {
        let scenarios = Scenarios::shipped().expect("shipped scenarios");
        let template = include_str!("../../tests/fixtures/chat/qwen3.jinja");
        Self {
            corpus: mini(&scenarios),
            scenarios,
            stand_in: StandIn::new(151_936),
            bpe: fixture::bpe(fixture::QWEN2_REGEX),
            template: ChatTemplate::parse(template).expect("a template"),
        }
    }

    fn with_stand_in(&self, seed: u64) -> RequestBuilder<'_> {
        RequestBuilder::new(&self.stand_in, None, &self.corpus, &self.scenarios, seed, Thinking::Off)
    }

    fn with_bpe(&self, seed: u64) -> RequestBuilder<'_> {
        let template = Some(&self.template);
        RequestBuilder::new(&self.bpe, template, &self.corpus, &self.scenarios, seed, Thinking::Off)
    }
}

fn check(request: &Request, tokenizer: &dyn Tokenizer, tokens: u32) {
    let count = tokenizer.encode(&request.text).expect("encoded").len();
    assert_eq!((count, request.prompt_tokens), (tokens as usize, tokens), "{}", request.text);
    let cut = request.notes.iter().any(|note| note.is_truncation());
    assert_eq!(request.truncated, cut);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_length_is_met_exactly(tokens in 1u32..3000, seed in any::<u64>(), index in 0u32..40) {
        let world = World::new();
        let builders = [(world.with_stand_in(seed), &world.stand_in as &dyn Tokenizer), (world.with_bpe(seed), &world.bpe)];
        for (builder, tokenizer) in builders {
            check(&builder.rag(tokens, index).unwrap(), tokenizer, tokens);
            check(&builder.plain(tokens, index).unwrap(), tokenizer, tokens);
        }
    }
}

#[test]
fn the_shortest_lengths_are_met_one_by_one() {
    let world = World::new();
    let (stand_in, bpe) = (world.with_stand_in(7), world.with_bpe(7));
    for tokens in 1..420 {
        check(&stand_in.rag(tokens, tokens).unwrap(), &world.stand_in, tokens);
        check(&bpe.rag(tokens, tokens).unwrap(), &world.bpe, tokens);
    }
}

#[test]
fn short_requests_have_one_length_and_the_questions_of_the_rag_case() {
    let world = World::new();
    for (builder, tokenizer) in
        [(world.with_stand_in(1), &world.stand_in as &dyn Tokenizer), (world.with_bpe(1), &world.bpe)]
    {
        let tokens = builder.short_tokens().unwrap();
        let mut asked = HashSet::new();
        for index in 0..50 {
            let (short, rag) = (builder.short(index).unwrap(), builder.rag(1500, index).unwrap());
            check(&short, tokenizer, tokens);
            assert!(!short.truncated && !rag.truncated, "{:?}", rag.notes);
            assert_eq!(short.question_id, rag.question_id);
            let id = short.question_id.clone().unwrap();
            let question = world.corpus.questions.iter().find(|q| q.id == id).unwrap();
            assert!(short.text.contains(&question.text) && rag.text.contains(&question.text));
            assert!(rag.text.contains(&world.scenarios.rag.system));
            let gold = &world.corpus.passages[question.gold.as_ref().unwrap().passage];
            assert!(rag.text.contains(&gold.text), "the passage with the answer is whole");
            asked.insert(id);
        }
        assert_eq!(asked.len(), world.corpus.questions.len());
    }
}

#[test]
fn no_two_requests_begin_alike() {
    let world = World::new();
    for (builder, tokenizer) in
        [(world.with_stand_in(5), &world.stand_in as &dyn Tokenizer), (world.with_bpe(5), &world.bpe)]
    {
        let mut requests = Vec::new();
        for index in 0..40 {
            requests.extend([512, 513, 900].map(|tokens| builder.rag(tokens, index).unwrap()));
            requests.push(builder.short(index).unwrap());
            requests.push(builder.plain(256, index).unwrap());
        }
        let ids: Vec<Vec<u32>> = requests.iter().map(|r| tokenizer.encode(&r.text).unwrap()).collect();
        // Fixed before the code: nothing, "System: ", "User: " or the opening of the template's turn.
        let head = tokenizer.encode("<|im_start|>system\n").unwrap().len();
        for (i, one) in ids.iter().enumerate() {
            for other in &ids[..i] {
                let shared = one.iter().zip(other).take_while(|(a, b)| a == b).count();
                assert!(shared <= head + DIFFERENT_WITHIN, "{shared} ids are shared");
            }
        }
    }
}

#[test]
fn nothing_repeats_verbatim_beyond_the_length_of_the_corpus() {
    let world = World::new();
    let request = world.with_stand_in(3).rag(65_536, 0).unwrap();
    check(&request, &world.stand_in, 65_536);
    assert!(request.notes.contains(&Note::PassagesVaried) && !request.truncated);
    let mut seen = HashSet::new();
    let (mut words, mut runs) = (Vec::new(), HashSet::new());
    for sentence in request.text.split('\n').flat_map(sentences).map(str::trim).filter(|s| !s.is_empty()) {
        assert!(seen.insert(sentence), "twice: {sentence}");
        words.extend(sentence.split_whitespace());
    }
    let repeated = words.windows(32).find(|run| !runs.insert(run.to_vec()));
    assert_eq!(repeated, None);
}

#[test]
fn the_seed_alone_decides() {
    let world = World::new();
    let text = |seed: u64, index: u32| world.with_bpe(seed).rag(700, index).unwrap().text;
    assert_eq!(text(1, 4), text(1, 4));
    assert_ne!(text(1, 4), text(2, 4));
    assert_ne!(text(1, 4), text(1, 5));
}

#[test]
fn passages_go_first_then_the_system_text_then_the_questions_head() {
    let world = World::new();
    // The stand-in gives every code the same number of ids, so that one length follows on the other.
    let template = Some(&world.template);
    let (corpus, scenarios) = (&world.corpus, &world.scenarios);
    let builder = RequestBuilder::new(&world.stand_in, template, corpus, scenarios, 11, Thinking::Off);
    let question = &world.corpus.questions;
    let mut stages = Vec::new();
    for tokens in (1..1200).rev() {
        let request = builder.rag(tokens, 0).unwrap();
        let id = request.question_id.clone().unwrap();
        let text = &question.iter().find(|q| q.id == id).unwrap().text;
        let stage: Vec<&str> = request.notes.iter().map(|note| note.code()).collect();
        let whole_question = request.text.contains(text.as_str());
        assert_eq!(whole_question, !request.notes.contains(&Note::QuestionCut), "{tokens}: {}", request.text);
        let whole_system = request.text.contains(&world.scenarios.rag.system);
        let system_lost = request.notes.iter().any(|n| matches!(n, Note::SystemCut | Note::SystemDropped));
        assert_eq!(whole_system, !system_lost, "{tokens}: {}", request.text);
        stages.push(stage.join(" "));
    }
    stages.dedup();
    assert_eq!(
        stages,
        [
            "",
            "passage_cut",
            "passages_dropped",
            "passages_dropped system_cut",
            "passages_dropped system_dropped",
            "passages_dropped system_dropped question_cut",
            // What the template took is the question's again, until that is too long too.
            "passages_dropped system_dropped template_dropped",
            "passages_dropped system_dropped question_cut template_dropped",
        ]
    );
}

#[test]
fn without_a_template_requests_are_plain_and_say_so() {
    let world = World::new();
    let builder = world.with_stand_in(1);
    let request = builder.rag(800, 0).unwrap();
    assert!(request.text.starts_with("System: ") && request.text.ends_with("\n\nAssistant:"));
    assert_eq!(request.notes, [Note::NoChatTemplate]);
    assert!(builder.short(0).unwrap().text.starts_with("User: "));
    assert!(builder.plain(300, 0).unwrap().notes.is_empty());
}

/// Ids that depend on everything before them: the parts of a text never add up.
struct Awkward;

impl Tokenizer for Awkward {
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let words = text.split_whitespace().count();
        Ok(vec![1; words + text.len() / 997])
    }

    fn decode(&self, _: &[u32]) -> Result<String, TokenizerError> {
        Ok(String::new())
    }

    fn name(&self) -> &str {
        "awkward"
    }

    fn vocab_size(&self) -> usize {
        2
    }
}

/// Two ids for every character: odd lengths do not exist.
struct Even;

impl Tokenizer for Even {
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        Ok(vec![0; 2 * text.chars().count()])
    }

    fn decode(&self, _: &[u32]) -> Result<String, TokenizerError> {
        Ok(String::new())
    }

    fn name(&self) -> &str {
        "even"
    }

    fn vocab_size(&self) -> usize {
        1
    }
}

#[test]
fn a_tokenizer_whose_parts_do_not_add_up_is_served_all_the_same() {
    let world = World::new();
    let builder = RequestBuilder::new(&Awkward, None, &world.corpus, &world.scenarios, 1, Thinking::Off);
    for tokens in [300, 777, 1500, 4000] {
        let request = builder.rag(tokens, 2).unwrap();
        check(&request, &Awkward, tokens);
        assert!(!request.truncated, "{:?}", request.notes);
    }
}

#[test]
fn a_length_that_does_not_exist_is_an_error_and_not_a_loop() {
    let world = World::new();
    let builder = RequestBuilder::new(&Even, None, &world.corpus, &world.scenarios, 1, Thinking::Off);
    let message = builder.rag(777, 0).unwrap_err().to_string();
    assert!(message.contains("exactly 777") && message.contains("'even'"), "{message}");
}
