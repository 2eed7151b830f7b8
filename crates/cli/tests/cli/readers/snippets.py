"""Runs what `batchlab sql --tool TOOL` prints. Exits with 77 where the tool is absent.

usage: snippets.py TOOL < snippet
"""

import importlib.util
import sys

tool, text = sys.argv[1], sys.stdin.read()
if importlib.util.find_spec(tool) is None:
    sys.exit(77)
if tool == "duckdb":
    import duckdb

    for statement in duckdb.extract_statements(text):
        rows = duckdb.execute(statement).fetchall()
        print(len(rows), *rows[:1])
else:
    exec(text)
