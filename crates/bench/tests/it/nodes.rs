//! Epochs on one graph run on request and write what the peers need.

use assert_cmd::Command;
use safetensors::SafeTensors;
use serde_json::{Value, json};

fn serve(requests: &[Value]) -> Result<Vec<Value>, String> {
    let dataset = json!({
        "name": "planted-graph", "n_node": 600, "n_edge": 2400, "n_feature": 8, "n_class": 4,
        "n_community": 8, "self_loops": true, "edge_weight": "symmetric",
    });
    let load = json!({ "do": "load", "dataset": dataset });
    let lines: Vec<String> = [&load].into_iter().chain(requests).map(Value::to_string).collect();
    let output = Command::cargo_bin("batchlab-bench")
        .unwrap()
        .args(["serve-nodes", "--threads", "2"])
        .write_stdin(lines.join("\n"))
        .output()
        .unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8(output.stdout).unwrap();
    Ok(text.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn ibmb() -> Value {
    json!({ "name": "ibmb", "outputs": "node-wise", "outputs_per_batch": 100 })
}

fn open(batcher: &Value, resident_mib: u64) -> Value {
    let model = json!({ "name": "gcn", "hidden": 16, "dropout": 0.0 });
    let choice = json!({ "model": model, "batcher": batcher, "resident_mib": resident_mib });
    json!({ "do": "open", "choice": choice })
}

#[test]
fn epochs_have_every_output_once_and_lower_the_loss() {
    let epoch = |case: usize| json!({ "do": "epoch", "case": case, "train": true });
    let full = json!({ "name": "full" });
    let requests = [
        open(&full, 0),
        open(&ibmb(), 64),
        open(&ibmb(), 0),
        epoch(0),
        epoch(0),
        epoch(1),
        epoch(1),
        epoch(2),
        epoch(2),
    ];
    let answers = serve(&requests).unwrap();
    let epochs = &answers[3..];
    assert_eq!(epochs[0]["n_batch"], 1);
    assert_eq!(epochs[0]["n_node"], 600);
    assert_eq!(epochs[2]["n_batch"], 4, "322 outputs, at most 100 in a batch");
    for pair in epochs.chunks(2) {
        let loss = |at: usize| pair[at]["loss"].as_f64().unwrap();
        assert!(loss(1) < loss(0), "{pair:?}");
        let seconds = |key: &str| pair[1][key].as_f64().unwrap();
        assert!(seconds("load_seconds") <= seconds("seconds"), "{pair:?}");
    }
    assert_eq!(epochs[3]["loss"], epochs[5]["loss"], "batches that stay change no number");
}

#[test]
fn peers_get_the_graph_and_a_batch_with_gradients_and_the_scores() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let requests = [
        json!({ "do": "write-graph", "folder": folder.path() }),
        json!({ "do": "write-ppr", "n_root": 5, "folder": folder.path() }),
        open(&ibmb(), 0),
        json!({ "do": "write-batch", "case": 0, "folder": folder.path() }),
    ];
    serve(&requests).unwrap();
    let size = |name: &str| {
        let bytes = std::fs::read(path(name)).unwrap();
        let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        (bytes.len() - 10 - header) / 4
    };
    assert_eq!(size("offset.npy"), 601);
    assert_eq!(size("sender.npy"), 2 * 2400 + 600);
    assert_eq!(size("weight.npy"), size("sender.npy"));
    assert_eq!(size("feature.npy"), 600 * 8);
    assert_eq!(size("class.npy"), 600);
    assert_eq!(size("train.npy"), 322);
    assert_eq!(size("ppr_count.npy"), 5);
    assert_eq!(size("ppr_node.npy"), size("ppr_score.npy"));
    assert!(size("batch_output.npy") <= 100 && size("batch_node.npy") > size("batch_output.npy"));
    let bytes = std::fs::read(path("state.safetensors")).unwrap();
    let state = SafeTensors::deserialize(&bytes).unwrap();
    let of = |prefix: &str| {
        let mut names: Vec<_> =
            state.names().iter().filter_map(|name| name.strip_prefix(prefix)).collect();
        names.sort_unstable();
        names.join(" ")
    };
    assert_eq!(of("parameter."), of("gradient."));
    assert_eq!(state.tensor("parameter.convolution.0.weight").unwrap().shape(), [8, 16]);
}

#[test]
fn requests_that_cannot_be_met_are_refused() {
    let error = serve(&[json!({ "do": "epoch", "case": 0, "train": true })]).unwrap_err();
    assert!(error.contains("case 0 of 0 was asked for"), "{error}");
    let drop = json!({ "do": "drop", "case": 0 });
    let error = serve(&[open(&json!({ "name": "full" }), 0), drop.clone(), drop]).unwrap_err();
    assert!(error.contains("case 0 of 1 was asked for"), "{error}");
}
