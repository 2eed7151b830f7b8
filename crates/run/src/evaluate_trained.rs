//! Evaluates a trained model: on any data that fit it, in batches of any batcher.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use batchlab_config::{Config, LoadedConfig, Subset};
use batchlab_core::batcher::ByteCache;
use batchlab_core::graphs::{NodeClass, NodeFeature, Target, TargetKind};
use batchlab_core::model::{Slot, Trainer};
use batchlab_core::record::EvalRecord;
use batchlab_core::{Batcher, Dataset, Graphs, Level, LoadContext};

use super::evaluate::{Sums, context, largest, n_delivered};
use super::open_model::open_model;
use super::pipeline::{Pipeline, Prepared, Producer, nanoseconds, open_timed};
use super::resume::ResumeError;
use super::{Data, Subsets, search_folders};
use crate::cache::{Cache, Keep};
use crate::checkpoint::{Checkpoint, RunState};
use crate::{Observer, RunError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubsetChoice {
    Subset(Subset),
    /// All that have a target, or all where there are no targets.
    All,
}

impl SubsetChoice {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Subset(subset) => subset.name(),
            Self::All => "all",
        }
    }
}

#[derive(Debug)]
pub struct OtherData {
    pub name: String,
    pub dataset: Box<dyn Dataset>,
    /// The configuration that names it, if one does; relative paths are resolved beside it.
    pub path: PathBuf,
}

/// The prediction for one graph, or for one node of one graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Position in the data set, from 0.
    pub index: u32,
    /// Identifier in the source of the data.
    pub origin: u32,
    /// The subset of the run's split that it belongs to; of other data, the one that was asked for.
    pub subset: Option<&'static str>,
    /// True value in the target's unit, or number of the class.
    pub target: Option<f64>,
    /// Predicted value in the target's unit, or number of the class.
    pub prediction: f64,
}

#[derive(Debug, Clone)]
pub struct ModelEvaluation {
    pub batcher: String,
    /// Errors as a run records them; `None` without targets.
    pub record: Option<EvalRecord>,
    /// In the order of the data set.
    pub predictions: Vec<Prediction>,
    pub n_batch: u64,
    /// The batcher's preparation, in nanoseconds. What it took when it was computed, if the cache has it.
    pub prepare_ns: i64,
    /// Deciding what is in the batches.
    pub plan_ns: i64,
    /// Copying and padding.
    pub collate_ns: i64,
    /// Copying to the device, and predictions.
    pub forward_ns: i64,
    /// Everything, preparation included.
    pub total_ns: i64,
}

impl ModelEvaluation {
    /// Graphs, or nodes of one graph, per second of everything.
    #[must_use]
    pub fn outputs_per_second(&self) -> f64 {
        self.predictions.len() as f64 / (self.total_ns.max(1) as f64 / 1e9)
    }
}

pub struct TrainedModel {
    pub state: RunState,
    config: Config,
    graphs: Arc<Graphs>,
    subsets: Subsets,
    is_own_data: bool,
    trainer: Box<dyn Trainer>,
    prepared: Arc<dyn ByteCache>,
}

