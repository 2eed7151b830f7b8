//! Do intervals cover the truth as often as they claim? Also where steps are not independent: steps
//! of a machine that drifts are noise of first order, `x_t = phi x_(t-1) + e_t`, and only blocks
//! that are long beside that memory may be resampled.

use batchlab_stats::{
    Pairing, Replication, interval_of_blocks, mean, median, ratio_of_medians, student_t_test,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

const PHI: f64 = 0.9;
const TRUTH: f64 = 1.3;

/// Step times around a centre, autocorrelated.
struct Machine {
    random: ChaCha8Rng,
    drift: f64,
}

impl Machine {
    fn new(seed: u64) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(seed), drift: 0.0 }
    }

    fn noise(&mut self) -> f64 {
        // A sum of a few uniform numbers, of variance 1, is normal enough.
        3_f64.sqrt() * ((0..4).map(|_| self.random.random::<f64>()).sum::<f64>() - 2.0)
    }

    fn steps(&mut self, centre: f64, n: usize) -> Vec<f64> {
        let step = |_| {
            self.drift = PHI * self.drift + self.noise();
            centre * (1.0 + 0.02 * self.drift)
        };
        (0..n).map(step).collect()
    }
}

/// Steps of two strategies, block by block.
type Turns = Vec<[Vec<f64>; 2]>;

/// A cell: two strategies alternately, in an order that is random and mirrored in the next block.
/// `bias` is what a process adds to the first.
fn turns(machine: &mut Machine, n_block: usize, n_step: usize, bias: f64) -> Turns {
    let mut order = [0, 1];
    let block = |round: usize| {
        let mut block = [Vec::new(), Vec::new()];
        if round % 2 == 1 || machine.random.random::<bool>() {
            order.reverse();
        }
        for which in order {
            block[which] = machine.steps([TRUTH * bias.exp(), 1.0][which], n_step);
        }
        block
    };
    (0..n_block).map(block).collect()
}

#[allow(clippy::unwrap_used, reason = "blocks have steps")]
fn pairs(turns: &Turns) -> Vec<(f64, f64)> {
    turns.iter().map(|[a, b]| (mean(a).unwrap(), mean(b).unwrap())).collect()
}

/// Of `n` studies, the share whose interval contains the truth.
fn covered(n: u64, study: impl Fn(u64) -> bool) -> f64 {
    (0..n).filter(|&seed| study(seed)).count() as f64 / n as f64
}

#[test]
fn intervals_over_blocks_cover_as_often_as_they_say() {
    for (n_block, n_step, n_cell) in [(12, 50, 1), (24, 100, 1), (6, 50, 2)] {
        let share = covered(1000, |seed| {
            let mut machine = Machine::new(seed);
            let cell = |_| pairs(&turns(&mut machine, n_block, n_step, 0.0));
            let cells: Vec<_> = (0..n_cell).map(cell).collect();
            interval_of_blocks(&cells, 0.95, seed).unwrap().interval.contains(TRUTH)
        });
        println!("{n_cell} cells of {n_block} blocks of {n_step} steps: {share}");
        assert!((0.93..=0.97).contains(&share), "{n_block} of {n_step} in {n_cell}: {share}");
    }
}

/// The mistake that this crate warns of: the same machine and strategies, but with a pair of steps
/// as the unit.
#[test]
fn intervals_over_steps_do_not() {
    let share = covered(60, |seed| {
        let turns = turns(&mut Machine::new(seed), 12, 50, 0.0);
        let steps = |[a, b]: &[Vec<f64>; 2]| -> Vec<(f64, f64)> {
            a.iter().copied().zip(b.iter().copied()).collect()
        };
        let steps: Vec<(f64, f64)> = turns.iter().flat_map(steps).collect();
        interval_of_blocks(&[steps], 0.95, seed).unwrap().interval.contains(TRUTH)
    });
    println!("pairs of steps: {share}");
    assert!(share < 0.7, "{share}");
}

/// Where every process has its own bias, blocks within a process say nothing about the next one.
#[test]
fn from_five_cells_on_the_cell_is_the_unit() {
    let cells_of = |seed: u64| -> Vec<Vec<(f64, f64)>> {
        let mut machine = Machine::new(seed);
        let cell = |_| {
            let bias = 0.03 * machine.noise();
            pairs(&turns(&mut machine, 6, 50, bias))
        };
        (0..6).map(cell).collect()
    };
    let whole = covered(400, |seed| {
        let ratio = interval_of_blocks(&cells_of(seed), 0.95, seed).unwrap();
        assert_eq!(ratio.replication, Replication::Cells);
        ratio.interval.contains(TRUTH)
    });
    let pooled = covered(400, |seed| {
        let blocks = cells_of(seed).concat();
        interval_of_blocks(&[blocks], 0.95, seed).unwrap().interval.contains(TRUTH)
    });
    println!("whole cells: {whole}, all blocks as one cell: {pooled}");
    assert!((0.93..=0.97).contains(&whole), "{whole}");
    assert!(pooled < 0.85, "{pooled}");
}

/// Runs that were not measured alternately: the fewest that are accepted, and ten.
#[test]
fn intervals_over_runs_cover_as_often_as_they_say() {
    for n in [5, 10] {
        for pairing in [Pairing::Paired, Pairing::Independent] {
            let share = covered(400, |seed| {
                let mut machine = Machine::new(seed);
                let mut runs = |centre: f64| -> Vec<f64> {
                    (0..n).map(|_| centre * (1.0 + 0.05 * machine.noise())).collect()
                };
                let (a, b) = (runs(TRUTH), runs(1.0));
                ratio_of_medians(&a, &b, pairing, 0.95, seed).unwrap().contains(TRUTH)
            });
            println!("{n} runs, {pairing:?}: {share}");
            assert!((0.92..=0.985).contains(&share), "{n} runs, {pairing:?}: {share}");
        }
    }
}

#[test]
fn tests_on_steps_find_differences_where_there_are_none() {
    let significant = |of: fn(&mut Machine) -> Vec<f64>| {
        let found = |seed: &u64| {
            let mut machine = Machine::new(*seed);
            let [a, b] = [of(&mut machine), of(&mut machine)];
            student_t_test(&a, &b).unwrap().p_value < 0.05
        };
        (0..200).filter(found).count()
    };
    let on_steps = significant(|machine| machine.steps(1.0, 200));
    let on_blocks =
        significant(|machine| (0..12).map(|_| median(&machine.steps(1.0, 200)).unwrap()).collect());
    assert!(on_steps > 60, "{on_steps} of 200");
    assert!(on_blocks < 20, "{on_blocks} of 200");
}
