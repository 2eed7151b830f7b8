"""Writes 1,000 rattled alloys of 1 to 27 atoms with energies and forces of ASE's EMT potential, for
configs/study/engines-forces.toml.

    .venv/bin/python crates/bench/pages/alloys.py data/alloys/alloys.extxyz        # needs ASE
"""

import pathlib
import sys

import numpy
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write


def alloy(rng):
    atoms = bulk("Cu", "fcc", a=rng.uniform(3.7, 4.1)).repeat(rng.integers(1, 4, 3))
    atoms.symbols[:] = rng.choice(["Ni", "Cu", "Pd", "Ag", "Pt", "Au"], len(atoms))
    atoms.rattle(0.1, rng=rng)
    atoms.calc = EMT()
    atoms.get_forces()
    return atoms


rng = numpy.random.default_rng(42)
file = pathlib.Path(sys.argv[1])
file.parent.mkdir(parents=True, exist_ok=True)
write(file, [alloy(rng) for _ in range(1000)], format="extxyz")
