//! Attributes the difference in time per real graph between two strategies to its causes.
//!
//! Let t be the time per real graph and w the device work within it. For a strategy s and the
//! reference r
//!
//! ```text
//! t_r - t_s = planning + collation + waiting + new shapes     (differences of measured parts)
//!           + ((w_r - u_r) - (w_s - u_s))                     padded work
//!           + (u_r - u_s)                                     real graphs per step
//! ```
//!
//! where `u` is the `w` of the strategy with the same grouping and no padding. Strategies with the
//! same grouping share their `u`, so it need not be measured for them. The terms add up to the
//! difference by construction. A term d contributes the factor exp(d / L) to the speed-up, where L
//! is the logarithmic mean of `t_r` and `t_s`; the factors multiply to `t_r / t_s` (Ang, Energy
//! Policy 32, 2004: the additive and the multiplicative form of the logarithmic mean Divisia
//! decomposition).

use batchlab_stats::mean;
use serde::Serialize;

use crate::options::Options;
use batchlab_results::{DeviceTimes, Parts};

use crate::read::Run;
use crate::setting::{Group, Setting};
use crate::verdict::shared_cells;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Deciding which samples go into a batch.
    Planning,
    /// Copying and padding.
    Collation,
    /// Waiting for batches prepared by another thread.
    Waiting,
    /// First uses of shapes.
    NewShapes,
    PaddedWork,
    /// Work on real graphs, which costs less per graph when a step holds more of them.
    GraphsPerStep,
    /// Padded work and graphs per step combined, between two groupings with the same padding rule.
    Grouping,
    /// Padded work and graphs per step combined, between groupings with different padding rules.
    Work,
}

