"""Opens result tables with the readers that analysts use and checks that all agree.

    check.py DIR [TABLE=COLUMN,COLUMN..]  check DIR/tables/*/*.parquet

Prints one line per reader. Exit codes: 0 all agree, 1 they do not.
"""

import importlib.util
import sys
from datetime import datetime
from pathlib import Path

TABLES = ["runs", "steps", "evals", "events", "metrics", "blocks"]
SUMS = ["step_ns", "n_edge"]


def with_duckdb(tables):
    """One glob pattern per table, as in a query."""
    import duckdb

    database = duckdb.connect()

    def query(what, table):
        pattern = str(tables / table / "*.parquet").replace("'", "''")
        return database.execute(f"{what} from read_parquet('{pattern}')").fetchall()

    seen = {}
    for table in TABLES:
        columns = [row[0] for row in query("describe select *", table)]
        seen[table] = (columns, query("select count(*)", table)[0][0])
    sums = query("select " + ", ".join(f"sum({name})" for name in SUMS), "steps")[0]
    starts = [row[0] for row in query("select started_at", "runs")]
    return duckdb.__version__, seen, sums, starts


def with_pandas(tables):
    """One directory per table."""
    import pandas

    frames = {table: pandas.read_parquet(tables / table) for table in TABLES}
    seen = {table: (list(frame.columns), len(frame)) for table, frame in frames.items()}
    sums = [frames["steps"][name].sum() for name in SUMS]
    starts = [start.to_pydatetime() for start in frames["runs"]["started_at"]]
    return pandas.__version__, seen, sums, starts


def with_pyarrow(tables):
    """One data set per table."""
    import pyarrow
    import pyarrow.compute
    import pyarrow.dataset

    sets = {table: pyarrow.dataset.dataset(tables / table) for table in TABLES}
    seen = {table: (data.schema.names, data.count_rows()) for table, data in sets.items()}
    steps = sets["steps"].to_table(columns=SUMS)
    sums = [pyarrow.compute.sum(steps[name]).as_py() for name in SUMS]
    starts = sets["runs"].to_table(columns=["started_at"])["started_at"].to_pylist()
    return pyarrow.__version__, seen, sums, starts


def with_polars(tables):
    """One lazy scan per table."""
    import polars

    scans = {table: polars.scan_parquet(tables / table / "*.parquet") for table in TABLES}
    seen = {
        table: (scan.collect_schema().names(), scan.select(polars.len()).collect().item())
        for table, scan in scans.items()
    }
    sums = scans["steps"].select(polars.col(SUMS).sum()).collect().row(0)
    starts = scans["runs"].select("started_at").collect()["started_at"].to_list()
    return polars.__version__, seen, sums, starts


def mistakes(seen, sums, starts, expected):
    """What is evidently wrong in the result of one reader."""
    for table, columns in expected.items():
        if list(seen[table][0]) != columns:
            yield f"{table} has the columns {list(seen[table][0])}, not {columns}"
    for table in ["runs", "steps"]:
        if seen[table][1] == 0:
            yield f"{table} has no rows"
    for name, total in zip(SUMS, sums):
        if total <= 0:
            yield f"the sum of {name} is {total}"
    for start in starts:
        if not isinstance(start, datetime) or start.tzinfo is not None:
            yield f"started_at is {start!r}, not a time without zone"
        elif not 2020 <= start.year <= 2100:
            yield f"started_at is {start}, which is not today"


def main(arguments):
    tables = Path(arguments[0]) / "tables"
    expected = {}
    for argument in arguments[1:]:
        table, columns = argument.split("=", 1)
        expected[table] = columns.split(",")

    readers = {"duckdb": with_duckdb, "pandas": with_pandas, "pyarrow": with_pyarrow}
    if importlib.util.find_spec("polars") is not None:
        readers["polars"] = with_polars
    failed = False
    results = {}
    for name, reader in readers.items():
        version, seen, sums, starts = reader(tables)
        sums = [int(total) for total in sums]
        counts = {table: n_row for table, (_, n_row) in seen.items()}
        rows = ", ".join(f"{table} {n_row}" for table, n_row in counts.items())
        totals = ", ".join(f"sum of {column} {total}" for column, total in zip(SUMS, sums))
        print(f"{name} {version}: {rows}; {totals}")
        for mistake in mistakes(seen, sums, starts, expected):
            print(f"{name}: {mistake}", file=sys.stderr)
            failed = True
        results[name] = (counts, sums, sorted(starts))
    first = results["duckdb"]
    for name, result in results.items():
        if result != first:
            print(f"{name} sees {result}, but duckdb sees {first}", file=sys.stderr)
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
