use std::collections::HashSet;
use std::fs;

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::*;
use crate::retrieval::perturb::{gaussian, unit};

/// How far bf16 takes a score from that of f32.
const ROUNDED: f32 = 5e-3;

fn identity(chunks: u64, dimensions: usize) -> Identity {
    Identity { digest: "one".into(), chunks, dimensions }
}

/// Random directions, of which some come again: texts repeat in real folders.
fn vectors(count: u64, dimensions: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut all: Vec<Vec<f32>> = Vec::new();
    for _ in 0..count {
        let again = !all.is_empty() && random.random_range(0..4) == 0;
        all.push(match again {
            true => all[random.random_range(0..all.len())].clone(),
            false => unit(gaussian(dimensions, &mut random)).unwrap_or_else(|| vec![1.0]),
        });
    }
    all
}

fn rows(vectors: &[Vec<f32>]) -> Vec<Row> {
    let row = |(chunk, vector): (usize, &Vec<f32>)| Row {
        chunk: chunk as u64,
        vector: vector.clone(),
        text: format!("text {chunk}"),
    };
    vectors.iter().enumerate().map(row).collect()
}

/// A finished store of so many random vectors.
fn built(folder: &Path, count: u64, dimensions: usize) -> EmbeddedStore {
    let mut store = EmbeddedStore::new(folder);
    assert_eq!(store.open(&identity(count, dimensions)).expect("it can be opened"), 0);
    store.add(&rows(&vectors(count, dimensions, 3))).expect("rows fit");
    store.finish().expect("it can be finished");
    store
}

/// What opening says of a folder in which one file was changed.
fn told_after(change: impl Fn(&Path)) -> Result<u64, String> {
    let folder = tempfile::tempdir().expect("there is room");
    drop(built(folder.path(), 20, 4));
    change(folder.path());
    EmbeddedStore::new(folder.path()).open(&identity(20, 4)).map_err(|error| error.to_string())
}

fn flip_a_bit(path: &Path) {
    let mut bytes = fs::read(path).expect("the file is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).expect("it can be written");
}

#[test]
fn a_flipped_bit_is_found_in_every_file_and_named() {
    for name in [layout::VECTORS, layout::TEXTS, layout::ENDS] {
        let told = told_after(|folder| flip_a_bit(&folder.join(name))).unwrap_err();
        assert!(told.contains(name) && told.contains("remove the folder"), "{told}");
    }
    let told = told_after(|folder| flip_a_bit(&folder.join(layout::GRAPH))).unwrap_err();
    assert!(told.contains(layout::GRAPH) && told.contains("remove this file"), "{told}");
}

#[test]
fn a_cut_or_lost_file_is_found_and_named() {
    for name in [layout::VECTORS, layout::TEXTS, layout::ENDS, layout::GRAPH] {
        let cut = |folder: &Path| {
            let content = fs::read(folder.join(name)).expect("the file is there");
            fs::write(folder.join(name), &content[..content.len() - 1]).expect("it can be written");
        };
        assert!(told_after(cut).unwrap_err().contains(name));
    }
    for name in [layout::VECTORS, layout::TEXTS, layout::ENDS] {
        let told = told_after(|folder| fs::remove_file(folder.join(name)).expect("it is there")).unwrap_err();
        assert!(told.contains(name), "{told}");
    }
}

#[test]
fn a_graph_that_was_taken_away_is_built_again() {
    let folder = tempfile::tempdir().unwrap();
    drop(built(folder.path(), 20, 4));
    fs::remove_file(folder.path().join(layout::GRAPH)).unwrap();
    let mut store = EmbeddedStore::new(folder.path());
    assert_eq!(store.open(&identity(20, 4)).unwrap(), 20);
    let query = store.vectors(1).unwrap().unwrap().remove(0);
    assert!(store.search(&query, 1).is_err());
    store.finish().unwrap();
    assert_eq!(store.search(&query, 5).unwrap().len(), 5);
}

#[test]
fn a_manifest_that_is_not_one_is_named_and_nothing_is_dropped() {
    for content in ["", "{", "[1, 2]", "{\"format\": 1}"] {
        let folder = tempfile::tempdir().unwrap();
        drop(built(folder.path(), 20, 4));
        fs::write(folder.path().join(layout::MANIFEST), content).unwrap();
        let told = EmbeddedStore::new(folder.path()).open(&identity(20, 4)).unwrap_err().to_string();
        assert!(told.contains(layout::MANIFEST) && told.contains("remove the folder"), "{told}");
        assert!(folder.path().join(layout::VECTORS).exists());
    }
}

#[test]
fn a_folder_of_somebody_else_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    // Even where a file happens to have a name of ours.
    for name in ["thesis.txt", layout::VECTORS] {
        fs::write(folder.path().join(name), "mine").unwrap();
    }
    let told = EmbeddedStore::new(folder.path()).open(&identity(20, 4)).unwrap_err().to_string();
    assert!(told.contains("name another folder"), "{told}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    assert_eq!(fs::read_to_string(folder.path().join(layout::VECTORS)).unwrap(), "mine");
}

#[test]
fn another_identity_drops_our_files_and_only_them() {
    let folder = tempfile::tempdir().unwrap();
    drop(built(folder.path(), 20, 4));
    fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    let mut store = EmbeddedStore::new(folder.path());
    let other = Identity { digest: "two".into(), ..identity(20, 4) };
    assert_eq!(store.open(&other).unwrap(), 0);
    assert!(!folder.path().join(layout::GRAPH).exists());
    assert_eq!(fs::read_to_string(folder.path().join("notes.txt")).unwrap(), "mine");
}

#[test]
fn two_processes_do_not_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let first = built(folder.path(), 20, 4);
    let told = EmbeddedStore::new(folder.path()).open(&identity(20, 4)).unwrap_err().to_string();
    assert!(told.contains("in use"), "{told}");
    drop(first);
    assert_eq!(EmbeddedStore::new(folder.path()).open(&identity(20, 4)).unwrap(), 20);
}

