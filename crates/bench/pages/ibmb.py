"""Fills the tables of docs/ibmb.md from the measurements.

    tar -xJf results/ibmb.tar.xz -C results
    python3 -m venv .venv && .venv/bin/pip install duckdb
    .venv/bin/python crates/bench/pages/ibmb.py --binary target/release/batchlab

Times to an accuracy come from `batchlab report --json`, the prediction tables from an earlier `--predict`, and the rest
from the tables of the runs. `--predict` evaluates the first run of node-wise IBMB with many batchers, which takes ten
minutes, and writes `results/ibmb-predictions`.
"""

import argparse
import collections
import json
import pathlib
import re
import statistics
import subprocess

import duckdb

import page
from page import RESULTS, ROOT, digits, table

PAGE = ROOT / "docs" / "ibmb.md"

NAMES = {
    "full": "whole graph",
    "ibmb-node-wise": "IBMB node-wise",
    "ibmb-batch-wise": "IBMB batch-wise",
    "ibmb-random-fixed": "IBMB, fixed random groups",
    "ibmb-random": "IBMB, new random groups",
    "cluster": "Cluster-GCN",
    "labor": "LABOR",
    "neighbor": "neighbour sampling",
    "saint-rw": "GraphSAINT, walks",
    "shadow-ppr": "ShaDow, PPR",
}
MODELS = {"gat": "GAT", "gcn": "GCN", "sage": "GraphSAGE"}
GRAPHS = ["Cora", "Citeseer", "Physics", "tolokers", "planted"]
PLANTED_LEVELS = [0.875, 0.88]


def kind(label):
    """The key of NAMES with which a strategy's label begins."""
    if "sampling=labor" in label:
        return "labor"
    return max((name for name in NAMES if label.startswith(name)), key=len)


def graph(dataset):
    """The graph's name on the page, from a data set's configuration."""
    dataset = json.loads(dataset)
    if dataset["name"] == "planted-graph":
        return "planted"
    path = dataset.get("path", "cora")
    return next(name for part, name in [("citeseer", "Citeseer"), ("phy", "Physics"),
                                        ("tolokers", "tolokers"), ("cora", "Cora")] if part in path)


class Study:
    """The runs of a study."""

    def __init__(self, folder, binary):
        self.folder, self.binary = folder, binary
        runs = duckdb.sql(f"""
            with work as (
                select run_id, count(*) / count(distinct epoch) as steps,
                    sum(n_node) / count(distinct epoch) as nodes, sum(n_edge) / count(distinct epoch) as edges,
                    sum(coalesce(wait_ns, plan_ns + collate_ns) + coalesce(upload_ns, 0) + step_ns)
                        / count(distinct epoch) / 1e9 as recorded_s,
                    sum(n_output) / count(distinct epoch) as outputs
                from '{folder}/tables/steps/*.parquet' where not is_warmup group by run_id
            ), accuracies as (
                select run_id, step, subset, accuracy from '{folder}/tables/evals/*.parquet' where not isnan(accuracy)
            ), best as (
                select run_id, arg_max(step, (accuracy, -step)) as step from accuracies
                where subset = 'validation' group by run_id
            ), test as (
                select run_id, accuracy as test from accuracies join best using (run_id, step) where subset = 'test'
            )
            select config->'$.dataset' as dataset, model, batcher, repeat, run_id, prepare_ns / 1e9 as prepare_s,
                n_train / outputs * recorded_s as epoch_s, recorded_s, outputs / n_train as trained, steps, nodes, edges, test
            from '{folder}/tables/runs/*.parquet' join work using (run_id) join test using (run_id)
        """)
        Run = collections.namedtuple("Run", ["graph", "kind", *runs.columns])
        self.runs = [Run(graph(row[0]), kind(row[2]), *row) for row in runs.fetchall()]

    def of(self, name, what, model="gcn"):
        return [run for run in self.runs if (run.graph, run.kind, run.model) == (name, what, model)]

    def models(self):
        return sorted({run.model for run in self.runs})

    def reaches(self, accuracy=None):
        """(graph, model) -> the report's comparison by time to an accuracy."""
        level = [f"--accuracy={accuracy}"] if accuracy else []
        command = [self.binary, "report", str(self.folder), "--json", *level]
        report = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        settings = report["settings"]
        settings = [(graph(json.dumps({"name": setting["dataset"],
                                       "path": setting["data"].get("dataset.path", "cora")})), setting["model"])
                    for setting in report["settings"]]
        return {settings[reach["setting"]]: reach for reach in report["reaches"]}