impl TrainedModel {
    /// Rebuilds data set and model from the configuration in a checkpoint, and takes over the weights.
    /// `device` replaces that of the run. With `other` data, those of the run are read too: targets are
    /// scaled as in training, and node classes keep the numbers that they had.
    ///
    /// # Errors
    /// A configuration that this program cannot read, changed data, other data that do not fit the model.
    pub fn open(
        checkpoint: &Checkpoint,
        other: Option<&OtherData>,
        device: Option<&str>,
        cache: &Cache,
        observer: &dyn Observer,
    ) -> Result<Self, RunError> {
        let state = &checkpoint.state;
        let mut config = config_of(state)?;
        if let Some(device) = device {
            device.clone_into(&mut config.device);
            config.model.check_device(device)?;
            config.training.precision.check(device)?;
        }
        let loaded = LoadedConfig { config, path: state.config_path.clone() };
        let data = Data::load(&loaded, cache, observer)?;
        let now = data.hash.clone();
        if now != state.dataset_hash {
            let (run_id, before) = (state.run_id.clone(), state.dataset_hash.clone());
            return Err(ResumeError::Dataset { run_id, before, now }.into());
        }
        let config = &loaded.config;
        let (mut trainer, _) = open_model(&loaded, &data.graphs)?;
        trainer.restore(&checkpoint.trainer)?;
        let (graphs, subsets) = match other {
            None => (data.graphs, data.subsets),
            Some(other) => {
                let ctx = LoadContext {
                    search: search_folders(&other.path),
                    progress: observer.progress(),
                    memory: crate::memory::budget()?,
                    ..LoadContext::new()
                };
                let mut graphs = cache.load(&*other.dataset, &ctx, Keep::WhenSlow)?.graphs;
                fit(&mut graphs, &data.graphs, config, &other.name)?;
                let subsets = Subsets::new(&graphs, config.split, config.training.seeds.split)?;
                (Arc::new(graphs), subsets)
            }
        };
        let (is_own_data, state, prepared) = (other.is_none(), state.clone(), data.prepared);
        Ok(Self { state, config: loaded.config, graphs, subsets, is_own_data, trainer, prepared })
    }

    #[must_use]
    pub fn evaluation_batcher(&self) -> &dyn Batcher {
        &*self.config.evaluation.batcher
    }

    #[must_use]
    pub fn dataset(&self) -> &str {
        &self.graphs.dataset
    }

    /// Whether outputs are graphs, or nodes of one graph.
    #[must_use]
    pub fn level(&self) -> Level {
        self.graphs.level()
    }

    /// The target, with its scale in training.
    #[must_use]
    pub fn target(&self) -> Option<&Target> {
        self.graphs.target.as_ref()
    }

    /// Predicts every graph of the chosen subset; without a `batcher`, in the batches of the run's own
    /// evaluations.
    ///
    /// # Errors
    /// A subset without graphs, a batcher that loses some or works on another kind of data.
    pub fn evaluate(
        &mut self,
        choice: SubsetChoice,
        batcher: Option<&dyn Batcher>,
    ) -> Result<ModelEvaluation, RunError> {
        let batcher = batcher.unwrap_or(&*self.config.evaluation.batcher);
        let members = members(&self.graphs, &self.subsets, choice);
        check(&self.graphs, &members, choice, batcher, &self.prepared)?;
        let (stream, prepare_ns) =
            open_timed(batcher, self.graphs.view(&members), context(&self.prepared))?;
        let start = Instant::now();
        let producer = Producer::new(Arc::clone(&self.graphs), stream, self.config.model.needs())?;
        let mut pipeline = Pipeline::new(producer, 0)?;
        let (mut prepared, mut output) = (Prepared::default(), Vec::new());
        let mut sums = Sums::default();
        let mut evaluation = ModelEvaluation {
            batcher: batcher.label(),
            record: None,
            predictions: Vec::with_capacity(members.len()),
            n_batch: 0,
            prepare_ns,
            plan_ns: 0,
            collate_ns: 0,
            forward_ns: 0,
            total_ns: 0,
        };
        let subset_of = self.subset_of(choice);
        while pipeline.next(&mut prepared)? {
            evaluation.n_batch += 1;
            evaluation.plan_ns += prepared.plan_ns;
            evaluation.collate_ns += prepared.collate_ns;
            let batch = prepared.batch();
            let forward = Instant::now();
            self.trainer.upload(Slot::A, &batch)?;
            self.trainer.predict(Slot::A, &mut output)?;
            evaluation.forward_ns += nanoseconds(forward, Instant::now());
            sums.add(&batch, &output, self.config.training.loss);
            let width = output.len() / batch.output_row.len().max(1);
            let rows = output.chunks_exact(width.max(1)).zip(batch.output_row);
            for ((row, &member), &weight) in rows.zip(batch.output_weight) {
                if weight != 0.0 {
                    let index = batch.origin[member as usize];
                    let subset = subset_of[index as usize];
                    evaluation.predictions.push(self.prediction(index, row, subset));
                }
            }
        }
        evaluation.total_ns = prepare_ns.saturating_add(nanoseconds(start, Instant::now()));
        evaluation.predictions.sort_by_key(|prediction| prediction.index);
        evaluation.record = self.graphs.target.as_ref().map(|target| {
            let step = self.state.step;
            sums.record(Some(target), &members, choice.name(), step, evaluation.total_ns)
        });
        Ok(evaluation)
    }

