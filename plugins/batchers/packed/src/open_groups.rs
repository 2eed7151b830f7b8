//! Groups with room, found by how little of it is left.

use std::collections::BTreeMap;

use batchlab_core::budget::Limits;
use batchlab_core::{GraphSize, Shape};

/// Groups of this many different sizes are tried before a new one is opened: where the weight has
/// room but another resource has none, the search must not become as long as the list.
const MAX_TRIED: usize = 256;

/// What is left of the binding resource, and the size of the group.
type Key = (u64, Shape);

/// Groups with room, fullest first; `T` says which they are.
pub(crate) struct OpenGroups<T>(BTreeMap<Key, Vec<T>>);

impl<T> OpenGroups<T> {
    pub(crate) fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Takes out the fullest group that has room for a graph of this weight.
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
