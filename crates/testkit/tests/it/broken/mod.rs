//! The kit finds mistakes: each broken batcher fails its own check and passes all others.

mod faulty;

use batchlab_core::Batcher;
use batchlab_core::padding::BatchSize;
use batchlab_testkit::conformance::{CHECKS, Check};
use faulty::{Fault, Faulty};

use crate::table::{self, Row};

const BROKEN: &[(Fault, &str, &str)] = &[
    (Fault::Ends, "training ends after an epoch", "goes_on"),
    (Fault::Drops, "drops a graph per batch", "exactly_once"),
    (Fault::Repeats, "repeats a graph", "exactly_once"),
    (Fault::DropsTail, "evaluation drops the last batch", "evaluation"),
    (Fault::Backwards, "evaluation runs in reverse", "evaluation_order"),
    (Fault::ShufflesEvaluation, "evaluation is shuffled", "evaluation_order"),
    (Fault::OneTooMany, "one graph too many per batch", "batch_size"),
    (Fault::NoPaddingNode, "no node for padding edges", "shape"),
    (Fault::WrongRealSize, "real size counts an extra edge", "collated"),
    (Fault::PaddingWeighs, "gives padding a weight", "collated"),
    (Fault::GlobalCounter, "depends on global state", "determinism"),
    (Fault::IgnoresSeed, "ignores the seed", "seed"),
    (Fault::ThreadLocal, "depends on the thread", "threads"),
    (Fault::Positions, "uses positions as identifiers", "identifiers"),
    (Fault::StaleWeights, "leaves stale weights in the plan", "plan_reuse"),
    (Fault::Frozen, "fixed batches without cache keys", "composition"),
    (Fault::SharedCacheKey, "one cache key for two batches", "cache_keys"),
    (Fault::RepeatsBatch, "repeats a batch after seek", "resume"),
    (Fault::RestoresOnTop, "restores without clearing", "resume"),
    (Fault::ForgetsCarried, "forgets carried graphs", "carried"),
    (Fault::ResumesAhead, "resumes after prefetched batches", "prefetched"),
    (Fault::NeverBegins, "no position before an epoch", "ranks"),
    (Fault::EmptyBatches, "empty batches for an empty view", "empty_view"),
    (Fault::AnyLevel, "opens on one large graph", "wrong_level"),
    (Fault::NeedsTwo, "drops a single graph", "one_graph"),
    (Fault::LeavesOutEdgeless, "drops graphs without edges", "edgeless"),
    (Fault::LeavesOutLarge, "drops large graphs", "oversize"),
    (Fault::CountsCalls, "metrics change", "metrics"),
    (Fault::MetricIsNan, "a metric is NaN", "metrics"),
    (Fault::ForgetsOption, "an option is not serialised", "round_trip"),
];

fn failing(fault: Fault) -> Vec<(&'static str, String)> {
    let make =
        |batch_size: BatchSize| -> Box<dyn Batcher> { Box::new(Faulty::new(fault, batch_size)) };
    let run = |check: &'static Check| check.run(&make).err().map(|f| (check.name, f.found));
    CHECKS.iter().filter_map(run).collect()
}

#[test]
fn a_failure_names_the_promise_and_the_smallest_input() {
    let make = |batch_size: BatchSize| -> Box<dyn Batcher> {
        Box::new(Faulty::new(Fault::Repeats, batch_size))
    };
    let failure = Check::named("exactly_once").expect("it exists").run(&make).unwrap_err();
    let text = failure.to_string();
    println!("{text}");
    assert!(text.contains("promise: every training epoch contains every graph exactly once"));
    assert!(
        text.contains(
            "batcher faulty with batch_size 3 on graphs of [nodes, edges] [[1, 1], [1, 1]]"
        ),
        "{text}"
    );
}

// The line that a plugin writes in its tests, and the resulting tests.
batchlab_testkit::conformance!(sound, |batch_size| Faulty::new(Fault::None, batch_size));

table::tests!("asserts this table:", "broken");
