//! The description of a run at its beginning, and its row in the `runs` table.

use std::num::NonZeroU64;
use std::time::SystemTime;

use batchlab_config::LoadedConfig;
use batchlab_core::graphs::{Target, TargetKind};
use batchlab_core::model::Trainer;
use batchlab_core::record::{EvalRecord, RunRecord, SCHEMA_VERSION, Timestamp};
use batchlab_results::StepSummary;

use super::{Data, RunHeader};
use crate::provenance::{Provenance, peak_host_bytes};

pub(crate) fn header(
    loaded: &LoadedConfig,
    data: &Data,
    trainer: &dyn Trainer,
    run_id: &str,
) -> RunHeader {
    let (config, graphs, subsets) = (&loaded.config, &data.graphs, &data.subsets);
    RunHeader {
        run_id: run_id.to_owned(),
        dataset: config.dataset.typetag_name().to_owned(),
        target: graphs.target.as_ref().map(|target| match &target.kind {
            TargetKind::Regression { unit } => (target.name.clone(), unit.clone()),
            TargetKind::Classes { .. } => (target.name.clone(), Some("class".into())),
        }),
        output: graphs.level().output(),
        n_graph: [subsets.train.len(), subsets.validation.len(), subsets.test.len()],
        model: config.model.typetag_name().to_owned(),
        n_parameter: trainer.n_parameter(),
        engine: trainer.engine(),
        batcher: config.batcher.label(),
        batch_size: config.batcher.batch_size(),
        n_step: config.training.steps.map(NonZeroU64::get),
        n_epoch: config.training.epochs.map(NonZeroU64::get),
        device: config.device.clone(),
        n_rank: config.ranks.map_or(1, |ranks| ranks.n.get() as usize),
        notes: graphs.notes.clone(),
    }
}

/// The study fields of a run's row; empty for a standalone run.
#[derive(Debug, Clone, Default)]
pub(super) struct OfStudy {
    pub(super) cell: Option<String>,
    pub(super) repeat: Option<i64>,
    pub(super) n_repeat: Option<i64>,
    pub(super) is_exclusive: Option<bool>,
    pub(super) n_look: Option<i64>,
}

pub(super) struct Circumstances {
    pub(super) provenance: Provenance,
    pub(super) started_at: Timestamp,
    pub(super) prepare_ns: i64,
    pub(super) n_thread: usize,
    pub(super) of_study: OfStudy,
    /// Number of times the run was started or resumed.
    pub(super) n_attempt: i64,
    /// The run that it extends.
    pub(super) parent: Option<String>,
}

pub(super) fn record(
    loaded: &LoadedConfig,
    data: &Data,
    header: &RunHeader,
    circumstances: &Circumstances,
    (status, error): (&str, Option<String>),
    steps: &StepSummary,
    evals: &[EvalRecord],
) -> RunRecord {
    let (config, graphs) = (&loaded.config, &data.graphs);
    let Circumstances { provenance, of_study, .. } = circumstances;
    let standardisation = graphs.target.as_ref().map(|target| target.standardisation);
    // A constant target is trained at its original scale, but its deviation is 0.
    let is_constant = |target: &Target| target.is_constant(&data.subsets.train);
    let is_constant = graphs.target.as_ref().is_some_and(is_constant);
    let [n_train, n_validation, n_test] = header.n_graph.map(|n| Some(n as i64));
    // Larger seeds cannot occur in a configuration.
    let seed = |seed: u64| i64::try_from(seed).ok();
    RunRecord {
        run_id: header.run_id.clone(),
        schema_version: SCHEMA_VERSION,
        study: config.study.clone(),
        started_at: Some(circumstances.started_at),
        finished_at: Some(Timestamp::of(SystemTime::now())),
        status: status.into(),
        error,
        config: loaded.to_json(),
        config_hash: Some(loaded.hash()),
        version: Some(provenance.version.clone()),
        git_commit: provenance.git_commit.clone(),
        git_dirty: provenance.git_dirty,
        rustc: Some(provenance.rustc.clone()),
        build_profile: Some(provenance.build_profile.clone()),
        host: Some(provenance.host.clone()),
        os: Some(provenance.os.clone()),
        cpu_model: Some(provenance.cpu_model.clone()),
        cpu_count: Some(provenance.cpu_count as i64),
        n_thread: Some(circumstances.n_thread as i64),
        n_rank: Some(header.n_rank as i64),
        device: config.device.clone(),
        engine: Some(
            header.engine.clone().unwrap_or_else(|| format!("batchlab {}", provenance.version)),
        ),
        dataset: header.dataset.clone(),
        dataset_hash: Some(data.hash.clone()),
        output: Some(graphs.level().output().into()),
        n_dataset_graph: Some(graphs.n_member() as i64),
        n_train,
        n_validation,
        n_test,
        target: header.target.as_ref().map(|(name, _)| name.clone()),
        target_unit: header.target.as_ref().and_then(|(_, unit)| unit.clone()),
        target_mean: standardisation.map(|s| s.mean),
        target_std: standardisation.map(|s| if is_constant { 0.0 } else { s.deviation }),
        model: header.model.clone(),
        n_parameter: Some(header.n_parameter as i64),
        batcher: header.batcher.clone(),
        batch_size: header.batch_size.map(i64::from),
        is_whole: Some(config.batcher.is_whole()),
        weighting: config.training.weighting.name().into(),
        evaluation_batcher: config.evaluation.batcher.label(),
        timing: config.training.timing.name().into(),
        prefetch_depth: i64::from(config.training.prefetch_depth()),
        seed_split: seed(config.training.seeds.split),
        seed_order: seed(config.training.seeds.order),
        seed_init: seed(config.training.seeds.init),
        n_step_planned: header.n_step.map(|n| n as i64),
        n_epoch_planned: header.n_epoch.map(|n| n as i64),
        n_step: Some(steps.n_step),
        n_shape: Some(steps.n_shape),
        load_ns: Some(data.load_ns),
        prepare_ns: Some(circumstances.prepare_ns),
        train_ns: Some(steps.train_ns),
        eval_ns: Some(evals.iter().filter_map(|eval| eval.eval_ns).sum()),
        // Only meaningful for this process: runs of a cell share it, and other engines allocate
        // elsewhere.
        peak_host_bytes: peak_host_bytes()
            .filter(|_| of_study.cell.is_none() && header.engine.is_none()),
        cell: of_study.cell.clone(),
        repeat: of_study.repeat,
        n_repeat: of_study.n_repeat,
        is_exclusive: of_study.is_exclusive,
        n_attempt: Some(circumstances.n_attempt),
        n_look: of_study.n_look,
        parent: circumstances.parent.clone(),
        ..RunRecord::default()
    }
}
