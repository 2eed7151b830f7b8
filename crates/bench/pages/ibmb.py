"""Fills the tables of docs/ibmb.md from the measurements.

    tar -xJf results/ibmb.tar.xz -C results
    python3 -m venv .venv && .venv/bin/pip install duckdb
    .venv/bin/python crates/bench/pages/ibmb.py --binary target/release/batchlab

What the report's tests say comes from `batchlab report --json`, the prediction tables from an earlier `--predict`, and
the rest from the tables of the runs. `--predict` evaluates the first run of node-wise IBMB with many batchers, which
takes five minutes, and writes `results/ibmb-predictions`.
"""

import argparse
import collections
import json
import math
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
    "ibmb-random": "IBMB, random groups",
    "cluster": "Cluster-GCN",
    "labor": "LABOR",
    "neighbor": "neighbour sampling, 2, 3, 2",
    "neighbor-10": "neighbour sampling, 10, 10, 10",
    "saint-rw": "GraphSAINT, all roots",
    "saint-outputs": "GraphSAINT, roots are outputs",
    "shadow-ppr": "ShaDow, PPR",
}
FEW = ["Cora", "Citeseer", "Physics"]
GRAPHS = [*FEW, "planted"]
# The accuracies named before the study, and others that show how much depends on them.
NAMED = {"Cora": 0.795, "Citeseer": 0.58, "Physics": 0.89, "planted": 0.875}
OTHERS = {"Physics": [0.86, 0.91], "planted": [0.84, 0.88]}


def kind(label):
    """The key of NAMES to which a strategy's label belongs."""
    if "sampling=labor" in label:
        return "labor"
    if "roots=outputs" in label:
        return "saint-outputs"
    if "fan_out=[10,10,10]" in label:
        return "neighbor-10"
    return max((name for name in NAMES if label.startswith(name)), key=len)


def graph(dataset):
    """The graph's name on the page, from a data set's configuration."""
    if dataset["name"] == "planted-graph":
        return "planted"
    path = dataset.get("path") or "cora"
    return next(name for part, name in [("citeseer", "Citeseer"), ("phy", "Physics"), ("cora", "Cora")] if part in path)


class Study:
    """The runs of some studies. Those of a `pair` have the same graph, split and seeds.

    `epoch_s` is the time to train as many outputs as there are training nodes, `recorded_s` that of an epoch as the
    batcher defines it, which trains the share `trained` of them.
    """

    def __init__(self, names, binary):
        self.folders, self.binary = [RESULTS / name for name in names], binary
        rows = lambda name: [f"{folder}/tables/{name}/*.parquet" for folder in self.folders]
        runs = duckdb.sql(f"""
            with work as (
                select run_id, count(*) / count(distinct epoch) as steps,
                    sum(n_node) / count(distinct epoch) as nodes, sum(n_edge) / count(distinct epoch) as edges,
                    sum(coalesce(wait_ns, plan_ns + collate_ns) + coalesce(upload_ns, 0) + step_ns)
                        / count(distinct epoch) / 1e9 as recorded_s,
                    sum(n_output) / count(distinct epoch) as outputs
                from read_parquet({rows("steps")}) where not is_warmup group by run_id
            ), accuracies as (
                select run_id, step, subset, accuracy, train_ns from read_parquet({rows("evals")})
                where not isnan(accuracy)
            ), best as (
                select run_id, arg_max(step, (accuracy, -step)) as step,
                    list((step, train_ns / 1e9, accuracy) order by step) as course
                from accuracies where subset = 'validation' group by run_id
            ), test as (
                select run_id, accuracy as test from accuracies join best using (run_id, step) where subset = 'test'
            )
            select config->'$.dataset' as dataset, batcher,
                coalesce((config->>'$.dataset.seed')::int, repeat) as pair,
                (config->>'$.training.learning_rate')::double as rate, run_id, prepare_ns / 1e9 as prepare_s,
                n_train / outputs * recorded_s as epoch_s, recorded_s, outputs / n_train as trained, steps, nodes,
                edges, test, course
            from read_parquet({rows("runs")}) join work using (run_id) join best using (run_id)
                left join test using (run_id)
        """)
        Run = collections.namedtuple("Run", ["graph", "kind", *runs.columns])
        runs = [Run(graph(json.loads(row[0])), kind(row[1]), *row) for row in runs.order("run_id").fetchall()]
        # Of a run that was repeated, the last one.
        self.runs = list({(run.graph, run.kind, run.rate, run.pair): run for run in runs}.values())

    def of(self, name, what):
        return [run for run in self.runs if (run.graph, run.kind) == (name, what)]

    def kinds(self, name):
        return [what for what in NAMES if self.of(name, what)]

    def reaches(self, name, accuracy):
        """The report's comparison by time to an accuracy: kind -> strategy."""
        for folder in self.folders:
            command = [self.binary, "report", str(folder), "--json", f"--accuracy={accuracy}"]
            report = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            for reach in report["reaches"]:
                setting = report["settings"][reach["setting"]]
                dataset = {"name": setting["dataset"], "path": setting["data"].get("dataset.path")}
                if graph(dataset) == name:
                    return {kind(strategy["batcher"]): strategy for strategy in reach["strategies"]}
        raise SystemExit(f"no report compares strategies on {name}")