def seconds(value):
    return "never" if value is None else digits(value, 3 if value >= 10 else 2)


def reached(strategy):
    if strategy["median"] is None:
        return "never"
    low, high, _ = strategy["interval"] or (None, None, None)
    text = f"{seconds(strategy['median'])} [{seconds(low)}, {seconds(high)}]"
    if strategy["may_be_soonest"]:
        text = text.replace(seconds(strategy["median"]), f"**{seconds(strategy['median'])}**", 1)
    missed = strategy["n_reached"] < strategy["n_run"]
    return text + (f" ({strategy['n_reached']}/{strategy['n_run']})" if missed else "")


def times(reaches, columns):
    """Seconds to an accuracy, with one column per comparison."""
    by_kind = [{kind(s["batcher"]): s for s in reaches[column]["strategies"]} for column in columns]
    rows = [[NAMES[what], *(reached(of[what]) if what in of else "–" for of in by_kind)]
            for what in NAMES if any(what in of for of in by_kind)]
    return rows


def small_times(study):
    reaches = study.reaches()
    columns = [(name, "gcn") for name in GRAPHS[:3]]
    head = [f"{name}, {100 * reaches[name, model]['accuracy']:.1f} %" for name, model in columns]
    return table(["", *head], times(reaches, columns))


def planted_times(study):
    reaches = {None: study.reaches()["planted", "gcn"]}
    reaches |= {level: study.reaches(level)["planted", "gcn"] for level in PLANTED_LEVELS}
    whole = statistics.mean(run.edges for run in study.of("planted", "full"))
    n_node = statistics.mean(run.nodes for run in study.of("planted", "full"))
    rows = times(reaches, list(reaches))
    work = []
    for what in (what for what in NAMES if study.of("planted", what)):
        mean = lambda of: statistics.mean(of(run) for run in study.of("planted", what))
        work.append([f"{mean(lambda run: run.steps):.0f}", f"{mean(lambda run: run.nodes) / n_node:.1f}",
                     f"{mean(lambda run: run.edges) / whole:.2f}"])
    head = [f"{100 * reaches[level]['accuracy']:.1f} %" for level in reaches]
    return table(["", "steps per epoch", "nodes", "edges", *head],
                 [[row[0], *of_work, *row[1:]] for row, of_work in zip(rows, work)])


def by_graph(study, cell, names=GRAPHS, kinds=NAMES):
    rows = [[NAMES[what], *(cell(study.of(name, what), name) for name in names)] for what in kinds]
    return table(["", *names], [row for row in rows if set(row[1:]) != {"–"}])


def accuracies(study):
    def cell(runs, _):
        share = [100 * run.test for run in runs]
        return f"{statistics.median(share):.1f} [{min(share):.1f}, {max(share):.1f}]" if runs else "–"
    return by_graph(study, cell)


def ratios(study, runs, name, model="gcn", time="epoch_s"):
    """Epoch time of the whole graph divided by that of the run with the same seed.

    `epoch_s` is the time to train as many outputs as there are training nodes, `recorded_s` that of an epoch as the
    batcher defines it.
    """
    whole = {run.repeat: getattr(run, time) for run in study.of(name, "full", model)}
    return [whole[run.repeat] / getattr(run, time) for run in runs]


def spread(values):
    return f"{digits(statistics.median(values))} [{digits(min(values))}, {digits(max(values))}]"


def epochs(study):
    def cell(runs, name):
        return spread(ratios(study, runs, name)) if runs else "–"
    others = [what for what in NAMES if what != "full"]
    whole = [digits(statistics.median(run.epoch_s for run in study.of(name, "full"))) for name in GRAPHS]
    return by_graph(study, cell, kinds=others) + "\n| whole graph, seconds per epoch | " + " | ".join(whole) + " |"


def recorded_epochs(study):
    def cell(runs, name):
        if not runs:
            return "–"
        trained = 100 * statistics.median(run.trained for run in runs)
        return f"{spread(ratios(study, runs, name, time='recorded_s'))}, {trained:.0f} %"
    kinds = [what for what in NAMES if what != "full"]
    return by_graph(study, cell, kinds=kinds)


def preparation(study):
    def cell(runs, _):
        if not runs:
            return "–"
        median = statistics.median(run.prepare_s for run in runs)
        return "0" if median < 0.001 else digits(median)
    return by_graph(study, cell)


