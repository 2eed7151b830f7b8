//! Expands a study file to cells of checked configurations.

use std::collections::HashSet;
use std::num::NonZeroU64;

use batchlab_config::{LoadedConfig, Setting, StudyFile};
use batchlab_core::hash::sha256;
use batchlab_core::padding::BatchSize;

use super::{Cell, CellInfo, Study};
use crate::{StudyError, names};

impl Study {
    /// All cells of a study, or of a run's configuration, which is a study of one cell.
    ///
    /// All combinations are checked before this returns.
    ///
    /// # Errors
    /// [`StudyError::Run`] with a diagnostic for the first error.
    pub fn of(file: &StudyFile) -> Result<Self, StudyError> {
        let mut cells: Vec<Cell> = Vec::new();
        let mut ids = HashSet::new();
        for setting in file.settings()? {
            let cell = cell(file, setting)?;
            if !ids.insert(cell.info.id.clone()) {
                let title = cell.info.title();
                return Err(file
                    .wrong(format!("{title} occurs twice; list each value once"))
                    .into());
            }
            cells.push(cell);
        }
        names::tell_apart(&mut cells);
        let name = cells.first().map_or_else(String::new, |cell| cell.runs[0].config.study.clone());
        Ok(Self { name, path: file.path.clone(), blocks: file.blocks, cells })
    }
}

fn cell(file: &StudyFile, setting: Setting) -> Result<Cell, StudyError> {
    let Setting { dataset, model, variant, repeat, runs, .. } = setting;
    let first = &runs[0].config;
    // Cells do not depend on which GPU of a machine they are trained on, so that workers on all of
    // them can share a study.
    if first.device.starts_with("cuda:") && first.device != "cuda:0" {
        return Err(file
            .wrong(format!(
                "device \"{}\": in a sweep, the GPU is always cuda:0, so that workers on different GPUs share \
                 the cells. Show this one another GPU: CUDA_VISIBLE_DEVICES=1 batchlab sweep ... --device \
                 cuda:0 (docs/clusters.md)",
                first.device
            ))
            .into());
    }
    let batchers: Vec<String> = runs.iter().map(|run| run.config.batcher.label()).collect();
    let configs: Vec<String> = runs.iter().map(LoadedConfig::to_json).collect();
    let mut seen = HashSet::new();
    if let Some(twice) = configs.iter().position(|config| !seen.insert(config)) {
        return Err(file.wrong(format!("batcher \"{}\" is listed twice", batchers[twice])).into());
    }
    let hashed = (&configs, &file.blocks, repeat);
    let hash = sha256(serde_json::to_string(&hashed).unwrap_or_default().as_bytes());
    let sizes: Vec<_> = runs.iter().map(|run| run.config.batcher.batch_size()).collect();
    let common = sizes.iter().all(|size| *size == sizes[0]).then_some(sizes[0]).flatten();
    let batch_size = common.or(setting.batch_size.map(BatchSize::get));
    let size = batch_size.map(|size| format!("-B{size}")).unwrap_or_default();
    let info = CellInfo {
        id: format!("{}-{model}{size}-r{repeat}-{}", plain(&dataset), &hash[..8]),
        dataset,
        model,
        batch_size,
        repeat,
        variant,
        batchers,
        n_step: first.training.steps.map_or(0, NonZeroU64::get),
        device: first.device.clone(),
    };
    Ok(Cell { info, n_repeat: file.repeats.get(), runs })
}

/// Makes text suitable for a folder name.
fn plain(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.^".contains(c);
    text.chars().map(|c| if is_plain(c) { c } else { '-' }).collect()
}
