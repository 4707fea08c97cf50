//! Vectors like those of an embedder, by the million, from a few thousand real ones.
//!
//! A synthetic vector lies at a drawn cosine from a real one, in the direction that leads from one other real
//! vector to another. So the noise has the spectrum of real embeddings, where noise in all directions alike
//! would put every copy at nearly the same distance. `docs/retrieval.md` holds the distances of nearest
//! neighbours against those of real texts. Not here: which chunks are perturbed ([`super::index`]).

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::store::exact::dot;

/// Smallest and largest cosine between a synthetic vector and the real one it comes from.
pub const COSINES: (f32, f32) = (0.70, 0.98);
/// What the rule is, as part of an index's identity: another text is another rule.
pub const RULE: &str = "perturbed 1: towards the difference of two others, cosine 0.70 to 0.98";
/// Draws of a direction before one is made of noise alone: others may be equal texts.
const DRAWS: usize = 8;
/// Squared length below which a difference has no direction.
const NO_DIRECTION: f32 = 1e-6;

/// The vector of length 1 that stands for chunk number `chunk`; equal arguments give equal bits.
///
/// `real` are embeddings of length 1, at least one; the vector comes from number `chunk` mod their count.
pub fn perturbed(real: &[Vec<f32>], chunk: u64, seed: u64) -> Vec<f32> {
    let origin = &real[(chunk % real.len() as u64) as usize];
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed ^ chunk.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let Some(direction) = direction(real, origin, &mut random) else {
        return origin.clone();
    };
    let cosine = random.random_range(COSINES.0..COSINES.1);
    let sine = (1.0 - cosine * cosine).sqrt();
    let mixed = origin.iter().zip(&direction).map(|(real, noise)| cosine * real + sine * noise);
    unit(mixed.collect()).unwrap_or_else(|| origin.clone())
}

/// A direction at a right angle to `origin`; `None` in one dimension, which has no other.
fn direction(real: &[Vec<f32>], origin: &[f32], random: &mut Xoshiro256PlusPlus) -> Option<Vec<f32>> {
    for _ in 0..DRAWS {
        let from = &real[random.random_range(0..real.len())];
        let to = &real[random.random_range(0..real.len())];
        let difference = to.iter().zip(from).map(|(to, from)| to - from).collect();
        if let Some(direction) = aside(difference, origin) {
            return Some(direction);
        }
    }
    aside(gaussian(origin.len(), random), origin)
}

/// The part of a vector that is at a right angle to `origin`, of length 1.
fn aside(mut vector: Vec<f32>, origin: &[f32]) -> Option<Vec<f32>> {
    let along = dot(&vector, origin);
    vector.iter_mut().zip(origin).for_each(|(number, origin)| *number -= along * origin);
    unit(vector)
}

/// The vector at length 1; `None` if it has no direction.
pub fn unit(mut vector: Vec<f32>) -> Option<Vec<f32>> {
    let squared = dot(&vector, &vector);
    if !squared.is_finite() || squared < NO_DIRECTION {
        return None;
    }
    let scale = squared.sqrt().recip();
    vector.iter_mut().for_each(|number| *number *= scale);
    Some(vector)
}

/// Normally distributed numbers, near enough: sums of twelve uniform ones.
pub fn gaussian(dimensions: usize, random: &mut Xoshiro256PlusPlus) -> Vec<f32> {
    let number = |random: &mut Xoshiro256PlusPlus| (0..12).map(|_| random.random::<f32>()).sum::<f32>() - 6.0;
    (0..dimensions).map(|_| number(random)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn real(rows: usize, dimensions: usize, seed: u64) -> Vec<Vec<f32>> {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        (0..rows).map(|_| unit(gaussian(dimensions, &mut random)).expect("noise has a direction")).collect()
    }

    proptest! {
        #[test]
        fn it_has_length_1_and_lies_within_the_cosines_of_its_origin(
            rows in 1usize..20, dimensions in 2usize..64, chunk in any::<u64>(), seed in any::<u64>(),
        ) {
            let real = real(rows, dimensions, seed);
            let vector = perturbed(&real, chunk, seed);
            prop_assert!((dot(&vector, &vector) - 1.0).abs() < 1e-5);
            let cosine = dot(&vector, &real[(chunk % rows as u64) as usize]);
            prop_assert!((COSINES.0 - 1e-3..COSINES.1 + 1e-3).contains(&cosine), "{cosine}");
            prop_assert_eq!(vector, perturbed(&real, chunk, seed));
        }
    }

    #[test]
    fn chunk_and_seed_change_it() {
        let real = real(10, 16, 1);
        assert_ne!(perturbed(&real, 10, 1), perturbed(&real, 20, 1));
        assert_ne!(perturbed(&real, 10, 1), perturbed(&real, 10, 2));
    }

    #[test]
    fn equal_texts_and_one_dimension_give_no_nan() {
        let equal = vec![vec![0.6, 0.8]; 5];
        assert!(perturbed(&equal, 7, 0).iter().all(|number| number.is_finite()));
        assert_eq!(perturbed(&[vec![1.0]], 3, 0), [1.0]);
    }
}
