use std::sync::Arc;

use batchlab_core::graphs::{Edges, ManyGraphs, Topology};
use batchlab_core::model::{NamedTensor, TrainerState};
use batchlab_core::{
    BatchFields, BatchPlan, BatchStream, BatcherError, GraphSize, Level, ModelError,
};
use serde_json::Value;

use super::super::pipeline::Producer;
use super::*;
use crate::Status;
use batchlab_results::Publisher;

/// Each batch contains two graphs, in order.
struct Pairs(u64);

impl BatchStream for Pairs {
    fn next(&mut self, plan: &mut BatchPlan) -> Result<bool, BatcherError> {
        plan.clear(Level::Graphs);
        for id in [2 * self.0, 2 * self.0 + 1] {
            plan.push_graph(GraphSize { id: id as u32, n_node: 1, n_edge: 0 });
        }
        plan.shape = plan.real;
        self.0 += 1;
        plan.cursor = Cursor { batch: self.0, ..Cursor::default() };
        Ok(true)
    }
    fn seek(&mut self, cursor: &Cursor) -> Result<(), BatcherError> {
        self.0 = cursor.batch;
        Ok(())
    }
}

/// Records calls; the loss of the third step is not finite.
#[derive(Default)]
struct RecordingTrainer {
    n_forward: u64,
    calls: Vec<&'static str>,
    n_wait: u64,
    loss: f64,
}

impl Trainer for &mut RecordingTrainer {
    fn n_parameter(&self) -> usize {
        1
    }
    fn upload(&mut self, _: Slot, _: &PaddedBatch<'_>) -> Result<(), ModelError> {
        self.calls.clear();
        Ok(())
    }
    fn forward(&mut self, _: Slot, _: Mode, _: u64) -> Result<LossSum, ModelError> {
        self.calls.push("forward");
        self.n_forward += 1;
        let loss_sum = if self.n_forward == 3 { self.loss } else { 1.0 };
        Ok(LossSum { loss_sum, weight_sum: 2.0 })
    }
    fn backward(&mut self, _: f64) -> Result<(), ModelError> {
        self.calls.push("backward");
        Ok(())
    }
    fn update(&mut self, _: f64) -> Result<(), ModelError> {
        self.calls.push("update");
        Ok(())
    }
    fn predict(&mut self, _: Slot, _: &mut Vec<f32>) -> Result<(), ModelError> {
        Ok(())
    }
    fn gradients(&self) -> Result<Vec<NamedTensor>, ModelError> {
        Ok(Vec::new())
    }
    fn state(&self) -> Result<TrainerState, ModelError> {
        Ok(TrainerState::default())
    }
    fn restore(&mut self, _: &TrainerState) -> Result<(), ModelError> {
        Ok(())
    }
    fn synchronise(&mut self) -> Result<(), ModelError> {
        self.n_wait += 1;
        Ok(())
    }
}

fn forty() -> Arc<Graphs> {
    let many = ManyGraphs::new(&[1; 40], Edges::FullyConnected).unwrap();
    let mut graphs = Graphs::new("forty", Topology::Many(many)).unwrap();
    graphs.name = (1000..1040).map(|n: u32| n.to_string()).collect();
    Arc::new(graphs)
}

#[test]
fn only_the_last_step_waits_for_more_than_its_loss() {
    for (timing, expected) in [("combined", [0, 0, 1]), ("stages", [5, 10, 15])] {
        let training = format!("steps = 3\ntiming = \"{timing}\"");
        let training: Training = toml::from_str(&training).unwrap();
        let mut trainer = RecordingTrainer { loss: 1.0, ..RecordingTrainer::default() };
        let n_wait = [1, 2, 3].map(|last| {
            let producer =
                Producer::new(forty(), Box::new(Pairs(0)), BatchFields::default()).unwrap();
            let pipeline = Pipeline::new(producer, 0).unwrap();
            let mut training = TrainingLoop::new(&training, Box::new(&mut trainer), pipeline, 1.0);
            training.step(last, Instant::now(), last == 3).unwrap();
            drop(training);
            trainer.n_wait
        });
        assert_eq!(n_wait, expected, "{timing}");
    }
}

