//! Scores and residues of one root, in reusable memory of the size of the graph.

use crate::top::keep_top;

/// The values needed per edge, side by side.
#[derive(Clone, Copy)]
struct Slot {
    residue: f64,
    /// A node waits from this residue on. It never waits twice: its residue only grows until it is
    /// pushed.
    threshold: f64,
}

pub(crate) struct Scratch {
    slot: Vec<Slot>,
    score: Vec<f64>,
    /// Nodes with a score, in the order of their first push.
    scored: Vec<u32>,
    /// Nodes with a residue; may contain duplicates.
    touched: Vec<u32>,
    waiting: Vec<u32>,
    n_taken: usize,
    /// The initial residue of a root.
    first: f64,
}

/// The scores of one root.
pub struct Pushed<'a> {
    scratch: &'a Scratch,
}

impl Scratch {
    pub(crate) fn new(threshold: impl Iterator<Item = f64>) -> Self {
        let slot: Vec<Slot> = threshold.map(|threshold| Slot { residue: 0.0, threshold }).collect();
        Self {
            score: vec![0.0; slot.len()],
            slot,
            scored: Vec::new(),
            touched: Vec::new(),
            waiting: Vec::new(),
            n_taken: 0,
            first: 1.0,
        }
    }

    /// Makes a root wait, whatever its threshold.
    pub(crate) fn start(&mut self, root: u32, residue: f64) {
        self.first = residue;
        self.slot[root as usize].residue = residue;
        self.touched.push(root);
        self.waiting.push(root);
    }

    /// Removes the node that began to wait last. The order changes scores within the threshold.
    pub(crate) fn take(&mut self) -> Option<u32> {
        let node = self.waiting.pop();
        self.n_taken += usize::from(node.is_some());
        node
    }

    pub(crate) fn residue(&self, node: u32) -> f64 {
        self.slot[node as usize].residue
    }

    /// Adds to the score of a pushed node, and sets its remaining residue.
    pub(crate) fn settle(&mut self, node: u32, score: f64, residue: f64) {
        let of_node = &mut self.score[node as usize];
        if *of_node == 0.0 {
            self.scored.push(node);
        }
        *of_node += score;
        let slot = &mut self.slot[node as usize];
        slot.residue = residue;
        if residue >= slot.threshold && residue > 0.0 {
            self.waiting.push(node);
        }
    }

    /// Adds to the residue of each neighbour.
    pub(crate) fn spread(&mut self, neighbours: &[u32], share: f64) {
        for &node in neighbours {
            let slot = &mut self.slot[node as usize];
            let before = slot.residue;
            slot.residue = before + share;
            if before == 0.0 {
                self.touched.push(node);
            }
            if slot.residue >= slot.threshold && before < slot.threshold {
                self.waiting.push(node);
            }
        }
    }

    pub(crate) fn pushed(&self) -> Pushed<'_> {
        Pushed { scratch: self }
    }

    pub(crate) fn clear(&mut self) {
        for node in self.touched.drain(..) {
            self.slot[node as usize].residue = 0.0;
        }
        for node in self.scored.drain(..) {
            self.score[node as usize] = 0.0;
        }
        self.waiting.clear();
        self.n_taken = 0;
    }
}

impl Pushed<'_> {
    /// Nodes and their scores, in the order of their first push.
    #[must_use]
    pub fn scores(&self) -> impl ExactSizeIterator<Item = (u32, f64)> {
        self.scratch.scored.iter().map(|&node| (node, self.scratch.score[node as usize]))
    }

    /// The `k` nodes with the highest scores, best first; ties by node number.
    #[must_use]
    pub fn top(&self, k: usize) -> Vec<u32> {
        let mut scores: Vec<(u32, f64)> = self.scores().collect();
        keep_top(&mut scores, k);
        scores.into_iter().map(|(node, _)| node).collect()
    }

    /// Number of pushes.
    #[must_use]
    pub fn n_push(&self) -> usize {
        self.scratch.n_taken
    }

    /// Nodes and their residues as shares of the initial residue, ascending by node: the part of
    /// the walk without a score yet. Scores and residues sum to 1.
    #[must_use]
    pub fn residues(&self) -> Vec<(u32, f64)> {
        let mut nodes = self.scratch.touched.clone();
        nodes.sort_unstable();
        nodes.dedup();
        let share = |node: u32| self.scratch.residue(node) / self.scratch.first;
        nodes.into_iter().map(|node| (node, share(node))).collect()
    }
}
