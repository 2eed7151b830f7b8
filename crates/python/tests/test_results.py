"""Tables for other tools, forecasts, comparisons, and the command line."""

import json
import pathlib
import signal
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


def test_tables_for_pandas(study):
    pandas = pytest.importorskip("pandas", minversion="3")
    pytest.importorskip("pyarrow")
    steps = pandas.DataFrame.from_arrow(study.steps)
    assert list(steps.columns) == study.steps.columns and len(steps) == len(study.steps)


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


# Interrupts itself from another thread, as Ctrl-C does.
INTERRUPTED = """
import os, signal, threading, time
import numpy as np
import batchlab

n_node = np.arange(134_000) % 23 + 4
sizes = (n_node, n_node * (n_node - 1))

def plan():
    batchlab.plan(batchlab.from_arrays(n_node), batchlab.strategies(), range(16, 256), steps=1_000_000)

def epochs():
    sampler = batchlab.BatchSampler(sizes, "dynamic", 32, epoch_boundary="carry-over")
    sampler.set_epoch(100_000)
    len(sampler)

def compare():
    batchlab.compare(batchlab.load("qm9"), lambda batch: time.sleep(0.01), ["exact", "dynamic"], progress=None)

def interrupt():
    time.sleep(2)
    os.kill(os.getpid(), signal.SIGINT)

for work in (plan, epochs, compare):
    threading.Thread(target=interrupt).start()
    try:
        work()
        print("not interrupted")
    except KeyboardInterrupt:
        print("interrupted")
"""


def test_ctrl_c_ends_what_takes_long(tmp_path):
    run = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=100)
    assert (run.stdout, run.stderr) == ("interrupted\n" * 3, "")
    # The program, too, where it does not handle signals itself.
    words = "plan --dataset qm9 --steps 1000000000 batch_sizes=4,5,6,7,8,9,10,11,12".split()
    plan = subprocess.Popen([sys.executable, "-m", "batchlab", *words], cwd=tmp_path, stdout=subprocess.DEVNULL)
    time.sleep(2)
    assert plan.poll() is None
    plan.send_signal(signal.SIGINT)
    assert plan.wait(timeout=5) == -signal.SIGINT


def test_a_forked_process_plans_after_its_parent_did():
    code = """
import os
import batchlab
data = batchlab.load("qm9")
plan = lambda: batchlab.plan(data, ["exact", "dynamic"], [16], steps=100)
plan()
if os.fork() == 0:
    print(len(plan()), len(batchlab.load("qm9")), flush=True)
    os._exit(0)
os.wait()
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout.split() == ["2", "2000"], run.stderr


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
    # Each cell is trained in a process of its own, which replaces this one.
    few = "training.steps=6 blocks.steps=2 blocks.pairs=1 blocks.seconds=0.01 study=cells --json".split()
    swept = run("sweep", "--dataset", "qm9", "models=schnet", "batchers=dynamic,static-64", "batch_sizes=8,16", *few)
    assert json.loads(swept.stdout)["n_done"] == 2, swept.stderr


def test_a_damaged_run_is_left_out(study, tmp_path):
    import shutil

    shutil.copytree(EXAMPLE, tmp_path / "study")
    first = sorted((tmp_path / "study" / "tables" / "steps").glob("*.parquet"))[0]
    first.write_bytes(first.read_bytes()[:200])
    with pytest.warns(UserWarning, match=first.name):
        damaged = batchlab.read(tmp_path / "study")
    assert len(damaged.runs) == len(study.runs) - 1 and len(damaged.steps) < len(study.steps)


def test_faults_of_a_comparison_are_found_before_anything_is_trained(tmp_path):
    data = batchlab.load("qm9")
    step = lambda batch: pytest.fail("nothing should be trained")
    for change, words in [
        (dict(out=tmp_path / "none" / "x.csv"), "none"),
        (dict(batch_sizes=[32, 1]), "batch_size is 1"),
        (dict(batch_sizes=[32, 32]), "each batch size once"),
        (dict(margin=float("nan")), "margin is nan"),
        (dict(steps={"a": 3}), "not a function"),
        (dict(batchers="dynamic"), "in a list"),
    ]:
        with pytest.raises((ValueError, TypeError, OSError), match=words):
            batchlab.compare(**{"data": data, "steps": step, "batchers": ["exact", "dynamic"], **change})


def test_strategies_keep_their_names_in_a_comparison():
    found = batchlab.compare(
        batchlab.load("qm9"), lambda batch: 0.0, ["nequix", "dynamic"], [16], pairs=1, steps_per_block=2, progress=None
    )
    assert {row["strategy"] for row in found.times} == {"nequix", "dynamic"}
    assert {"nequix", "static-64"} < set(batchlab.strategies())