/// Trains ten steps with this loss in the third; returns the trainer's last calls, how the run
/// ended, and the details of the event.
fn train_with(loss: f64, depth: u32) -> (Vec<&'static str>, u64, String, Value) {
    let graphs = forty();
    let producer =
        Producer::new(Arc::clone(&graphs), Box::new(Pairs(0)), BatchFields::default()).unwrap();
    let training: Training = toml::from_str("steps = 10\nlearning_rate = 0.5").unwrap();
    let mut trainer = RecordingTrainer { loss, ..RecordingTrainer::default() };
    let mut training = TrainingLoop::new(
        &training,
        Box::new(&mut trainer),
        Pipeline::new(producer, depth).unwrap(),
        1.0,
    );
    let folder = tempfile::tempdir().unwrap();
    let publisher = Publisher::open(folder.path(), "run").unwrap();
    let mut recorder = Recorder::open(&[], &publisher, &[]).unwrap();
    let replay = Replay {
        config: json!({ "training": { "seeds": { "order": 42 } } }),
        config_hash: "abc".into(),
        path: "runs/run/config.toml".into(),
    };
    let stop =
        StopContext { interrupted: &AtomicBool::new(false), replay: &replay, graphs: &graphs };
    let ending = training.run_to(10, &mut recorder, &(), &stop).unwrap().unwrap();
    assert_eq!(ending.status, Status::NotFinite);
    let n_step = training.n_step;
    let event = recorder.events().last().unwrap();
    assert_eq!((event.kind.as_str(), event.step), ("nan", Some(2)));
    assert_eq!(Some(&event.message), ending.reason.as_ref());
    let payload = serde_json::from_str(event.payload.as_ref().unwrap()).unwrap();
    drop(training);
    (trainer.calls, n_step, ending.reason.unwrap(), payload)
}

#[test]
fn a_lower_learning_rate_is_advised_only_where_it_can_help() {
    assert!(remedy(1, 0.5).contains("try a lower training.learning_rate"));
    assert!(remedy(0, 0.5).contains("the learning rate is not the cause"));
}

#[test]
fn a_loss_that_is_not_finite_stops_before_the_parameters_change() {
    for loss in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for depth in [0, 3] {
            let (calls, n_step, reason, payload) = train_with(loss, depth);
            assert_eq!((calls, n_step), (vec!["forward"], 2));
            assert_eq!(
                reason,
                format!(
                    "the loss of step 3 is {loss}; this step did not change the parameters. \
                     Its batch holds graphs 1004, 1005. The learning rate is 5e-1: try a lower training.learning_rate. To reproduce it: \
                     batchlab run runs/run/config.toml training.steps=3"
                )
            );
            let expected = json!({
                "step": 3,
                "members": [4, 5],
                "names": ["1004", "1005"],
                "learning_rate": 0.5,
                "cursor_before": { "epoch": 0, "batch": 2, "carried": [] },
                "cursor": { "epoch": 0, "batch": 3, "carried": [] },
                "replay": {
                    "command": "batchlab run runs/run/config.toml training.steps=3",
                    "config_hash": "abc",
                    "seeds": { "order": 42 },
                    "config": { "training": { "seeds": { "order": 42 } } },
                },
            });
            assert_eq!(payload, expected);
        }
    }
}

#[test]
fn the_cursor_before_leads_back_to_the_same_batch() {
    let (_, _, _, payload) = train_with(f64::NAN, 0);
    let before: Cursor = serde_json::from_value(payload["cursor_before"].clone()).unwrap();
    let mut stream = Pairs(0);
    stream.seek(&before).unwrap();
    let mut plan = BatchPlan::default();
    stream.next(&mut plan).unwrap();
    assert_eq!(json!(plan.members), payload["members"]);
    assert_eq!(json!(plan.cursor), payload["cursor"]);
}

