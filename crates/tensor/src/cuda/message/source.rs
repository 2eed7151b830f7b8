//! The text of a kernel under construction, and the placement of its tiles in shared memory.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::parameter::Parameter;

/// A sequence of actions of a block of threads, with the parameters that they need.
#[derive(Debug, Default)]
pub(super) struct Source {
    parameters: BTreeSet<Parameter>,
    actions: Vec<Action>,
    /// Size of each tile, in numbers.
    tiles: Vec<usize>,
    /// Names of tiles; two names for one tile if values overwrite others.
    names: Vec<(String, usize)>,
}

/// Done by all threads of a block, followed by a barrier.
#[derive(Debug, Default)]
struct Action {
    text: String,
    tiles: BTreeSet<usize>,
}

impl Source {
    /// Begins the next action.
    pub(super) fn begin(&mut self) {
        self.actions.push(Action::default());
    }

    /// Appends to the last action.
    pub(super) fn put(&mut self, text: &str) {
        if let Some(action) = self.actions.last_mut() {
            action.text.push_str(text);
        }
    }

    pub(super) fn parameter(&mut self, parameter: Parameter) -> String {
        self.parameters.insert(parameter);
        parameter.to_string()
    }

    pub(super) fn create(&mut self, name: &str, numbers: usize) {
        self.names.push((name.to_owned(), self.tiles.len()));
        self.tiles.push(numbers);
        self.touch(name);
    }

    pub(super) fn take_place(&mut self, name: &str, of: &str) {
        if let Some(tile) = self.find(of) {
            self.names.push((name.to_owned(), tile));
            self.touch(name);
        }
    }

    pub(super) fn exists(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Marks the tile as used by the last action.
    pub(super) fn touch(&mut self, name: &str) {
        let tile = self.find(name);
        if let (Some(tile), Some(action)) = (tile, self.actions.last_mut()) {
            action.tiles.insert(tile);
        }
    }

    /// The parameters mentioned so far, in a fixed order.
    pub(super) fn parameters(&self) -> Vec<Parameter> {
        self.parameters.iter().copied().collect()
    }

    /// The declarations of the tiles, the actions, and the total size of the tiles in numbers.
    pub(super) fn finish(&self) -> (String, String, usize) {
        let (offset, total) = self.place();
        let mut declarations = String::new();
        for (name, tile) in &self.names {
            let _ = writeln!(declarations, "    float *const {name} = tiles + {};", offset[*tile]);
        }
        let actions = self.actions.iter().map(|action| action.text.as_str()).collect();
        (declarations, actions, total)
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.names.iter().find(|(own, _)| own == name).map(|(_, tile)| *tile)
    }

    /// The offset of each tile: the first one that is free from the tile's first to its last use.
    fn place(&self) -> (Vec<usize>, usize) {
        let used = |tile: usize| {
            let uses = |action: &Action| action.tiles.contains(&tile);
            let first = self.actions.iter().position(uses).unwrap_or(0);
            first..=self.actions.iter().rposition(uses).unwrap_or(0)
        };
        let mut order: Vec<usize> = (0..self.tiles.len()).collect();
        order.sort_by_key(|&tile| std::cmp::Reverse(self.tiles[tile]));
        let mut offset = vec![0; self.tiles.len()];
        let mut placed: Vec<usize> = Vec::new();
        for tile in order {
            let own = used(tile);
            let mut taken: Vec<_> = placed
                .iter()
                .filter(|&&other| {
                    let other = used(other);
                    own.start() <= other.end() && other.start() <= own.end()
                })
                .map(|&other| offset[other]..offset[other] + self.tiles[other])
                .collect();
            taken.sort_by_key(|range| range.start);
            let mut start = 0;
            for range in taken {
                if start + self.tiles[tile] <= range.start {
                    break;
                }
                start = start.max(range.end);
            }
            offset[tile] = start;
            placed.push(tile);
        }
        let total = placed.iter().map(|&tile| offset[tile] + self.tiles[tile]).max().unwrap_or(0);
        (offset, total)
    }
}
