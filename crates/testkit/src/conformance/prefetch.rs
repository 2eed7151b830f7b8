//! Prefetching: decisions of a stream beyond the last trained batch must have no effect after
//! resuming.

use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::{self, JoinHandle};

use batchlab_core::{BatchPlan, BatchStream, Cursor, Purpose};

use super::input::{for_all_with, ordinary};
use super::resume::stored;
use super::trial::{same, take};
use super::{Make, Outcome, Trial};

/// The prefetch depths to check.
const DEPTHS: [usize; 3] = [0, 1, 4];

pub(super) fn prefetched(make: Make<'_>) -> Outcome {
    for_all_with(make, ordinary(), 12, |trial, _| {
        let Some(plans) = trial.repeatable(7) else { return Ok(()) };
        for (n_first, n_second) in stops(&plans) {
            // Whether a stream resumes at all is tested by other checks; this one compares depths.
            let Ok(expected) = interrupted(trial, 0, plans.len(), n_first, n_second) else {
                continue;
            };
            for depth in DEPTHS {
                let when = format!(
                    "{depth} batches prefetched, stopped after {n_first} and after {n_second} more"
                );
                let found = interrupted(trial, depth, plans.len(), n_first, n_second)
                    .map_err(|error| format!("{when}: {error}"))?;
                same(&expected, &found, &when)?;
            }
        }
        Ok(())
    })
}

/// Pairs of stops: early, in the middle, and on both sides of every epoch boundary.
fn stops(plans: &[BatchPlan]) -> Vec<(usize, usize)> {
    let n = plans.len();
    let borders =
        (1..n).filter(|&batch| plans[batch].cursor.epoch != plans[batch - 1].cursor.epoch);
    let mut stops = vec![(1, 1), (n / 2, n / 4)];
    for border in borders {
        // The last batch of an epoch and the first of the next; then the reverse order.
        stops.extend([(border, 1), (border + 1, 2)]);
    }
    stops.retain(|&(first, second)| first > 0 && second > 0 && first + second < n);
    stops
}

/// All plans consumed by a run that stops twice.
fn interrupted(
    trial: &Trial<'_>,
    depth: usize,
    n_plan: usize,
    n_first: usize,
    n_second: usize,
) -> Result<Vec<BatchPlan>, String> {
    let mut plans: Vec<BatchPlan> = Vec::new();
    for n_more in [n_first, n_second, n_plan - n_first - n_second] {
        let cursor = plans.last().map(stored);
        plans.extend(consume(open(trial, cursor.as_ref())?, depth, n_more)?);
    }
    Ok(plans)
}

fn open(trial: &Trial<'_>, cursor: Option<&Cursor>) -> Result<Box<dyn BatchStream>, String> {
    match cursor {
        Some(cursor) => trial.open_at(7, cursor),
        None => trial.open(Purpose::Training, 7).map_err(|error| error.to_string()),
    }
}

/// Consumes plans of a stream run by another thread, and stops it when it is `depth` batches ahead.
fn consume(
    stream: Box<dyn BatchStream>,
    depth: usize,
    n_plan: usize,
) -> Result<Vec<BatchPlan>, String> {
    let mut ahead = Ahead::start(stream, depth);
    let plans = (0..n_plan).map(|_| ahead.next()).collect();
    ahead.stop();
    plans
}

/// A thread that prefetches plans. It makes one for each permit, so that it is ahead by exactly the
/// depth, independent of the scheduler.
struct Ahead {
    permit: Option<Sender<()>>,
    made: Receiver<Result<BatchPlan, String>>,
    thread: JoinHandle<()>,
}

impl Ahead {
    fn start(mut stream: Box<dyn BatchStream>, depth: usize) -> Self {
        let (permit, permitted) = channel();
        let (send, made) = sync_channel(depth + 1);
        let work = move || {
            for () in permitted {
                let plan = take(&mut *stream, 1).map(|mut one| one.remove(0));
                if send.send(plan).is_err() {
                    return;
                }
            }
        };
        for _ in 0..depth {
            let _ = permit.send(());
        }
        Self { permit: Some(permit), made, thread: thread::spawn(work) }
    }

    fn next(&mut self) -> Result<BatchPlan, String> {
        if let Some(permit) = &self.permit {
            let _ = permit.send(());
        }
        self.made.recv().unwrap_or_else(|_| Err("the thread that makes plans ended".into()))
    }

    /// Lets the thread make all plans for which it has a permit; none of them is consumed.
    fn stop(mut self) {
        self.permit = None;
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}
