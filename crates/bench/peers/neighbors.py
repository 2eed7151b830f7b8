#!/usr/bin/env python3
"""Times neighbour lists in batchlab, ASE and matscipy: same structures, equal edges, interleaved.

    cargo build --release -p batchlab-bench
    crates/bench/peers/setup.sh
    crates/bench/peers/.venv/bin/python -m pip install -r crates/bench/peers/requirements-neighbors.txt
    crates/bench/peers/.venv/bin/python crates/bench/peers/neighbors.py [--blocks 9] [--json FILE]

The structures have the formulas and volumes of real crystals (data/aflow_icsd_formulas.csv.xz), cells
with random angles, and atoms at random positions; there are also a few large cells. Everything runs on
one core. Neither peer offers the k nearest neighbours; these are picked from the peers' radius lists
with NumPy: the first radius is that of a sphere that holds twice as many atoms, larger ones follow
where atoms are missing, as in batchlab.
"""

import argparse
import importlib.metadata
import json
import lzma
import os
import pathlib
import re
import statistics
import sys

import ase
import ase.neighborlist
import matscipy.neighbours
import numpy

from blocks import processor
from time import perf_counter
from workers import Worker

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]


def crystals(rng, n_crystal):
    """Random atoms in cells with real volumes and atom counts, and random angles."""
    text = lzma.open(ROOT / "data/aflow_icsd_formulas.csv.xz", "rt").read().splitlines()[1:]
    made = []
    for line in rng.choice(text, n_crystal, replace=False):
        compound, volume = line.split(",")
        n_atom = sum(map(int, re.findall(r"\d+", compound)))
        made.append(cell_of(rng, n_atom, float(volume)))
    return made


def cell_of(rng, n_atom, volume):
    """One crystal; angles that would give a flat cell are redrawn."""
    square = 0
    while square < 0.2:
        alpha, beta, gamma = cosines = numpy.cos(numpy.radians(rng.uniform(50, 130, 3)))
        square = 1 - (cosines**2).sum() + 2 * alpha * beta * gamma
    sine = numpy.sqrt(1 - gamma**2)
    upper = (alpha - beta * gamma) / sine
    cell = numpy.array([[1, 0, 0], [gamma, sine, 0], [beta, upper, numpy.sqrt(square) / sine]])
    cell *= numpy.cbrt(volume / numpy.linalg.det(cell))
    return rng.random((n_atom, 3)) @ cell, cell


def within(system, positions, cell, radius):
    """Centres, neighbours, distances and vectors from centre to neighbour within a radius."""
    if system == "ase":
        return ase.neighborlist.primitive_neighbor_list("ijdD", [True] * 3, cell, positions, radius)
    return matscipy.neighbours.neighbour_list(
        "ijdD", positions=positions, cell=cell, pbc=[True] * 3, cutoff=radius)


def nearest(system, positions, cell, k):
    """The k nearest neighbours of every atom, from lists within growing radii."""
    n_atom = len(positions)
    volume = abs(numpy.linalg.det(cell)) / n_atom
    radius = numpy.cbrt(0.75 / numpy.pi * 2 * k * volume)
    while True:
        i, j, d, vector = within(system, positions, cell, radius)
        count = numpy.bincount(i, minlength=n_atom)
        if count.min() >= k:
            break
        radius *= 1.5
    order = numpy.lexsort((j, d, i))
    start = numpy.concatenate([[0], numpy.cumsum(count)[:-1]])
    chosen = order[(start[:, None] + numpy.arange(k)).ravel()]
    return i[chosen], j[chosen], d[chosen], vector[chosen]


def connect(system, rule, positions, cell):
    if "radius" in rule:
        return within(system, positions, cell, rule["radius"])
    return nearest(system, positions, cell, rule["nearest"])


def furthest(centre, distance):
    """For each edge, the largest distance among the edges of its centre."""
    largest = numpy.zeros(centre.max() + 1)
    numpy.maximum.at(largest, centre, distance)
    return largest[centre]


def sorted_by_centre(centre, values):
    return values[numpy.lexsort((values, centre))]


