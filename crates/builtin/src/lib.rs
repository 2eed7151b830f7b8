//! The one list of plugins that are linked into the binary.
//!
//! A plugin that is not mentioned in code is not linked, without any error. Here every plugin is
//! mentioned, and a dependency without its line does not compile.

// The dependencies of the tests are not plugins.
#![cfg_attr(not(test), deny(unused_crate_dependencies))]

use batcher_bucketed as _;
use batcher_cluster as _;
use batcher_dynamic as _;
use batcher_full as _;
use batcher_ibmb as _;
use batcher_neighbor as _;
use batcher_packed as _;
use batcher_quantile as _;
use batcher_random_nodes as _;
use batcher_saint_rw as _;
use batcher_shadow_ppr as _;
use batcher_static as _;
use dataset_aflow as _;
use dataset_aflow_sizes as _;
use dataset_graphs as _;
use dataset_one_graph as _;
use dataset_planted_graph as _;
use dataset_qm9 as _;
use dataset_sizes as _;
use dataset_structures as _;
use model_gat as _;
use model_gcn as _;
use model_mpeu as _;
use model_painn as _;
use model_python as _;
use model_sage as _;
use model_schnet as _;
use sink_csv as _;
use sink_jsonl as _;
use sink_parquet as _;

/// Tables of a configuration that does not have them.
pub const DEFAULTS: &str = "[[sink]]\nname = \"parquet\"";
/// The same, where the data set holds many graphs.
pub const DEFAULTS_OF_GRAPHS: &str = "name = \"dynamic\"\nbatch_size = 64";
/// The same, where it holds the nodes of one.
pub const DEFAULTS_OF_NODES: &str = "name = \"full\"";

/// Mentions this crate, so that it and its plugins are linked.
pub fn link() {}

/// Strategies by the label that they have in results, each a batcher's table in one line, without `batch_size`.
/// The first four are those of arXiv 2502.00944; those in the middle complete the two axes, groupings
/// and rules of padding; the last ones form the batches of other programs (docs/forecast.md).
pub const PRESETS: &[(&str, &str)] = &[
    ("static-64", r#"{ name = "static", padding = { multiple = 64 } }"#),
    ("static-2^N", r#"{ name = "static", padding = { power = 2 } }"#),
    ("static-constant", r#"{ name = "static", padding = "constant" }"#),
    ("dynamic", r#"{ name = "dynamic" }"#),
    ("exact", r#"{ name = "static", padding = "none" }"#),
    ("bucketed-64", r#"{ name = "bucketed" }"#),
    ("packed-balanced", r#"{ name = "packed" }"#),
    ("quantile", r#"{ name = "quantile" }"#),
    ("static-shapes8", r#"{ name = "static", padding = { shapes = 8 } }"#),
    ("dynamic-64", r#"{ name = "dynamic", padding = { multiple = 64 } }"#),
    ("dynamic-2^N", r#"{ name = "dynamic", padding = { power = 2 } }"#),
    ("dynamic-exact", r#"{ name = "dynamic", padding = "none" }"#),
    ("dynamic-shapes8", r#"{ name = "dynamic", padding = { shapes = 8 } }"#),
    (
        "mlip",
        r#"{ name = "dynamic", estimate = { rule = "median", from = "all", reserve = "apart" }, epoch_boundary = "emit-partial" }"#,
    ),
    (
        "nequix",
        r#"{ name = "dynamic", estimate = { slack = 1.1, from = "all", reserve = "apart" }, epoch_boundary = "emit-partial" }"#,
    ),
    (
        "mace-jax",
        r#"{ name = "dynamic", estimate = { rule = { by_edges = 0.9 }, from = "all", reserve = "apart" }, resources = ["nodes", "edges"], epoch_boundary = "emit-partial" }"#,
    ),
    (
        "algoperf-ogbg",
        r#"{ name = "dynamic", estimate = { from = { graph = { n_node = 26, n_edge = 56 } }, reserve = "apart" }, oversize = "error" }"#,
    ),
    (
        "pyg-nodes",
        r#"{ name = "dynamic", estimate = { from = "all", reserve = "apart" }, resources = ["nodes"], padding = "none", epoch_boundary = "emit-partial" }"#,
    ),
];

batchlab_core::__private::inventory::submit! {
    batchlab_core::batcher::NamedStrategies(PRESETS)
}

/// The labels of the strategies that are planned where none is named.
pub const PLANNED: &[&str] = &[
    "static-64",
    "static-2^N",
    "static-constant",
    "dynamic",
    "exact",
    "bucketed-64",
    "packed-balanced",
    "quantile",
];
