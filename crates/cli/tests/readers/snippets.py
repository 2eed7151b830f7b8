"""Runs the output of `batchlab sql` for DuckDB.

usage: snippets.py < queries
"""

import sys

import duckdb

for statement in duckdb.extract_statements(sys.stdin.read()):
    rows = duckdb.execute(statement).fetchall()
    print(len(rows), *rows[:1])
