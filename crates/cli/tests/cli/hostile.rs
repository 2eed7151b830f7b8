//! Files written by others: whatever their content, the program soon ends with a result or a
//! message, and uses little memory compared to the size of the files.
//!
//! `BATCHLAB_FUZZ=1000 cargo test --release -p batchlab-cli --test cli damaged_files_of_others`
//! tries that many damaged files of every kind, different ones for each `BATCHLAB_FUZZ_SEED`.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]
#![allow(
    clippy::print_stdout,
    reason = "how many damaged files were read is shown with --nocapture"
)]

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use batchlab_core::record::Table;
use batchlab_npz::encode;
use batchlab_results::ResultsError;
use batchlab_results::read::TableFile;
use tempfile::TempDir;
use zip::write::SimpleFileOptions;

use crate::small_run::{SETTINGS, Tables, names, smoke, text};

/// Address space of the program in KiB: 1 GiB, plus what libraries and stacks reserve.
const ADDRESS_SPACE: u64 = (1 << 20) + (1 << 18);

/// Time limit.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the program within [`ADDRESS_SPACE`] and [`PATIENCE`]. It must exit on its own and without
/// a panic.
fn limited(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let limit = format!("ulimit -v {ADDRESS_SPACE}; exec \"$0\" \"$@\"");
    let mut command = Command::new("bash");
    command.args(["-c", &limit, env!("CARGO_BIN_EXE_batchlab")]).args(arguments);
    // Threads reserve address space that they never use.
    command.env("BATCHLAB_CACHE", "off").env("MALLOC_ARENA_MAX", "2").env("RAYON_NUM_THREADS", "1");
    command.envs(environment.iter().copied()).current_dir(folder);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("{arguments:?} took more than {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code().is_some(), "{arguments:?} was ended by a signal: {message}");
    assert!(!message.contains("panicked"), "{arguments:?}: {message}");
    output
}

/// The message for rejected data.
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = limited(folder, arguments, &[]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    String::from_utf8(output.stderr).unwrap()
}

fn zipped(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in arrays {
        zip.start_file(format!("{name}.npy"), SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn integers(values: &[i64]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    encode("<i8", &format!("({},)", values.len()), &bytes)
}

/// A graph of four nodes.
fn small_graph() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("indptr", integers(&[0, 1, 2, 3, 4])),
        ("indices", integers(&[1, 0, 3, 2])),
        ("labels", integers(&[0, 1, 0, 1])),
        ("feat_indptr", integers(&[0, 1, 1, 2, 2])),
        ("feat_indices", integers(&[0, 1])),
        ("feat_data", encode("<f4", "(2,)", &[0, 0, 128, 63, 0, 0, 128, 63])),
        ("feat_shape", integers(&[4, 2])),
    ]
}

/// Two molecules of four and two atoms.
fn molecules() -> Vec<(&'static str, Vec<u8>)> {
    let positions: Vec<u8> = (0..18).flat_map(|i| (i as f32).to_le_bytes()).collect();
    vec![
        ("N", integers(&[4, 2])),
        ("Z", integers(&[6, 1, 1, 8, 7, 1])),
        ("R", encode("<f4", "(6, 3)", &positions)),
    ]
}

fn database() -> Vec<u8> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.db");
    let database = rusqlite::Connection::open(&path).unwrap();
    database
        .execute_batch(
            "PRAGMA page_size = 512; VACUUM;
             CREATE TABLE systems (id INTEGER PRIMARY KEY, numbers BLOB, positions BLOB, cell BLOB, pbc INTEGER,
                                   energy REAL, key_value_pairs TEXT);",
        )
        .unwrap();
    let numbers: Vec<u8> = [6_i32, 8].iter().flat_map(|n| n.to_le_bytes()).collect();
    let floats = |n: usize| (0..n).flat_map(|i| (i as f64).to_le_bytes()).collect::<Vec<u8>>();
    for _ in 0..3 {
        let row = "INSERT INTO systems (numbers, positions, cell, pbc, key_value_pairs) VALUES (?1, ?2, ?3, 0, ?4)";
        database.execute(row, (&numbers, floats(6), floats(9), r#"{"gap": 0.5}"#)).unwrap();
    }
    drop(database);
    fs::read(path).unwrap()
}

const XYZ: &[u8] = b"2\nLattice=\"4 0 0 0 4 0 0 0 4\" Properties=species:S:1:pos:R:3 gap=-1.5 pbc=\"T T T\"\nFe 1 2 3\nNi 0 0 0\n2\ngap=0.5\nH 0 0 0\nH 0 0 1\n";
const POSCAR: &[u8] =
    b"rock salt\n2.0\n2 0 0\n0 2 0\n0 0 2\nNa Cl\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n";
const CIF: &[u8] = b"data_NaCl\n_cell_length_a 4.0(1)\n_cell_length_b 4\n_cell_length_c 4\n_cell_angle_alpha 90\n_cell_angle_beta 90\n_cell_angle_gamma 90\nloop_\n _atom_site_type_symbol\n _atom_site_fract_x\n _atom_site_fract_y\n _atom_site_fract_z\n Na 0 0 0\n Cl 0.5 0.5 0.5\n";
const SIZES: &[u8] = b"n_node,n_edge\r\n2,2\r\n3,6\r\n3,4\r\n4,12\r\n";
const TARGETS: &[u8] = b"name,gap\none,1.5\ntwo,2.5\n";
const TOML: &[u8] = b"[dataset]\nname = \"qm9\"\nlimit = 50\n\n[model]\nname = \"schnet\"\n\n[batcher]\nname = \"dynamic\"\nbatch_size = 8\n\n[training]\nsteps = 2\nseeds = { split = 1 }\n";

/// A kind of file: what it is, its name, valid content, the rest of the data set's table, and the
/// command that reads it.
struct Kind {
    what: &'static str,
    name: &'static str,
    whole: Vec<u8>,
    table: &'static str,
    command: &'static [&'static str],
}

const STATS: &[&str] = &["data", "stats", "config.toml"];

fn kinds() -> Vec<Kind> {
    let of = |what, name, whole: &[u8], table| Kind {
        what,
        name,
        whole: whole.to_vec(),
        table,
        command: STATS,
    };
    let crystals = "name = \"structures\"\npath = \"FILE\"\ntarget = \"gap\"\nunit = \"eV\"\nedges = { radius = 6.0 }\n";
    let with_table = "name = \"structures\"\npath = \"in\"\ntarget = \"gap\"\nunit = \"eV\"\nedges = { radius = 6.0 }\ntable = { path = \"FILE\", id = \"name\" }\n";
    let by_name = "name = \"structures\"\npath = \"FILE\"\ntarget = \"gap\"\nunit = \"eV\"\nedges = { radius = 6.0 }\ntable = { path = \"rows.csv\", id = \"name\" }\n";
    vec![
        of(
            "npz, one graph",
            "a.npz",
            &zipped(&small_graph()),
            "name = \"one-graph\"\npath = \"FILE\"\n",
        ),
        of(
            "npz, molecules",
            "m.npz",
            &zipped(&molecules()),
            "name = \"qm9\"\ntarget = \"none\"\npath = \"FILE\"\n",
        ),
        of("CSV of sizes", "s.csv", SIZES, "name = \"sizes\"\npath = \"FILE\"\n"),
        of("CSV of targets", "t.csv", TARGETS, with_table),
        of("extended XYZ", "a.extxyz", XYZ, crystals),
        of("POSCAR", "POSCAR", POSCAR, by_name),
        of("CIF", "a.cif", CIF, by_name),
        of("ASE database", "a.db", &database(), crystals),
        of("XYZ packed with xz", "a.xyz.xz", &packed(XYZ), crystals),
        Kind {
            what: "TOML",
            name: "study.toml",
            whole: TOML.to_vec(),
            table: "",
            command: &["check", "study.toml"],
        },
    ]
}

/// Compressed with xz, like the bundled data.
fn packed(bytes: &[u8]) -> Vec<u8> {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("a"), bytes).unwrap();
    let packed = Command::new("xz").arg("-k").arg(folder.path().join("a")).status();
    match packed {
        Ok(status) if status.success() => fs::read(folder.path().join("a.xz")).unwrap(),
        _ => bytes.to_vec(),
    }
}

fn place(folder: &Path, kind: &Kind, bytes: &[u8]) {
    fs::write(folder.join(kind.name), bytes).unwrap();
    fs::write(folder.join("rows.csv"), "name,gap\nPOSCAR,1\na,1\n").unwrap();
    fs::create_dir_all(folder.join("in")).unwrap();
    for name in ["one", "two"] {
        fs::write(folder.join("in").join(format!("{name}.xyz")), "2\n\nH 0 0 0\nH 0 0 1\n")
            .unwrap();
    }
    let table = kind.table.replace("FILE", kind.name);
    fs::write(folder.join("config.toml"), format!("[dataset]\n{table}")).unwrap();
}

/// Deterministic pseudo-random numbers (Vigna's splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

fn variable(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn damaged_files_of_others_are_read_or_refused() {
    let (n_case, seed) = (variable("BATCHLAB_FUZZ", 10), variable("BATCHLAB_FUZZ_SEED", 1));
    for kind in kinds() {
        let folder = TempDir::new().unwrap();
        place(folder.path(), &kind, &kind.whole);
        let output = limited(folder.path(), kind.command, &[]);
        assert!(output.status.success(), "a whole {}: {}", kind.what, text(&output));
        let mut numbers = Numbers(seed);
        let (mut n_read, mut n_refused) = (0, 0);
        for case in 0..n_case {
            let mut bytes = kind.whole.clone();
            if case % 3 == 2 {
                bytes.truncate(numbers.below(bytes.len()));
            } else {
                for _ in 0..=numbers.below(3) {
                    let at = numbers.below(bytes.len());
                    bytes[at] ^= 1 << numbers.below(8);
                }
            }
            place(folder.path(), &kind, &bytes);
            let output = limited(folder.path(), kind.command, &[]);
            match output.status.code() {
                Some(0) => n_read += 1,
                Some(2 | 3) => n_refused += 1,
                _ => panic!("{}, case {case}: {}", kind.what, text(&output)),
            }
            let message = String::from_utf8_lossy(&output.stderr);
            let names_it =
                message.contains(kind.name) || message.contains("in/") || output.status.success();
            assert!(names_it && message.len() < 4000, "{}, case {case}: {message}", kind.what);
        }
        println!("{}: {n_read} read, {n_refused} refused", kind.what);
    }
}

#[test]
fn arrays_that_unpack_to_far_more_than_they_hold_are_refused() {
    let folder = TempDir::new().unwrap();
    let n = 100 << 20;
    let zeros = encode("|u1", &format!("({n},)"), &vec![0; n]);
    let mut graph = small_graph();
    graph[0] = ("indptr", zeros);
    let graph = zipped(&graph);
    assert!(graph.len() < 1 << 20);
    fs::write(folder.path().join("a.npz"), graph).unwrap();
    let table = "[dataset]\nname = \"one-graph\"\npath = \"a.npz\"\n";
    fs::write(folder.path().join("graph.toml"), table).unwrap();
    let message = refused(folder.path(), &["data", "stats", "graph.toml"]);
    for part in [
        "a.npz, array \"indptr\": its values would take 838860800 bytes",
        "file of this length",
        "savez",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }

    let mut many = molecules();
    many[0] = ("N", encode("|u1", &format!("({n},)"), &vec![1; n]));
    fs::write(folder.path().join("m.npz"), zipped(&many)).unwrap();
    let table = "[dataset]\nname = \"qm9\"\ntarget = \"none\"\npath = \"m.npz\"\n";
    fs::write(folder.path().join("molecules.toml"), table).unwrap();
    let message = refused(folder.path(), &["data", "stats", "molecules.toml"]);
    assert!(message.contains("m.npz, array \"N\": its values would take 838860800"), "{message}");

    // A header that claims a gigabyte, with no data behind it.
    let mut lying = zipped(&small_graph());
    let stated = 1_000_000_000_u32.to_le_bytes();
    let central = lying.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    lying[central + 24..central + 28].copy_from_slice(&stated);
    lying[22..26].copy_from_slice(&stated);
    fs::write(folder.path().join("a.npz"), lying).unwrap();
    let message = refused(folder.path(), &["data", "stats", "graph.toml"]);
    assert!(message.contains("unpacking it would take 1000000000 bytes"), "{message}");
}

#[test]
fn what_a_small_budget_does_not_hold_is_said() {
    let folder = TempDir::new().unwrap();
    let arguments = ["data", "stats", "qm9"];
    let output = limited(folder.path(), &arguments, &[("BATCHLAB_MEMORY", "100KiB")]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains(" would take ") && message.contains("BATCHLAB_MEMORY"), "{message}");
    let output = limited(folder.path(), &arguments, &[("BATCHLAB_MEMORY", "a lot")]);
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("BATCHLAB_MEMORY is \"a lot\"; set it to a size"), "{message}");
}

/// Two gigabytes of edges under a shell limit of one and a quarter.
#[test]
fn what_the_shell_allows_is_a_budget() {
    let folder = TempDir::new().unwrap();
    let message =
        refused(folder.path(), &["data", "stats", "aflow-sizes", "edges={ nearest = 300 }"]);
    for part in ["the edges of 9255 crystals would take", "this program may use", "BATCHLAB_MEMORY"]
    {
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[test]
fn a_database_without_end_ends() {
    let endless = "WITH RECURSIVE r(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM r) SELECT id, NUMBERS AS numbers,
         x'000000000000000000000000000000000000000000000000' AS positions, x'' AS cell, 0 AS pbc, 0.5 AS energy,
         NULL AS key_value_pairs FROM r";
    for numbers in ["x'01000000'", "zeroblob(1000000)"] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("a.db");
        let database = rusqlite::Connection::open(&path).unwrap();
        let view = endless.replace("NUMBERS", numbers);
        database.execute_batch(&format!("CREATE VIEW systems AS {view}")).unwrap();
        drop(database);
        let table = "[dataset]\nname = \"structures\"\npath = \"a.db\"\ntarget = \"energy\"\nunit = \"eV\"\n";
        fs::write(folder.path().join("config.toml"), table).unwrap();
        let message = refused(folder.path(), STATS);
        let because = ["computes more than a table", "out of memory"];
        assert!(because.iter().any(|why| message.contains(why)), "{message}");
    }
}

/// Exit code and message of a run with these overrides and 2 GiB.
fn run(folder: &Path, changes: &[&str]) -> (i32, String) {
    let smoke = smoke();
    let mut arguments = vec!["run", smoke.to_str().unwrap(), "--threads", "1", "--out", "out"];
    arguments.extend(SETTINGS.iter().chain(changes));
    let output = limited(folder, &arguments, &[("BATCHLAB_MEMORY", "2GiB")]);
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn sizes_that_no_machine_holds_are_refused_before_they_are_allocated() {
    let folder = TempDir::new().unwrap();
    for (changes, code, parts) in [
        (
            &["dataset={ name = \"aflow-sizes\", edges = { radius = 200.0 } }"][..],
            3,
            ["the edges of 9255 crystals would take", "smaller radius"],
        ),
        (
            &["dataset={ name = \"aflow-sizes\", edges = { nearest = 100000 } }"],
            3,
            ["the edges of 9255 crystals would take 8", "fewer neighbours"],
        ),
        (
            &["model.n_interaction=4294967295"],
            2,
            ["parameters, which take", "fewer layers, or set BATCHLAB_MEMORY"],
        ),
        (&["model.latent_size=4294967295"], 2, ["parameters, which take", "choose smaller widths"]),
        (
            &["batcher.batch_size=1000000"],
            2,
            ["padding included, takes about", "use a smaller batch_size"],
        ),
    ] {
        let (found, message) = run(folder.path(), changes);
        assert_eq!(found, code, "{changes:?}: {message}");
        for part in parts.into_iter().chain([" bytes ("]) {
            assert!(message.contains(part), "{changes:?}: {message}");
        }
    }
    assert_eq!(Tables::read(&folder.path().join("out")).steps.len(), 0, "nothing was trained");
}

/// Reads a table as a report does.
fn decoded(path: &Path) -> Result<usize, ResultsError> {
    let rows = TableFile::open(path)?.rows(Table::Steps)?;
    rows.map(|rows| Ok(rows?.num_rows())).sum()
}

#[test]
fn a_panic_of_the_decoder_is_a_message_that_names_the_file() {
    let folder = TempDir::new().unwrap();
    let (code, message) = run(folder.path(), &["training.steps=12"]);
    assert_eq!(code, 0, "{message}");
    let out = folder.path().join("out");
    let run_id = names(&out.join("runs")).remove(0);
    // Checksums would reveal that it is not what was published.
    fs::remove_file(out.join("runs").join(&run_id).join("files.json")).unwrap();
    let path = out.join("tables/steps").join(format!("{run_id}.parquet"));
    let whole = fs::read(&path).unwrap();
    // Flips the sign of numbers in the footer.
    let footer = whole.len() - 8;
    let length = u32::from_le_bytes(whole[footer..footer + 4].try_into().unwrap()) as usize;
    let panics = (footer - length..footer).find(|&at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        decoded(&path).is_err_and(|error| error.to_string().contains("it cannot be decoded ("))
    });
    assert!(panics.is_some(), "none of {length} bytes: find another damage");
    for arguments in [&["report", "out"][..], &["export", "out", "--to", "csv", "--out", "csv"]] {
        let output = limited(folder.path(), arguments, &[]);
        let words = text(&output);
        assert!(words.contains(&format!("steps/{run_id}.parquet")), "{words}");
    }
}

#[test]
fn targets_beyond_all_numbers_are_refused() {
    let folder = TempDir::new().unwrap();
    let one = |value: &str| format!("2\ngap={value}\nH 0 0 0\nH 0 0 1\n");
    let molecules: String = (0..40).map(|i| one(&format!("{i}.5"))).collect();
    let (huge, opposite) = (one("1e308"), one("-1e308"));
    fs::write(folder.path().join("a.xyz"), molecules + &huge + &opposite).unwrap();
    let table =
        "[dataset]\nname = \"structures\"\npath = \"a.xyz\"\ntarget = \"gap\"\nunit = \"eV\"\n";
    fs::write(folder.path().join("config.toml"), table).unwrap();
    let output = limited(folder.path(), &["data", "stats", "config.toml", "--svg", "a.svg"], &[]);
    assert!(output.status.success() && text(&output).contains("-1.000e308"), "{}", text(&output));
    let dataset =
        "dataset={ name = \"structures\", path = \"a.xyz\", target = \"gap\", unit = \"eV\" }";
    let (code, message) = run(folder.path(), &[dataset, "training.steps=2"]);
    assert_eq!(code, 3, "{message}");
    assert!(message.contains("target \"gap\" of graph or node 40 is 1"), "{message}");
    assert!(message.contains("beyond what numbers can hold"), "{message}");
}
