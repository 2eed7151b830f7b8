//! Evaluates a trained model on any suitable data, with any batcher.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use batchlab_config::{Config, LoadedConfig, Subset};
use batchlab_core::batcher::ByteCache;
use batchlab_core::graphs::{Target, TargetKind};
use batchlab_core::model::Trainer;
use batchlab_core::record::EvalRecord;
use batchlab_core::{Batcher, Dataset, Graphs, Level, LoadContext};

use super::evaluate::{Sums, check_delivers, context, predict_all};
use super::open_model::open_model;
use super::pipeline::{Pipeline, Producer, nanoseconds, open_timed};
use super::resume::ResumeError;
use super::training_data::{Mismatch, check_description, check_takes};
use super::{Data, Subsets, memory};
use crate::cache::{Cache, Keep};
use crate::checkpoint::{Checkpoint, RunState};
use crate::{Observer, RunError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubsetChoice {
    Subset(Subset),
    /// All data, with or without a target.
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
    /// Name for messages.
    pub name: String,
    pub dataset: Box<dyn Dataset>,
    /// Folders searched for relative paths.
    pub search: Vec<PathBuf>,
    pub mismatch: Mismatch,
}

/// The prediction for one graph, or for one node of one graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Position in the data set, from 0.
    pub index: u32,
    /// Name in the source of the data.
    pub name: String,
    /// Its subset in the run's split; for other data, the requested subset.
    pub subset: Option<&'static str>,
    /// True value in the target's unit, or class number.
    pub target: Option<f64>,
    /// Predicted value in the target's unit, or class number.
    pub prediction: f64,
}

#[derive(Debug, Clone)]
pub struct ModelEvaluation {
    pub batcher: String,
    /// Errors as recorded by a run; `None` without targets.
    pub record: Option<EvalRecord>,
    /// In data set order.
    pub predictions: Vec<Prediction>,
    pub n_batch: u64,
    /// Preparation time of the batcher, in nanoseconds; the original cost if served from the cache.
    pub prepare_ns: i64,
    /// Deciding the content of batches.
    pub plan_ns: i64,
    /// Copying and padding.
    pub collate_ns: i64,
    /// Upload to the device, and predictions.
    pub forward_ns: i64,
    /// Total time, including preparation.
    pub total_ns: i64,
}

impl ModelEvaluation {
    /// Graphs, or nodes of one graph, per second of total time.
    #[must_use]
    pub fn outputs_per_second(&self) -> f64 {
        self.predictions.len() as f64 / (self.total_ns.max(1) as f64 / 1e9)
    }
}

pub struct TrainedModel {
    pub state: RunState,
    config: Config,
    graphs: Arc<Graphs>,
    /// `None` for other data, until a subset is requested.
    subsets: Option<Subsets>,
    is_own_data: bool,
    /// Whether each graph can be predicted.
    is_known: Vec<bool>,
    trainer: Box<dyn Trainer>,
    prepared: Arc<dyn ByteCache>,
}

