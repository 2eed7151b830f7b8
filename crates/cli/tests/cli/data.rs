//! `batchlab data`: correct statistics, a cache that is validated before use, and clear errors.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

/// Four graphs.
const SIZES: &str = "n_node,n_edge\n2,2\n3,6\n3,4\n4,12\n";
const CONFIG: &str = "[dataset]\nname = \"sizes\"\npath = \"sizes.csv\"\n";

fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("sizes.csv"), SIZES).unwrap();
    fs::write(folder.path().join("sizes.toml"), CONFIG).unwrap();
    folder
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Exit code, output, message. The cache is in the directory.
fn batchlab(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_batchlab"));
    command.env("BATCHLAB_CACHE", folder.join("cache"));
    let output = command.current_dir(folder).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn good(folder: &Path, arguments: &[&str]) -> String {
    let (code, output, message) = batchlab(folder, arguments);
    assert_eq!(code, 0, "{message}");
    output
}

fn stats(folder: &Path, arguments: &[&str]) -> Value {
    let json = good(folder, &[&["data", "stats", "--json"], arguments].concat());
    let all: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(all["schema_version"], 1);
    all["datasets"][0].clone()
}

#[test]
fn figures_are_those_of_the_file() {
    let folder = folder();
    let all = stats(folder.path(), &["sizes.toml"]);
    assert_eq!(
        (&all["n_member"], &all["n_node"], &all["n_edge"]),
        (&4.into(), &12.into(), &24.into())
    );
    let edges = &all["edge_distribution"];
    assert_eq!(edges["mean"], 6.0);
    assert_eq!(edges["quantiles"][0], 2.0);
    assert_eq!(edges["quantiles"][3], 5.0);
    assert_eq!(edges["quantiles"][6], 12.0);
    let nodes = &all["node_distribution"]["histogram"];
    assert_eq!(nodes["first"], 2.0);
    assert_eq!(nodes["count"], serde_json::json!([1, 2, 1]));
    assert_eq!(all["target"], Value::Null);
}

#[test]
fn the_sample_of_qm9_has_its_known_sizes() {
    let folder = TempDir::new().unwrap();
    let all = stats(folder.path(), &["qm9"]);
    assert_eq!((&all["n_node"], &all["n_edge"]), (&36_151.into(), &634_832.into()));
    assert_eq!(all["node_class"]["H"], 18_612);
    assert_eq!((&all["target"]["name"], &all["target"]["unit"]), (&"U0_atom".into(), &"eV".into()));
    let gap = stats(folder.path(), &["qm9", "dataset.target=gap", "dataset.limit=100"]);
    assert_eq!((&gap["target"]["name"], &gap["n_member"]), (&"gap".into(), &100.into()));
}

#[test]
fn one_graph_shows_edges_per_node_and_its_classes() {
    let folder = TempDir::new().unwrap();
    let all = stats(folder.path(), &["one-graph"]);
    assert_eq!((&all["level"], &all["n_edge"]), (&"nodes".into(), &10_556.into()));
    assert_eq!(all["target"]["classes"]["3"], 818);
}

/// The table without its times.
#[test]
fn the_table_reads_well() {
    let folder = folder();
    let table = good(folder.path(), &["data", "stats", "sizes.toml"]);
    let time = table.split("read in ").nth(1).unwrap().split(" s;").next().unwrap();
    insta::assert_snapshot!("data_stats", table.replace(time, "[time]"));
}

#[test]
fn pictures_are_written_in_both_forms() {
    let folder = folder();
    let (code, _, message) = batchlab(
        folder.path(),
        &["data", "stats", "qm9", "sizes.toml", "--svg", "a.svg", "--png", "a.png"],
    );
    assert_eq!(code, 0, "{message}");
    let svg = fs::read_to_string(folder.path().join("a.svg")).unwrap();
    assert!(svg.contains("qm9: 2,000 graphs") && svg.contains("sizes: 4 graphs"), "{svg}");
    assert_eq!(&fs::read(folder.path().join("a.png")).unwrap()[1..4], b"PNG");
}

#[test]
fn what_is_kept_is_used_until_something_changes() {
    let folder = folder();
    let convert = || {
        let json = good(folder.path(), &["data", "convert", "sizes.toml", "--json"]);
        let all: Value = serde_json::from_str(&json).unwrap();
        all["kept"][0].clone()
    };
    let first = convert();
    assert_eq!((&first["was_kept_before"], &first["n_member"]), (&false.into(), &4.into()));
    assert_eq!(convert()["was_kept_before"], true);
    assert_eq!(stats(folder.path(), &["sizes.toml"])["from_cache"], true);

    let file = PathBuf::from(first["file"].as_str().unwrap());
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    let (code, _, message) = batchlab(folder.path(), &["data", "stats", "sizes.toml"]);
    assert!(
        code == 0
            && message.contains("the checksum of column")
            && message.contains("is wrong); reading the data again"),
        "{message}"
    );

    convert();
    fs::write(folder.path().join("sizes.csv"), SIZES.replace("4,12", "5,20")).unwrap();
    let changed = stats(folder.path(), &["sizes.toml"]);
    assert_eq!((&changed["from_cache"], &changed["n_node"]), (&false.into(), &13.into()));
}

#[test]
fn a_run_and_a_plan_use_what_is_kept() {
    let folder = folder();
    good(folder.path(), &["data", "convert", "sizes.toml"]);
    let kept = fs::read_dir(folder.path().join("cache")).unwrap().next().unwrap().unwrap().path();
    fs::write(&kept, "no such file").unwrap();
    let arguments = ["plan", "sizes.toml", "batchers=dynamic", "batch_sizes=4", "--steps", "9"];
    good(folder.path(), &arguments);
    // `plan` prints nothing while loading; that it looked shows in the cache entry that it
    // rejected.
    assert_eq!(stats(folder.path(), &["sizes.toml"])["from_cache"], false);
}

#[test]
fn changed_and_missing_files_are_named_with_hash_and_remedy() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data/inside");
    fs::create_dir_all(&data).unwrap();
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let names = ["right", "dsgdb9nsd.xyz.tar.bz2", "page-00001.json"];
    let sums: Vec<String> = names.iter().map(|name| format!("{empty}  {name}\n")).collect();
    fs::write(data.join("SHA256SUMS"), sums.concat()).unwrap();
    fs::write(data.join("right"), "").unwrap();
    fs::write(data.join("dsgdb9nsd.xyz.tar.bz2"), "<html>").unwrap();
    let (code, output, _) = batchlab(folder.path(), &["data", "verify"]);
    assert_eq!(code, 3);
    for part in [
        "data/inside/dsgdb9nsd.xyz.tar.bz2\n  expected  e3b0c442",
        "remove it and run `batchlab data fetch qm9`",
        "page-00001.json",
        "no such file",
        "1 of 3 files in 1 folder are correct",
    ] {
        assert!(output.contains(part), "`{part}` is missing: {output}");
    }
    fs::remove_file(data.join("SHA256SUMS")).unwrap();
    let (code, _, message) = batchlab(folder.path(), &["data", "verify"]);
    assert!(code == 2 && message.contains("nothing to check: no SHA256SUMS in data"), "{message}");
}

