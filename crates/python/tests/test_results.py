"""Tables for other tools, forecasts, comparisons, and the command line."""

import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest

import batchlab

EXAMPLE = pathlib.Path(__file__).parents[3] / "results" / "example"


@pytest.fixture(scope="module")
def study():
    if not EXAMPLE.is_dir():
        pytest.skip(f"{EXAMPLE} is absent")
    return batchlab.read(EXAMPLE)


def test_tables_for_polars(study):
    polars = pytest.importorskip("polars")
    steps = polars.DataFrame(study.steps)
    assert len(steps) == len(study.steps) > 0
    assert steps.columns == study.steps.columns
    assert polars.DataFrame(study.steps).equals(steps)


def test_tables_for_pyarrow_and_duckdb(study):
    pyarrow = pytest.importorskip("pyarrow")
    duckdb = pytest.importorskip("duckdb")
    runs = pyarrow.table(study.runs)
    assert runs.num_rows == len(study.runs)
    steps = pyarrow.table(study.steps)
    ((counted,),) = duckdb.sql("select count(*) from steps").fetchall()
    assert counted == len(study.steps)


def test_what_is_not_there_is_named():
    with pytest.raises(ValueError, match="nowhere"):
        batchlab.read("nowhere")


def test_a_plan_is_a_table():
    polars = pytest.importorskip("polars")
    data = batchlab.load("qm9")
    rows = polars.DataFrame(batchlab.plan(data, ["exact", "static-64"], [16, 32], steps=1000)).to_dicts()
    assert [(row["strategy"], row["batch_size"]) for row in rows] == [
        ("exact", 16), ("static-64", 16), ("exact", 32), ("static-64", 32)
    ]
    assert rows[0]["node_fill"] == 1.0 > rows[1]["node_fill"]
    assert rows[0]["shapes"] > rows[1]["shapes"]


def test_a_comparison_finds_the_slower_strategy(tmp_path):
    data = batchlab.load("qm9")

    def step(batch):
        # Takes time in proportion to the padded edges.
        end = time.perf_counter() + 1e-7 * batch.n_edge
        while time.perf_counter() < end:
            pass

    out = tmp_path / "times.csv"
    found = batchlab.compare(
        data, step, ["exact", "static-2^N"], [32], pairs=6, steps_per_block=20, out=out, progress=None
    )
    assert list(found.verdicts) == ["B=32"]
    assert "static-2^N" in repr(found) and "<table>" in found._repr_html_()
    assert {row["block"] for row in found.times} >= set(range(13))
    printed = subprocess.run(
        [sys.executable, "-m", "batchlab", "verdict", str(out)], capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == found.texts["B=32"].strip()
    with pytest.raises(FileExistsError):
        batchlab.compare(data, step, ["exact", "dynamic"], out=out)
    with pytest.raises(ZeroDivisionError):
        batchlab.compare(data, lambda batch: 1 / 0, ["exact", "dynamic"], progress=None)


def test_the_program_comes_along(tmp_path):
    run = lambda *words: subprocess.run(
        [sys.executable, "-m", "batchlab", *words], capture_output=True, text=True, cwd=tmp_path
    )
    assert "dynamic" in run("list").stdout
    assert run("--version").stdout.split() == ["batchlab", batchlab.__version__]
    assert run("run", "nowhere.toml").returncode == 2
    trained = run("run", "--dataset", "qm9", "model=schnet", "batcher=dynamic", "batcher.batch_size=16", "training.steps=3", "study=mine")
    assert trained.returncode == 0, trained.stderr
    assert len(batchlab.read(tmp_path / "results" / "mine").steps) == 3