def check(ours, rule, structures, n_check):
    """Exits with an error unless all three have the same edges."""
    n_edge = 0
    for at in range(min(n_check, len(structures))):
        mine = {key: numpy.array(value)
                for key, value in ours.ask("edges", rule=rule, structure=at).items()}
        i, j, d = mine["receiver"], mine["sender"], mine["distance"]
        # Their vectors point from the centre to the neighbour, ours to the centre.
        vector = -mine["displacement"].reshape(-1, 3)
        for system in ("ase", "matscipy"):
            a, b, e, other = connect(system, rule, *structures[at])
            mine_by, other_by = numpy.lexsort((d, j, i)), numpy.lexsort((e, b, a))
            where = f"{system}, structure {at}, {rule}"
            assert len(a) == len(i), f"{where}: {len(a)} edges, ours {len(i)}"
            assert (a[other_by] == i[mine_by]).all() and (b[other_by] == j[mine_by]).all(), where
            assert numpy.allclose(e[other_by], d[mine_by], atol=1e-4), where
            # Images of an atom come in opposite pairs at equal distances. If the list of nearest
            # neighbours ends between the two, either may be in it.
            sure = "radius" in rule or d[mine_by] < furthest(i, d)[mine_by] - 1e-4
            centre = numpy.where(sure, i[mine_by], -1)
            for axis in range(3):
                left = sorted_by_centre(centre, numpy.where(sure, other[other_by, axis], 0))
                right = sorted_by_centre(centre, numpy.where(sure, vector[mine_by, axis], 0))
                assert numpy.allclose(left, right, atol=1e-4), where
        n_edge += len(i)
    return n_edge


def peer_seconds(system, rule, structures):
    start = perf_counter()
    for positions, cell in structures:
        connect(system, rule, positions, cell)
    return perf_counter() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--blocks", type=int, default=9)
    parser.add_argument("--crystals", type=int, default=300)
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    binary = pathlib.Path(os.environ.get("BATCHLAB_BENCH", ROOT / "target/release/batchlab-bench"))
    if not binary.exists():
        sys.exit(f"{binary} is missing: cargo build --release -p batchlab-bench")
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    ours = Worker([str(binary), "serve-neighbors"], 1)
    rng = numpy.random.default_rng(42)
    versions = {name: importlib.metadata.version(name) for name in ("ase", "matscipy", "numpy")}
    result = {"processor": processor(), "versions": versions, "load_before": os.getloadavg()}
    sets = {
        f"{options.crystals} crystals": crystals(rng, options.crystals),
        "5 cells of 2,000 atoms": [cell_of(rng, 2000, 2000 * 18.0) for _ in range(5)],
    }
    rows = []
    for name, structures in sets.items():
        listed = [{"positions": p.tolist(), "cell": c.tolist()} for p, c in structures]
        ours.ask("structures", structures=listed)
        for rule in ({"radius": 5.0}, {"nearest": 12}, {"nearest": 24}):
            n_checked = check(ours, rule, structures, 100)
            times = {"ours": [], "ase": [], "matscipy": []}
            # The first block is a warm-up.
            for block in range(options.blocks + 1):
                systems = list(times)
                for system in systems[block % 3:] + systems[:block % 3]:
                    if system == "ours":
                        seconds = ours.ask("time", rule=rule)["seconds"]
                    else:
                        seconds = peer_seconds(system, rule, structures)
                    if block:
                        times[system].append(seconds)
            row = {"structures": name, "rule": rule, "edges_compared": n_checked}
            for system, seconds in times.items():
                row[f"{system}_us"] = 1e6 * statistics.median(seconds) / len(structures)
            for system in ("ase", "matscipy"):
                ratios = sorted(p / o for p, o in zip(times[system], times["ours"]))
                row[f"{system}_ratio"] = statistics.median(ratios)
                row[f"{system}_range"] = [ratios[0], ratios[-1]]
            rows.append(row)
            print(f"{name}, {rule}: {n_checked} edges equal; us per structure: ours {row['ours_us']:.1f} "
                  f"({1e6 / row['ours_us']:.0f}/s), ASE {row['ase_us']:.0f} ({row['ase_ratio']:.1f} x, "
                  f"{row['ase_range'][0]:.1f}-{row['ase_range'][1]:.1f}), matscipy {row['matscipy_us']:.1f} "
                  f"({row['matscipy_ratio']:.2f} x, {row['matscipy_range'][0]:.2f}-"
                  f"{row['matscipy_range'][1]:.2f})", flush=True)
    ours.stop()
    result |= {"load_after": os.getloadavg(), "rows": rows}
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