def seconds_to(run, accuracy):
    """Seconds of preparation and training until the validation accuracy is reached."""
    return next((run.prepare_s + seconds for _, seconds, reached in run.course if reached >= accuracy), math.inf)


def seconds(value):
    return "never" if math.isinf(value) else digits(value, 3 if value >= 10 else 2)


def reached(runs, accuracy, may_be_soonest=False):
    """Median and range of the seconds to an accuracy. A range of n values is a 1 - 2^(1 - n) interval of the median."""
    times = sorted(seconds_to(run, accuracy) for run in runs)
    n = sum(map(math.isfinite, times))
    if n == 0:
        return "never"
    middle = seconds(statistics.median_high(times) if math.isinf(times[len(times) // 2]) else statistics.median(times))
    text = f"**{middle}**" if may_be_soonest else middle
    return f"{text} [{seconds(times[0])}, {seconds(times[-1])}]" + (f" ({n}/{len(times)})" if n < len(times) else "")


def ratios(study, runs, of, beside="full"):
    """`of` another method's run divided by that of the run with the same graph, split and seeds.

    Pairs of which both are infinite say nothing and are left out.
    """
    others = {run.pair: of(run) for run in study.of(runs[0].graph, beside)} if runs else {}
    both = [(others[run.pair], of(run)) for run in runs]
    return [0.0 if math.isinf(own) else other / own for other, own in both if math.isfinite(min(other, own))]


def spread(values):
    """Median and range of ratios."""
    if not values:
        return "–"
    text = lambda value: "∞" if math.isinf(value) else "0" if value == 0 else digits(value)
    return f"{text(statistics.median(values))} [{text(min(values))}, {text(max(values))}]"


def sooner(study, runs, accuracy, beside="full"):
    return spread(ratios(study, runs, lambda run: seconds_to(run, accuracy), beside))


def percent(accuracy):
    return f"{100 * accuracy:g} %"


def few_times(study):
    """Seconds to the named accuracies, and how many times sooner than on the whole graph."""
    may_be = {name: study.reaches(name, NAMED[name]) for name in FEW}
    rows = []
    for what in study.kinds("Physics"):
        row = [NAMES[what]]
        for name in FEW:
            runs = study.of(name, what)
            row.append(reached(runs, NAMED[name], may_be[name][what]["may_be_soonest"]))
            row.append("1" if what == "full" else sooner(study, runs, NAMED[name]))
        rows.append(row)
    return table(["", *(head for name in FEW for head in (f"{name}, {percent(NAMED[name])}", "sooner"))], rows)


def by_accuracy(study, name):
    """How many times sooner than on the whole graph, by accuracy."""
    levels = sorted([NAMED[name], *OTHERS[name]])
    rows = [[NAMES[what], *(sooner(study, study.of(name, what), level) for level in levels)]
            for what in study.kinds(name) if what != "full"]
    whole = ["whole graph, seconds", *(reached(study.of(name, "full"), level) for level in levels)]
    return table(["", *map(percent, levels)], [*rows, whole])


def work(runs, per=lambda run: 1):
    """Steps, nodes and edges of an epoch, divided by `per`; the latter two in multiples of the planted graph's."""
    planted = json.loads(runs[0].dataset)
    n_node, n_edge = planted["n_node"], 2 * planted["n_edge"] + planted["n_node"]      # both directions, self-loops
    steps, nodes, edges = (statistics.mean(getattr(run, what) / per(run) for run in runs)
                           for what in ("steps", "nodes", "edges"))
    return [f"{steps:.0f}", f"{nodes / n_node:.1f}", f"{edges / n_edge:.2f}"]


def planted_times(study):
    levels = sorted([NAMED["planted"], *OTHERS["planted"]])
    of_kind = {what: study.of("planted", what) for what in study.kinds("planted")}
    rows = [[NAMES[what], *work(runs), *(reached(runs, level) for level in levels)] for what, runs in of_kind.items()]
    return table(["", "steps per epoch", "nodes", "edges", *map(percent, levels)], rows)


def by_graph(study, cell, names=GRAPHS, kinds=NAMES):
    of_cell = lambda name, what: cell(study.of(name, what)) if study.of(name, what) else "–"
    rows = [[NAMES[what], *(of_cell(name, what) for name in names)] for what in kinds]
    return table(["", *names], [row for row in rows if set(row[1:]) != {"–"}])


def accuracies(study):
    def cell(runs):
        share = [100 * run.test for run in runs]
        return f"{statistics.median(share):.1f} [{min(share):.1f}, {max(share):.1f}]"
    return by_graph(study, cell)


def better(study):
    """By how many points the accuracy on the test set exceeds that of the whole graph's run."""
    def cell(runs):
        whole = {run.pair: run.test for run in study.of(runs[0].graph, "full")}
        points = [100 * (run.test - whole[run.pair]) for run in runs]
        return f"{statistics.median(points):+.1f} [{min(points):+.1f}, {max(points):+.1f}]"
    return by_graph(study, cell, kinds=[what for what in NAMES if what != "full"])


def epochs(study):
    def cell(runs):
        trained = 100 * statistics.median(run.trained for run in runs)
        recorded = spread(ratios(study, runs, lambda run: run.recorded_s)) + f", {trained:.0f} %"
        per_output = spread(ratios(study, runs, lambda run: run.epoch_s))
        return per_output if abs(trained - 100) < 5 else f"{per_output}; {recorded}"
    whole = [digits(statistics.median(run.epoch_s for run in study.of(name, "full"))) for name in GRAPHS]
    kinds = [what for what in NAMES if what != "full"]
    return by_graph(study, cell, kinds=kinds) + "\n| whole graph, seconds per epoch | " + " | ".join(whole) + " |"


def beside_ibmb(study):
    """How many times sooner, and how much faster per output, node-wise IBMB is than each other method."""
    rows = []
    for what in (what for what in NAMES if what != "ibmb-node-wise"):
        cells = []
        for name in ("Physics", "planted"):
            runs = study.of(name, "ibmb-node-wise") if study.of(name, what) else []
            epochs = ratios(study, runs, lambda run: run.epoch_s, what)
            cells += [sooner(study, runs, NAMED[name], what), spread(epochs)]
        rows.append([NAMES[what], *cells])
    head = [f"{name}, {text}" for name in ("Physics", "planted") for text in ("sooner", "epoch")]
    return table(["", *head], [row for row in rows if set(row[1:]) != {"–"}])


def preparation(study):
    def cell(runs):
        median = statistics.median(run.prepare_s for run in runs)
        return "0" if median < 0.001 else digits(median)
    return by_graph(study, cell)


def rates(study):
    """Epochs to the named accuracy at each learning rate: the mean over seeds, bold where it is least."""
    def epochs_to(run):
        reaching = (step for step, _, reached in run.course if reached >= NAMED[run.graph])
        return next(reaching, math.inf) / run.steps

    def cell(runs):
        by_rate = collections.defaultdict(list)
        for run in runs:
            by_rate[run.rate].append(epochs_to(run))
        mean = {rate: statistics.mean(epochs) for rate, epochs in sorted(by_rate.items())}
        texts = {rate: "never" if math.isinf(epochs) else str(round(epochs)) for rate, epochs in mean.items()}
        best = min(mean, key=mean.get)
        return ", ".join(f"**{text}**" if rate == best and text != "never" else text for rate, text in texts.items())
    return by_graph(study, cell)


def large(study):
    """One run of each method: the work for as many outputs as there are training nodes, and its evaluations."""
    rows = []
    for what in study.kinds("planted"):
        [run] = study.of("planted", what)
        of_work = work([run], lambda run: run.trained)
        course = [(run.prepare_s + at, accuracy) for step, at, accuracy in run.course if step]
        evaluations = [f"{100 * accuracy:.1f} after {seconds(at)}" for at, accuracy in course]
        rows.append([NAMES[what], *of_work, digits(run.prepare_s), digits(run.epoch_s, 3), *evaluations])
    [steps] = {tuple(step for step, *_ in run.course if step) for run in study.runs}
    head = ["", "steps per epoch", "nodes", "edges", "preparation, s", "epoch, s"]
    return table([*head, *(f"{step} steps: %, s" for step in steps)], rows)


# The predictions: table name, graph, subset, outputs per batch.
PREDICTIONS = [("physics-few", "Physics", "validation", 4000), ("physics-all", "Physics", "test", 4000),
               ("planted-all", "planted", "test", 6000)]


def predict(study, target, threads):
    target.mkdir(exist_ok=True)
    for name, of_graph, subset, n_output in PREDICTIONS:
        run = min(study.of(of_graph, "ibmb-node-wise"), key=lambda run: run.pair)
        beside = ['name = "full"', 'name = "cluster", n_part = 4',
                  f'name = "neighbor", n_output = {n_output}, fan_out = [2, 3, 2]',
                  f'name = "neighbor", n_output = {n_output}, fan_out = [10, 10, 10]',
                  'name = "ibmb", outputs = "batch-wise", n_part = 4',
                  f'name = "shadow-ppr", n_output = {n_output}, aux_per_output = 16, walk = "plain", '
                  'teleport = 0.25, epsilon = 2e-4']
        [trained] = filter(pathlib.Path.exists, (folder / "runs" / run.run_id for folder in study.folders))
        command = [study.binary, "evaluate", str(trained), "--subset", subset,
                   "--threads", str(threads), "--repeats", "7", "--json",
                   "--batcher", f'name = "ibmb", outputs = "node-wise", outputs_per_batch = {n_output}',
                   "--grid", "aux_per_output=4,8,16,32,64",
                   *(word for batcher in beside for word in ("--beside", batcher))]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        (target / f"{name}.json").write_bytes(done.stdout)


def prediction_name(label):
    fan_out = ", ".join(re.findall(r"\d+", label.partition("fan_out=")[2])[:3])
    aux = re.search(r"aux_per_output=(\d+)", label)
    return {
        "ibmb-node-wise": f"IBMB node-wise, k = {aux[1] if aux else 16}",
        **dict.fromkeys(["neighbor", "neighbor-10"], "neighbours, " + fan_out),
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
    study = Study(["ibmb", "ibmb-planted"], options.binary)
    if options.predict:
        predict(study, RESULTS / "ibmb-predictions", options.threads)
    tables = {"rates": rates(Study(["ibmb-rates", "ibmb-planted-rates"], options.binary)), "times": few_times(study),
              "physics accuracies": by_accuracy(study, "Physics"), "planted times": planted_times(study),
              "planted accuracies": by_accuracy(study, "planted"),
              "accuracies": accuracies(study), "better": better(study), "epochs": epochs(study),
              "preparation": preparation(study), "beside ibmb": beside_ibmb(study),
              "large": large(Study(["ibmb-large"], options.binary))}
    for name, *_ in PREDICTIONS:
        path = RESULTS / "ibmb-predictions" / f"{name}.json"
        if path.exists():
            tables[name] = predictions(json.loads(path.read_text())["grid"])
    page.fill(PAGE, tables)


if __name__ == "__main__":
    main()
