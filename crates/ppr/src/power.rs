//! Power iteration for whole sets of roots.

use batchlab_core::graphs::OneGraph;
use batchlab_core::progress::Progress;
use rayon::prelude::*;

use crate::{PprError, check_graph, check_roots, check_teleport};

/// Scores of every node for sets of roots, by iterating `y = (1 - teleport) M y + teleport t`,
/// where `t` is 1 / (size of the set) at its roots, starting from `y = t`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Power {
    /// Probability of returning to the set in a step, between 0 and 1.
    pub teleport: f64,
    /// Number of applications of `M`.
    pub n_iteration: u32,
    /// `M`.
    pub operator: Operator,
}

/// The operator applied in every iteration. A holds 1 for every edge, D the degrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// D^-1 A: the mean over the neighbours, as computed by the authors of IBMB (arXiv 2212.09083).
    /// Compared with the standard operator, scores are divided by degrees.
    Reference,
    /// A D^-1: personalised `PageRank` as commonly defined; scores sum to 1.
    Standard,
}

/// Number of sets iterated together: the scores of a node for all of them fill one cache line.
const N_SET: usize = 8;
/// Nodes per task.
const N_NODE: usize = 1024;

type Row = [f64; N_SET];

impl Power {
    /// Iterates for each set, and collects the values of `result` for the index of the set and its
    /// scores, `[n_node]`, in the order of the sets. Runs in parallel; the result does not depend
    /// on the number of threads.
    ///
    /// # Errors
    /// If an option is out of range, the graph is directed, a set is empty, or a root does not
    /// exist.
    pub fn of_sets<T>(
        &self,
        graph: &OneGraph,
        sets: &[Vec<u32>],
        progress: &dyn Progress,
        mut result: impl FnMut(usize, &[f64]) -> T,
    ) -> Result<Vec<T>, PprError> {
        check_teleport(self.teleport)?;
        check_roots(graph, sets.iter().flatten())?;
        if let Some(empty) = sets.iter().position(Vec::is_empty) {
            return Err(PprError::EmptySet(empty));
        }
        check_graph(graph)?;
        progress.start("personalised PageRank of groups", Some(sets.len() as u64));
        let mut results = Vec::with_capacity(sets.len());
        for sets in sets.chunks(N_SET) {
            let rows = self.iterate(graph, sets);
            for set in 0..sets.len() {
                let scores: Vec<f64> = rows.iter().map(|row| row[set]).collect();
                results.push(result(results.len(), &scores));
            }
            progress.advance(sets.len() as u64);
        }
        progress.finish();
        Ok(results)
    }

    fn iterate(&self, graph: &OneGraph, sets: &[Vec<u32>]) -> Vec<Row> {
        let mut start = vec![[0.0; N_SET]; graph.n_node()];
        for (set, roots) in sets.iter().enumerate() {
            for &root in roots {
                start[root as usize][set] = 1.0 / roots.len() as f64;
            }
        }
        let (mut now, mut next) = (start.clone(), start.clone());
        for _ in 0..self.n_iteration {
            if self.operator == Operator::Standard {
                divide_by_degree(graph, &mut now);
            }
            let of_task = |(task, rows): (usize, &mut [Row])| {
                for (place, row) in rows.iter_mut().enumerate() {
                    let node = task * N_NODE + place;
                    let moved = self.gather(graph, node as u32, &now);
                    for (set, value) in row.iter_mut().enumerate() {
                        *value =
                            (1.0 - self.teleport) * moved[set] + self.teleport * start[node][set];
                    }
                }
            };
            next.par_chunks_mut(N_NODE).enumerate().for_each(of_task);
            std::mem::swap(&mut now, &mut next);
        }
        now
    }

    /// The incoming sum of a node; for the standard operator, `rows` have already been divided by
    /// degrees.
    fn gather(&self, graph: &OneGraph, node: u32, rows: &[Row]) -> Row {
        let neighbours = &graph.sender[graph.incoming(node)];
        if neighbours.is_empty() {
            return rows[node as usize];
        }
        let mut sum = [0.0; N_SET];
        for &neighbour in neighbours {
            for (sum, value) in sum.iter_mut().zip(rows[neighbour as usize]) {
                *sum += value;
            }
        }
        match self.operator {
            Operator::Reference => sum.map(|sum| sum / neighbours.len() as f64),
            Operator::Standard => sum,
        }
    }
}

fn divide_by_degree(graph: &OneGraph, rows: &mut [Row]) {
    rows.par_iter_mut().zip(graph.offset.par_windows(2)).for_each(|(row, ends)| {
        let degree = (ends[1] - ends[0]).max(1) as f64;
        *row = row.map(|value| value / degree);
    });
}
