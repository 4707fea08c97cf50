//! Which tokens an expert gets, so that its matrices are read once for all of them.

use candle_core::{DType, Result, Tensor};

use super::route::Routes;
use crate::cuda::address::{address, output};
use crate::cuda::launch::Launch;

/// Pairs at most: each expert's block walks them all.
pub(super) const MOST_PAIRS: usize = 1 << 24;

/// Pairs of token and pick by expert, and the tiles that a grouped product works through. A pair is token · used + pick.
#[derive(Clone, Debug)]
pub struct Groups {
    /// (tokens · used), u32: sorted by expert, and then ascending.
    pub pairs: Tensor,
    /// (experts + 1), u32: where the pairs of each expert begin, and how many there are in all.
    pub offsets: Tensor,
    /// (tiles, 2), u32: expert and first place in `pairs`, expert after expert; expert 2³² − 1 where there is none.
    pub tiles: Tensor,
    /// Rows of a tile: fewer where its expert has no more.
    pub rows: usize,
}

/// Sorts the pairs of `routes`, which must be of `experts` experts, for tiles of `rows` rows.
///
/// Errors above 1,024 experts, and above 2²⁴ pairs.
pub fn group(routes: &Routes, experts: usize, rows: usize) -> Result<Groups> {
    let pairs_count = routes.experts.elem_count();
    if experts == 0 || experts > 1024 || rows == 0 {
        candle_core::bail!(
            "pairs are sorted by 1 to 1,024 experts and into tiles of rows, not by {experts} into {rows}"
        );
    }
    if pairs_count > MOST_PAIRS {
        candle_core::bail!(
            "{pairs_count} pairs of token and expert are too many: take fewer tokens at a time"
        );
    }
    // Each expert wastes less than one tile.
    let most = pairs_count / rows + experts.min(pairs_count);
    let like = &routes.experts;
    let groups = Groups {
        pairs: output(&[pairs_count], like, DType::U32)?,
        offsets: output(&[experts + 1], like, DType::U32)?,
        tiles: output(&[most, 2], like, DType::U32)?,
        rows,
    };
    Launch::new("experts_group", experts, 256)?
        .address(address(like)?)
        .address(address(&groups.offsets)?)
        .address(address(&groups.pairs)?)
        .int(pairs_count)?
        .run(like.device())?;
    Launch::new("experts_tiles", 1, experts.next_multiple_of(32) as u32)?
        .address(address(&groups.offsets)?)
        .address(address(&groups.tiles)?)
        .int(experts)?
        .int(rows)?
        .int(most)?
        .run(like.device())?;
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::on_host;
    use candle_core::Device;
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    fn groups(experts: &[u32], used: usize, count: usize, rows: usize) -> Groups {
        let experts =
            Tensor::from_slice(experts, (experts.len() / used, used), &Device::Cpu).expect("a matrix");
        let weights = experts.to_dtype(DType::F32).expect("a cast");
        on_host::with(|| group(&Routes { experts, weights }, count, rows)).expect("it can be grouped")
    }

    fn numbers(x: &Tensor) -> Vec<u32> {
        x.flatten_all().and_then(|x| x.to_vec1()).expect("u32")
    }

    #[test]
    fn groups_hold_every_pair_once_by_expert_and_then_ascending() {
        let groups = groups(&[1, 4, 0, 4, 1, 4], 2, 5, 2);
        assert_eq!(numbers(&groups.pairs), [2, 0, 4, 1, 3, 5]);
        assert_eq!(numbers(&groups.offsets), [0, 1, 3, 3, 3, 6]);
        let none = [u32::MAX, 0];
        assert_eq!(numbers(&groups.tiles), [[0, 0], [1, 1], [4, 3], [4, 5], none, none, none, none].concat());
    }

    #[test]
    fn agrees_with_a_stable_sort_whatever_the_sizes() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
        // More pairs than a block takes at once, and more experts than a warp has lanes.
        for (tokens, used, count, rows) in [(1, 1, 1, 64), (40, 4, 16, 3), (1, 8, 256, 64), (700, 7, 41, 32)]
        {
            let experts: Vec<u32> =
                (0..tokens * used).map(|_| rng.random_range(0..count as u32) / 2 * 2).collect();
            let groups = groups(&experts, used, count, rows);
            let mut expected: Vec<u32> = (0..experts.len() as u32).collect();
            expected.sort_by_key(|pair| experts[*pair as usize]);
            assert_eq!(numbers(&groups.pairs), expected);
            let below = |expert: u32| experts.iter().filter(|other| **other < expert).count() as u32;
            let offsets: Vec<u32> = (0..=count as u32).map(below).collect();
            assert_eq!(numbers(&groups.offsets), offsets);
            let tiles = |e: u32| {
                (offsets[e as usize]..offsets[e as usize + 1]).step_by(rows).flat_map(move |f| [e, f])
            };
            let mut expected: Vec<u32> = (0..count as u32).flat_map(tiles).collect();
            let got = numbers(&groups.tiles);
            assert!(expected.len() <= got.len());
            while expected.len() < got.len() {
                expected.extend([u32::MAX, 0]);
            }
            assert_eq!(got, expected);
        }
    }
}
