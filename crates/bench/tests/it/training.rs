//! Training steps run on request and write what the peers need.

use assert_cmd::Command;
use safetensors::SafeTensors;
use serde_json::{Value, json};

fn answers(requests: &[Value]) -> Result<Vec<Value>, String> {
    let lines: Vec<String> = requests.iter().map(Value::to_string).collect();
    let output = Command::cargo_bin("batchlab-bench")
        .unwrap()
        .args(["serve-training", "--threads", "2"])
        .write_stdin(lines.join("\n"))
        .output()
        .unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8(output.stdout).unwrap();
    Ok(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn open(structures: &str, at_least: &Value) -> Value {
    let model = json!({ "name": "schnet", "latent_size": 8, "n_interaction": 1 });
    let batcher = json!({ "name": "static", "batch_size": 3 });
    let choice = json!({ "batcher": batcher, "at_least": at_least });
    json!({ "do": "open", "structures": structures, "choice": choice, "model": model })
}

#[test]
fn steps_are_timed_and_lower_the_loss() {
    let time = |n_step: u32| json!({ "do": "time", "case": 0, "n_step": n_step });
    let requests = [open("qm9", &Value::Null), time(1), time(20), json!({ "do": "memory" })];
    let answers = answers(&requests).unwrap();
    let sizes = &answers[0];
    assert_eq!(sizes["real"]["n_graph"], 2);
    assert_eq!(sizes["padded"]["n_graph"], 3);
    assert_eq!(sizes["padded"]["n_edge"].as_u64().unwrap() % 64, 0);
    assert_eq!(answers[2]["ms"].as_array().unwrap().len(), 20);
    assert!(answers[2]["ms"].as_array().unwrap().iter().all(|ms| ms.as_f64().unwrap() > 0.0));
    assert!(answers[2]["loss"].as_f64().unwrap() < answers[1]["loss"].as_f64().unwrap());
    assert!(answers[3]["peak_bytes"].as_u64() >= answers[3]["now_bytes"].as_u64());
}

#[test]
fn what_is_written_is_a_batch_with_parameters_and_gradients_of_the_same_names() {
    let folder = tempfile::tempdir().unwrap();
    let more = json!({ "n_node": 256, "n_edge": 4096 });
    let write = json!({ "do": "write", "case": 0, "folder": folder.path() });
    let answers = answers(&[open("aflow-sized", &more), write]).unwrap();
    assert_eq!(answers[0]["padded"], json!({ "n_node": 256, "n_edge": 4096, "n_graph": 3 }));

    let bytes = std::fs::read(folder.path().join("batch.safetensors")).unwrap();
    let batch = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(batch.tensor("sender").unwrap().shape(), [4096]);
    assert_eq!(batch.tensor("displacement").unwrap().shape(), [4096, 3]);
    assert_eq!(
        batch.tensor("weight").unwrap().data(),
        [1.0_f32, 1.0, 0.0].map(f32::to_le_bytes).as_flattened()
    );

    let bytes = std::fs::read(folder.path().join("state.safetensors")).unwrap();
    let state = SafeTensors::deserialize(&bytes).unwrap();
    let with = |prefix: &str| {
        let names = state.names().into_iter();
        let mut names: Vec<String> =
            names.filter_map(|name| name.strip_prefix(prefix)).map(str::to_owned).collect();
        names.sort();
        names
    };
    assert_eq!(with("parameter."), with("gradient."));
    assert_eq!(with("parameter.").len(), 1 + 5 + 2);
    assert_eq!(state.tensor("prediction").unwrap().shape(), [3]);
    assert_eq!(state.tensor("loss").unwrap().shape(), [1]);
}

#[test]
fn the_floor_counts_products_and_traffic() {
    let floor = json!({ "do": "floor", "case": 0 });
    let answers = answers(&[open("qm9", &Value::Null), floor]).unwrap();
    let of = |key: &str| answers[1][key].as_f64().unwrap();
    assert!(of("giga_operations") > 0.0 && of("products_ms") > 0.0 && of("traffic_ms") > 0.0);
    assert!((of("ms") - of("products_ms") - of("traffic_ms")).abs() < 1e-9);
}

#[test]
fn memory_is_told_after_every_so_many_steps() {
    let mut steady = open("qm9", &Value::Null);
    steady["do"] = json!("steady");
    (steady["n_step"], steady["n_report"]) = (json!(10), json!(3));
    let answers = answers(&[steady]).unwrap();
    let bytes = answers[0]["now_bytes"].as_array().unwrap();
    assert_eq!(bytes.len(), 3);
    assert!(bytes.iter().all(|bytes| bytes.as_u64().unwrap() > 1 << 20), "{bytes:?}");
}

#[test]
fn mistakes_are_named() {
    let refused = |requests: &[Value], what: &str| {
        let error = answers(requests).unwrap_err();
        assert!(error.contains(what), "{error}");
    };
    refused(&[json!({ "do": "time", "case": 0, "n_step": 1 })], "case 0 of 0 was asked for");
    let mut unknown = open("qm9", &Value::Null);
    unknown["model"]["name"] = json!("schnett");
    refused(&[unknown], "schnett");
}
