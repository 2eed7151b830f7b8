use std::time::Duration;

use batchlab_core::model::{NamedTensor, TrainerState};
use batchlab_core::weighting::Weighting;
use batchlab_core::{GraphSize, Level, ModelError, PaddedBatch};

use super::*;

/// One parameter, whose loss is its squared distance from a target.
struct Toy {
    parameter: f32,
    /// Weight and target of each output.
    batch: Vec<[f64; 2]>,
    gradient: Vec<f32>,
}

impl Toy {
    fn new(batch: &[[f64; 2]]) -> Self {
        Self { parameter: 1.0, batch: batch.to_vec(), gradient: Vec::new() }
    }

    fn sum(&self, of: impl Fn(f64) -> f64) -> f64 {
        let parameter = f64::from(self.parameter);
        self.batch.iter().map(|[weight, target]| weight * of(parameter - target)).sum()
    }

    fn weight(&self) -> f64 {
        self.batch.iter().map(|[weight, _]| weight).sum()
    }

    fn plan(&self) -> BatchPlan {
        let mut plan = BatchPlan::default();
        plan.clear(Level::Graphs);
        for id in 0..self.batch.len() as u32 {
            plan.push_graph(GraphSize { id, n_node: 2, n_edge: 3 });
        }
        plan.shape = Shape { n_edge: 10, ..plan.real };
        plan
    }
}

impl Trainer for Toy {
    fn n_parameter(&self) -> usize {
        1
    }
    fn upload(&mut self, _: Slot, _: &PaddedBatch<'_>) -> Result<(), ModelError> {
        Ok(())
    }
    fn forward(&mut self, _: Slot, _: Mode, _: u64) -> Result<LossSum, ModelError> {
        Ok(LossSum {
            loss_sum: self.sum(|distance| distance * distance),
            weight_sum: self.weight(),
        })
    }
    fn backward(&mut self, scale: f64) -> Result<(), ModelError> {
        self.gradient = vec![(scale * self.sum(|distance| 2.0 * distance) / self.weight()) as f32];
        Ok(())
    }
    fn update(&mut self, learning_rate: f64) -> Result<(), ModelError> {
        self.parameter -= learning_rate as f32 * self.gradient[0];
        Ok(())
    }
    fn predict(&mut self, _: Slot, _: &mut Vec<f32>) -> Result<(), ModelError> {
        Ok(())
    }
    fn gradients(&self) -> Result<Vec<NamedTensor>, ModelError> {
        let data = self.gradient.clone();
        Ok(vec![NamedTensor { name: "parameter".into(), shape: vec![1], data }])
    }
    fn replace_gradients(&mut self, values: &[f32]) -> Result<(), ModelError> {
        self.gradient = values.to_vec();
        Ok(())
    }
    fn state(&self) -> Result<TrainerState, ModelError> {
        let data = vec![self.parameter];
        let tensor = NamedTensor { name: "parameter".into(), shape: vec![1], data };
        Ok(TrainerState { tensors: vec![tensor], ..TrainerState::default() })
    }
    fn restore(&mut self, _: &TrainerState) -> Result<(), ModelError> {
        Ok(())
    }
    fn synchronise(&mut self) -> Result<(), ModelError> {
        Ok(())
    }
}

