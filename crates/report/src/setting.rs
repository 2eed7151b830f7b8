//! Groups runs whose times are comparable.

use std::collections::BTreeSet;

use batchlab_core::Level;
use serde::Serialize;

use crate::number;
use crate::options::{self, Options};
use crate::read::{DEBUG, Results, Run};

/// Runs whose times are comparable: equal in everything, options included, except strategy, batch
/// size and seeds. Campaigns and machines are never pooled.
#[derive(Debug, Clone, Serialize)]
pub struct Setting {
    /// Model, data, device and length of training.
    pub title: String,
    pub engine: String,
    /// Device, processor, threads, machine.
    pub hardware: String,
    /// Study or campaign.
    pub study: String,
    pub dataset: String,
    pub dataset_hash: Option<String>,
    pub model: String,
    #[serde(skip)]
    pub options: Options,
    /// Options of the data set of its first run.
    pub data: Options,
    pub unit: Option<String>,
    pub n_step: i64,
    /// `combined` or `stages`.
    pub timing: String,
    pub prefetch_depth: i64,
    /// The runs of each strategy at each batch size, sorted by batch size.
    pub groups: Vec<Group>,
    /// Batch sizes and repetitions of all finished runs, including failed ones.
    #[serde(skip)]
    pub tried: BTreeSet<(Option<i64>, i64)>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Group {
    pub batch_size: Option<i64>,
    /// Strategy, with its options if several share the name.
    pub batcher: String,
    pub n_run: usize,
    #[serde(skip)]
    pub runs: Vec<Run>,
}

impl Group {
    #[must_use]
    pub fn sample(&self, of: impl Fn(&Run) -> Option<f64>) -> Vec<f64> {
        self.runs.iter().filter_map(of).collect()
    }
}

impl Setting {
    /// Whether the training program was built without optimisations.
    #[must_use]
    pub fn is_debug(&self) -> bool {
        self.hardware.ends_with(DEBUG)
    }

    /// Whether outputs are per graph, or per node of one graph.
    #[must_use]
    pub fn level(&self) -> Level {
        let mut runs = self.groups.iter().flat_map(|group| &group.runs);
        runs.next().map_or_else(Level::default, Run::level)
    }

    fn all_options(&self) -> Options {
        let mut options = self.options.clone();
        options.extend(self.data.clone());
        options
    }

    /// The batch sizes, ascending; `None` for strategies without one.
    #[must_use]
    pub fn batch_sizes(&self) -> Vec<Option<i64>> {
        let mut sizes: Vec<_> = self.groups.iter().map(|group| group.batch_size).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    #[must_use]
    pub fn batchers(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.groups.iter().map(|group| group.batcher.as_str()).collect();
        names.sort_by_key(|name| (rank(name), *name));
        names.dedup();
        names
    }

    #[must_use]
    pub fn group(&self, batcher: &str, batch_size: Option<i64>) -> Option<&Group> {
        self.groups.iter().find(|g| g.batcher == batcher && g.batch_size == batch_size)
    }

    pub fn at(&self, batch_size: Option<i64>) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(move |group| group.batch_size == batch_size)
    }
}

/// For a cell of a table.
pub(crate) fn size_name(batch_size: Option<i64>) -> String {
    batch_size.map_or_else(|| "–".to_owned(), |size| size.to_string())
}

/// `B = 32`, or nothing for strategies without a batch size.
pub(crate) fn size_title(batch_size: Option<i64>) -> String {
    batch_size.map_or_else(String::new, |size| format!("B = {size}"))
}

/// `B = 32: text`, or the text alone.
pub(crate) fn after_size(batch_size: Option<i64>, separator: &str, text: &str) -> String {
    let size = size_title(batch_size);
    if size.is_empty() { text.to_owned() } else { format!("{size}{separator}{text}") }
}

pub(crate) type Key<'a> = (
    (&'a str, &'a str, &'a str, (Option<i64>, i64), &'a str, &'a str, &'a str, i64, &'a str),
    &'a Options,
);

/// The key that runs of one setting share.
pub(crate) fn key(run: &Run) -> Key<'_> {
    (
        (
            &run.hardware,
            &run.run.model,
            &run.run.dataset,
            length(run),
            run.run.dataset_hash.as_deref().unwrap_or_default(),
            &run.run.study,
            &run.run.timing,
            run.run.prefetch_depth,
            &run.engine,
        ),
        &run.options,
    )
}

