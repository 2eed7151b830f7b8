"""Opens CSV and JSON Lines of real runs with the readers that analysts use, and checks that every
value of every row is the same as in Parquet.

usage: text.py DIR   with DIR/tables, DIR/csv and DIR/jsonl

Prints one line per reader and format. Exit code 1: a reader disagrees.
"""

import importlib.util
import math
import sys
from datetime import datetime
from pathlib import Path

import duckdb
import pandas
import pyarrow.parquet

TABLES = ["runs", "steps", "evals", "events", "metrics"]


def duckdb_csv(path):
    # Quoted and empty is an empty text, unquoted and empty is null.
    return rows_of(duckdb.sql(f"from read_csv('{path}', allow_quoted_nulls = false)"))


def duckdb_jsonl(path):
    return rows_of(duckdb.sql(f"from read_json('{path}', sample_size = -1)"))


def rows_of(relation):
    return [dict(zip(relation.columns, row)) for row in relation.fetchall()]


def pandas_csv(path):
    # pandas was a bit or two off by default before version 3.1, which deprecates the option.
    version = tuple(int(part) for part in pandas.__version__.split(".")[:2])
    options = {"float_precision": "round_trip"} if version < (3, 1) else {}
    return pandas.read_csv(path, **options).to_dict("records")


def pandas_jsonl(path):
    if path.stat().st_size == 0:
        return []
    return pandas.read_json(path, lines=True, precise_float=True).to_dict("records")


def polars_csv(path):
    import polars

    return polars.read_csv(path, try_parse_dates=True, infer_schema_length=None).to_dicts()


def polars_jsonl(path):
    import polars

    if path.stat().st_size == 0:
        return []
    return polars.read_ndjson(path, infer_schema_length=None).to_dicts()


def same(expected, found, tells_nan):
    """Whether a cell is the same as in Parquet. pandas shows null as NaN, and numbers of columns with
    nulls as floats; JSON Lines have null for NaN."""
    if found is None or found is pandas.NaT or (isinstance(found, float) and math.isnan(found)):
        if tells_nan and expected is not None:
            return isinstance(found, float) and isinstance(expected, float) and math.isnan(expected)
        return expected is None or (isinstance(expected, float) and math.isnan(expected))
    if isinstance(expected, datetime):
        found = datetime.fromisoformat(found) if isinstance(found, str) else found
    return expected == found


def main(directory):
    readers = {"duckdb": (duckdb_csv, duckdb_jsonl), "pandas": (pandas_csv, pandas_jsonl)}
    if importlib.util.find_spec("polars") is not None:
        readers["polars"] = (polars_csv, polars_jsonl)
    failed = False
    for name, by_format in readers.items():
        for ending, read in zip(["csv", "jsonl"], by_format):
            counts = []
            for table in TABLES:
                expected, found = [], []
                for path in sorted((directory / "tables" / table).iterdir()):
                    own = pyarrow.parquet.read_table(path)
                    expected += own.to_pylist()
                    found += read(directory / ending / table / f"{path.stem}.{ending}")
                counts.append(f"{table} {len(found)}")
                if len(expected) != len(found):
                    print(f"{name}: {table} has {len(found)} rows, not {len(expected)}", file=sys.stderr)
                    failed = True
                tells_nan = name == "duckdb" and ending == "csv"
                for one, other in zip(expected, found):
                    for column, value in one.items():
                        if not same(value, other.get(column), tells_nan):
                            seen = f"{name} {ending} {table}.{column}: {other.get(column)!r}"
                            print(f"{seen}, not {value!r}", file=sys.stderr)
                            failed = True
            print(f"{name} {ending}: {', '.join(counts)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