impl TrainedModel {
    /// Restores the model from a checkpoint, for the data of the run or for `other` data. `device`
    /// overrides the device of the run. Targets are scaled and classes numbered as in training.
    ///
    /// # Errors
    /// A configuration that this program cannot read, changed data, or other data that do not fit
    /// the model.
    pub fn open(
        checkpoint: &Checkpoint,
        other: Option<&OtherData>,
        device: Option<&str>,
        cache: &Cache,
        observer: &dyn Observer,
    ) -> Result<Self, RunError> {
        let state = &checkpoint.state;
        let mut config = state.config()?;
        if let Some(device) = device {
            device.clone_into(&mut config.device);
            config.model.check_device(device)?;
            config.training.precision.check(device)?;
        }
        let loaded = LoadedConfig { config, path: state.config_path.clone() };
        let (mut graphs, subsets, is_known) = match other {
            None => {
                let data = Data::load(&loaded, cache, observer)?;
                let now = data.hash.clone();
                if now != state.dataset_hash {
                    let (run_id, before) = (state.run_id.clone(), state.dataset_hash.clone());
                    return Err(ResumeError::Dataset { run_id, before, now }.into());
                }
                let n_member = data.graphs.n_member();
                (data.graphs, Some(data.subsets), vec![true; n_member])
            }
            Some(other) => {
                let (graphs, is_known) = load_other(other, state, &loaded.config, cache, observer)
                    .map_err(|error| error.of_data(&other.name))?;
                (Arc::new(graphs), None, is_known)
            }
        };
        if let Some(target) = &mut Arc::make_mut(&mut graphs).target {
            give_classes(target);
        }
        let (mut trainer, _) = open_model(&loaded, &state.data)?;
        trainer.restore(&checkpoint.trainer)?;
        Ok(Self {
            state: state.clone(),
            config: loaded.config,
            graphs,
            subsets,
            is_own_data: other.is_none(),
            is_known,
            trainer,
            prepared: cache.prepared(observer.progress()),
        })
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

    /// Name of the target in the data.
    #[must_use]
    pub fn target(&self) -> &str {
        self.graphs.target.as_ref().map_or(&self.state.data.target, |target| &target.name)
    }

    /// Predicts every graph of the chosen subset; without a `batcher`, with the batcher of the
    /// run's own evaluations.
    ///
    /// # Errors
    /// A subset without graphs, or a batcher that loses graphs or works on another kind of data.
    pub fn evaluate(
        &mut self,
        choice: SubsetChoice,
        batcher: Option<&dyn Batcher>,
    ) -> Result<ModelEvaluation, RunError> {
        let members = self.members(choice)?;
        let batcher = batcher.unwrap_or(&*self.config.evaluation.batcher);
        let graphs = &self.graphs;
        if batcher.level() != graphs.level() {
            let (label, wanted, found) = (batcher.label(), batcher.level(), graphs.level());
            return Err(RunError::config(format!(
                "batcher \"{label}\" works on {wanted}, but the data are {found}"
            )));
        }
        check_delivers("batcher", batcher, graphs, &members, choice.name(), &self.prepared)?;
        let (stream, prepare_ns) =
            open_timed(batcher, graphs.view(&members), context(&self.prepared), None)?;
        let start = Instant::now();
        let producer = Producer::new(Arc::clone(graphs), stream, self.config.model.needs())?;
        let mut pipeline = Pipeline::new(producer, 0)?;
        let (mut sums, mut outputs) = (Sums::default(), Vec::with_capacity(members.len()));
        let (loss, state) = (self.config.training.loss, &self.state);
        let target = graphs.target.as_ref();
        let passed = predict_all(
            &mut *self.trainer,
            &mut pipeline,
            None,
            &AtomicBool::new(false),
            &mut |output| {
                if target.is_some_and(|target| target.known(output.member).is_some()) {
                    sums.add(&output, loss);
                }
                outputs.push((output.member, state.data.predicted(output.prediction)));
            },
        )?;
        let total_ns = prepare_ns.saturating_add(nanoseconds(start, Instant::now()));
        let pass = passed.unwrap_or_default();
        outputs.sort_by_key(|&(member, _)| member);
        let subset_of = self.subset_of(choice);
        let prediction = |(member, prediction): (u32, f64)| Prediction {
            index: member,
            name: graphs.name_of(member).into_owned(),
            subset: subset_of[member as usize],
            target: target.and_then(|target| target.known(member)),
            prediction,
        };
        Ok(ModelEvaluation {
            batcher: batcher.label(),
            record: (sums.n > 0)
                .then(|| sums.record(target, &members, choice.name(), state.step, total_ns)),
            predictions: outputs.into_iter().map(prediction).collect(),
            n_batch: pass.n_batch,
            prepare_ns,
            plan_ns: pass.plan_ns,
            collate_ns: pass.collate_ns,
            forward_ns: pass.forward_ns,
            total_ns,
        })
    }

    /// The chosen members that can be predicted.
    fn members(&mut self, choice: SubsetChoice) -> Result<Vec<u32>, RunError> {
        let mut members: Vec<u32> = match choice {
            SubsetChoice::All => (0..self.graphs.n_member() as u32).collect(),
            SubsetChoice::Subset(subset) => {
                if self.subsets.is_none() {
                    let (split, seeds) = (self.config.split, self.config.training.seeds);
                    self.subsets = Some(Subsets::new(&self.graphs, split, seeds.split)?);
                }
                self.subsets.as_ref().map_or(&[][..], |subsets| subsets.of(subset)).to_vec()
            }
        };
        members.retain(|&member| self.is_known[member as usize]);
        if members.is_empty() {
            return Err(RunError::config(format!(
                "there are no {} for {}; choose another --subset",
                self.graphs.level().outputs(),
                choice.name()
            )));
        }
        Ok(members)
    }

    fn subset_of(&self, choice: SubsetChoice) -> Vec<Option<&'static str>> {
        let mut names = vec![None; self.graphs.n_member()];
        let Some(subsets) = &self.subsets else { return names };
        for subset in [Subset::Train, Subset::Validation, Subset::Test] {
            if self.is_own_data || choice == SubsetChoice::Subset(subset) {
                for &member in subsets.of(subset) {
                    names[member as usize] = Some(subset.name());
                }
            }
        }
        names
    }
}

/// Assigns an arbitrary class to members without one, because a model cannot process outputs
/// without a class. They are not evaluated.
fn give_classes(target: &mut Target) {
    if matches!(target.kind, TargetKind::Classes { .. }) {
        let classes = target.training.iter_mut().zip(&target.value);
        classes.filter(|(_, value)| **value < 0.0).for_each(|(training, _)| *training = 0.0);
    }
}

/// Other data, with the scale and class numbers of training, and which of their graphs can be
/// predicted.
fn load_other(
    other: &OtherData,
    state: &RunState,
    config: &Config,
    cache: &Cache,
    observer: &dyn Observer,
) -> Result<(Graphs, Vec<bool>), RunError> {
    check_takes(&*config.model, &other.dataset.provides())?;
    let mut warnings = Vec::new();
    check_description(&*config.dataset, &*other.dataset, other.mismatch, &mut warnings)?;
    let ctx = LoadContext {
        search: other.search.clone(),
        progress: observer.progress(),
        memory: memory::budget()?,
        needs_target: false,
        ..LoadContext::new()
    };
    let mut graphs = cache.load(&*other.dataset, &ctx, Keep::WhenSlow)?.graphs;
    let fitted = state.data.fit(&mut graphs, &*config.model, other.mismatch)?;
    for warning in warnings.iter().chain(&fitted.warnings) {
        observer.progress().note(&format!("warning: {warning}"));
    }
    Ok((graphs, fitted.is_known))
}

impl RunState {
    /// # Errors
    /// A configuration that this program cannot read.
    pub fn config(&self) -> Result<Config, RunError> {
        serde_json::from_value(self.config.clone()).map_err(|error| {
            RunError::config(format!(
                "this program cannot read the configuration in the checkpoint of run {}: \
                 {error}\nit was written by batchlab {}; use a program with the same plugins",
                self.run_id, self.version
            ))
        })
    }
}