/// What each rank returns; the second of them has been asked to end, if `is_asked`.
fn on_ranks<T: Send>(
    batches: &[&[[f64; 2]]],
    is_asked: bool,
    work: impl Fn(Together<'_>, Toy) -> T + Sync,
) -> Vec<T> {
    let ranks = batchlab_ranks::threads(batches.len(), Duration::from_secs(20));
    std::thread::scope(|scope| {
        let work = &work;
        let start = |(rank, batch): (_, &&[[f64; 2]])| {
            let toy = Toy::new(batch);
            scope.spawn(move || {
                let asked = AtomicBool::new(is_asked && Communicator::rank(&rank) == 1);
                work(Together::new(&rank, &asked), toy)
            })
        };
        let started: Vec<_> = ranks.into_iter().zip(batches).map(start).collect();
        started.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

fn step(together: &mut Together<'_>, toy: &mut Toy, weighting: Weighting) -> SharedStep {
    let scale = |weight_sum| weighting.scale(weight_sum, 4.0);
    let options = StepOptions { learning_rate: 0.5, key: 0, scale: &scale };
    let plan = toy.plan();
    together.step(toy, Slot::A, &options, &plan, None).unwrap()
}

const BATCHES: [&[[f64; 2]]; 3] = [&[[1.0, 0.5], [2.0, 0.25]], &[[1.5, 3.0]], &[]];

#[test]
fn the_update_is_that_of_one_process_on_all_graphs() {
    for weighting in [Weighting::PerBatchMean, Weighting::PerGraph, Weighting::PerNode] {
        let mut one = Toy::new(&BATCHES.concat());
        let loss = one.forward(Slot::A, Mode::Training, 0).unwrap();
        one.backward(weighting.scale(loss.weight_sum, 4.0)).unwrap();
        one.update(0.5).unwrap();
        let all = on_ranks(&BATCHES, false, |mut together, mut toy| {
            let shared = step(&mut together, &mut toy, weighting);
            assert!((shared.loss.mean() - loss.mean()).abs() < 1e-12);
            let mut record = StepRecord::default();
            shared.fill(&mut record);
            assert_eq!((record.n_graph, record.n_edge, record.n_edge_rank), (3, 9, Some(6)));
            assert_eq!(record.n_edge_padded, 20, "a rank without graphs computes nothing");
            toy.parameter
        });
        for parameter in all {
            assert!((parameter - one.parameter).abs() < 1e-6, "{weighting:?}");
        }
    }
}

#[test]
fn a_loss_that_is_not_finite_on_one_rank_stops_all() {
    let batches = [BATCHES[0], &[[1.0, f64::NAN]]];
    let all = on_ranks(&batches, false, |mut together, mut toy| {
        let shared = step(&mut together, &mut toy, Weighting::PerBatchMean);
        let own = format!("{} graphs", toy.batch.len());
        (
            shared.loss.mean().is_nan(),
            together.name_not_finite(&shared, &own).unwrap(),
            toy.parameter,
        )
    });
    for (is_nan, named, parameter) in all {
        assert!(is_nan && (parameter - 1.0).abs() < 1e-9);
        assert_eq!(named, "The batch of rank 1 holds 1 graphs");
    }
}

#[test]
fn all_ranks_end_when_one_is_asked_to() {
    for is_asked in [false, true] {
        let all = on_ranks(&BATCHES, is_asked, |mut together, mut toy| {
            let interrupted = together.interrupted();
            step(&mut together, &mut toy, Weighting::PerGraph);
            interrupted.load(Ordering::Relaxed)
        });
        assert_eq!(all, [is_asked; 3]);
    }
}

#[test]
fn parameters_that_differ_are_noticed_on_all_ranks() {
    let all = on_ranks(&BATCHES, false, |together, mut toy| {
        together.check_parameters(&toy, 5).unwrap();
        toy.parameter += together.others.rank() as f32 * 1e-6;
        together.check_parameters(&toy, 7).unwrap_err().to_string()
    });
    for said in all {
        assert!(said.contains("after 7 steps the parameters of rank 1 differ"), "{said}");
    }
}

#[test]
fn ranks_that_differ_say_in_what() {
    let all = on_ranks(&BATCHES, false, |together, toy| {
        let n = toy.batch.len().min(1);
        let own = [("version", "1".to_owned()), ("data set", format!("hash{n}"))];
        agree(together.others, &own).unwrap_err().to_string()
    });
    for said in all {
        assert!(said.contains("\n  data set: hash1 on rank 0, hash0 on rank 2\n"), "{said}");
        assert!(!said.contains("version"), "{said}");
    }
}
