//! Sums over the steps of a run, for its summary.

use batchlab_core::record::StepRecord;

use super::Throughput;

/// Sums over all steps that are not warm-up.
#[derive(Debug, Default)]
pub(super) struct Tally {
    step_ns: Vec<i64>,
    n_graph: i64,
    n_node: [i64; 2],
    n_edge: [i64; 2],
}

impl Tally {
    pub(super) fn add(&mut self, step: &StepRecord) {
        if step.is_warmup {
            return;
        }
        self.step_ns.push(step.step_ns);
        self.n_graph += step.n_graph;
        self.n_node = [self.n_node[0] + step.n_node, self.n_node[1] + step.padded_n_node];
        self.n_edge = [self.n_edge[0] + step.n_edge, self.n_edge[1] + step.padded_n_edge];
    }

    pub(super) fn throughput(&self) -> Throughput {
        let mut step_ns = self.step_ns.clone();
        step_ns.sort_unstable();
        let seconds = step_ns.iter().sum::<i64>() as f64 / 1e9;
        let share = |[real, padded]: [i64; 2]| real as f64 / padded.max(1) as f64;
        Throughput {
            median_step_ns: median(&step_ns),
            graphs_per_second: if seconds > 0.0 { self.n_graph as f64 / seconds } else { 0.0 },
            node_fill: share(self.n_node),
            edge_fill: share(self.n_edge),
        }
    }
}

/// Of sorted values; 0 if there are none.
fn median(sorted: &[i64]) -> i64 {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0,
        n if n % 2 == 1 => sorted[middle],
        _ => sorted[middle - 1].midpoint(sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_up_does_not_count() {
        let mut tally = Tally::default();
        let step = |step_ns, is_warmup| StepRecord {
            step_ns,
            is_warmup,
            n_graph: 31,
            n_node: 90,
            padded_n_node: 100,
            ..StepRecord::default()
        };
        for record in
            [step(9_000_000_000, true), step(1_000_000_000, false), step(3_000_000_000, false)]
        {
            tally.add(&record);
        }
        let throughput = tally.throughput();
        assert_eq!(throughput.median_step_ns, 2_000_000_000);
        assert!((throughput.graphs_per_second - 15.5).abs() < 1e-9);
        assert!((throughput.node_fill - 0.9).abs() < 1e-9);
    }
}
