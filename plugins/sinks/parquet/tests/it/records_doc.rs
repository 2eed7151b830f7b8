//! The page `docs/records.md` is the dictionary of the records, and is up to date.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use arrow_schema::{DataType, TimeUnit};
use batchlab_core::record::{SCHEMA_VERSION, Table};

#[test]
fn the_page_is_what_the_structs_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/records.md");
    let page = render();
    if std::env::var("BATCHLAB_BLESS").as_deref() == Ok("1") {
        fs::write(&path, &page).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    let difference = page.lines().zip(found.lines()).position(|(a, b)| a != b);
    let line = 1 + difference.unwrap_or(page.lines().count().min(found.lines().count()));
    assert!(
        page == found,
        "docs/records.md differs from the records from line {line} on; write it anew with\n\
         BATCHLAB_BLESS=1 cargo test -p sink-parquet --test it records_doc::"
    );
}

fn render() -> String {
    let intro = include_str!("records_doc/intro.md").replace("\r\n", "\n");
    let mut page = intro.replace("{schema_version}", &SCHEMA_VERSION.to_string());
    for table in Table::ALL {
        let (description, columns) = table.dictionary();
        write!(page, "\n## Table `{table}`\n\n{}\n\n", cell(description)).unwrap();
        page.push_str("| column | type | meaning |\n|---|---|---|\n");
        for column in columns {
            let name = column.name;
            let mut data_type = type_name(&(column.data_type)()).to_owned();
            if column.is_optional {
                data_type.push_str(" or null");
            }
            let meaning = cell(column.description);
            writeln!(page, "| `{name}` | {data_type} | {meaning} |").unwrap();
        }
    }
    page
}

fn cell(text: &str) -> String {
    text.trim().replace('|', "\\|")
}

/// The page's words for types.
fn type_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Utf8 => "text",
        DataType::Int64 => "integer",
        DataType::Float64 => "float",
        DataType::Boolean => "flag",
        DataType::Timestamp(TimeUnit::Microsecond, None) => "time",
        other => panic!("the page has no word for {other}; add it here and to the introduction"),
    }
}
