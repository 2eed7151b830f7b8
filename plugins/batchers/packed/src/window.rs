//! The shuffle window: graphs are collected, packed, and delivered group by group.

use std::collections::VecDeque;

use batchlab_core::budget::Limits;
use batchlab_core::grouping::{EpochGraphs, Grouping};
use batchlab_core::{BatcherError, GraphSize, random};

use crate::pack::{Algorithm, pack};

/// Collects, packs, delivers.
///
/// A window is delivered completely before the next graph is drawn, so the pending graphs at the
/// end of an epoch are always an incomplete window, and they are the whole state.
pub(crate) struct Windowed {
    algorithm: Algorithm,
    window: usize,
    limits: Limits,
    /// Seed for shuffling the groups of a window; `None` in an evaluation.
    shuffle_seed: Option<u64>,
    lower_bound: usize,
    collected: Vec<GraphSize>,
    packed: VecDeque<Vec<GraphSize>>,
}

impl Windowed {
    pub(crate) fn new(
        algorithm: Algorithm,
        window: usize,
        limits: Limits,
        shuffle_seed: Option<u64>,
        graphs: &[GraphSize],
    ) -> Self {
        let lower_bound = limits.lower_bound(graphs);
        Self {
            algorithm,
            window,
            limits,
            shuffle_seed,
            lower_bound,
            collected: Vec::new(),
            packed: VecDeque::new(),
        }
    }

    fn pack(&mut self) {
        let collected = std::mem::take(&mut self.collected);
        let mut groups = pack(self.algorithm, &collected, &self.limits);
        // Algorithms place large graphs in the first groups; training must not see these first.
        if let Some(seed) = self.shuffle_seed {
            let mut rng = random::stream(seed, "order of packed groups", fingerprint(&collected));
            random::shuffle(&mut rng, &mut groups);
        }
        let graphs = |group: Vec<u32>| group.iter().map(|&i| collected[i as usize]).collect();
        self.packed = groups.into_iter().map(graphs).collect();
    }

    fn deliver(&mut self, group: &mut Vec<GraphSize>) -> bool {
        let Some(next) = self.packed.pop_front() else { return false };
        group.extend(next);
        true
    }
}

/// Each window gets its own order, which depends only on its graphs (64-bit FNV-1a).
fn fingerprint(graphs: &[GraphSize]) -> u64 {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    graphs.iter().flat_map(|graph| graph.id.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325, mix)
}

impl Grouping for Windowed {
    fn next_group(
        &mut self,
        graphs: &mut EpochGraphs<'_>,
        group: &mut Vec<GraphSize>,
    ) -> Result<bool, BatcherError> {
        if self.deliver(group) {
            return Ok(true);
        }
        let missing = self.window.saturating_sub(self.collected.len());
        self.collected.extend(graphs.take(missing));
        if self.collected.len() < self.window {
            return Ok(false);
        }
        self.pack();
        Ok(self.deliver(group))
    }

    fn emit_partial(&mut self, group: &mut Vec<GraphSize>) -> Result<bool, BatcherError> {
        if self.packed.is_empty() && !self.collected.is_empty() {
            self.pack();
        }
        Ok(self.deliver(group))
    }

    fn pending(&self) -> &[GraphSize] {
        &self.collected
    }

    fn restore(&mut self, carried: &[GraphSize]) {
        self.packed.clear();
        self.collected.clear();
        self.collected.extend_from_slice(carried);
    }

    fn metrics(&self) -> Vec<(String, f64)> {
        let mut metrics = self.limits.metrics();
        metrics.push(("packing_lower_bound".into(), self.lower_bound as f64));
        metrics
    }
}
