//! `batchlab plan --ranks`.

use std::fs;

use serde_json::Value;

use super::{CONFIG, batchlab, folder, plan, refused, root, strategies, without_times};

const BATCHERS: &str = "batchers=exact,static-64,dynamic";

/// The forecasts of one strategy for its ranks.
fn ranks(strategy: &Value) -> Vec<Value> {
    strategy["ranks"].as_array().unwrap().clone()
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("{key} in {value}"))
}

#[test]
fn the_table_of_ranks_fits_and_reads_well() {
    let table = plan(&[BATCHERS, "batch_sizes=8", "--ranks", "1,2,16"]);
    assert!(table.lines().all(|line| line.chars().count() <= 110), "{table}");
    insta::assert_snapshot!("ranks_table", without_times(&table));
}

#[test]
fn assumptions_and_choices_are_said() {
    let chosen = ["--assignment", "lpt,fixed", "--cost", "nodes", "--all-reduce", "0.001"];
    let table = plan(&[&["batchers=exact", "batch_sizes=8", "--ranks", "4"], &chosen[..]].concat());
    insta::assert_snapshot!("ranks_choices", without_times(&table));
}

#[test]
fn one_rank_is_the_plan() {
    for strategy in strategies(&plan(&["--json", BATCHERS, "--ranks", "1"])) {
        let ranks = ranks(&strategy);
        assert_eq!(ranks.len(), 1, "all assignments are the same");
        for key in ["efficiency", "speed_up"] {
            assert!((number(&ranks[0], key) - 1.0).abs() < 1e-12, "{key}");
        }
        assert!(number(&ranks[0], "weightless") < 1e-12);
        // 200 steps are some epochs, of the stream of which the forecast for ranks takes eight.
        for (key, tolerance) in [("steps_per_epoch", 0.2), ("edge_fill", 0.03)] {
            let difference = number(&ranks[0], key) - number(&strategy, key);
            assert!(difference.abs() < tolerance, "{key}: {difference}");
        }
    }
}

#[test]
fn without_the_option_nothing_is_added() {
    assert!(strategies(&plan(&["--json", BATCHERS]))[0].get("ranks").is_none());
    let (json, options) = (plan(&["--json", BATCHERS, "--ranks", "2"]), ["cost", "all_reduce"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let model = &json["plans"][0]["step_model"];
    assert_eq!(options.map(|key| model[key].clone()), [Value::from("edges"), Value::Null]);
}

/// docs/ranks.md: fixed counts lose most on the heavy tail of crystals, and all other assignments
/// lose less.
#[test]
fn balance_on_crystals_is_as_documented() {
    let config = root().join("configs/plan/aflow.toml");
    let arguments = ["plan", config.to_str().unwrap(), "batchers=exact", "batch_sizes=9"];
    let options = ["--ranks", "16", "--steps", "1", "--json"];
    let (code, json, message) = batchlab(&root(), &[&arguments[..], &options].concat());
    assert_eq!(code, 0, "{message}");
    let efficiency: Vec<f64> = ranks(&strategies(&json)[0])
        .iter()
        .map(|forecast| number(forecast, "efficiency_full_steps"))
        .collect();
    let [fixed, lpt, lpt_equal, sorted] = efficiency[..] else { panic!("{efficiency:?}") };
    assert!((0.55..0.70).contains(&fixed), "{fixed}");
    assert!((0.95..1.0).contains(&lpt_equal), "{lpt_equal}");
    assert!(lpt > 0.98 && sorted > 0.9, "{lpt}, {sorted}");
}

#[test]
fn efficiency_is_drawn() {
    let folder = folder();
    let arguments = ["plan", "plan.toml", BATCHERS, "--ranks", "1,2,4", "--picture", "plan.svg"];
    let (code, _, message) = batchlab(folder.path(), &arguments);
    assert_eq!(code, 0, "{message}");
    let text = fs::read_to_string(folder.path().join("plan.svg")).unwrap();
    assert!(text.contains("Parallel efficiency") && text.contains(">sorted-rotated<"));
    assert!(text.contains(">static-64, B = 8<") && !text.contains("NaN"));
}

macro_rules! says {
    ($name:ident, $code:literal, $arguments:expr) => {
        #[test]
        fn $name() {
            let (code, message) = refused(CONFIG, &$arguments);
            insta::assert_snapshot!(stringify!($name), message);
            assert_eq!(code, $code);
        }
    };
}

says!(no_rank, 2, ["--ranks", "0"]);
says!(more_ranks_than_graphs, 2, ["--ranks", "4,1024"]);
says!(unknown_assignment, 2, ["--ranks", "4", "--assignment", "fixed,ltp"]);
says!(unknown_cost, 2, ["--ranks", "4", "--cost", "edge"]);
says!(assignment_without_ranks, 2, ["--assignment", "lpt"]);

#[test]
fn ranks_need_graphs() {
    let arguments = ["plan", "--dataset", "one-graph", "batcher=full", "--ranks", "2"];
    let (code, text, message) = batchlab(&root(), &arguments);
    insta::assert_snapshot!("ranks_need_graphs", message);
    assert_eq!((code, text.as_str()), (2, ""));
}
