//! Merges outputs into batches: first the strongest pairs, then the remaining batches.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

/// Two outputs, as ranks in ascending order, and their mutual influence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pair {
    /// The larger rank.
    pub(crate) row: u32,
    pub(crate) column: u32,
    pub(crate) weight: f64,
}

/// Capacity of a batch.
#[derive(Clone, Copy)]
pub(crate) enum Limit<'a> {
    Outputs(usize),
    /// Number of distinct nodes of its outputs.
    Nodes(usize, &'a [Vec<u32>]),
}

/// Batches of ranks, ascending; batches are ordered by their first rank.
///
/// Pairs are visited once, in order: if their two batches fit into one, they are merged. Afterwards
/// the two smallest batches are merged as long as they fit.
pub(crate) fn merge(n_output: usize, pairs: &[Pair], limit: Limit<'_>) -> Vec<Vec<u32>> {
    let mut clusters = Clusters::greedy(n_output, pairs, limit);
    clusters.join_smallest();
    clusters.sorted()
}

pub(crate) struct Clusters<'a> {
    limit: Limit<'a>,
    /// Links towards the cluster's id, which is its smallest output. `[n_output]`
    parent: Vec<u32>,
    /// Outputs of each cluster in insertion order; empty if it was merged into another.
    member: Vec<Vec<u32>>,
    /// With a limit on nodes: the nodes of each cluster, ascending.
    node: Vec<Vec<u32>>,
    /// With a limit on nodes: pairs of clusters that were too large. Clusters only grow, so this
    /// remains true.
    refused: Vec<BTreeSet<u32>>,
}

impl<'a> Clusters<'a> {
    pub(crate) fn greedy(n_output: usize, pairs: &[Pair], limit: Limit<'a>) -> Self {
        let all = 0..n_output as u32;
        let (node, refused) = match limit {
            Limit::Outputs(_) => (Vec::new(), Vec::new()),
            Limit::Nodes(_, near) => (near.to_vec(), vec![BTreeSet::new(); n_output]),
        };
        let member = all.clone().map(|output| vec![output]).collect();
        let mut clusters = Self { limit, parent: all.collect(), member, node, refused };
        for pair in pairs {
            let [a, b] = [pair.row, pair.column].map(|output| clusters.cluster_of(output));
            if a != b && clusters.fit(a, b) {
                clusters.join(a.min(b), a.max(b));
            }
        }
        clusters
    }

    fn cluster_of(&mut self, output: u32) -> u32 {
        let mut at = output;
        while self.parent[at as usize] != at {
            // Path halving.
            let above = self.parent[self.parent[at as usize] as usize];
            self.parent[at as usize] = above;
            at = above;
        }
        at
    }

    fn fit(&mut self, a: u32, b: u32) -> bool {
        let [at, other] = [a, b].map(|cluster| cluster as usize);
        match self.limit {
            Limit::Outputs(most) => self.member[at].len() + self.member[other].len() <= most,
            Limit::Nodes(most, _) => {
                if self.refused[at].contains(&b) {
                    return false;
                }
                let fits = self.node[at].len() + self.node[other].len() <= most
                    || union(&self.node[at], &self.node[other]).len() <= most;
                if !fits {
                    self.refused[at].insert(b);
                    self.refused[other].insert(a);
                }
                fits
            }
        }
    }

    /// Merges `b` into `a`.
    fn join(&mut self, a: u32, b: u32) {
        let [at, other] = [a, b].map(|cluster| cluster as usize);
        self.parent[other] = a;
        let members = std::mem::take(&mut self.member[other]);
        self.member[at].extend(members);
        if let Limit::Nodes(..) = self.limit {
            let nodes = std::mem::take(&mut self.node[other]);
            self.node[at] = union(&self.node[at], &nodes);
            for third in std::mem::take(&mut self.refused[other]) {
                self.refused[third as usize].remove(&b);
                self.refused[third as usize].insert(a);
                self.refused[at].insert(third);
            }
        }
    }

    /// Merges the two smallest clusters until they do not fit. Ties are broken by the smaller first
    /// member.
    pub(crate) fn join_smallest(&mut self) {
        let key = |clusters: &Self, cluster: u32| {
            let members = &clusters.member[cluster as usize];
            let size = match clusters.limit {
                Limit::Outputs(_) => members.len(),
                Limit::Nodes(..) => clusters.node[cluster as usize].len(),
            };
            Reverse((size, members[0], cluster))
        };
        let all = 0..self.member.len() as u32;
        let mut smallest: BinaryHeap<_> = all
            .filter(|&cluster| !self.member[cluster as usize].is_empty())
            .map(|cluster| key(self, cluster))
            .collect();
        while let (Some(Reverse((.., a))), Some(Reverse((.., b)))) =
            (smallest.pop(), smallest.pop())
        {
            if !self.fit(a, b) {
                return;
            }
            self.join(a, b);
            smallest.push(key(self, a));
        }
    }

    /// Clusters in order of their smallest members; members are ascending.
    pub(crate) fn sorted(&self) -> Vec<Vec<u32>> {
        let mut all: Vec<Vec<u32>> =
            self.member.iter().filter(|members| !members.is_empty()).cloned().collect();
        for members in &mut all {
            members.sort_unstable();
        }
        all.sort_unstable();
        all
    }
}

/// Union of two ascending lists.
fn union(a: &[u32], b: &[u32]) -> Vec<u32> {
    let mut all = Vec::with_capacity(a.len() + b.len());
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    while let (Some(&&x), Some(&&y)) = (left.peek(), right.peek()) {
        all.push(x.min(y));
        left.next_if(|&&next| next <= y);
        right.next_if(|&&next| next <= x);
    }
    all.extend(left.chain(right));
    all
}
