"""Runs the queries of a report, in its folder, and says how many rows each one gives.

usage: queries.py FOLDER < report.json
"""

import json
import os
import sys

import duckdb

os.chdir(sys.argv[1])
for figure in json.load(sys.stdin)["figures"]:
    try:
        rows = duckdb.sql(figure["query"]).fetchall()
    except duckdb.Error as error:
        sys.exit(f"{figure['id']}: {error}")
    print(figure["id"], len(rows))
