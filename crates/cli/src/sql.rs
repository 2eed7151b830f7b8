//! `batchlab sql`: queries on results for DuckDB, polars, pandas and Spark.

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::exit::Usage;

/// The snippets come from the documentation of the records, where tests run them.
const RECORDS: &str = include_str!("../../../docs/records.md");

/// Print queries on results, ready to run, in SQL, polars, pandas and Spark.
///
/// docs/records.md defines every column; `batchlab report` shows the query of each figure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Folder of results, with `tables/`.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Print for one tool alone.
    #[arg(long, value_name = "TOOL")]
    tool: Option<Tool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Tool {
    Duckdb,
    Polars,
    Pandas,
    Spark,
}

impl Tool {
    const ALL: [Self; 4] = [Self::Duckdb, Self::Polars, Self::Pandas, Self::Spark];

    /// The heading of its section in the documentation.
    fn heading(self) -> &'static str {
        match self {
            Self::Duckdb => "DuckDB",
            Self::Polars => "polars",
            Self::Pandas => "pandas",
            Self::Spark => "Spark",
        }
    }

    fn comment(self) -> &'static str {
        if self == Self::Duckdb { "--" } else { "#" }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let dir = arguments.dir.display().to_string();
    let dir = dir.trim_end_matches('/');
    // The four tools agree in no way to write these.
    if dir.contains(['\'', '"', '\\', '*', '?', '[', ']', '{', '}'])
        || dir.contains(char::is_control)
    {
        bail!(Usage(format!(
            "{dir}: snippets hold the folder in quoted patterns; give one without quotes, backslashes \
             and * ? [ ] {{ }}"
        )));
    }
    if !arguments.dir.join("tables/runs").is_dir() {
        bail!(Usage(format!("{dir}: there is no {dir}/tables/runs; give the folder of a study")));
    }
    let tools = arguments.tool.map_or_else(|| Tool::ALL.to_vec(), |tool| vec![tool]);
    let text: Vec<String> = tools.into_iter().map(|tool| snippets(tool, dir)).collect();
    std::io::stdout().write_all(text.join("\n").as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// All code of a section, with the folder in front of every `tables/`, and what it shows as comments.
fn snippets(tool: Tool, dir: &str) -> String {
    let comment = tool.comment();
    let mut text = format!("{comment} {}\n", tool.heading());
    let mut is_code = false;
    for line in section(tool) {
        match (line.starts_with("```"), is_code) {
            (true, _) => is_code = !is_code,
            (false, true) => {
                let line = line.replace("\"tables/", &format!("\"{dir}/tables/"));
                text += &line.replace("'tables/", &format!("'{dir}/tables/"));
                text.push('\n');
            }
            (false, false) if line.is_empty() => text.push('\n'),
            (false, false) => {
                let _ = writeln!(text, "{comment} {line}");
            }
        }
    }
    text.trim_end().to_owned() + "\n"
}

fn section(tool: Tool) -> impl Iterator<Item = &'static str> {
    let heading = format!("### {}", tool.heading());
    let after = RECORDS.lines().skip_while(move |line| *line != heading).skip(1);
    after.take_while(|line| !line.starts_with("##"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_has_its_snippets_with_the_folder() {
        for (tool, word) in [
            (Tool::Duckdb, "from 'a/b/tables/steps/*.parquet'"),
            (Tool::Polars, "pl.scan_parquet(\"a/b/tables/runs/*.parquet\")"),
            (Tool::Pandas, "\"a/b/tables/runs\""),
            (Tool::Spark, "spark.read.parquet(\"a/b/tables/steps\")"),
        ] {
            let text = snippets(tool, "a/b");
            assert!(text.contains(word), "{text}");
            assert!(
                !text.contains("```") && !text.contains("\"tables/") && !text.contains("'tables/")
            );
            for line in text.lines().filter(|line| line.ends_with(':') && !line.contains('(')) {
                assert!(line.starts_with(tool.comment()), "prose is a comment: {line}");
            }
        }
    }
}
