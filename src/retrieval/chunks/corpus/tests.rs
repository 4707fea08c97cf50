//! What holds for chunks of the handbook and of its copies.

use std::collections::HashSet;

use super::*;
use crate::prompts::corpus::mini;
use crate::prompts::scenarios::Scenarios;
use crate::tokenizer::fixture::{QWEN35_REGEX, bpe};
use crate::tokenizer::stand_in::StandIn;

const CHUNKING: Chunking = Chunking { tokens: 256, overlap: 32 };

fn handbook() -> Corpus {
    Corpus::shipped(&Scenarios::shipped().expect("shipped scenarios")).expect("the handbook")
}

fn chunked<'a>(corpus: &'a Corpus, tokenizer: &'a dyn Tokenizer, wanted: Option<u64>) -> ChunkedCorpus<'a> {
    ChunkedCorpus::new(corpus, tokenizer, CHUNKING, wanted, 7).expect("chunks")
}

fn all(chunks: &ChunkedCorpus<'_>) -> Vec<Chunk> {
    (0..chunks.count()).map(|n| chunks.chunk(n).expect("a chunk")).collect()
}

fn is_known(corpus: &Corpus, fact: &str) -> bool {
    corpus.is_fact(fact.split('~').next().unwrap_or_default())
}

#[test]
fn every_fact_of_the_handbook_lies_in_a_chunk_with_its_answer() {
    let (corpus, tokenizer) = (handbook(), StandIn::new(151_936));
    let chunks = all(&chunked(&corpus, &tokenizer, None));
    let mut missed = Vec::new();
    for question in &corpus.questions {
        let gold = question.gold.as_ref().unwrap();
        let mut holders = chunks.iter().filter(|chunk| chunk.facts.contains(&question.id)).peekable();
        assert!(holders.peek().is_some(), "{}", question.id);
        let text = |chunk: &Chunk| chunk.text.to_lowercase();
        if !holders.any(|chunk| gold.accept.iter().any(|words| text(chunk).contains(&words.to_lowercase()))) {
            missed.push(&question.id);
        }
    }
    // A few facts are stated in other words than their answers.
    assert!(missed.len() * 20 < corpus.questions.len(), "{missed:?}");
    assert!(chunks.iter().all(|chunk| chunk.tokens <= 256 && !chunk.text.contains("[F-")));
    assert!(chunks.iter().flat_map(|chunk| &chunk.facts).all(|fact| is_known(&corpus, fact)));
}

#[test]
fn a_question_of_a_copy_is_answered_by_a_chunk_that_has_its_fact() {
    let (corpus, tokenizer) = (handbook(), bpe(QWEN35_REGEX));
    let chunking = Chunking { tokens: 512, overlap: 0 };
    let base = ChunkedCorpus::new(&corpus, &tokenizer, chunking, None, 7).unwrap().count();
    let chunks = ChunkedCorpus::new(&corpus, &tokenizer, chunking, Some(4 * base), 7).unwrap();
    assert!(chunks.whole_copies() >= 2);
    let all = all(&chunks);
    let grown = Grown::new(&corpus, 7);
    let documents = grown.documents_per_copy() as u64;
    let mut asked = 0;
    for document in (documents..3 * documents).map(|i| grown.document(i)) {
        for question in &document.questions {
            asked += 1;
            let holders: Vec<&Chunk> =
                all.iter().filter(|chunk| chunk.facts.contains(&question.id)).collect();
            assert!(holders.iter().all(|chunk| chunk.document == document.name), "{question:?}");
            let right = |chunk: &&Chunk| {
                let text = chunk.text.to_lowercase();
                question
                    .accept
                    .iter()
                    .chain([&question.answer])
                    .any(|words| text.contains(&words.to_lowercase()))
            };
            assert!(holders.iter().any(right), "{question:?} {holders:?}");
        }
    }
    assert!(asked > 400, "{asked}");
}

#[test]
fn no_chunk_of_a_copy_is_too_long_and_none_is_cut_short() {
    let (corpus, tokenizer) = (handbook(), bpe(QWEN35_REGEX));
    let chunking = Chunking { tokens: 256, overlap: 0 };
    let base = ChunkedCorpus::new(&corpus, &tokenizer, chunking, None, 7).unwrap().count();
    let chunks = ChunkedCorpus::new(&corpus, &tokenizer, chunking, Some(3 * base), 7).unwrap();
    let squeezed = |text: &str| text.split_whitespace().collect::<String>();
    let grown = Grown::new(&corpus, 7);
    let mut texts = std::collections::BTreeMap::<String, String>::new();
    for chunk in all(&chunks) {
        assert!(chunk.tokens <= 256);
        assert_eq!(chunk.tokens as usize, tokenizer.encode(&chunk.text).unwrap().len());
        texts.entry(chunk.document).or_default().push_str(&squeezed(&chunk.text));
    }
    for i in 0..2 * grown.documents_per_copy() as u64 {
        let document = grown.document(i);
        let text = Marked::read(&document.text, &|id| is_known(&corpus, id)).text;
        assert_eq!(texts[&document.name], squeezed(&text), "{}", document.name);
    }
}

