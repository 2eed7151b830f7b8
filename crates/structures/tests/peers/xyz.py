"""Writes extended XYZ files, most of them with ASE and some changed by hand, and what ASE reads from each.

    python xyz.py FOLDER N SEED

`FOLDER/expected.json` is a list with, for every file, its name and the frames that ASE reads, or null where ASE
refuses the file.
"""

import json
import random
import re
import sys
import warnings
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import chemical_symbols
from ase.io import read, write

TEXTS = [
    "relaxed", 'he said "energy=5" twice', "it's e=7 here", "{curly e=1}", "[H]C=O", "a=b", "", "two words", "Ä ö",
    "C/C=C\\C", "007", "1.50", "x,y", "T", "back\\\\slash", "e = 3", "#comment", "comma, separated", "nested {a [b] c}",
]


def value(rng):
    kind = rng.randrange(8)
    if kind == 0:
        return rng.uniform(-1e3, 1e3)
    if kind == 1:
        return rng.randrange(-1000, 1000)
    if kind == 2:
        return rng.random() < 0.5
    if kind == 3:
        return np.array([rng.uniform(-9, 9) for _ in range(rng.randrange(1, 5))])
    if kind == 4:
        return {"a": [1, 2], "b": "e=5"}
    if kind == 5:
        return None
    return rng.choice(TEXTS)


def atoms(rng):
    n = rng.randrange(1, 6)
    frame = Atoms(
        [rng.choice(chemical_symbols[1:]) for _ in range(n)],
        positions=[[rng.uniform(-20, 20) for _ in range(3)] for _ in range(n)],
    )
    pbc = [rng.random() < 0.6 for _ in range(3)]
    if any(pbc):
        cell = np.diag([rng.uniform(2, 9) for _ in range(3)]) + np.array(
            [[rng.uniform(-1, 1) for _ in range(3)] for _ in range(3)]
        )
        for axis in range(3):
            if not pbc[axis] and rng.random() < 0.5:
                cell[axis] = 0
        frame.set_cell(cell)
        frame.pbc = pbc
    for key in rng.sample(["e", "gap", "config_type", "a-b", "my key", "name", "x1", "_y", "virial"], rng.randrange(6)):
        frame.info[key] = np.eye(3) if key == "virial" else value(rng)
    if rng.random() < 0.4:
        frame.calc = SinglePointCalculator(frame, energy=rng.uniform(-9, 9), forces=np.ones((n, 3)))
    if rng.random() < 0.3:
        frame.arrays["label"] = np.array([f"A{i}" for i in range(n)])
    if rng.random() < 0.3:
        frame.arrays["flag"] = np.array([i % 2 == 0 for i in range(n)])
    return frame


def change(rng, text):
    """One change that keeps the file readable, mostly, or spoils it."""
    lines = text.split("\n")
    kind = rng.randrange(14)
    if kind == 0:
        lines[1] = re.sub(r'Lattice="([^"]*)"', lambda m: "Lattice={" + m[1] + "}", lines[1])
    elif kind == 1:
        lines[1] = re.sub(r'pbc="([^"]*)"', lambda m: "pbc = '" + m[1].replace(" ", "\t") + "'", lines[1])
    elif kind == 2:
        lines[1] = re.sub(r'Lattice="([^"]*)"', lambda m: 'Lattice\t=\t"' + m[1].replace(" ", "\t") + '"', lines[1])
    elif kind == 3:
        lines[1] = lines[1].replace('pbc="T T T"', 'pbc="TRUE True 1"').replace('pbc="F F F"', "pbc=F")
    elif kind == 4:
        lines[1] = lines[1].replace("T F", "1 0").replace("pbc=\"1 1 1", "pbc=\"T T T")
    elif kind == 5:
        lines[2:] = [line.upper() if line[:1].isalpha() else line for line in lines[2:]]
    elif kind == 6:
        lines[2:] = [line.lower() if line[:1].isalpha() else line for line in lines[2:]]
    elif kind == 7:
        lines[2] += " 1.0 2.0"
    elif kind == 8:
        lines = [line + "\r" for line in lines]
    elif kind == 9:
        lines[1] = " \t" + lines[1].replace(" ", "   ") + "  "
    elif kind == 10:
        lines[1] += " note='he said \\'e=5\\' \\\\ twice' bare"
    elif kind == 11:
        lines[2] = "Qq " + lines[2]
    elif kind == 12:
        lines[2] = " ".join(lines[2].split()[:3])
    else:
        lines[1] = re.sub(r'Lattice="\S+ ', 'Lattice="', lines[1])
    return "\n".join(lines)


def plain(value):
    """As JSON: numbers, lists of numbers, truth values and text; anything else is left out."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, float, np.integer, np.floating)):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, np.ndarray) and value.dtype.kind in "if" and value.ndim == 1:
        return [float(x) for x in value]
    return value if isinstance(value, str) else None


def frame(atoms):
    info = dict(atoms.info)
    if atoms.calc is not None:
        info.update({k: v for k, v in atoms.calc.results.items() if k == "energy"})
    return {
        "numbers": [int(z) for z in atoms.numbers],
        "positions": atoms.positions.tolist(),
        "cell": atoms.cell.tolist(),
        "pbc": [bool(x) for x in atoms.pbc],
        "info": {k: plain(v) for k, v in info.items() if plain(v) is not None},
    }


def main(folder, n, seed):
    warnings.simplefilter("ignore")
    folder, rng, expected = Path(folder), random.Random(seed), []
    for number in range(n):
        name = f"{number}.xyz"
        path = folder / name
        write(path, [atoms(rng) for _ in range(rng.randrange(1, 4))], format="extxyz")
        if rng.random() < 0.6:
            path.write_text(change(rng, path.read_text()), newline="")
        try:
            frames = [frame(found) for found in read(path, ":", format="extxyz")]
        except Exception:
            frames = None
        expected.append({"name": name, "frames": frames})
    (folder / "expected.json").write_text(json.dumps(expected))


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
