//! Writes an invented study to preview its report: `cargo run -p batchlab-report --example
//! invented_study -- DIR && batchlab report DIR --html page.html`

#[path = "../tests/it/study.rs"]
mod study;

use std::path::PathBuf;
use std::process::ExitCode;

use study::{Study, write};

fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1).map(PathBuf::from) else {
        // See the usage above.
        return ExitCode::from(2);
    };
    for batch_size in [16, 32] {
        for (timing, prefetch_depth) in [("stages", 0), ("combined", 0), ("combined", 2)] {
            let study = Study { timing, prefetch_depth, batch_size, ..Study::default() };
            write(&dir, &study, |_| ());
        }
    }
    ExitCode::SUCCESS
}
