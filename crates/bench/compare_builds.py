"""Measures the cost of a change: two builds in turn, on the same machine.

    cargo build --release -p batchlab-cli -p batchlab-bench
    python3 crates/bench/compare_builds.py BEFORE AFTER

BEFORE and AFTER are folders that each hold `batchlab` and `batchlab-bench`, for example the
`target/release` of two checkouts. In every block both builds run each piece of work once, in an order
that alternates from block to block; the first block is a warm-up. The ratio is the median over blocks
of after / before, with a 95 % interval. Other work on the machine widens the interval but does not
shift the ratio.
"""

import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ["schnet", "mpeu", "painn"]
PLAN = ["plan", "configs/plan/qm9.toml", "--steps", "2000"]
LOAD = ["data", "stats", "qm9"]


class Build:
    """The programs of one build."""

    def __init__(self, folder):
        self.batchlab, self.bench = folder / "batchlab", folder / "batchlab-bench"
        for program in [self.batchlab, self.bench]:
            if not program.is_file():
                sys.exit(f"{program} is missing: cargo build --release -p batchlab-cli -p "
                         "batchlab-bench")
        self.server = subprocess.Popen(
            [self.bench, "serve-training", "--threads", "1"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for model in MODELS:
            choice = {"batcher": {"name": "dynamic", "batch_size": 32}}
            self.ask("open", structures="qm9", choice=choice, model={"name": model})

    def ask(self, what, **request):
        self.server.stdin.write(json.dumps({"do": what, **request}) + "\n")
        self.server.stdin.flush()
        line = self.server.stdout.readline()
        return json.loads(line) if line else sys.exit(f"{self.bench} ended early")

    def step(self, case):
        """Median milliseconds of five steps."""
        return statistics.median(self.ask("time", case=case, n_step=5)["ms"])

    def batching(self):
        """Microseconds to plan and collate a batch."""
        options = ["--strategy", "dynamic", "--fields", "schnet", "--batch-size", "32"]
        rows = output([self.bench, "batching", *options, "--blocks", "20", "--json"])
        return json.loads(rows)[0]["prepare"]["median_us"]

    def command(self, arguments):
        """Seconds that a batchlab command takes."""
        start = time.perf_counter()
        output([self.batchlab, *arguments])
        return time.perf_counter() - start


def output(command):
    environment = {**os.environ, "BATCHLAB_CACHE": "off"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr}")
    return done.stdout


def works(results):
    """Name, unit and timing function for each piece of work."""
    yield "plan and collate a batch of 32", "us", Build.batching
    for case, model in enumerate(MODELS):
        yield f"step of {model}", "ms", lambda build, case=case: build.step(case)
    yield "plan", "s", lambda build: build.command(PLAN)
    yield "load", "s", lambda build: build.command(LOAD)
    with tempfile.TemporaryDirectory() as folder:
        report = ["report", str(results), "--html", f"{folder}/report.html"]
        yield "report", "s", lambda build: build.command(report)


def with_interval(ratios):
    """The median and a 95 % interval between two order statistics, as in `src/summary.rs`."""
    ratios, n = sorted(ratios), len(ratios)
    low = max(math.floor(n / 2 - 1.96 * math.sqrt(n) / 2), 0)
    return statistics.median(ratios), ratios[low], ratios[n - 1 - low]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("before", type=pathlib.Path)
    parser.add_argument("after", type=pathlib.Path)
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--results", type=pathlib.Path, default=ROOT / "results/example")
    options = parser.parse_args()
    if options.blocks < 6:
        parser.error("fewer than 6 blocks give no interval")
    builds = [Build(options.before.resolve()), Build(options.after.resolve())]
    print(f"{'':<32} {'before':>9} {'after':>9}    after / before (95 % interval)")
    for name, unit, work in works(options.results.resolve()):
        blocks = []
        for block in range(options.blocks + 1):
            order = [0, 1] if block % 2 == 0 else [1, 0]
            times = {which: work(builds[which]) for which in order}
            blocks.append([times[0], times[1]])
        medians = [statistics.median(column) for column in zip(*blocks[1:])]
        ratio, low, high = with_interval([after / before for before, after in blocks[1:]])
        print(f"{name:<32} {medians[0]:>6.4g} {unit:<2} {medians[1]:>6.4g} {unit:<2}    "
              f"{ratio:.3f} ({low:.3f} to {high:.3f})", flush=True)


main()