#[test]
fn rows_that_do_not_belong_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = EmbeddedStore::new(folder.path());
    store.open(&identity(2, 3)).unwrap();
    let row = |chunk, vector: &[f32]| Row { chunk, vector: vector.to_vec(), text: String::new() };
    let refused = [
        row(1, &[1.0, 0.0, 0.0]),
        row(0, &[1.0, 0.0]),
        row(0, &[f32::NAN, 0.0, 1.0]),
        row(0, &[0.0, 0.0, 0.0]),
    ];
    for row in refused {
        assert!(store.add(&[row]).is_err());
    }
    assert!(store.finish().unwrap_err().to_string().contains("0 of its 2"));
    let good = row(0, &[1.0, 0.0, 0.0]);
    store.add(&[good.clone(), Row { chunk: 1, ..good.clone() }]).unwrap();
    assert!(store.add(&[Row { chunk: 2, ..good }]).is_err());
    assert!(store.search(&[1.0, 0.0], 1).is_err());
    assert!(store.fetch(&[2]).is_err());
}

#[test]
fn texts_come_back_in_the_order_asked_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    drop(built(folder.path(), 20, 4));
    let mut store = EmbeddedStore::new(folder.path());
    store.open(&identity(20, 4)).unwrap();
    assert_eq!(store.fetch(&[19, 0, 7, 7]).unwrap(), ["text 19", "text 0", "text 7", "text 7"]);
    assert!(store.size_bytes().unwrap().unwrap() > 20 * (4 * 4 + 8 + 6));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn hits_are_sorted_distinct_within_range_and_nearly_all_right(
        count in 1u64..300, dimensions in 1usize..64, k in 0usize..30, seed in any::<u64>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = EmbeddedStore::new(folder.path());
        store.open(&identity(count, dimensions)).unwrap();
        store.add(&rows(&vectors(count, dimensions, seed))).unwrap();
        store.finish().unwrap();
        let (mut right, mut wanted) = (0, 0);
        for query in &vectors(10, dimensions, seed ^ 1) {
            let hits = store.search(query, k).unwrap();
            prop_assert_eq!(hits.len(), k.min(count as usize));
            prop_assert!(hits.windows(2).all(|pair| pair[0].score >= pair[1].score));
            prop_assert_eq!(hits.iter().map(|hit| hit.chunk).collect::<HashSet<_>>().len(), hits.len());
            let exact = store.search_exact(query, count as usize).unwrap().unwrap();
            for hit in &hits {
                let truth = exact.iter().find(|exact| exact.chunk == hit.chunk).map(|truth| truth.score);
                prop_assert!(truth.is_some_and(|truth| (truth - hit.score).abs() < ROUNDED), "{hit:?} {truth:?}");
                right += u32::from(truth >= exact.get(hits.len() - 1).map(|last| last.score - ROUNDED));
                wanted += 1;
            }
        }
        prop_assert!(f64::from(right) >= 0.95 * f64::from(wanted), "{right} of {wanted}");
    }
}
