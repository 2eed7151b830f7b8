//! Groups with room, indexed by remaining capacity.

use std::collections::BTreeMap;

use batchlab_core::budget::Limits;
use batchlab_core::{GraphSize, Shape};

/// Maximum number of distinct group sizes to try before opening a new group: if the weight has room
/// but another resource has none, the search must not become linear.
const MAX_TRIED: usize = 256;

/// Remaining capacity of the binding resource, and the size of the group.
type Key = (u64, Shape);

/// Groups with room, fullest first; `T` identifies them.
pub(crate) struct OpenGroups<T>(BTreeMap<Key, Vec<T>>);

impl<T> OpenGroups<T> {
    pub(crate) fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Removes the fullest group with room for a graph of this weight.
    pub(crate) fn take_fullest(
        &mut self,
        graph: GraphSize,
        weight: u64,
        limits: &Limits,
    ) -> Option<(Key, T)> {
        let mut tried = self.0.range((weight, Shape::default())..).take(MAX_TRIED);
        let key = *tried.find(|((_, shape), _)| limits.fits(*shape, graph))?.0;
        let same = self.0.get_mut(&key)?;
        let group = same.pop()?;
        if same.is_empty() {
            self.0.remove(&key);
        }
        Some((key, group))
    }

    pub(crate) fn put(&mut self, key: Key, group: T) {
        self.0.entry(key).or_default().push(group);
    }

    pub(crate) fn into_groups(self) -> impl Iterator<Item = T> {
        self.0.into_values().flatten()
    }
}
