//! Numbers that look random and follow from their arguments alone, the same in every release.

/// A number that depends on all three.
pub(crate) fn mixed(seed: u64, purpose: &str, index: u64) -> u64 {
    let start = purpose.bytes().fold(scrambled(seed), |state, byte| scrambled(state ^ u64::from(byte)));
    scrambled(start ^ scrambled(index))
}

/// The finalizer of splitmix64.
fn scrambled(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