def models(study):
    reaches, rows = study.reaches(), []
    for name in ("Physics", "planted"):
        for model in study.models():
            reach = reaches[name, model]
            of = {kind(s["batcher"]): s for s in reach["strategies"]}
            for what in (what for what in NAMES if what in of):
                runs = study.of(name, what, model)
                share = [100 * run.test for run in runs]
                ratio = "1" if what == "full" else spread(ratios(study, runs, name, model))
                rows.append([f"{name}, {MODELS[model]}, {100 * reach['accuracy']:.1f} %", NAMES[what], reached(of[what]),
                             ratio, f"{statistics.median(share):.1f} [{min(share):.1f}, {max(share):.1f}]"])
    head = ["graph, model, accuracy", "", "seconds to it", "epochs, times those of the whole graph", "test set, %"]
    return table(head, rows)


# The predictions: table name, graph, subset, outputs per batch.
PREDICTIONS = [("physics-few", "Physics", "validation", 4000), ("physics-all", "Physics", "test", 4000),
               ("planted-all", "planted", "test", 12000)]


def predict(study, folder, threads):
    folder.mkdir(exist_ok=True)
    for name, of_graph, subset, n_output in PREDICTIONS:
        run = min(study.of(of_graph, "ibmb-node-wise"), key=lambda run: run.repeat)
        beside = ['name = "full"', 'name = "cluster", n_part = 4',
                  f'name = "neighbor", n_output = {n_output}, fan_out = [2, 3, 2]',
                  f'name = "neighbor", n_output = {n_output}, fan_out = [10, 10, 10]',
                  'name = "ibmb", outputs = "batch-wise", n_part = 4',
                  f'name = "shadow-ppr", n_output = {n_output}, aux_per_output = 16, walk = "plain", '
                  'teleport = 0.25, epsilon = 2e-4']
        command = [study.binary, "evaluate", str(study.folder / "runs" / run.run_id), "--subset", subset,
                   "--threads", str(threads), "--repeats", "7", "--json",
                   "--batcher", f'name = "ibmb", outputs = "node-wise", outputs_per_batch = {n_output}',
                   "--grid", "aux_per_output=4,8,16,32,64",
                   *(word for batcher in beside for word in ("--beside", batcher))]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        (folder / f"{name}.json").write_bytes(done.stdout)


def prediction_name(label):
    fan_out = re.search(r"fan_out=\[(.*?)\]", label)
    aux = re.search(r"aux_per_output=(\d+)", label)
    return {
        "ibmb-node-wise": f"IBMB node-wise, k = {aux[1] if aux else 16}",
        "neighbor": "neighbours, " + (fan_out[1] if fan_out else "").replace(",", ", "),
        "cluster": "Cluster-GCN, 4 parts",
        "ibmb-batch-wise": "IBMB batch-wise, 4 parts",
        "shadow-ppr": "ShaDow, 16 by PPR",
    }.get(kind(label), NAMES[kind(label)])


def predictions(entries):
    whole = next(entry for entry in entries if entry["batcher"] == "full")

    def row(entry):
        if entry is whole:
            faster = ["1", "1"]
        else:
            faster = [spread([a / b for a, b in zip(whole[what], entry[what])])
                      for what in ("seconds", "seconds_of_predicting")]
        name = prediction_name(entry["batcher"])
        return [f"**{name}**" if entry["is_frontier"] else name, str(entry["n_batch"]),
                f"{100 * entry['accuracy']:.1f} %", digits(statistics.median(entry["seconds"])), *faster]

    rows = [row(whole)] + [row(entry) for entry in entries if entry is not whole]
    return table(["", "batches", "accuracy", "seconds", "times as fast", "predicting alone"], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "target/release/batchlab"))
    parser.add_argument("--predict", action="store_true", help="measure the predictions first")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    study = Study(RESULTS / "ibmb", options.binary)
    if options.predict:
        predict(study, RESULTS / "ibmb-predictions", options.threads)
    tables = {"times": small_times(study), "planted times": planted_times(study), "accuracies": accuracies(study),
              "epochs": epochs(study), "recorded epochs": recorded_epochs(study), "preparation": preparation(study)}
    if (RESULTS / "ibmb-models" / "tables").exists():
        tables["models"] = models(Study(RESULTS / "ibmb-models", options.binary))
    for name, *_ in PREDICTIONS:
        path = RESULTS / "ibmb-predictions" / f"{name}.json"
        if path.exists():
            tables[name] = predictions(json.loads(path.read_text())["grid"])
    page.fill(PAGE, tables)


if __name__ == "__main__":
    main()
