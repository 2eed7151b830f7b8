//! Ranks as threads of one process, for tests and for programs without MPI.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::{Communicator, LostRanks};

/// Connects `n_rank` threads. A rank that does not arrive within `timeout` is lost.
#[must_use]
pub fn threads(n_rank: usize, timeout: Duration) -> Vec<impl Communicator + Send> {
    let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
    let rank = |rank| Thread { rank, n_rank, timeout, shared: Arc::clone(&shared) };
    (0..n_rank).map(rank).collect()
}

struct Thread {
    rank: usize,
    n_rank: usize,
    timeout: Duration,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Number of completed exchanges.
    n_meeting: u64,
    /// The ranks that have arrived for the next one.
    present: Vec<usize>,
    /// Their contributions, by rank.
    brought: Vec<Vec<f64>>,
    /// All contributions to the last completed exchange. The first rank to leave may start the next
    /// exchange before the others have read these, but it cannot complete without them.
    complete: Vec<Vec<f64>>,
}

impl Thread {
    /// Exchanges contributions: waits for all ranks and returns what each of them contributed.
    fn meet(&self, own: &[f64]) -> Result<Vec<Vec<f64>>, LostRanks> {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.present.is_empty() {
            state.brought = vec![Vec::new(); self.n_rank];
        }
        let meeting = state.n_meeting;
        state.present.push(self.rank);
        state.brought[self.rank] = own.to_vec();
        if state.present.len() == self.n_rank {
            state.n_meeting += 1;
            state.present.clear();
            state.complete = std::mem::take(&mut state.brought);
            self.shared.changed.notify_all();
            return Ok(state.complete.clone());
        }
        let waits = |state: &mut State| state.n_meeting == meeting;
        let waited = self.shared.changed.wait_timeout_while(state, self.timeout, waits);
        let (state, outcome) = waited.unwrap_or_else(PoisonError::into_inner);
        if outcome.timed_out() {
            let is_missing = |rank: &usize| !state.present.contains(rank);
            let missing = (0..self.n_rank).filter(is_missing);
            let names = missing.map(|rank| format!("rank {rank}")).collect();
            return Err(LostRanks { names, waited: self.timeout });
        }
        Ok(state.complete.clone())
    }
}

impl Communicator for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn n_rank(&self) -> usize {
        self.n_rank
    }

    fn wait_for_all(&self) -> Result<(), LostRanks> {
        self.meet(&[]).map(drop)
    }

    fn sum(&self, values: &mut [f64]) -> Result<(), LostRanks> {
        let brought = self.meet(values)?;
        values.fill(0.0);
        for of_rank in &brought {
            for (sum, value) in values.iter_mut().zip(of_rank) {
                *sum += value;
            }
        }
        Ok(())
    }

    fn abort(&self, code: i32) -> ! {
        std::process::exit(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each rank returns.
    fn on_ranks<T: Send>(n_rank: usize, work: impl Fn(&dyn Communicator) -> T + Sync) -> Vec<T> {
        let ranks = threads(n_rank, Duration::from_secs(20));
        std::thread::scope(|scope| {
            let work = &work;
            let started: Vec<_> =
                ranks.into_iter().map(|rank| scope.spawn(move || work(&rank))).collect();
            started.into_iter().map(|rank| rank.join().unwrap()).collect()
        })
    }

    #[test]
    fn all_ranks_get_the_same_sums() {
        let sums = on_ranks(3, |rank| {
            let own = rank.rank() as f64;
            let mut all = Vec::new();
            for step in 0..100 {
                rank.wait_for_all().unwrap();
                let mut values = [own, f64::from(step)];
                rank.sum(&mut values).unwrap();
                all.push(values);
            }
            all
        });
        assert!(sums.iter().all(|of_rank| *of_rank == sums[0]));
        assert_eq!(sums[0][99].map(|sum| sum as i64), [3, 297]);
    }

    #[test]
    fn gathered_bytes_come_in_the_order_of_the_ranks() {
        let texts = ["", "one", "\u{ff}"];
        let gathered = on_ranks(3, |rank| rank.gather(texts[rank.rank()].as_bytes()).unwrap());
        for of_rank in gathered {
            assert_eq!(of_rank, texts.map(|text| text.as_bytes().to_vec()));
        }
    }

    #[test]
    fn a_rank_that_never_comes_is_named() {
        let ranks = threads(2, Duration::from_millis(10));
        let lost = ranks[0].wait_for_all().unwrap_err();
        assert_eq!(lost.names, ["rank 1"]);
        let lost = LostRanks { waited: Duration::from_secs(600), ..lost };
        assert_eq!(
            lost.to_string(),
            "rank 1 has not answered for 600 s; the others end. If it was only slow, allow more with \
             ranks.timeout (in seconds)"
        );
    }
}
