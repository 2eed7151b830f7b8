"""POSCAR files of VASP 4 and 5."""

import numpy as np
from pymatgen.io.vasp import Poscar
from pymatgen.core import Element

from peers import main, record, structure

SYMBOLS = ["H", "Li", "C", "O", "F", "Na", "Si", "Cl", "Fe", "Cu", "Ba", "U"]


def parameters(vectors):
    lengths = np.linalg.norm(vectors, axis=1)
    cosines = [vectors[i] @ vectors[j] / lengths[i] / lengths[j] for i, j in [(1, 2), (0, 2), (0, 1)]]
    return [*lengths, *np.degrees(np.arccos(cosines))]


def row(numbers):
    return " ".join(f"{x:.10f}" for x in numbers)


def case(at, rng):
    pick = lambda *choices: choices[rng.integers(len(choices))]
    vectors = (np.eye(3) + rng.normal(size=(3, 3)) * 0.15) * rng.uniform(4, 9)
    symbols = list(rng.choice(SYMBOLS, size=rng.integers(1, 4), replace=False))
    counts = [int(n) for n in rng.integers(1, 4, size=len(symbols))]
    atoms = rng.random((sum(counts), 3))
    of_atom = [s for s, n in zip(symbols, counts) for _ in range(n)]
    version, selective = pick(4, 5, 5), pick(True, False)
    # In the comment, ASE looks for symbols of version 4, and nobody else.
    comment = " ".join(symbols) if version == 4 else pick("bulk", "[a, b]", '{"a": 1}', "1", "data_x")
    scale = pick(1.0, 1.7, -abs(np.linalg.det(vectors)) * 1.3)
    factor = scale if scale > 0 else (-scale / abs(np.linalg.det(vectors))) ** (1 / 3)
    mode = pick("Direct", "direct", "Cartesian", "kartesisch", "Fractional")
    places = atoms @ vectors if mode[0] in "Ck" else atoms
    flags = lambda: " " + " ".join(pick("T", "F") for _ in range(3)) if selective else ""
    behind = version == 4 and rng.random() < 0.7 or rng.random() < 0.2
    lines = [comment, f"{scale:.10f}", *map(row, vectors)]
    if version == 5:
        suffix = pick("", "", "_pv", "/0a1b2c")
        extra = " Kr" if rng.random() < 0.1 else ""
        lines.append("  ".join(s + suffix for s in symbols) + extra)
    lines.append(" ".join(map(str, counts)))
    lines += ["Selective dynamics"] * selective + [mode]
    lines += [row(p) + flags() + (f" {s}" if behind else "") for p, s in zip(places, of_atom)]
    damage = {5: "cut", 15: "symbol"}.get(at % 20, "")
    if damage == "cut":
        lines = lines[:-1]
    if damage == "symbol":
        lines = [line.replace(symbols[0], "Qq") for line in lines]
    numbers = [Element(s).Z for s in of_atom]
    truth = None if damage else structure(numbers, parameters(vectors * factor), atoms)
    return record(f"p{at}.vasp", "\n".join(lines) + "\n", "vasp", read, truth)


def read(text):
    return Poscar.from_str(text).structure


def cases(rng, n):
    for at in range(n):
        yield case(at, rng)


if __name__ == "__main__":
    main(cases)
