"""Writes the results of run.sh as a section for docs/gpu.md: page.py RESULTS > page.md"""

import json
import pathlib
import re
import sys
import textwrap

STEP = re.compile(r"--- (\S+): status (\d+) after (\d+) s")
# Of the program `timeout`, and of run.sh.
REASONS = {97: "left out, the time was used up", 98: "no test of this name", 124: "out of time", 137: "killed"}


def text(path):
    return path.read_text(errors="replace") if path.exists() else ""


def heading(results):
    """The GPU, the commit, and the libraries."""
    lines = text(results / "environment.log").splitlines()
    if not lines:
        return "## On a GPU that is not known\n\nThe call `first` has not been made."
    found = [re.fullmatch(r"(.+), (\S+), (\d+ MiB), (\d+ MHz)", line) for line in lines]
    # Several GPUs of a node are of one kind.
    gpu = next(filter(None, found), None)
    name, about_gpu = "a GPU that is not known", []
    if gpu:
        name, driver, memory, clock = gpu.groups()
        about_gpu = [name, f"driver {driver}", memory, f"at most {clock}"]
    packages = [line for line in lines if re.match(r"(jax|torch|torch_geometric|numpy) \d", line)]
    facts = [lines[1][:10], f"commit `{lines[0][:8]}`", *about_gpu, *packages]
    return f"## On {name}\n\n" + textwrap.fill("; ".join(facts) + ".", 120)


def steps(results):
    """What each step of the bundle has ended with; the last time, if it was repeated."""
    found = {name: (int(status), seconds) for name, status, seconds in STEP.findall(text(results / "summary.txt"))}
    if not found:
        return ""
    failed = [name for name, (status, _) in found.items() if status]
    n_passed = len(found) - len(failed)
    lines = [f"**Steps of the bundle**: {n_passed} of {len(found)} passed.", "", "| step | result | s |", "|---|---|--:|"]
    for name, (status, seconds) in found.items():
        result = REASONS.get(status, f"failed with status {status}") if status else "passed"
        lines.append(f"| `{name}` | {result} | {seconds} |")
    if "compute-sanitizer is not" in text(results / "summary.txt"):
        lines += ["", "There was no `compute-sanitizer`."]
    return "\n".join(lines)


def figures(results):
    path = results / "figures.json"
    if not path.exists():
        return ""
    found = json.loads(path.read_text())
    lines = ["**A training step** on one batch of QM9, interleaved: medians with 95 % intervals, and ratios within blocks."]
    for precision, rates in found["rates"].items():
        rates = ", ".join(f"`{name}` {value:,.1f}" for name, value in rates.items())
        lines += ["", f"Rates of the GPU in {precision}: {rates}."]
    for table in found["steps"]:
        padded = table["sizes"]["padded"]
        lines += ["", f"{table['model']}, {table['precision']}, `{table['strategy']}`, B = {table['batch_size']} "
                  f"({padded['n_node']:,} nodes, {padded['n_edge']:,} edges):", "", "| | ms | relative |", "|---|--:|--:|"]
        for name, row in table["rows"].items():
            low, high = row["interval"]
            ratio = "{:.2f} ({:.2f}-{:.2f})".format(row["ratio"], *row["ratio_interval"])
            is_wrong = table["differences"].get(name, {}).get("refused")
            note = f", but {is_wrong}" if is_wrong else ""
            lines.append(f"| {name} | {row['median']:.3f} ({low:.3f}-{high:.3f}){note} | {ratio} |")
        for name, reason in table["refused"].items():
            lines.append(f"| {name} | not measured: {' '.join(reason.split())} | |")
        lines.append(f"| products and memory traffic alone | {table['floor']['ms']:.3f} | |")
    return "\n".join(lines)


def report(results, name, title):
    """What `batchlab report` has printed."""
    found = text(results / f"{name}.txt").rstrip()
    return f"**{title}**\n\n```text\n{found}\n```" if found else ""


def main():
    results = pathlib.Path(sys.argv[1])
    sections = [heading(results), steps(results), figures(results),
                report(results, "study", "Which batching is the fastest on this GPU"),
                report(results, "engines", "The same for SchNet in JAX")]
    print("\n\n".join(filter(None, sections)))


if __name__ == "__main__":
    main()
