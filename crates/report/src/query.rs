//! The queries that reproduce the figures from the Parquet files: the files in `queries/` with the
//! results directory filled in.

const VIEWS: &str = include_str!("../queries/views.sql");
const NAMES: &str = include_str!("../queries/names.py");

macro_rules! queries {
    ($($id:literal),*) => { &[$(($id, include_str!(concat!("../queries/", $id, ".sql")))),*] };
}

/// By name. All but the first and the last are named after a figure.
const QUERIES: &[(&str, &str)] = queries!(
    "settings",
    "verdict",
    "accuracy",
    "target",
    "attribution",
    "stages",
    "total-time",
    "shapes",
    "course",
    "curves",
    "errors",
    "numbers"
);

/// A program that runs queries on results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    Duckdb,
    Polars,
    Pandas,
    Spark,
}

/// All queries for a program, ready to run on the results in a directory. The directory is inserted
/// verbatim between quotation marks.
#[must_use]
pub fn queries(tool: Tool, folder: &str) -> String {
    let text = match tool {
        Tool::Duckdb => {
            let texts: Vec<&str> = QUERIES.iter().map(|(_, text)| *text).collect();
            format!("{VIEWS}\n{}", texts.join("\n"))
        }
        Tool::Polars => format!("{NAMES}{}", include_str!("../queries/polars.py")),
        Tool::Pandas => format!("{NAMES}{}", include_str!("../queries/pandas.py")),
        Tool::Spark => format!("{NAMES}{}", include_str!("../queries/spark.py")),
    };
    text.replace("{folder}", folder)
}

/// The views used by the queries of all figures, for the results directory.
pub(crate) fn views() -> String {
    VIEWS.replace("{folder}", ".")
}

/// The query for a figure.
pub(crate) fn of_figure(id: &str) -> String {
    // The times to an accuracy derive from the accuracy curve.
    let name = if id == "reach" { "accuracy" } else { id };
    QUERIES.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| *text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_short_and_hold_the_folder() {
        for (name, text) in QUERIES {
            assert!(text.lines().count() <= 40, "{name}");
            assert!(!text.contains("{folder}"), "{name}: only the views name files");
        }
        for tool in [Tool::Duckdb, Tool::Polars, Tool::Pandas, Tool::Spark] {
            let text = queries(tool, "a/b");
            assert!(text.contains("a/b/tables") && !text.contains("{folder}"), "{tool:?}");
        }
    }
}
