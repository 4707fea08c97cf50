//! Everything random about requests: reproducible streams, and the codes they begin with.

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::prompts::mixing::mixed;

/// Codes that five letters can form.
const CODES: u64 = 26u64.pow(5);
/// Near the golden section of [`CODES`] and coprime with it: neighbours differ in their first letter.
const STEP: u64 = 7_343_095;

/// A random stream for one purpose; equal arguments give equal streams.
pub(super) fn stream(seed: u64, purpose: &str, index: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(mixed(seed, purpose, index))
}

/// The code a request begins with, e.g. `QXKVB-0007`: no two requests of a case have the same
/// letters (up to 11.8 million of them), and no two of a run the same code.
pub(super) fn code(seed: u64, case: &str, context_tokens: u32, index: u32) -> String {
    let start = mixed(seed, case, u64::from(context_tokens)) % CODES;
    let mut value = (start + u64::from(index) % CODES * STEP) % CODES;
    let mut letters = [0u8; 5];
    for letter in letters.iter_mut().rev() {
        *letter = b'A' + (value % 26) as u8;
        value /= 26;
    }
    format!("{}-{index:04}", letters.map(char::from).iter().collect::<String>())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_of_a_case_never_repeat_and_differ_early() {
        let codes: Vec<String> = (0..5000).map(|index| code(42, "rag", 2048, index)).collect();
        let letters: HashSet<&str> = codes.iter().map(|code| &code[..5]).collect();
        assert_eq!(letters.len(), codes.len());
        assert!(codes.windows(2).all(|pair| pair[0].as_bytes()[0] != pair[1].as_bytes()[0]));
    }

    #[test]
    fn seed_case_and_length_change_the_code() {
        let all =
            [code(1, "rag", 64, 0), code(2, "rag", 64, 0), code(1, "short", 64, 0), code(1, "rag", 65, 0)];
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 4);
        assert_eq!(code(1, "rag", 64, 0), all[0]);
    }
}
