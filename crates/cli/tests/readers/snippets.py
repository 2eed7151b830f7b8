"""Runs what `batchlab sql --tool TOOL` prints.

usage: snippets.py TOOL < snippet
"""

import sys

tool, text = sys.argv[1], sys.stdin.read()
if tool == "duckdb":
    import duckdb

    for statement in duckdb.extract_statements(text):
        rows = duckdb.execute(statement).fetchall()
        print(len(rows), *rows[:1])
else:
    exec(text)
