//! End-to-end tests of `batchlab report`.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use assert_cmd::Command;

use crate::study::{Study, write};

fn batchlab() -> Command {
    Command::cargo_bin("batchlab").unwrap()
}

fn stdout(command: &mut Command) -> String {
    String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap()
}

fn stderr(command: &mut Command, code: i32) -> String {
    String::from_utf8(command.assert().code(code).get_output().stderr.clone()).unwrap()
}

/// Two interleaved strategies.
const STUDY: Study = Study {
    name: "",
    timing: "combined",
    prefetch_depth: 0,
    batch_size: 16,
    n_cell: 2,
    n_block: 6,
    n_step: 10,
    noise: 0.01,
    n_strategy: 2,
    stalled: None,
};

#[test]
fn runs_become_verdicts_figures_and_a_page() {
    let dir = tempfile::tempdir().unwrap();
    let results = dir.path().join("results");
    write(&results, &STUDY, |_| ());
    let (page, pictures) = (dir.path().join("page.html"), dir.path().join("png"));
    let mut report = batchlab();
    report
        .arg("report")
        .arg(&results)
        .arg("--html")
        .arg(&page)
        .arg("--png")
        .arg(&pictures)
        .arg("--json");
    let report: serde_json::Value = serde_json::from_str(&stdout(&mut report)).unwrap();
    assert_eq!(report["verdicts"][0]["strategies"][0]["batcher"], "static-2^N");
    assert_eq!(report["verdicts"][0]["measure"], "TimePerGraph");
    let title = report["settings"][0]["title"].as_str().unwrap();
    assert!(title.starts_with("schnet on invented, cpu, 70 steps"), "{title}");
    let page = std::fs::read_to_string(&page).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("static-2^N is the fastest"));
    let files = std::fs::read_dir(&pictures).unwrap().map(|file| file.unwrap().path());
    let n_picture = files
        .inspect(|path| assert!(std::fs::read(path).unwrap().starts_with(b"\x89PNG"), "{path:?}"))
        .count();
    let figures = report["figures"].as_array().unwrap();
    let n_figure = figures.iter().filter(|f| !f["panels"].as_array().unwrap().is_empty()).count();
    assert_eq!(n_picture, n_figure);
    assert!(n_picture >= 6, "{n_picture}");

    let text = stdout(batchlab().arg("report").arg(&results));
    assert!(text.contains("=> static-2^N is the fastest."), "{text}");
    let text = stdout(batchlab().arg("report").arg(&results).args(["--reference", "static-64"]));
    assert!(text.contains("Times as long as static-64: static-2^N 0.9"), "{text}");
}

#[test]
fn rows_of_a_verdict_say_what_its_sentence_says() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &STUDY, |run| run.build_profile = Some("debug".into()));
    let text = stdout(batchlab().arg("report").arg(dir.path()));
    assert!(text.contains("debug build") && text.contains("test RMSE, eV"), "{text}");
    assert!(text.contains("  the fastest ") && !text.contains("may be fastest"), "{text}");
    assert!(text.contains("`repeats=5`"), "{text}");
    // What it takes to tell strategies apart that scatter more than they differ.
    let noisy = tempfile::tempdir().unwrap();
    let study = Study { noise: 0.4, n_block: 8, ..STUDY };
    write(noisy.path(), &study, |_| ());
    let text = stdout(batchlab().arg("report").arg(noisy.path()));
    assert!(text.contains("may be the fastest") && !text.contains("  the fastest "), "{text}");
    assert!(text.contains("blocks.pairs="), "{text}");
}

#[test]
fn names_from_tables_command_no_terminal_and_no_page() {
    const MARKS: [char; 3] = ['\u{1b}', '\u{9b}', '\u{202e}'];
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &STUDY, |run| {
        run.batcher += "\u{1b}[2J\u{202e}";
        run.model += "\u{9b}31m\u{202e}";
        run.dataset += "\u{1b}]0;title\u{7}";
    });
    let (page, csv) = (dir.path().join("page.html"), dir.path().join("csv"));
    let commands: [&[&str]; 6] = [
        &["report", "DIR"],
        &["report", "DIR", "--json"],
        &["report", "DIR", "--reference", "none", "--html", page.to_str().unwrap()],
        &["compare", "DIR", "DIR"],
        &["doctor", "DIR"],
        &["export", "DIR", "--to", "csv", "--out", csv.to_str().unwrap()],
    ];
    for arguments in commands {
        let mut command = batchlab();
        command.args(arguments.iter().map(|word| match *word {
            "DIR" => dir.path().as_os_str(),
            word => word.as_ref(),
        }));
        let output = command.output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!text.contains(MARKS), "{arguments:?}: {text:?}");
        assert!(arguments[0] != "compare" || text.contains("\\u001b[2J\\u202e"), "{text}");
    }
    stdout(batchlab().arg("report").arg(dir.path()).arg("--html").arg(&page));
    assert!(!std::fs::read_to_string(&page).unwrap().contains(MARKS));
}

#[test]
fn mistakes_have_their_exit_codes() {
    let dir = tempfile::tempdir().unwrap();
    let text = stderr(batchlab().arg("report").arg(dir.path()), 2);
    assert!(text.contains("there is no") && text.contains("tables/runs"), "{text}");
    let results = dir.path().join("results");
    write(&results, &STUDY, |_| ());
    let report =
        |arguments: [&str; 2]| stderr(batchlab().arg("report").arg(&results).args(arguments), 2);
    let text = report(["--reference", "static-32"]);
    assert!(
        text.contains("there is no strategy \"static-32\"; there are static-64, static-2^N"),
        "{text}"
    );
    let text = report(["--margin", "200%"]);
    assert!(text.contains("200% is not a share between 0 and 1; give for example 2%"), "{text}");
    let text = report(["--compile-cost", "0"]);
    assert!(text.contains("0 s is not a cost; give seconds above 0"), "{text}");
}
