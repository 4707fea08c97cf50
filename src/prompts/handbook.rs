//! The shipped corpus, built into the program: `prompts/handbook`.
//!
//! A chapter that is added there is added here; a test compares the two.

/// A chapter and its questions.
pub struct Chapter {
    /// File name of the chapter.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
    /// The TOML with its questions.
    pub questions: &'static str,
}

macro_rules! chapters {
    ($($name:literal),* $(,)?) => {
        /// Every chapter, in order.
        pub const CHAPTERS: &[Chapter] = &[$(Chapter {
            name: concat!($name, ".md"),
            text: include_str!(concat!("../../prompts/handbook/", $name, ".md")),
            questions: include_str!(concat!("../../prompts/handbook/questions/", $name, ".toml")),
        }),*];
    };
}

chapters![];
