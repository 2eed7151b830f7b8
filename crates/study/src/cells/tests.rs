//! A cell and an outcome for tests.

use batchlab_run::Status;

use super::{DoneCell, DoneRun};
use crate::CellInfo;

pub(crate) fn cell(id: &str) -> CellInfo {
    CellInfo {
        id: id.into(),
        dataset: "qm9".into(),
        model: "schnet".into(),
        batch_size: Some(16),
        repeat: 0,
        variant: String::new(),
        batchers: vec!["dynamic".into()],
        n_step: 10,
        device: "cpu".into(),
    }
}

pub(crate) fn done(status: Status) -> DoneCell {
    let run = DoneRun {
        batcher: "dynamic".into(),
        run_id: None,
        status,
        reason: None,
        timing_ended: None,
        n_step: 10,
        median_step_ns: Some(1.0),
        outputs_per_second: Some(0.5),
        output: Some("graph".into()),
    };
    let (started_at, finished_at) = (String::new(), String::new());
    let (blocks, runs) = (vec![5, 5], vec![run]);
    let (cell, reason, ci_width, is_cut_short) = ("a-0".into(), None, None, false);
    DoneCell { cell, started_at, finished_at, blocks, runs, reason, ci_width, is_cut_short }
}