#[test]
fn a_chunk_is_the_same_whether_reached_in_order_or_alone() {
    let corpus = mini(&Scenarios::shipped().unwrap());
    let tokenizer = StandIn::new(1000);
    let in_order = all(&chunked(&corpus, &tokenizer, Some(500)));
    for n in [499, 0, 250, 11, 12, 13] {
        let alone = chunked(&corpus, &tokenizer, Some(500));
        assert_eq!(alone.chunk(n).unwrap(), in_order[n as usize], "{n}");
    }
    let texts: HashSet<&String> = in_order.iter().map(|chunk| &chunk.text).collect();
    assert_eq!(texts.len(), 500);
    let more = chunked(&corpus, &tokenizer, Some(1_000_000));
    assert_eq!(more.chunk(499).unwrap(), in_order[499]);
    assert!(!more.text(999_999).unwrap().is_empty());
}

#[test]
fn as_many_chunks_as_are_wanted_are_there_and_no_more() {
    let corpus = mini(&Scenarios::shipped().unwrap());
    let tokenizer = StandIn::new(1000);
    let plain = chunked(&corpus, &tokenizer, None);
    assert_eq!(plain.documents(), 2);
    let few = chunked(&corpus, &tokenizer, Some(2));
    assert_eq!((few.count(), few.documents(), few.whole_copies()), (2, 1, 0));
    assert_eq!(few.chunk(1).unwrap(), plain.chunk(1).unwrap());
    let message = few.chunk(2).unwrap_err().to_string();
    assert!(message.contains("no chunk 2") && message.contains("has 2"), "{message}");
    let documents: HashSet<String> =
        all(&chunked(&corpus, &tokenizer, Some(100))).into_iter().map(|chunk| chunk.document).collect();
    assert_eq!(chunked(&corpus, &tokenizer, Some(100)).documents(), documents.len() as u64);
}

#[test]
fn the_digest_follows_from_everything_that_chunks_follow_from() {
    let scenarios = Scenarios::shipped().unwrap();
    let (corpus, other_corpus) = (mini(&scenarios), handbook());
    let [tokenizer, other_tokenizer] = [StandIn::new(1000), StandIn::new(1001)];
    let digest = |corpus: &Corpus, tokenizer: &StandIn, tokens, overlap, wanted, seed| {
        let chunking = Chunking { tokens, overlap };
        ChunkedCorpus::new(corpus, tokenizer, chunking, wanted, seed).expect("chunks").digest()
    };
    let digests = [
        digest(&corpus, &tokenizer, 64, 0, Some(100), 1),
        digest(&other_corpus, &tokenizer, 64, 0, Some(100), 1),
        digest(&corpus, &other_tokenizer, 64, 0, Some(100), 1),
        digest(&corpus, &tokenizer, 65, 0, Some(100), 1),
        digest(&corpus, &tokenizer, 64, 1, Some(100), 1),
        digest(&corpus, &tokenizer, 64, 0, Some(101), 1),
        digest(&corpus, &tokenizer, 64, 0, Some(100), 2),
        digest(&corpus, &tokenizer, 64, 0, None, 1),
    ];
    assert_eq!(digests.iter().collect::<HashSet<_>>().len(), digests.len());
    assert_eq!(digests[0], digest(&corpus, &tokenizer, 64, 0, Some(100), 1));
    // Without copies the seed makes no difference, so an index can be used again.
    assert_eq!(digests[7], digest(&corpus, &tokenizer, 64, 0, None, 2));
}

#[test]
fn a_text_without_names_grows_and_an_unusable_splitting_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.txt"), "水泵每九十天检查一次。".repeat(60)).unwrap();
    std::fs::write(folder.path().join("b.txt"), "").unwrap();
    let corpus = Corpus::from_folder(folder.path(), &Scenarios::shipped().unwrap()).unwrap();
    let tokenizer = StandIn::new(1000);
    let chunks = all(&chunked(&corpus, &tokenizer, Some(40)));
    assert!(chunks.iter().all(|chunk| chunk.document.ends_with("a.txt") && chunk.tokens <= 256));
    let bad = ChunkedCorpus::new(&corpus, &tokenizer, Chunking { tokens: 0, overlap: 0 }, None, 1);
    assert!(bad.err().unwrap().to_string().contains("0 tokens"));
}
