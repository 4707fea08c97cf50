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

chapters![
    "01-company-and-products",
    "02-contact-and-tiers",
    "03-accounts-and-privacy",
    "04-returns",
    "05-warranty",
    "06-billing-and-plans",
    "07-delivery-and-logistics",
    "08-kite-thermostats",
    "09-ember-heat-pumps",
    "10-loom-and-brook-water",
    "11-drift-ventilation",
    "12-hearth-hub-and-app",
    "13-tally-sensors",
    "14-installation-and-commissioning",
    "15-error-codes",
    "16-maintenance-and-spare-parts",
    "17-safety-and-recalls",
    "18-certified-partners",
    "19-estate-accounts",
    "20-training-and-quality",
    "21-incidents-and-continuity",
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::prompts::corpus::Corpus;
    use crate::prompts::scenarios::Scenarios;

    fn stems(folder: &Path, ending: &str) -> Vec<String> {
        let files = std::fs::read_dir(folder).expect("the folder");
        let names = files.map(|file| file.expect("an entry").file_name().to_string_lossy().into_owned());
        let mut stems: Vec<String> =
            names.filter_map(|name| name.strip_suffix(ending).map(String::from)).collect();
        stems.sort();
        stems
    }

    #[test]
    fn every_chapter_of_the_folder_is_built_in() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("prompts/handbook");
        let built_in: Vec<&str> = CHAPTERS.iter().filter_map(|c| c.name.strip_suffix(".md")).collect();
        assert_eq!(stems(&folder, ".md"), built_in);
        assert_eq!(stems(&folder.join("questions"), ".toml"), built_in);
    }

    #[test]
    fn facts_and_questions_belong_together() {
        let corpus = Corpus::shipped(&Scenarios::shipped().unwrap()).unwrap();
        assert!(corpus.questions.len() > 250, "{}", corpus.questions.len());
        for question in &corpus.questions {
            let gold = question.gold.as_ref().expect("a gold answer");
            let passage = &corpus.passages[gold.passage];
            assert!(passage.id.starts_with(&gold.chapter), "{}: {}", question.id, passage.id);
            assert!(passage.title.ends_with(&gold.section), "{}: {}", question.id, passage.title);
            assert!(!gold.accept.is_empty() && gold.paraphrase.is_some(), "{}", question.id);
        }
        let marked = corpus.passages.iter().filter(|p| p.text.contains("[F-"));
        assert_eq!(marked.map(|p| &p.id).collect::<Vec<_>>(), Vec::<&String>::new());
    }

    #[test]
    fn the_handbook_is_as_long_as_promised() {
        let corpus = Corpus::shipped(&Scenarios::shipped().unwrap()).unwrap();
        let words: Vec<usize> = corpus.passages.iter().map(|p| p.text.split_whitespace().count()).collect();
        // 60,000 tokens and more: Qwen's tokenizers need at least 1.2 a word for such English.
        assert!(words.iter().sum::<usize>() > 50_000);
        let usual = words.iter().filter(|count| (100..=310).contains(*count)).count();
        assert!(usual * 10 > words.len() * 8, "{usual} of {} passages have a usual length", words.len());
    }
}