/// Whether a run, possibly failed, belongs to a strategy of a setting.
pub(crate) fn is_in(run: &Run, group: &Group) -> bool {
    let own = &group.runs[0];
    key(run) == key(own)
        && (&run.run.batcher, &run.strategy, run.run.batch_size)
            == (&own.run.batcher, &own.strategy, own.run.batch_size)
}

/// Epochs if given, else steps: the number of steps in an epoch depends on the strategy.
fn length(run: &Run) -> (Option<i64>, i64) {
    (
        run.run.n_epoch_planned,
        if run.run.n_epoch_planned.is_some() { 0 } else { run.n_step_planned() },
    )
}

#[must_use]
pub fn settings(results: &Results) -> Vec<Setting> {
    let mut runs: Vec<&Run> = results.runs.iter().filter(|run| run.is_usable()).collect();
    runs.sort_by(|a, b| key(a).cmp(&key(b)).then_with(|| a.run.run_id.cmp(&b.run.run_id)));
    let mut settings: Vec<Setting> = runs.chunk_by(|a, b| key(a) == key(b)).map(setting).collect();
    make_titles_unique(&mut settings);
    let has_ended = |run: &&Run| matches!(run.run.status.as_str(), "completed" | "nan" | "failed");
    let repeat = |run: &Run| Some((run.run.batch_size, run.run.repeat?));
    for setting in &mut settings {
        let own = |run: &&Run| key(run) == key(&setting.groups[0].runs[0]);
        let ended = results.runs.iter().filter(has_ended).filter(own);
        setting.tried = ended.filter_map(repeat).collect();
    }
    settings
}

fn setting(runs: &[&Run]) -> Setting {
    let first = runs[0];
    let device = first.hardware.split(',').next().unwrap_or_default();
    let mut groups: Vec<Group> = Vec::new();
    for run in runs {
        let is_same = |group: &&mut Group| {
            let other = &group.runs[0];
            (&other.run.batcher, &other.strategy, other.run.batch_size)
                == (&run.run.batcher, &run.strategy, run.run.batch_size)
        };
        match groups.iter_mut().find(is_same) {
            Some(group) => group.runs.push((*run).clone()),
            None => groups.push(Group {
                batch_size: run.run.batch_size,
                batcher: run.run.batcher.clone(),
                n_run: 0,
                runs: vec![(*run).clone()],
            }),
        }
    }
    make_names_unique(&mut groups);
    groups.sort_by(|a, b| {
        let key = |g: &Group| (g.batch_size, rank(&g.batcher));
        key(a).cmp(&key(b)).then_with(|| a.batcher.cmp(&b.batcher))
    });
    Setting {
        title: format!(
            "{}{} on {}, {device}, {}",
            first.run.model,
            other_engine(&first.engine),
            first.run.dataset,
            match first.run.n_epoch_planned {
                Some(n) => format!("{n} epochs"),
                None => format!("{} steps", number::steps(first.n_step_planned())),
            }
        ),
        engine: first.engine.clone(),
        hardware: first.hardware.clone(),
        study: first.run.study.clone(),
        dataset: first.run.dataset.clone(),
        dataset_hash: first.run.dataset_hash.clone(),
        model: first.run.model.clone(),
        options: first.options.clone(),
        data: first.data.clone(),
        unit: first.run.target_unit.clone(),
        n_step: first.n_step_planned(),
        timing: first.run.timing.clone(),
        prefetch_depth: first.run.prefetch_depth,
        groups,
        tried: BTreeSet::new(),
    }
}