impl Cause {
    /// All causes, in display order.
    pub const ALL: [Self; 8] = [
        Self::Planning,
        Self::Collation,
        Self::Waiting,
        Self::NewShapes,
        Self::PaddedWork,
        Self::GraphsPerStep,
        Self::Grouping,
        Self::Work,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Planning => "planning",
            Self::Collation => "collation",
            Self::Waiting => "waiting",
            Self::NewShapes => "new shapes",
            Self::PaddedWork => "padded work",
            Self::GraphsPerStep => "real graphs per step",
            Self::Grouping => "grouping",
            Self::Work => "padding and graphs per step",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Term {
    pub cause: Cause,
    /// Nanoseconds saved per real graph; negative if it costs more.
    pub ns: f64,
    /// The same as a factor of the speed-up.
    pub factor: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Share {
    pub batcher: String,
    /// Parts of its time, averaged over its runs.
    pub parts: Parts,
    /// Speed-up over the reference, by time per real graph.
    pub speed_up: f64,
    /// Terms whose `ns` add up to the difference and whose factors multiply to the speed-up.
    pub terms: Vec<Term>,
    /// Measurements that a finer split would require.
    pub missing: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Attribution {
    pub setting: usize,
    pub batch_size: Option<i64>,
    /// The strategy against which the others are compared.
    pub reference: String,
    /// All strategies including the reference, slowest first.
    pub shares: Vec<Share>,
}

/// Attributes the speed-ups over `reference`, by default the slowest strategy. Batch sizes at which
/// the reference is missing or alone are omitted.
#[must_use]
pub fn attributions(settings: &[Setting], reference: Option<&str>) -> Vec<Attribution> {
    let of_setting = |(index, setting): (usize, &Setting)| {
        let sizes = setting.batch_sizes().into_iter();
        sizes.filter_map(|size| of_size(setting, index, size, reference)).collect::<Vec<_>>()
    };
    settings.iter().enumerate().flat_map(of_setting).collect()
}

struct Measured<'a> {
    batcher: &'a str,
    grouping: Options,
    padding: Options,
    parts: Parts,
}

impl Measured<'_> {
    fn is_unpadded(&self) -> bool {
        self.padding.get("padding").is_some_and(|padding| padding == "none")
    }
}

fn of_size(
    setting: &Setting,
    index: usize,
    batch_size: Option<i64>,
    reference: Option<&str>,
) -> Option<Attribution> {
    let timed = |group: &&Group| group.runs.iter().any(|run| run.steps.parts.is_some());
    let groups: Vec<&Group> = setting.at(batch_size).filter(timed).collect();
    let shared = shared_cells(&groups);
    let is_comparable = |run: &Run| {
        shared.is_empty() || run.run.cell.as_deref().is_some_and(|cell| shared.contains(&cell))
    };
    let measured = |group: &&Group| {
        let runs: Vec<&Run> = group.runs.iter().filter(|run| is_comparable(run)).collect();
        Some((group.batcher.clone(), runs[0].strategy.clone(), means(&runs)?))
    };
    let owned: Vec<(String, Options, Parts)> = groups.iter().filter_map(measured).collect();
    let mut all: Vec<Measured<'_>> = owned
        .iter()
        .map(|(batcher, strategy, parts)| {
            let is_padding = |key: &String| key == "padding" || key.starts_with("padding.");
            let (padding, grouping) =
                strategy.clone().into_iter().partition(|(key, _)| is_padding(key));
            Measured { batcher, grouping, padding, parts: *parts }
        })
        .collect();
    all.sort_by(|a, b| b.parts.total.total_cmp(&a.parts.total));
    let reference = match reference {
        Some(name) => all.iter().find(|one| one.batcher == name)?,
        None => all.first()?,
    };
    if all.len() < 2 {
        return None;
    }
    let shares = all.iter().map(|one| share(one, reference, &all)).collect();
    Some(Attribution {
        setting: index,
        batch_size,
        reference: reference.batcher.to_owned(),
        shares,
    })
}

/// Means over runs. They add up just as the parts of each run do.
fn means(runs: &[&Run]) -> Option<Parts> {
    let parts: Vec<Parts> = runs.iter().filter_map(|run| run.steps.parts).collect();
    let of = |part: fn(&Parts) -> f64| mean(&parts.iter().map(part).collect::<Vec<_>>());
    let device: Option<Vec<DeviceTimes>> = parts.iter().map(|parts| parts.device).collect();
    let of_device = |part: fn(&DeviceTimes) -> f64| {
        mean(&device.as_ref()?.iter().map(part).collect::<Vec<_>>())
    };
    let device = || {
        Some(DeviceTimes {
            upload: of_device(|d| d.upload)?,
            forward: of_device(|d| d.forward)?,
            backward: of_device(|d| d.backward)?,
            optimiser: of_device(|d| d.optimiser)?,
        })
    };
    let is_known = parts.iter().all(|parts| parts.new_shapes.is_some());
    let new_shapes = of(|parts| parts.new_shapes.unwrap_or(0.0))?;
    // If unknown for some runs, it counts as work, as it does in those runs.
    let unknown = if is_known { 0.0 } else { new_shapes };
    Some(Parts {
        total: of(|parts| parts.total)?,
        planning: of(|parts| parts.planning)?,
        collation: of(|parts| parts.collation)?,
        waiting: of(|parts| parts.waiting)?,
        work: of(|parts| parts.work)? + unknown,
        new_shapes: is_known.then_some(new_shapes),
        device: device(),
        outputs_per_step: of(|parts| parts.outputs_per_step)?,
    })
}

fn share(one: &Measured<'_>, reference: &Measured<'_>, all: &[Measured<'_>]) -> Share {
    let (r, s) = (&reference.parts, &one.parts);
    let mut terms = vec![
        (Cause::Planning, r.planning - s.planning),
        (Cause::Collation, r.collation - s.collation),
        (Cause::Waiting, r.waiting - s.waiting),
        (Cause::NewShapes, r.new_shapes.unwrap_or(0.0) - s.new_shapes.unwrap_or(0.0)),
    ];
    let mut missing = Vec::new();
    let work = r.work - s.work;
    let unpadded = |of: &Measured<'_>| {
        let twin = all.iter().find(|other| other.grouping == of.grouping && other.is_unpadded());
        twin.map(|twin| twin.parts.work)
    };
    match (unpadded(reference), unpadded(one)) {
        _ if one.grouping == reference.grouping => terms.push((Cause::PaddedWork, work)),
        (Some(of_r), Some(of_s)) => {
            terms.push((Cause::PaddedWork, (r.work - of_r) - (s.work - of_s)));
            terms.push((Cause::GraphsPerStep, of_r - of_s));
        }
        (of_r, of_s) => {
            let is_alike = one.padding == reference.padding && !one.padding.is_empty();
            terms.push((if is_alike { Cause::Grouping } else { Cause::Work }, work));
            let absent = [(of_r, reference), (of_s, one)];
            let absent = absent.iter().filter(|(work, _)| work.is_none());
            let names: Vec<&str> = absent.map(|(_, measured)| measured.batcher).collect();
            missing.push(format!(
                "{} with padding = \"none\" was not measured, so padding and graphs per step are \
                 not separated",
                names.join(" and ")
            ));
        }
    }
    for measured in [reference, one] {
        if measured.parts.new_shapes.is_none() {
            missing.push(format!(
                "most steps of {} had a new shape: their cost is included in the work",
                measured.batcher
            ));
        }
    }
    missing.dedup();
    let speed_up = r.total / s.total;
    let scale = logarithmic_mean(r.total, s.total);
    let term = |(cause, ns): (Cause, f64)| Term { cause, ns, factor: (ns / scale).exp() };
    Share {
        batcher: one.batcher.to_owned(),
        parts: one.parts,
        speed_up,
        terms: terms.into_iter().map(term).collect(),
        missing: (!missing.is_empty()).then(|| missing.join("; ")),
    }
}

/// (a - b) / ln(a / b), or a if both are equal.
fn logarithmic_mean(a: f64, b: f64) -> f64 {
    let ratio = (a / b).ln();
    if ratio.abs() < 1e-12 { a } else { (a - b) / ratio }
}
