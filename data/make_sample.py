#!/usr/bin/env python3
"""Makes the files of this folder from the full sources.

    python3 make_sample.py QM9_JOINED.extxyz.xz QM9_GEOMETRY.npz UNCHARACTERIZED.txt [OUT_FOLDER]

Needs Python 3.9 or later and numpy. The sources are described in README.md.

The draw does not depend on any library's random generator: a molecule's rank is the SHA-256 of
"<SEED>:<gdb index>", and the N_SAMPLE molecules of lowest rank are taken, which is a uniform draw
without replacement that every language can repeat.
"""

import collections
import hashlib
import lzma
import os
import sys

import numpy

SEED = "batchlab-qm9-sample-1"
N_SAMPLE = 2000
# 9e with a dictionary as large as the data needs: the same bytes as `xz -9e` up to the header, but
# a reader is not made to reserve 64 MiB.
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 4 << 20}]


def frames(lines):
    """Yields (gdb index, [lines of one extended-XYZ frame])."""
    at = 0
    while at < len(lines):
        end = at + int(lines[at]) + 2
        gdb = [word for word in lines[at + 1].split() if word.startswith("gdb=")]
        if len(gdb) != 1 or end > len(lines):
            sys.exit(f"line {at + 2}: expected one gdb=<index> and a whole molecule")
        yield int(gdb[0][4:]), lines[at:end]
        at = end


def rank(gdb):
    """The place of a molecule in the draw."""
    return hashlib.sha256(f"{SEED}:{gdb}".encode()).hexdigest()


def write(path, content, compress):
    """Writes one file and prints what README.md states about it."""
    stored = lzma.compress(content, lzma.FORMAT_XZ, lzma.CHECK_CRC64, None, FILTERS) if compress else content
    with open(path, "wb") as file:
        file.write(stored)
    print(f"{os.path.basename(path)}: {len(stored)} B, sha256 {hashlib.sha256(stored).hexdigest()}")
    if compress:
        print(f"  unpacked: {len(content)} B, sha256 {hashlib.sha256(content).hexdigest()}")


def histogram(columns):
    """Prints the shares of each n_node side by side as a Markdown table, one block per cent."""
    counts = [(title, collections.Counter(n), len(n)) for title, n in columns]
    print("| n_node |" + "".join(f" {title} | share | |" for title, _, _ in counts))
    print("|--:|" + "--:|--:|:--|" * len(counts))
    for n in range(3, 30):
        row = f"| {n} |"
        for _, count, total in counts:
            share = 100 * count[n] / total
            bar = "█" * int(share) + ("▌" if share % 1 >= 0.5 else "")
            row += f" {count[n]:,} | {share:.2f} % | {bar:<14} |"
        print(row)


def main(joined, geometry, uncharacterized, out="."):
    """Draws the sample, lists the sizes and the uncharacterised molecules."""
    with lzma.open(joined, "rt", encoding="utf-8") as file:
        population = list(frames(file.read().splitlines()))
    if len({gdb for gdb, _ in population}) != len(population):
        sys.exit("a gdb index occurs twice in the population")
    drawn = sorted(sorted(population, key=lambda frame: rank(frame[0]))[:N_SAMPLE])
    text = "".join(line + "\n" for _, lines in drawn for line in lines)
    write(os.path.join(out, "qm9_sample.extxyz.xz"), text.encode(), True)

    with numpy.load(geometry) as arrays:
        ids, n_node = arrays["id"], arrays["N"].astype(int)
    if not (numpy.diff(ids) > 0).all():
        sys.exit("the geometry file is not sorted by id")
    rows = "".join(f"{n},{n * (n - 1)}\n" for n in n_node)
    write(os.path.join(out, "qm9_sizes.csv.xz"), ("n_node,n_edge\n" + rows).encode(), True)

    with open(uncharacterized, encoding="utf-8") as file:
        words = [line.split() for line in file]
    excluded = [int(word[0]) for word in words if word and word[0].isdigit()]
    rows = "".join(f"{gdb}\n" for gdb in sorted(excluded))
    write(os.path.join(out, "uncharacterized.csv"), ("gdb\n" + rows).encode(), False)

    sample = [int(lines[0]) for _, lines in drawn]
    whole = [int(lines[0]) for _, lines in population]
    for title, n in (("sample", sample), ("population", whole), ("all geometries", n_node)):
        n = numpy.array(n)
        edges = n * (n - 1)
        print(f"{title}: {len(n)} molecules, n_node mean {n.mean():.4f} sd {n.std():.4f} range {n.min()}-{n.max()}, "
              f"n_edge mean {edges.mean():.3f} max {edges.max()} total {edges.sum()}")
    print(f"uncharacterised in the sample: {sum(gdb in set(excluded) for gdb, _ in drawn)} of {len(excluded)}")
    print(f"gdb indices of the sample: {drawn[0][0]} to {drawn[-1][0]}")
    histogram([("sample", sample), ("all geometries", n_node.tolist())])


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    main(*sys.argv[1:])