/// Trains two steps and continues for timing only until `goal`; the third step overall has this
/// loss. Returns the number of recorded steps, the events, and how the run ended.
fn time_beyond(loss: f64, goal: u64) -> (u64, Vec<String>, Option<Ending>, Vec<f64>) {
    let graphs = forty();
    let producer =
        Producer::new(Arc::clone(&graphs), Box::new(Pairs(0)), BatchFields::default()).unwrap();
    let training = "steps = 2\nlearning_rate = 0.5\nlearning_rate_decay = 0.5\n\
                    learning_rate_decay_steps = 1\ncheckpoint = { steps = 1 }";
    let training: Training = toml::from_str(training).unwrap();
    let mut trainer = RecordingTrainer { loss, ..RecordingTrainer::default() };
    let mut training = TrainingLoop::new(
        &training,
        Box::new(&mut trainer),
        Pipeline::new(producer, 0).unwrap(),
        1.0,
    );
    let folder = tempfile::tempdir().unwrap();
    let publisher = Publisher::open(folder.path(), "run").unwrap();
    let mut recorder = Recorder::open(&[], &publisher, &[]).unwrap();
    let replay = Replay { config: json!({}), config_hash: "abc".into(), path: "a".into() };
    let stop =
        StopContext { interrupted: &AtomicBool::new(false), replay: &replay, graphs: &graphs };
    training.begin_turn(Turn { block: 1, turn: 0 });
    assert!(training.run_to(2, &mut recorder, &(), &stop).unwrap().is_none());
    let ending = training.run_to(goal, &mut recorder, &(), &stop).unwrap();
    let summary = training.sums.summary();
    assert_eq!(summary.n_step, 2, "what was asked for");
    let rates = (1..=4).map(|step| training.learning_rate_at(step)).collect();
    let kinds = recorder.events().iter().filter(|event| event.kind != "new_shape");
    let events = kinds.map(|event| event.message.clone()).collect();
    (training.n_step, events, ending, rates)
}

#[test]
fn timing_goes_on_with_the_last_learning_rate() {
    let (n_step, events, ending, rates) = time_beyond(1.0, 4);
    assert_eq!((n_step, events, ending.is_none()), (4, vec![], true));
    assert_eq!(rates, [0.5, 0.25, 0.25, 0.25]);
}

#[test]
fn a_loss_that_is_not_finite_beyond_the_end_ends_the_timing_alone() {
    let (n_step, events, ending, _) = time_beyond(f64::NAN, 9);
    assert_eq!(n_step, 2);
    assert_eq!(
        events,
        [
            "steps for timing only ended after step 2, because the loss of step 3 is NaN; all 2 requested \
          steps are done"
        ]
    );
    assert_eq!(
        ending.map(|ending| (ending.status, ending.reason)),
        Some((Status::Completed, Some("the loss of step 3 is NaN".to_owned())))
    );
}

/// The warm-up steps, if these steps have new shapes.
fn warm_up(least: u64, n_step: u64, is_new: impl Fn(u64) -> bool) -> Vec<u64> {
    let training = format!("steps = 100\nwarmup_steps = {least}");
    let training: Training = toml::from_str(&training).unwrap();
    let mut trainer = RecordingTrainer::default();
    let producer = Producer::new(forty(), Box::new(Pairs(0)), BatchFields::default()).unwrap();
    let pipeline = Pipeline::new(producer, 0).unwrap();
    let mut training = TrainingLoop::new(&training, Box::new(&mut trainer), pipeline, 1.0);
    (1..=n_step).filter(|&step| training.is_warmup(step, is_new(step))).collect()
}

#[test]
fn the_warm_up_lasts_while_every_step_brings_a_new_shape() {
    // New shapes after its end do not extend it.
    assert_eq!(warm_up(2, 9, |step| step <= 4 || step == 7), [1, 2, 3, 4]);
    assert_eq!(warm_up(3, 9, |step| step == 1), [1, 2, 3]);
    assert_eq!(warm_up(0, 9, |_| true), [0; 0]);
    // Without padding, nearly every shape is new.
    assert_eq!(warm_up(2, 50, |_| true), (1..=20).collect::<Vec<u64>>());
}

#[test]
fn the_warm_up_of_a_cell_is_its_first_block_whatever_the_shapes() {
    let training: Training = toml::from_str("steps = 100\nwarmup_steps = 5").unwrap();
    let mut trainer = RecordingTrainer::default();
    let producer = Producer::new(forty(), Box::new(Pairs(0)), BatchFields::default()).unwrap();
    let pipeline = Pipeline::new(producer, 0).unwrap();
    let mut training = TrainingLoop::new(&training, Box::new(&mut trainer), pipeline, 1.0);
    for is_new_shape in [true, false] {
        let warm_up = [0, 0, 1, 2].map(|block| {
            training.begin_turn(Turn { block, turn: 0 });
            training.is_warmup(7, is_new_shape)
        });
        assert_eq!(warm_up, [true, true, false, false]);
    }
}
