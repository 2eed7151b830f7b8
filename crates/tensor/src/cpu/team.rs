//! Work shared by several threads, which stay awake between parallel sections.
//!
//! A step has more than a hundred parallel sections, many of 20 microseconds. rayon's threads fall
//! asleep after a few microseconds without work, and waking one takes longer than such a section.

use std::cell::Cell;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an idle thread stays awake: longer than the single-threaded sections within a step and
/// between steps.
const AWAKE: Duration = Duration::from_micros(200);
/// How often a thread looks for work before it yields its CPU to other programs.
const LOOKS: u32 = 16;

thread_local! {
    static IS_LOOKING: Cell<bool> = const { Cell::new(false) };
}

/// Calls `kernel` for all of `work`, on several threads if available. A free thread takes the next
/// piece in order, so large pieces should come first.
pub(super) fn each<T: Send>(work: Vec<T>, kernel: impl Fn(T) + Sync + Send) {
    let n_helper = rayon::current_num_threads().min(work.len()).saturating_sub(1);
    if n_helper == 0 {
        return work.into_iter().for_each(kernel);
    }
    let work = Mutex::new(work.into_iter());
    // A panicking piece ends its thread's part, after which the panic reaches the caller.
    let next = || work.lock().unwrap_or_else(PoisonError::into_inner).next();
    let take_part = || {
        while let Some(piece) = next() {
            kernel(piece);
        }
    };
    // The caller works too, even if it is not a rayon thread.
    rayon::in_place_scope(|scope| {
        for _ in 0..n_helper {
            scope.spawn(|_| take_part());
        }
        take_part();
    });
}

/// Calls both, in parallel if another thread is free.
pub(super) fn join(first: impl FnOnce(), second: impl FnOnce() + Send) {
    rayon::in_place_scope(|scope| {
        scope.spawn(|_| second());
        first();
    });
}

/// Wakes the threads, as work for them is imminent.
pub(super) fn wake() {
    if rayon::current_num_threads() == 1 {
        return;
    }
    // No more threads than requested: a caller outside of rayon replaces the first thread.
    let caller = rayon::current_thread_index().unwrap_or(0);
    rayon::spawn_broadcast(move |thread| {
        if thread.index() != caller {
            look_for_work();
        }
    });
}

fn look_for_work() {
    if IS_LOOKING.replace(true) {
        return;
    }
    let (mut last, mut n_look) = (Instant::now(), 0_u32);
    while last.elapsed() < AWAKE {
        if rayon::yield_now() == Some(rayon::Yield::Executed) {
            (last, n_look) = (Instant::now(), 0);
        } else if n_look < LOOKS {
            std::hint::spin_loop();
            n_look += 1;
        } else {
            std::thread::yield_now();
            n_look = 0;
        }
    }
    IS_LOOKING.set(false);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn sum(n: usize) -> usize {
        let sum = AtomicUsize::new(0);
        each((0..n).collect(), |piece| {
            sum.fetch_add(piece + 1, Ordering::Relaxed);
        });
        sum.into_inner()
    }

    #[test]
    fn every_piece_is_done_once() {
        for n_thread in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_thread).build();
            let pool = pool.expect("a few threads");
            for n in [0, 1, 2, 100] {
                pool.install(wake);
                assert_eq!(pool.install(|| sum(n)), n * (n + 1) / 2, "{n}, {n_thread} threads");
            }
        }
        assert_eq!(sum(100), 5050, "outside of the threads");
    }

    #[test]
    fn pieces_have_pieces() {
        wake();
        let sum = AtomicUsize::new(0);
        each(vec![1; 20], |_: i32| {
            each(vec![1; 20], |n| {
                wake();
                sum.fetch_add(n, Ordering::Relaxed);
            });
        });
        assert_eq!(sum.into_inner(), 400);
    }

    #[test]
    #[should_panic(expected = "the third")]
    fn a_panic_is_not_hidden() {
        each(vec![1, 2, 3, 4], |piece| assert_ne!(piece, 3, "the third"));
    }
}
