//! The table of mistakes and checks, as the tests print it and docs/conformance.md shows it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A mistake in words, the one check that it fails, and the checks that it did fail, each with
/// what was found.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) own: &'static str,
    pub(crate) failing: Vec<(&'static str, String)>,
}

/// Rows are mistakes, columns are checks; `x` is a failure.
pub(crate) fn table(rows: &[Row], checks: &[&str]) -> String {
    let mut table = format!("{:34}", "");
    for (column, _) in checks.iter().enumerate() {
        let _ = write!(table, "{:>3}", column + 1);
    }
    table.push('\n');
    for row in rows {
        let _ = write!(table, "{:34}", row.what);
        for check in checks {
            let fails = row.failing.iter().any(|(name, _)| name == check);
            let _ = write!(table, "{:>3}", if fails { "x" } else { "." });
        }
        table.push('\n');
    }
    table.push('\n');
    for (column, check) in checks.iter().enumerate() {
        let end = if column % 4 == 3 { "\n" } else { "" };
        let _ = write!(table, "{:>2} {check:18}{end}", column + 1);
    }
    table.lines().fold(String::new(), |all, line| all + line.trim_end() + "\n")
}

/// Each mistake fails its own check and no other, and the document shows the table.
pub(crate) fn check(rows: &[Row], checks: &[&str], place: &str, test: &str) {
    let table = table(rows, checks);
    println!("{table}");
    let mut wrong = String::new();
    for row in rows {
        if row.failing.iter().map(|(name, _)| name).ne([&row.own]) {
            let _ = writeln!(wrong, "{}: expected {}, fails {:#?}", row.what, row.own, row.failing);
        }
    }
    assert!(wrong.is_empty(), "\n{table}\n{wrong}");
    check_document(&table, place, test);
}

/// docs/conformance.md shows the table behind the line `place`; `BATCHLAB_BLESS=1` writes it there.
fn check_document(table: &str, place: &str, test: &str) {
    let text = document();
    let opening = format!("{place}\n\n```text\n");
    let start = text.find(&opening).expect("the place of the table") + opening.len();
    let end = start + text[start..].find("```").expect("the end of the table");
    if std::env::var("BATCHLAB_BLESS").as_deref() == Ok("1") {
        let text = format!("{}{table}{}", &text[..start], &text[end..]);
        std::fs::write(path(), text).expect("the document can be written");
        return;
    }
    assert!(
        text[start..end] == *table,
        "the table in docs/conformance.md is stale; write it anew with\n\
         BATCHLAB_BLESS=1 cargo test -p batchlab-testkit --test it {test}::"
    );
}

/// The document has a section for a check that begins with its promise.
pub(crate) fn check_section(name: &str, promise: &str) {
    let (first, rest) = promise.split_at(1);
    let section = format!("### {name}\n*{}{rest}.*", first.to_uppercase());
    assert!(document().contains(&section), "docs/conformance.md lacks\n{section}");
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/conformance.md")
}

fn document() -> String {
    let text = std::fs::read_to_string(path()).expect("docs/conformance.md is there");
    text.replace("\r\n", "\n")
}

/// The tests of a kit, from its `CHECKS`, the `BROKEN` components, what is `failing` with a mistake, and
/// the module `sound`, which the kit's macro has written.
macro_rules! tests {
    ($place:literal, $module:literal) => {
        #[test]
        fn each_mistake_fails_its_own_check_and_no_other() {
            let row =
                |&(fault, what, own): &(Fault, _, _)| Row { what, own, failing: failing(fault) };
            let rows: Vec<Row> = BROKEN.iter().map(row).collect();
            let checks: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
            table::check(&rows, &checks, $place, $module);
        }

        #[test]
        fn without_a_mistake_nothing_fails() {
            assert_eq!(failing(Fault::None), []);
        }

        #[test]
        fn every_check_has_a_mistake_a_section_and_a_test() {
            for check in CHECKS {
                assert!(BROKEN.iter().any(|(.., own)| *own == check.name), "{}", check.name);
                table::check_section(check.name, check.promise);
            }
            assert!(CHECKS.iter().map(|check| check.name).eq(sound::TESTED.iter().copied()));
        }
    };
}
pub(crate) use tests;
