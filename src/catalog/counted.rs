//! Tests only: the shapes of the shipped catalog against counts that others made of the same models.

use super::Catalog;

/// One model: id, text parameters, bf16 KV bytes per token, parameters that a token is multiplied with (head and
/// vectors included, the embedding table not), bytes of state in f32.
type Count = (&'static str, u64, u64, u64, u64);

/// Counted on meta tensors by `transformers` from each repository's configuration; state as this engine holds
/// it: recurrent, and the rows that the convolution needs.
const COUNTED: &[Count] = &[
    ("qwen2.5-0.5b", 494_032_768, 12_288, 494_032_768, 0),
    ("qwen2.5-1.5b", 1_543_714_304, 28_672, 1_543_714_304, 0),
    ("qwen2.5-3b", 3_085_938_688, 36_864, 3_085_938_688, 0),
    ("qwen2.5-7b", 7_615_616_512, 57_344, 7_070_619_136, 0),
    ("qwen2.5-14b", 14_770_033_664, 196_608, 13_991_465_984, 0),
    ("qwen2.5-32b", 32_763_876_352, 262_144, 31_985_308_672, 0),
    ("qwen2.5-72b", 72_706_203_648, 327_680, 71_460_495_360, 0),
    ("qwen3-0.6b", 596_049_920, 114_688, 596_049_920, 0),
    ("qwen3-1.7b", 1_720_574_976, 114_688, 1_720_574_976, 0),
    ("qwen3-4b", 4_022_468_096, 147_456, 4_022_468_096, 0),
    ("qwen3-8b", 8_190_735_360, 147_456, 7_568_405_504, 0),
    ("qwen3-14b", 14_768_307_200, 163_840, 13_990_394_880, 0),
    ("qwen3-32b", 32_762_123_264, 262_144, 31_984_210_944, 0),
    ("qwen3-30b-a3b", 30_532_122_624, 98_304, 3_041_867_776, 0),
    ("qwen3-235b-a22b", 235_093_634_560, 192_512, 21_568_433_664, 0),
    ("qwen3.5-0.8b", 752_393_024, 12_288, 752_393_024, 20_201_472),
    ("qwen3.5-2b", 1_881_825_088, 12_288, 1_881_825_088, 20_201_472),
    ("qwen3.5-4b", 4_205_751_296, 32_768, 4_205_751_296, 52_690_944),
    ("qwen3.5-9b", 8_953_803_264, 32_768, 7_936_684_544, 52_690_944),
    ("qwen3.5-27b", 26_895_998_464, 65_536, 25_624_600_064, 156_893_184),
    ("qwen3.5-35b-a3b", 34_660_610_688, 20_480, 2_946_429_568, 65_863_680),
    ("qwen3.5-122b-a10b", 122_111_526_912, 24_576, 9_008_449_536, 156_303_360),
    ("qwen3.5-397b-a17b", 396_346_350_336, 30_720, 16_331_922_176, 195_379_200),
];

/// Counted by hand from the formulas of the architecture. Published: 80 B with an MTP block that is not here (a
/// loader that skips it reports 79.67 B), 14.3 B of which 2.7 B active with the embedding, 57.41 B of which 14 B.
const BY_HAND: &[Count] = &[
    ("qwen3-next-80b-a3b", 79_674_391_296, 24_576, 3_563_764_480, 79_036_416),
    ("qwen1.5-moe-a2.7b", 14_315_784_192, 196_608, 2_378_008_576, 0),
    ("qwen2-57b-a14b", 57_408_658_944, 57_344, 13_704_732_160, 0),
];

/// `qwen3-4b-instruct-2507` has the matrices of `qwen3-4b`, and Qwen3.6 and 3.8 have those of Qwen3.5.
fn same_matrices(id: &str) -> String {
    let id = id.replace("qwen3.6-", "qwen3.5-").replace("qwen3.8-", "qwen3.5-");
    let endings = ["-2507", "-instruct", "-thinking", "-chat"];
    endings.iter().fold(id.as_str(), |id, ending| id.trim_end_matches(ending)).to_owned()
}

#[test]
fn every_entry_has_the_counted_parameters_cache_and_state() {
    for entry in &Catalog::load(None).unwrap().entries {
        let (id, shape) = (&entry.id, &entry.shape);
        let mut counts = COUNTED.iter().chain(BY_HAND);
        let counted = counts.find(|count| count.0 == same_matrices(id));
        let (_, parameters, kv, active, state) = counted.unwrap_or_else(|| panic!("{id} was never counted"));
        assert_eq!(shape.parameters(), *parameters, "{id}");
        assert_eq!(shape.kv_bytes_per_token(2), *kv, "{id}");
        let vectors = shape.vector_parameters();
        assert_eq!(shape.matrix_parameters_per_token() + vectors + shape.head_parameters(), *active, "{id}");
        assert_eq!(shape.constant_state_bytes(), *state, "{id}");
    }
}

#[test]
fn what_was_counted_is_in_the_catalog() {
    let catalog = Catalog::load(None).unwrap();
    for (id, ..) in COUNTED {
        assert!(catalog.find(id).is_some(), "{id}");
    }
    let count = |family: &str| catalog.entries.iter().filter(|entry| entry.family == family).count();
    assert_eq!((count("Qwen3.5"), count("Qwen3.6"), count("Qwen3.8")), (8, 2, 1));
    assert_eq!((count("Qwen3"), count("Qwen2.5"), catalog.entries.len()), (14, 14, 45));
}

#[test]
fn the_whole_models_that_are_published_differ_by_vision_and_mtp_only() {
    let catalog = Catalog::load(None).unwrap();
    let text = |id| catalog.find(id).unwrap().shape.parameters();
    // Published totals: 9B, and 27B by the total_size of its checkpoint in bf16.
    let others_9b = 9_653_104_368 - text("qwen3.5-9b");
    let others_27b = 55_562_855_904 / 2 - text("qwen3.8-27b");
    assert!((0.6e9..1.0e9).contains(&(others_9b as f64)), "{others_9b}");
    assert!((0.6e9..1.0e9).contains(&(others_27b as f64)), "{others_27b}");
}

#[test]
fn quantized_files_hold_about_the_bits_that_their_name_says() {
    let catalog = Catalog::load(None).unwrap();
    for entry in &catalog.entries {
        for gguf in &entry.gguf {
            let Some(bytes) = gguf.bytes else { continue };
            // Small models have a large table, which the recipe keeps in more bits; an MTP block is not in the shape.
            let expected = match gguf.quantization.as_str() {
                "Q8_0" => 8.4..9.0,
                "Q4_K_M" => 4.6..6.5,
                other => panic!("{other} of {} has no range here", gguf.file),
            };
            let bits = bytes as f64 * 8.0 / entry.shape.parameters() as f64;
            // One uploader stores the tied head a second time.
            let head = entry.shape.head_parameters() as f64 / entry.shape.parameters() as f64;
            let bits = if bytes == 675_710_816 { bits / (1.0 + head) } else { bits };
            assert!(expected.contains(&bits), "{}: {bits:.2} bits", gguf.file);
        }
    }
}
