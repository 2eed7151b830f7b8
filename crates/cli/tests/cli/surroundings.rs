//! Odd environments: names, pipes, copies, a full disk, a system that grants no threads or files.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::small_run::{
    SETTINGS, Tables, batchlab, checkpoints, doctor, names, resume, run_folder, smoke, start, text,
};

/// The output of a command that must exit within a minute and without a panic.
fn ends(command: &mut Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("{command:?} does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    assert!(!text(&output).contains("panicked"), "{}", text(&output));
    output
}

/// The program under limits of the shell, such as `ulimit -n 10`.
fn under(limits: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("bash");
    let script = format!("{limits}; exec \"$0\" \"$@\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_batchlab")]).args(arguments);
    command
}

fn short_run(dir: &Path, settings: &[&str]) {
    let output =
        start(dir, &[&["training.steps=12", "evaluation.every=6"], settings].concat()).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

fn arguments_of_a_run<'a>(out: &'a str, smoke: &'a str) -> Vec<&'a str> {
    let mut arguments = vec!["run", smoke, "--out", out, "training.steps=12"];
    arguments.extend(SETTINGS.iter().filter(|setting| !setting.starts_with("training.steps")));
    arguments
}

#[test]
fn a_file_that_cannot_be_written_leaves_the_one_before() {
    let folder = TempDir::new().unwrap();
    let results = folder.path().join("results");
    short_run(&results, &["training.checkpoint={ steps = 12 }"]);
    let run = run_folder(&results);
    let [results, run] = [&results, &run].map(|path| path.to_str().unwrap());
    // Writes beyond a kilobyte fail, as on a full disk.
    let full = "trap '' XFSZ; ulimit -f 1";
    for (name, command) in [
        ("page.html", vec!["report", results, "--html"]),
        ("sizes.svg", vec!["data", "stats", "qm9", "--svg"]),
        ("plan.svg", vec!["plan", "configs/plan/qm9.toml", "--steps", "100", "--picture"]),
        ("p.parquet", vec!["predict", run, "--out"]),
        ("w.safetensors", vec!["weights", run, "--out"]),
    ] {
        let place = folder.path().join(name);
        let arguments = [&command[..], &[place.to_str().unwrap()]].concat();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let write =
            || ends(batchlab().args(&arguments).env("BATCHLAB_CACHE", "off").current_dir(&root));
        let output = write();
        assert!(output.status.success(), "{name}: {}", text(&output));
        let before = fs::read(&place).unwrap();
        assert!(before.len() > 1024, "{name}");
        let output = ends(under(full, &arguments).env("BATCHLAB_CACHE", "off").current_dir(&root));
        assert_eq!(output.status.code(), Some(1), "{name}: {}", text(&output));
        assert!(text(&output).contains(name), "{name}: {}", text(&output));
        assert_eq!(fs::read(&place).unwrap(), before, "{name}");

        let output = write();
        assert!(output.status.success(), "{name}: {}", text(&output));
        assert!(text(&output).contains("replacing the existing file"), "{}", text(&output));
        let rights = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        fs::write(folder.path().join("ordinary"), "").unwrap();
        assert_eq!(rights(&place), rights(&folder.path().join("ordinary")), "{name}");
        // Only regular files are replaced.
        let arguments = [&command[..], &["/dev/null"]].concat();
        let output =
            ends(batchlab().args(&arguments).env("BATCHLAB_CACHE", "off").current_dir(&root));
        assert!(name == "plan.svg" || output.status.success(), "{name}: {}", text(&output));
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
    let hidden: Vec<String> =
        names(folder.path()).into_iter().filter(|name| name.starts_with('.')).collect();
    assert_eq!(hidden, Vec::<String>::new(), "nothing unfinished is left");
}

/// Each command that writes to a given file.
#[test]
fn what_this_program_did_not_write_is_not_replaced() {
    let folder = TempDir::new().unwrap();
    let results = folder.path().join("results");
    short_run(&results, &["training.checkpoint={ steps = 12 }"]);
    let run = run_folder(&results);
    let checkpoint = checkpoints(&results)[0].1.clone();
    let table = results.join("tables/steps").join(&names(&results.join("tables/steps"))[0]);
    let [results_text, run] = [&results, &run].map(|path| path.to_str().unwrap());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let copies = folder.path().join("copies");
    fs::create_dir(&copies).unwrap();
    for (name, command) in [
        ("page.html", vec!["report", results_text, "--html"]),
        ("sizes.svg", vec!["data", "stats", "qm9", "--svg"]),
        ("sizes.png", vec!["data", "stats", "qm9", "--png"]),
        ("plan.svg", vec!["plan", "configs/plan/qm9.toml", "--steps", "100", "--picture"]),
        ("p.parquet", vec!["predict", run, "--out"]),
        ("w.safetensors", vec!["weights", run, "--out"]),
    ] {
        let write = |place: &Path, more: &[&str]| {
            ends(batchlab().args(&command).arg(place).args(more).current_dir(&root))
        };
        let (place, target) = (folder.path().join(name), copies.join(name));
        // Of another kind, whatever its name, and through a link.
        let foreign = [
            b"my notes".to_vec(),
            b"<!DOCTYPE html>\n<html><body>mine</body></html>".to_vec(),
            b"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"9\" height=\"9\"></svg>".to_vec(),
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0".to_vec(),
            b"<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\"/>".to_vec(),
            fs::read(&table).unwrap(),
            fs::read(&checkpoint).unwrap(),
        ];
        for content in &foreign {
            fs::write(&target, content).unwrap();
            std::os::unix::fs::symlink(&target, &place).unwrap();
            for place in [&place, &target] {
                let output = write(place, &[]);
                assert_eq!(output.status.code(), Some(2), "{name}: {}", text(&output));
                assert!(text(&output).contains("--force"), "{}", text(&output));
                assert_eq!(fs::read(&target).unwrap(), *content, "{name}");
            }
            fs::remove_file(&place).unwrap();
        }
        // Where only runs write, not even a new file is created, neither through a link to a
        // directory nor with `--force`.
        let link = folder.path().join(format!("to-runs-{name}"));
        std::os::unix::fs::symlink(results.join("runs"), &link).unwrap();
        for own in [&results.join("tables/steps"), &results.join("tables/new/folder"), &link] {
            let (place, output) = (own.join(name), write(&own.join(name), &["--force"]));
            assert_eq!(output.status.code(), Some(2), "{name}: {}", text(&output));
            assert!(
                !place.exists() && text(&output).contains("only runs write"),
                "{}",
                text(&output)
            );
        }
        let output = write(&target, &["--force"]);
        assert!(output.status.success(), "{name}: {}", text(&output));
        let output = write(&target, &[]);
        assert!(output.status.success(), "a file of its own: {name}: {}", text(&output));
    }
    let into = results.join("tables").display().to_string();
    for arguments in [
        ["report", results_text, "--png", &into].to_vec(),
        ["export", results_text, "--to", "csv", "--out", &into].to_vec(),
        ["weights", run, "--force", "--out", checkpoint.to_str().unwrap()].to_vec(),
        ["predict", run, "--force", "--out", table.to_str().unwrap()].to_vec(),
    ] {
        let output = ends(batchlab().args(&arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
    }
    assert!(doctor(&results, &[])["damaged"].as_array().unwrap().is_empty());
}

#[test]
fn an_ending_of_another_format_is_refused_before_anything_is_read() {
    let nowhere = "no/such/results";
    for (arguments, ending) in [
        (vec!["report", nowhere, "--html", "x.pdf"], ".html"),
        (vec!["data", "stats", "qm9", "--svg", "x.png"], ".svg"),
        (vec!["data", "stats", "qm9", "--png", "x.svg"], ".png"),
        (vec!["evaluate", nowhere, "--batcher", "full", "--grid", "k=1", "--svg", "x.png"], ".svg"),
        (vec!["predict", nowhere, "--out", "p.csv"], ".parquet"),
        (vec!["weights", nowhere, "--out", "w.pt"], ".safetensors"),
    ] {
        let output = batchlab().args(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        let words = text(&output);
        assert!(
            words.contains(arguments[arguments.len() - 1]) && words.contains(ending),
            "{words}"
        );
    }
}

#[test]
fn commands_that_are_printed_run_as_they_are_meant() {
    let folder = TempDir::new().unwrap();
    let name = "a $(touch evil) b's; touch evil [1]*";
    let out = folder.path().join(name);
    let output = start(&out, &["training.steps=12"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let words = text(&output);
    let command = words.lines().find(|line| line.contains("duckdb -c")).unwrap();
    // A program of that name that prints its arguments.
    let programs = folder.path().join("programs");
    fs::create_dir(&programs).unwrap();
    for program in ["duckdb", "batchlab"] {
        fs::write(programs.join(program), "#!/bin/sh\nprintf '%s\\n' \"$@\"\n").unwrap();
        fs::set_permissions(programs.join(program), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let run = |command: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).env("PATH", &path).current_dir(folder.path());
        String::from_utf8(shell.output().unwrap().stdout).unwrap()
    };
    let given = run(command);
    let pattern = out.to_str().unwrap().replace('\'', "''").replace('[', "[[]").replace('*', "[*]");
    assert!(given.contains(&format!("from '{pattern}/tables/evals/*.parquet'")), "{given}");

    // Likewise for the others.
    let page = folder.path().join("page.html");
    let output = batchlab().arg("report").arg(&out).arg("--html").arg(&page).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let page = fs::read_to_string(page).unwrap();
    for line in page.lines().flat_map(|line| line.split("<pre>")) {
        if let Some(command) = line.strip_prefix("batchlab ") {
            let command = command.split('<').next().unwrap();
            let command =
                command.replace("&#39;", "'").replace("&apos;", "'").replace("&quot;", "\"");
            let given = run(&format!("batchlab {}", command.replace("&amp;", "&")));
            assert!(given.lines().any(|word| word.starts_with(out.to_str().unwrap())), "{given}");
        }
    }
    assert!(page.contains("batchlab run") && !folder.path().join("evil").exists());
    let output = batchlab().arg("sql").arg(&out).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_not_waited_for() {
    let folder = TempDir::new().unwrap();
    let dir = &folder.path().join("results");
    short_run(dir, &[]);
    let run = run_folder(dir);
    let run_id = run.file_name().unwrap().to_str().unwrap().to_owned();
    let table = |table: &str| dir.join("tables").join(table).join(format!("{run_id}.parquet"));
    for path in [table("steps"), table("runs"), run.join("files.json")] {
        let whole = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        pipe(&path);
        for command in ["report", "doctor", "compare"] {
            let mut command_line = batchlab();
            command_line.arg(command).arg(dir);
            if command == "compare" {
                command_line.arg(dir);
            }
            let output = ends(&mut command_line);
            let words = text(&output);
            assert!(command == "compare" || words.contains("not a regular file"), "{words}");
        }
        let output =
            ends(batchlab().args(["export", "--to", "csv", "--out"]).arg(folder.path()).arg(dir));
        assert!(text(&output).contains("not a regular file"), "{}", text(&output));
        fs::remove_file(&path).unwrap();
        fs::write(&path, whole).unwrap();
    }
    // Without checksums nothing says that there should be a file.
    fs::remove_file(run.join("files.json")).unwrap();
    fs::remove_file(table("evals")).unwrap();
    pipe(&table("evals"));
    let output = ends(batchlab().arg("report").arg(dir));
    assert!(text(&output).contains("not a regular file"), "{}", text(&output));

    let cache = folder.path().join("cache");
    let stats = |cache: &Path| {
        ends(batchlab().args(["data", "convert", "qm9"]).env("BATCHLAB_CACHE", cache))
    };
    let output = stats(&cache);
    assert!(output.status.success(), "{}", text(&output));
    let kept: PathBuf = cache.join(&names(&cache)[0]);
    fs::remove_file(&kept).unwrap();
    pipe(&kept);
    let output = stats(&cache);
    assert!(text(&output).contains("not a regular file"), "{}", text(&output));
}

#[test]
fn a_copy_of_a_run_is_named_and_left_out() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path();
    short_run(dir, &["training.checkpoint={ steps = 5 }"]);
    let run = run_folder(dir);
    let original = run.file_name().unwrap().to_str().unwrap().to_owned();
    let copy = dir.join("runs").join(format!("{original}-copy"));
    let copied = Command::new("cp").arg("-r").arg(&run).arg(&copy).status().unwrap();
    assert!(copied.success());
    let is_named = |words: &str| words.contains("is a copy") && words.contains(&original);

    let output = batchlab().arg("report").arg(dir).output().unwrap();
    assert!(output.status.success() && is_named(&text(&output)), "{}", text(&output));
    let output = batchlab().arg("doctor").arg(dir).output().unwrap();
    assert!(output.status.code() == Some(3) && is_named(&text(&output)), "{}", text(&output));

    // A copy of a run that can be resumed.
    for (from, to) in [("runs", "journal"), ("wip", "wip")] {
        let folder = TempDir::new().unwrap();
        let dir = folder.path();
        interrupted(dir);
        let run = run_folder(dir);
        let original = run.file_name().unwrap().to_str().unwrap().to_owned();
        let copy = format!("{original}-copy");
        let copied =
            Command::new("cp").arg("-r").arg(&run).arg(dir.join("runs").join(&copy)).status();
        assert!(copied.unwrap().success());
        if to == "wip" {
            fs::create_dir_all(dir.join("wip").join(&copy)).unwrap();
            fs::copy(run.join("journal"), dir.join("wip").join(&copy).join("journal")).unwrap();
            fs::write(dir.join("wip").join(&copy).join("lock"), "process 1 on here").unwrap();
            let output = batchlab().arg("doctor").arg(dir).output().unwrap();
            assert_ne!(output.status.code(), Some(0), "{from}: {}", text(&output));
        } else {
            let path = dir.join("runs").join(&copy);
            let output = batchlab().args(["run", "--resume"]).arg(path).output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{}", text(&output));
            let words = text(&output);
            assert!(
                words.contains("is a copy of that of run") && words.contains(&original),
                "{words}"
            );
        }
        let runs = names(&dir.join("tables/runs"));
        assert_eq!(runs, [format!("{original}.parquet")]);
    }
}

/// A run that was stopped after a checkpoint.
fn interrupted(dir: &Path) {
    let settings = ["training.steps=1000000", "training.checkpoint={ steps = 20 }"];
    let child = start(dir, &settings).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while checkpoints(dir).is_empty() {
        assert!(Instant::now() < deadline, "no checkpoint was ever saved");
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(6));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_resume_with_other_vectors_says_so() {
    if !std::arch::is_x86_feature_detected!("avx2") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let dir = folder.path();
    interrupted(dir);
    // It has a million steps to go; the warning comes before the first of them.
    let mut child = resume(dir)
        .env("BATCHLAB_VECTORS", "plain")
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let pid = child.id().to_string();
    let _ = Command::new("kill").args(["-TERM", &pid]).status();
    let mut words = String::new();
    std::io::Read::read_to_string(child.stderr.as_mut().unwrap(), &mut words).unwrap();
    child.wait().unwrap();
    assert!(words.contains("continues with plain") && words.contains("last bits"), "{words}");
    let events = Tables::read(dir).events;
    assert!(events.iter().any(|event| event.kind == "arithmetic"), "{events:?}");
}

#[test]
fn numbers_that_results_cannot_hold_are_refused_at_their_place() {
    let folder = TempDir::new().unwrap();
    for key in
        ["training.steps", "training.seeds.order", "training.seeds.split", "training.seeds.init"]
    {
        let change = format!("{key}=18446744073709551615");
        let output = start(&folder.path().join("out"), &[&change]).output().unwrap();
        let words = text(&output);
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert!(words.contains("18446744073709551615"), "{words}");
    }
    assert!(!folder.path().join("out/tables").exists());
}

#[test]
fn ctrl_c_ends_the_reading_of_data() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    // Nearly ten thousand crystals are generated.
    let dataset = "dataset={ name = \"aflow-sizes\", edges = { nearest = 60 } }";
    let mut command = start(&out, &[dataset]);
    command.env("BATCHLAB_CACHE", "off").stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    std::thread::sleep(Duration::from_millis(400));
    let asked = Instant::now();
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(6), "{}", text(&output));
    assert!(text(&output).contains("while data were read"), "{}", text(&output));
    assert!(asked.elapsed() < Duration::from_secs(60) && !out.exists());
}

#[test]
fn checkpoints_after_more_minutes_than_there_are() {
    let folder = TempDir::new().unwrap();
    short_run(folder.path(), &["training.checkpoint={ minutes = 1e300 }"]);
    assert_eq!(checkpoints(folder.path()).len(), 1);
}

#[test]
fn a_system_that_gives_no_thread_or_file_is_a_message() {
    let folder = TempDir::new().unwrap();
    let (out, smoke) = (folder.path().join("out"), smoke());
    let arguments = arguments_of_a_run(out.to_str().unwrap(), smoke.to_str().unwrap());
    // No stack can be that large.
    let no_thread = "export RUST_MIN_STACK=100000000000000";
    for arguments in [&arguments[..], &["plan", "configs/plan/qm9.toml", "--steps", "10"]] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let output = ends(under(no_thread, arguments).current_dir(root));
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains("threads"), "{}", text(&output));
    }
    for n in 4..24 {
        let output = ends(&mut under(&format!("ulimit -n {n}"), &arguments));
        // With few files the program exits with a message, or does not start.
        assert!(output.status.code().is_some(), "{n}: {}", text(&output));
        assert!(output.status.success() || output.stderr.len() > 20, "{n}: {}", text(&output));
    }
    let _ = doctor(&out, &[]);
}
