//! What a run says of itself, before and after.

use batchlab_config::LoadedConfig;
use batchlab_core::graphs::TargetKind;
use batchlab_core::model::Trainer;
use batchlab_core::record::{RunRecord, SCHEMA_VERSION};

use super::{Data, RunHeader, RunSummary};
use crate::provenance::{Provenance, now};

/// What is known when training begins.
pub(super) fn header(
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
            TargetKind::Classes { .. } => (target.name.clone(), "class".into()),
        }),
        n_graph: [subsets.train.len(), subsets.validation.len(), subsets.test.len()],
        model: config.model.typetag_name().to_owned(),
        n_parameter: trainer.n_parameter(),
        batcher: config.batcher.label(),
        batch_size: config.batcher.batch_size(),
        n_step: config.training.steps.get(),
        device: config.device.clone(),
        notes: graphs.notes.clone(),
    }
}

/// The row of the table `runs`.
pub(super) fn record(
    loaded: &LoadedConfig,
    data: &Data,
    provenance: &Provenance,
    summary: &RunSummary,
) -> RunRecord {
    let (config, header, graphs) = (&loaded.config, &summary.header, &data.graphs);
    let standardisation = graphs.target.as_ref().map(|target| target.standardisation);
    let [n_train, n_validation, n_test] = header.n_graph.map(|n| n as i64);
    let seed = |seed: u64| i64::from_ne_bytes(seed.to_ne_bytes());
    RunRecord {
        run_id: header.run_id.clone(),
        schema_version: SCHEMA_VERSION,
        study: config.study.clone(),
        finished_at: now(),
        load_ns: data.load_ns,
        status: summary.status.name().into(),
        error: summary.reason.clone(),
        config: loaded.to_json(),
        config_hash: loaded.hash(),
        version: provenance.version.clone(),
        git_commit: provenance.git_commit.clone(),
        git_dirty: provenance.git_dirty,
        rustc: provenance.rustc.clone(),
        build_profile: provenance.build_profile.clone(),
        host: provenance.host.clone(),
        os: provenance.os.clone(),
        cpu_model: provenance.cpu_model.clone(),
        cpu_count: provenance.cpu_count as i64,
        device: config.device.clone(),
        dataset: header.dataset.clone(),
        dataset_hash: data.hash.clone(),
        n_graph: graphs.n_member() as i64,
        n_train,
        n_validation,
        n_test,
        target: header.target.as_ref().map(|(name, _)| name.clone()),
        target_unit: header.target.as_ref().map(|(_, unit)| unit.clone()),
        target_mean: standardisation.map(|s| s.mean),
        target_deviation: standardisation.map(|s| s.deviation),
        model: header.model.clone(),
        n_parameter: header.n_parameter as i64,
        batcher: header.batcher.clone(),
        batch_size: header.batch_size.map(i64::from),
        weighting: config.training.weighting.name().into(),
        evaluation_batcher: config.evaluation.batcher.label(),
        timing: config.training.timing.name().into(),
        prefetch_depth: i64::from(config.training.prefetch_depth()),
        seed_split: seed(config.training.seeds.split),
        seed_order: seed(config.training.seeds.order),
        seed_init: seed(config.training.seeds.init),
        n_step_planned: config.training.steps.get() as i64,
        n_step: summary.n_step as i64,
        n_shape: summary.n_shape,
        train_ns: summary.train_ns,
        eval_ns: summary.evals.iter().map(|eval| eval.eval_ns).sum(),
        peak_host_bytes: summary.peak_host_bytes,
        peak_device_bytes: summary.peak_device_bytes,
        ..RunRecord::default()
    }
}
