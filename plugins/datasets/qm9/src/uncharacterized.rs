//! The molecules whose geometry did not survive relaxation: QM9's `uncharacterized.txt`.

use std::sync::LazyLock;

/// The 1-based indices, ascending. The file is part of the crate, so no line can be malformed.
static INDICES: LazyLock<Vec<u32>> = LazyLock::new(|| {
    let text = include_str!("../../../../data/uncharacterized.csv");
    text.lines().filter_map(|line| line.parse().ok()).collect()
});

/// Whether QM9's authors list the molecule as uncharacterised: after relaxation its geometry
/// belongs to a different SMILES string from the one it was made from (3,054 of 133,885).
pub(crate) fn is_uncharacterized(gdb_index: u32) -> bool {
    INDICES.binary_search(&gdb_index).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_whole_and_sorted() {
        assert_eq!(INDICES.len(), 3054);
        assert_eq!((INDICES.first(), INDICES.last()), (Some(&58), Some(&133_866)));
        assert!(INDICES.is_sorted_by(|a, b| a < b));
        assert!(is_uncharacterized(58) && is_uncharacterized(61) && !is_uncharacterized(1));
    }
}
