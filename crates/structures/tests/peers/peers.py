"""Generated files, as ASE and pymatgen read them: one JSON object a line, for tests/it/peers.rs.

A record has the name and the text of a file, and structures by their readers; a reader that refuses the file has
none. `truth` is what the file was made from; without it, the file must be refused.
"""

import contextlib
import io
import json
import sys
import warnings

import numpy as np

warnings.filterwarnings("ignore")

# Of neighbours, in angstrom.
RADIUS = 4.0


def structure(numbers, cell, fractional, pbc=(True, True, True)):
    assert all(1 <= z <= 118 for z in numbers)  # pymatgen gives unknown elements other numbers.
    rounded = [[round(float(x) % 1.0, 6) for x in at] for at in fractional]
    return {
        "numbers": [int(z) for z in numbers],
        "cell": [round(float(x), 6) for x in cell],
        "fractional": rounded,
        "pbc": [bool(p) for p in pbc],
    }


def by_ase(text, form):
    import ase.io

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        stream = io.BytesIO(text.encode()) if form == "cif" else io.StringIO(text)
        atoms = ase.io.read(stream, format=form)
    return structure(atoms.numbers, atoms.cell.cellpar(), atoms.get_scaled_positions(), atoms.pbc)


def of_pymatgen(found, with_pairs):
    numbers = [site.specie.Z for site in found]  # A disordered site has no `specie`.
    known = structure(numbers, found.lattice.parameters, found.frac_coords)
    if with_pairs:
        distances = found.get_neighbor_list(RADIUS)[3]
        known["pairs"] = [len(distances), round(float(distances.sum()), 3)]
    return known


def record(name, text, form, read_pymatgen, truth=None, with_pairs=False):
    readers = {"ase": lambda: by_ase(text, form), "pymatgen": lambda: of_pymatgen(read_pymatgen(text), with_pairs)}
    structures = {}
    for reader, read in readers.items():
        with contextlib.suppress(Exception):
            structures[reader] = read()
    found = {"name": name, "text": text, "structures": structures}
    if truth is not None:
        found["truth"] = truth
    return found


def main(generate):
    """Writes records to the file in argv[1], argv[2] of them, made with the seed in argv[3]."""
    with open(sys.argv[1], "w") as out:
        for found in generate(np.random.default_rng(int(sys.argv[3])), int(sys.argv[2])):
            out.write(json.dumps(found) + "\n")