    fn prediction(&self, index: u32, row: &[f32], subset: Option<&'static str>) -> Prediction {
        let place = index as usize;
        let target = self.graphs.target.as_ref();
        let prediction = match target.map(|target| (&target.kind, target.standardisation)) {
            Some((TargetKind::Classes { .. }, _)) => largest(row) as f64,
            Some((TargetKind::Regression { .. }, scale)) => {
                scale.mean + scale.deviation * f64::from(row[0])
            }
            None => f64::from(row[0]),
        };
        Prediction {
            index,
            origin: self.graphs.origin.get(place).copied().unwrap_or(index),
            subset,
            target: target.map(|target| target.value[place]).filter(|value| !value.is_nan()),
            prediction,
        }
    }

    fn subset_of(&self, choice: SubsetChoice) -> Vec<Option<&'static str>> {
        let mut names = vec![None; self.graphs.n_member()];
        for subset in [Subset::Train, Subset::Validation, Subset::Test] {
            if self.is_own_data || choice == SubsetChoice::Subset(subset) {
                for &member in self.subsets.of(subset) {
                    names[member as usize] = Some(subset.name());
                }
            }
        }
        names
    }
}

fn config_of(state: &RunState) -> Result<Config, RunError> {
    serde_json::from_value(state.config.clone()).map_err(|error| {
        RunError::config(format!(
            "this program cannot read the configuration in the checkpoint of run {}: \
             {error}\nit was written by batchlab {}; use a program with the same plugins",
            state.run_id, state.version
        ))
    })
}

fn members(graphs: &Graphs, subsets: &Subsets, choice: SubsetChoice) -> Vec<u32> {
    let has_target = |&id: &u32| match &graphs.target {
        // A node without a class cannot be evaluated.
        Some(Target { kind: TargetKind::Classes { .. }, value, .. }) => value[id as usize] >= 0.0,
        _ => true,
    };
    match choice {
        SubsetChoice::Subset(subset) => subsets.of(subset).to_vec(),
        SubsetChoice::All => (0..graphs.n_member() as u32).filter(has_target).collect(),
    }
}

/// Checks, from sizes alone, that the batcher delivers every graph once.
fn check(
    graphs: &Graphs,
    members: &[u32],
    choice: SubsetChoice,
    batcher: &dyn Batcher,
    prepared: &Arc<dyn ByteCache>,
) -> Result<(), RunError> {
    let fail = |message: String| Err(RunError::config(message));
    let label = batcher.label();
    if members.is_empty() {
        return fail(format!(
            "there are no {} for {}; choose another --subset",
            graphs.level().outputs(),
            choice.name()
        ));
    }
    if batcher.level() != graphs.level() {
        let (wanted, found) = (batcher.level(), graphs.level());
        return fail(format!("batcher \"{label}\" works on {wanted}, but the data are {found}"));
    }
    let n_output = n_delivered(batcher, graphs.view(members), prepared)?;
    if n_output == members.len() {
        return Ok(());
    }
    let outputs = graphs.level().outputs();
    fail(format!(
        "batcher \"{label}\" delivers {n_output} of the {} {outputs} for {}, so errors would be those \
         of other {outputs}; choose one that loses none",
        members.len(),
        choice.name()
    ))
}

