//! The measurements run and answer; how fast they are is not tested.

use std::fs;

use assert_cmd::Command;
use serde_json::{Value, json};

fn bench() -> Command {
    Command::cargo_bin("batchlab-bench").unwrap()
}

#[test]
fn batching_prints_one_row_per_strategy_size_and_fields() {
    let arguments = "batching --batch-size 4,8 --blocks 2 --batches 3 --json";
    let output = bench().args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rows.len(), 2 * 2 * 3);
    for row in &rows {
        for what in ["plan", "prepare", "copy", "one_thread", "ahead"] {
            let time = |key: &str| row[what][key].as_f64().unwrap();
            assert!(time("median_us") > 0.0, "{row}");
            assert!(time("low_us") <= time("median_us"), "{row}");
            assert!(time("median_us") <= time("high_us"), "{row}");
        }
    }
    assert_eq!(rows[0]["strategy"], "dynamic");
    let n_byte = |row: usize| rows[row]["n_byte"].as_u64().unwrap();
    assert!(n_byte(0) < n_byte(1) && n_byte(1) < n_byte(2), "more fields are more bytes");
}

#[test]
fn stored_edges_are_measured_too() {
    let arguments =
        "batching --radius 5 --batch-size 4 --fields displacement --blocks 1 --batches 1";
    let output = bench().args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(table.lines().filter(|line| line.contains("displacement")).count(), 2, "{table}");
    bench().args(["batching", "--radius", "-1"]).assert().failure();
}

#[test]
fn requests_are_answered_line_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let requests = [
        json!({ "do": "open", "strategy": "static-64", "batch_size": 4, "fields": "schnet" }),
        json!({ "do": "time", "source": 0, "n_batch": 3, "is_cold": true }),
        json!({ "do": "dump", "strategy": "dynamic", "batch_size": 4, "n_batch": 2, "folder": folder.path() }),
    ];
    let lines = requests.map(|request| request.to_string()).join("\n");
    let output = bench().arg("serve").write_stdin(lines).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answers: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), 3);
    assert!(answers[1]["us"].as_f64().unwrap() > 0.0);

    let words = |name: &str| {
        let bytes = fs::read(folder.path().join(name)).unwrap();
        let (header, data) = bytes.split_at(128);
        assert_eq!(&header[..10], b"\x93NUMPY\x01\x00\x76\x00");
        assert_eq!(header[127], b'\n');
        let header = String::from_utf8_lossy(&header[10..]).into_owned();
        assert!(header.contains(&format!("'shape': ({},)", data.len() / 4)), "{header}");
        data.chunks_exact(4)
            .map(|word| u32::from_le_bytes(word.try_into().unwrap()))
            .collect::<Vec<_>>()
    };
    let shape = words("shape.npy");
    assert_eq!(shape.len(), 2 * 3);
    assert_eq!(words("sender.npy").len() as u32, shape[1] + shape[4]);
    assert_eq!(words("n_node.npy").iter().sum::<u32>(), shape[0] + shape[3]);
}

#[test]
fn a_source_that_was_not_opened_is_refused() {
    let request = json!({ "do": "time", "source": 0, "n_batch": 3, "is_cold": false }).to_string();
    let output = bench().arg("serve").write_stdin(request).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("source 0 of 0 was asked for"));
}

#[test]
fn neighbours_are_found_on_request() {
    let cube = json!({ "positions": [[0, 0, 0]], "cell": [[3, 0, 0], [0, 3, 0], [0, 0, 3]] });
    let rule = json!({ "nearest": 6 });
    let requests = [
        json!({ "do": "structures", "structures": [cube, cube] }),
        json!({ "do": "time", "rule": rule }),
        json!({ "do": "edges", "rule": rule, "structure": 1 }),
    ];
    let lines: Vec<String> = requests.iter().map(|request| format!("{request}\n")).collect();
    let output = bench().arg("serve-neighbors").write_stdin(lines.concat()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers[1]["n_edge"], 12);
    assert_eq!(answers[2]["distance"], json!([3.0, 3.0, 3.0, 3.0, 3.0, 3.0]));
}
