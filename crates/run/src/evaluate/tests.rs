use std::sync::atomic::AtomicU32;

use batchlab_core::graphs::{Edges, ManyGraphs, Topology};
use batchlab_core::model::{BatchKey, LossSum, Mode, NamedTensor, TrainerState};
use batchlab_core::{BatchStream, BatcherError, Cursor, GraphSize, Level, ModelError, PaddedBatch};
use serde::{Deserialize, Serialize};

use super::*;

/// One batch with the key 0, of a different graph each time it is opened.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Changing {
    #[serde(skip)]
    n_opened: AtomicU32,
}

struct OneBatch(Option<u32>);

#[typetag::serde(name = "changing")]
impl Batcher for Changing {
    fn level(&self) -> Level {
        Level::Graphs
    }
    fn batch_size(&self) -> Option<u32> {
        None
    }
    fn open(&self, _: View, _: BatchContext) -> Result<Box<dyn BatchStream>, BatcherError> {
        Ok(Box::new(OneBatch(Some(self.n_opened.fetch_add(1, Ordering::Relaxed)))))
    }
}

impl BatchStream for OneBatch {
    fn next(&mut self, plan: &mut BatchPlan) -> Result<bool, BatcherError> {
        let Some(id) = self.0.take() else { return Ok(false) };
        plan.clear(Level::Graphs);
        plan.push_graph(GraphSize { id, n_node: 1, n_edge: 0 });
        plan.shape = plan.real;
        plan.cache_key = Some(0);
        Ok(true)
    }
    fn seek(&mut self, _: &Cursor) -> Result<(), BatcherError> {
        Ok(())
    }
}

/// Records the streams and graphs of uploads.
#[derive(Default)]
struct Uploads(Vec<(u64, u32)>);

impl Trainer for Uploads {
    fn n_parameter(&self) -> usize {
        0
    }
    fn upload(&mut self, _: Slot, _: &PaddedBatch<'_>) -> Result<(), ModelError> {
        Ok(())
    }
    fn upload_kept(
        &mut self,
        _: Slot,
        key: BatchKey,
        batch: &PaddedBatch<'_>,
    ) -> Result<(), ModelError> {
        self.0.push((key.stream, batch.origin[0]));
        Ok(())
    }
    fn forward(&mut self, _: Slot, _: Mode, _: u64) -> Result<LossSum, ModelError> {
        Ok(LossSum::default())
    }
    fn backward(&mut self, _: f64) -> Result<(), ModelError> {
        Ok(())
    }
    fn update(&mut self, _: f64) -> Result<(), ModelError> {
        Ok(())
    }
    fn predict(&mut self, _: Slot, out: &mut Vec<f32>) -> Result<(), ModelError> {
        *out = vec![0.0];
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
        Ok(())
    }
}

/// Two evaluations of two subsets, in batches of all evaluations and of the strategy under study.
fn uploads(keeps: bool) -> Vec<(u64, u32)> {
    let many = ManyGraphs::new(&[1; 4], Edges::FullyConnected).unwrap();
    let graphs = Arc::new(Graphs::new("four", Topology::Many(many)).unwrap());
    let prepared: Arc<dyn ByteCache> = Arc::new(());
    let (all, own) = (Changing::default(), Changing::default());
    let evaluator = Evaluator {
        graphs: &graphs,
        prepared: &prepared,
        batcher: &all,
        own: Some(&own),
        needs: BatchFields::default(),
        loss: Loss::Mse,
        subsets: vec![(Subset::Validation, &[0]), (Subset::Test, &[1])],
        every: None,
        kept: RefCell::default(),
        kept_limit: if keeps { 1 << 20 } else { 0 },
        ranks: None,
    };
    let mut trainer = Uploads::default();
    for step in [1, 2] {
        let at = At { step, train_ns: 0 };
        evaluator.evaluate_all(&mut trainer, at, &[], &AtomicBool::new(false)).unwrap();
    }
    trainer.0
}

#[test]
fn batches_that_come_again_are_collated_once() {
    let graphs = |keeps| -> Vec<u32> { uploads(keeps).iter().map(|&(_, graph)| graph).collect() };
    // The second evaluation has a different plan, but the same key.
    assert_eq!(graphs(true), [0, 1, 0, 1, 0, 1, 0, 1]);
    assert_eq!(graphs(false), [0, 1, 0, 1, 2, 3, 2, 3]);
}

#[test]
fn batches_of_the_strategy_itself_are_no_others() {
    let mut streams: Vec<u64> = uploads(true)[..4].iter().map(|&(stream, _)| stream).collect();
    streams.push(TRAINING);
    streams.sort_unstable();
    streams.dedup();
    assert_eq!(streams.len(), 5, "{streams:?}");
}

/// Like `sklearn.metrics.f1_score(..., average="macro")`: (2/3 + 0 + 4/5 + 0) / 4; class 3 is
/// predicted once but never occurs, class 4 does neither.
#[test]
fn macro_f1_is_a_mean_over_classes() {
    let mut sums = Sums::default();
    for (predicted, class) in [(0, 0), (0, 1), (2, 2), (2, 2), (3, 2)] {
        sums.count(predicted, class);
    }
    assert!((sums.macro_f1() - (2.0 / 3.0 + 0.8) / 4.0).abs() < 1e-12);
    assert_eq!(sums.correct, 3);
    assert!((Sums::default().macro_f1()).abs() < f64::EPSILON);
}

#[test]
fn the_outputs_of_one_pass_are_added_to_their_own_subsets() {
    let subsets: [(Subset, &[u32]); 2] = [(Subset::Validation, &[7, 3]), (Subset::Test, &[5])];
    let place = places(&subsets);
    assert_eq!([7, 3, 5].map(place), [0, 0, 1]);
    let streams =
        [&subsets[..], &subsets[..1], &subsets[1..]].map(|subsets| stream(subsets, false));
    assert!(streams[0] != streams[1] && streams[0] != streams[2] && streams[1] != streams[2]);
}