/// Names the engine if it is not this program.
fn other_engine(engine: &str) -> String {
    if is_own_engine(engine) { String::new() } else { format!(" ({engine})") }
}

/// Whether the engine is this program, in any version.
pub(crate) fn is_own_engine(engine: &str) -> bool {
    engine.starts_with("batchlab ")
}

/// Counts the runs, and appends to equal names the options that differ at any batch size, so that a
/// line over batch sizes is one strategy.
fn make_names_unique(groups: &mut [Group]) {
    let names: Vec<String> = (0..groups.len())
        .map(|i| {
            let own = &groups[i].runs[0];
            let namesakes = groups.iter().map(|group| &group.runs[0]);
            let namesakes = namesakes.filter(|other| other.run.batcher == own.run.batcher);
            let others: Vec<&Options> = namesakes.map(|run| &run.strategy).collect();
            let difference = options::difference(&own.strategy, &others);
            let name = &own.run.batcher;
            if difference.is_empty() { name.clone() } else { format!("{name} ({difference})") }
        })
        .collect();
    for (group, name) in groups.iter_mut().zip(names) {
        group.n_run = group.runs.len();
        group.batcher = name;
    }
}

/// Appends to equal titles what differs between them: the data file, conditions, then options, then
/// the data themselves.
fn make_titles_unique(settings: &mut [Setting]) {
    let conditions: [fn(&Setting) -> String; 5] = [
        data_file,
        |s| s.hardware.clone(),
        |s| if s.prefetch_depth == 0 { "in turn".into() } else { "prefetched".into() },
        |s| s.timing.clone(),
        |s| s.study.clone(),
    ];
    for of in conditions {
        add_to_titles(settings, of);
    }
    let known: Vec<(String, Options)> =
        settings.iter().map(|s| (s.title.clone(), s.all_options())).collect();
    for setting in settings.iter_mut() {
        let namesakes = known.iter().filter(|(title, _)| *title == setting.title);
        let others: Vec<&Options> = namesakes.map(|(_, options)| options).collect();
        let difference = options::difference(&setting.all_options(), &others);
        if !difference.is_empty() {
            setting.title = format!("{} ({difference})", setting.title);
        }
    }
    add_to_titles(settings, |s| {
        let hash = s.dataset_hash.as_deref().unwrap_or_default();
        format!("data {}", hash.chars().take(8).collect::<String>())
    });
}

/// The data file's name without its directory; empty for data that have none.
fn data_file(setting: &Setting) -> String {
    let path = setting.data.get("dataset.path").map_or("", String::as_str);
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned()
}

/// Appends a text to equal titles for which the text differs.
fn add_to_titles(settings: &mut [Setting], of: fn(&Setting) -> String) {
    let titles: Vec<String> = settings.iter().map(|s| s.title.clone()).collect();
    let values: Vec<String> = settings.iter().map(of).collect();
    for (i, setting) in settings.iter_mut().enumerate() {
        let differs = |j: usize| titles[j] == titles[i] && values[j] != values[i];
        if (0..titles.len()).any(differs) && !values[i].is_empty() {
            setting.title = format!("{} ({})", titles[i], values[i]);
        }
    }
}

/// All strategies: well-known ones in a fixed order, then the others by name.
#[must_use]
pub fn batchers(settings: &[Setting]) -> Vec<String> {
    let mut names: Vec<String> =
        settings.iter().flat_map(Setting::batchers).map(str::to_owned).collect();
    names.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.cmp(b)));
    names.dedup();
    names
}

fn rank(batcher: &str) -> usize {
    let known = ["dynamic", "static-64", "static-2^N", "static-constant", "exact"];
    known.iter().position(|name| *name == batcher).unwrap_or(known.len())
}