#[test]
fn the_files_that_come_with_the_code_are_whole() {
    let data = root().join("data");
    let cache = TempDir::new().unwrap();
    let output = good(cache.path(), &["data", "verify", data.to_str().unwrap()]);
    assert!(output.contains(" are correct"), "{output}");
    let listed = fs::read_to_string(data.join("SHA256SUMS")).unwrap();
    for (folder, prefix) in [(data.clone(), ""), (data.join("aflow"), "aflow/")] {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            let is_data = entry.path().is_file()
                && !["README.md", "SHA256SUMS"].contains(&name.as_str())
                && entry.path().extension().is_none_or(|extension| extension != "py");
            assert!(!is_data || listed.contains(&format!("  {name}\n")), "{name} is not listed");
        }
    }
}

#[test]
fn without_a_network_it_says_which_file_to_put_where() {
    let folder = TempDir::new().unwrap();
    let (code, _, message) = batchlab(folder.path(), &["data", "fetch", "qm9", "--offline"]);
    assert_eq!(code, 3);
    for part in
        ["dsgdb9nsd.xyz.tar.bz2 (86144227 bytes, SHA-256 3a63848a", "into data/qm9", "https://"]
    {
        assert!(message.contains(part), "`{part}` is missing: {message}");
    }
    let (code, _, message) = batchlab(folder.path(), &["data", "fetch", "aflow", "--offline"]);
    assert!(code == 3 && message.contains("into data/aflow/aflux"), "{message}");
    let (code, _, message) = batchlab(folder.path(), &["data", "fetch", "qm8"]);
    assert!(code == 2 && message.contains("did you mean \"qm9\"?"), "{message}");
    let (code, _, message) = batchlab(folder.path(), &["data", "stats", "qm8"]);
    assert!(
        code == 2 && message.contains("neither a file nor a data set, did you mean"),
        "{message}"
    );
}

/// A server that answers every request with the same page and closes the connection.
fn server(pages: Vec<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for (stream, page) in listener.incoming().zip(pages) {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(&stream).lines();
            let _ = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).count();
            let head =
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}", page.len());
            let _ = stream.write_all(format!("{head}\r\n\r\n{page}").as_bytes());
        }
    });
    url
}

#[test]
fn entries_are_fetched_listed_and_verified() {
    let folder = TempDir::new().unwrap();
    let entry = |i| format!("{{\"auid\":\"aflow:{i}\",\"compound\":\"Ag1\"}}");
    let pages = [format!("[{},{}]", entry(1), entry(2)), format!("[{}]", entry(3))];
    let url = server(pages.map(|page| &*page.leak()).to_vec());
    let fetch = ["data", "fetch", "aflow", "--page-size", "2", "--mirror", &url];
    let output = good(folder.path(), &fetch);
    assert!(output.contains("data/aflow/aflux: 3 entries in 2 pages"), "{output}");
    assert!(
        good(folder.path(), &["data", "verify"]).contains("2 of 2 files in 1 folder are correct")
    );
    assert!(good(folder.path(), &fetch).contains("is there; move it away"));
}

#[test]
fn options_that_cannot_be_meant_are_refused_before_anything_is_fetched() {
    let folder = TempDir::new().unwrap();
    for (arguments, message) in [
        (&["aflow", "--mirror", "mirror/"][..], "--mirror: `mirror/` is not an address"),
        (&["qm9", "--mirror", "ftp://example.org"], "is not an address (no http or https)"),
        (&["qm9", "--query", "Egap(*)"], "--query is for aflow"),
        (&["qm9", "--page-size", "10"], "--page-size is for aflow"),
        (&["qm9", "--max-page", "1"], "--max-page is for aflow"),
    ] {
        let (code, _, printed) = batchlab(folder.path(), &[&["data", "fetch"], arguments].concat());
        assert_eq!(code, 2, "{printed}");
        assert!(printed.contains(message), "{printed}");
    }
    assert!(!folder.path().join("data").exists());
}