/// Gives other data the scale of the target and the numbers of the node classes of the run.
fn fit(graphs: &mut Graphs, own: &Graphs, config: &Config, name: &str) -> Result<(), RunError> {
    let fail = |message: String| {
        Err(RunError::config(format!("data set \"{name}\" does not fit the run: {message}")))
    };
    let needs = config.model.needs();
    let model = config.model.typetag_name();
    if !config.model.accepts(graphs.level()) {
        return fail(format!("model \"{model}\" does not work on {}", graphs.level()));
    }
    if let Some(missing) = needs.missing_from(graphs.fields()) {
        return fail(format!("model \"{model}\" needs {missing}, which it does not have"));
    }
    let width = |graphs: &Graphs| graphs.node_feature.as_ref().map_or(0, NodeFeature::width);
    if needs.node_feature && width(graphs) != width(own) {
        let (now, before) = (width(graphs), width(own));
        return fail(format!("its nodes have {now} features, those of training {before}"));
    }
    if let (true, Some(class), Some(own)) =
        (needs.node_class, &mut graphs.node_class, &own.node_class)
        && let Err(unknown) = rename_classes(class, own)
    {
        return fail(format!(
            "its nodes have classes that the training data did not have: {}; known are {}",
            unknown.join(", "),
            own.name.join(", ")
        ));
    }
    let (Some(target), Some(own)) = (&mut graphs.target, &own.target) else { return Ok(()) };
    match (&target.kind, &own.kind) {
        (TargetKind::Regression { unit: now }, TargetKind::Regression { unit }) if now != unit => {
            return fail(format!("its target is in \"{now}\", that of training in \"{unit}\""));
        }
        (TargetKind::Regression { .. }, TargetKind::Regression { .. }) => {}
        (now, before) if now == before => {}
        _ => return fail("its target is of another kind, or has other classes".to_owned()),
    }
    target.standardisation = own.standardisation;
    if matches!(target.kind, TargetKind::Regression { .. }) {
        let scale = own.standardisation;
        let standard = |value: &f64| ((value - scale.mean) / scale.deviation) as f32;
        target.training = target.value.iter().map(standard).collect();
    }
    Ok(())
}

/// Numbers classes as training did, by their names. The error names those that training did not have
/// and that occur.
fn rename_classes(class: &mut NodeClass, own: &NodeClass) -> Result<(), Vec<String>> {
    let new: Vec<Option<u32>> = class
        .name
        .iter()
        .map(|name| own.name.iter().position(|own| own == name).map(|place| place as u32))
        .collect();
    let mut is_unknown = vec![false; new.len()];
    for value in &mut class.value {
        match new[*value as usize] {
            Some(renamed) => *value = renamed,
            None => is_unknown[*value as usize] = true,
        }
    }
    let unknown: Vec<String> = class
        .name
        .iter()
        .zip(is_unknown)
        .filter(|(_, is_unknown)| *is_unknown)
        .map(|(name, _)| name.clone())
        .collect();
    class.name.clone_from(&own.name);
    if unknown.is_empty() { Ok(()) } else { Err(unknown) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(name: &[&str], value: &[u32]) -> NodeClass {
        NodeClass {
            value: value.to_vec(),
            name: name.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    #[test]
    fn classes_are_found_by_their_names() {
        let own = classes(&["H", "C", "O"], &[]);
        let mut other = classes(&["O", "Xe", "H"], &[0, 2, 2, 0]);
        assert_eq!(rename_classes(&mut other, &own), Ok(()));
        assert_eq!(other, classes(&["H", "C", "O"], &[2, 0, 0, 2]));
        // A class matters only where a node has it.
        let mut other = classes(&["O", "Xe", "H"], &[0, 1]);
        assert_eq!(rename_classes(&mut other, &own), Err(vec!["Xe".to_owned()]));
    }
}
