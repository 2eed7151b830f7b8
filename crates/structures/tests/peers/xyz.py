"""Extended XYZ files, written by ASE and some changed by hand, with the frames that ASE reads from each; none where it
refuses the file, or takes a direction without a vector for periodic, which is refused here.
"""

import io
import random
import re

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import chemical_symbols
from ase.io import read, write

from peers import main

TEXTS = [
    "relaxed", 'he said "energy=5" twice', "it's e=7 here", "{curly e=1}", "[H]C=O", "a=b", "two words", "Ä ö",
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


def with_symbols(change, line):
    """Changes the line of an atom, which is neither a number nor a comment."""
    return change(line) if line[:1].isalpha() and "=" not in line else line


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
        lines[1] = lines[1].replace('pbc="T T T"', 'pbc="TRUE True T"').replace('pbc="F F F"', "pbc=F")
    elif kind == 4:
        # Truth values and numbers in one list are text for ASE.
        numbers = str.maketrans("TF", "10")
        lines[1] = re.sub(r'pbc="([TF ]*)"', lambda m: 'pbc="' + m[1].translate(numbers) + '"', lines[1])
    elif kind == 5:
        lines[2:] = [with_symbols(str.upper, line) for line in lines[2:]]
    elif kind == 6:
        lines[2:] = [with_symbols(str.lower, line) for line in lines[2:]]
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


def frames(text):
    try:
        found = read(io.StringIO(text), ":", format="extxyz")
    except Exception:
        return None
    has_vectors = all(atoms.cell[axis].any() for atoms in found for axis in range(3) if atoms.pbc[axis])
    return [frame(atoms) for atoms in found] if has_vectors else None


def cases(rng, n):
    rng = random.Random(int(rng.integers(2**32)))
    for at in range(n):
        stream = io.StringIO()
        write(stream, [atoms(rng) for _ in range(rng.randrange(1, 4))], format="extxyz")
        text = stream.getvalue()
        if rng.random() < 0.6:
            text = change(rng, text)
        yield {"name": f"{at}.xyz", "text": text, "frames": frames(text)}


if __name__ == "__main__":
    main(cases)
