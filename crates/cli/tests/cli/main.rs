//! One binary for all integration tests of this crate. It is not called `it` as in the other
//! crates, so that the engine's tests can be run without it (`.ci/run`).

mod architecture;
mod bad_input;
mod configs;
mod curve;
mod damage;
mod data;
mod epochs;
mod events;
mod example;
mod formats;
#[cfg(target_os = "linux")]
mod guard;
mod hostile;
mod kill;
mod mistakes;
mod new;
mod newcomer;
mod nodes;
mod other_data;
mod output;
mod padding;
mod plan;
mod report;
mod resume;
mod run;
mod small_run;
mod standalone;
#[path = "../../../report/tests/it/study.rs"]
mod study;
mod surroundings;
mod sweep;
mod trained;
mod verdict;
