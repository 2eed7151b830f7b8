"""Runs what `batchlab sql` prints for DuckDB.

usage: snippets.py < queries
"""

import sys

import duckdb

for statement in duckdb.extract_statements(sys.stdin.read()):
    rows = duckdb.execute(statement).fetchall()
    print(len(rows), *rows[:1])
