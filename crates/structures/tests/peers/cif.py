"""CIF files with and without symmetry, in all settings of all space groups. With `chosen`, the 30 files of
tests/it/symmetry.jsonl.
"""

import sys

import numpy as np
import spglib
from pymatgen.core import Element
from pymatgen.io.cif import CifParser

from peers import main, record, structure

SYMBOLS = ["H", "Li", "C", "O", "F", "Na", "Si", "Cl", "Fe", "Cu", "Ba", "U"]
PLACES = [0, 1 / 8, 1 / 4, 1 / 3, 3 / 8, 1 / 2, 2 / 3, 3 / 4]


def cell_for(rotations, rng):
    vectors = rng.normal(size=(3, 3)) * 0.25 + np.eye(3) * rng.uniform(0.8, 1.3, size=3)
    metric = vectors @ vectors.T
    metric = np.mean([r.T @ metric @ r for r in rotations], axis=0)
    return np.linalg.cholesky(metric)


def parameters(vectors):
    lengths = np.linalg.norm(vectors, axis=1)
    cosines = [vectors[i] @ vectors[j] / lengths[i] / lengths[j] for i, j in [(1, 2), (0, 2), (0, 1)]]
    return [*lengths, *np.degrees(np.arccos(cosines))]


def distances(a, others, vectors):
    step = np.asarray(others) - a
    return np.linalg.norm((step - np.round(step)) @ vectors, axis=1)


def expanded(sites, operations, vectors):
    atoms, of_site = [], []
    for number, site in enumerate(sites):
        for rotation, translation in zip(operations["rotations"], operations["translations"]):
            at = (rotation @ site + translation) % 1.0
            near = distances(at, atoms, vectors) if atoms else np.array([9.0])
            if near.min() > 1e-3:
                if near.min() < 0.8:
                    return None
                atoms.append(at)
                of_site.append(number)
    return np.array(atoms), of_site


def xyz(rotation, translation, rng):
    style, parts = rng.integers(3), []
    for row, shift in zip(rotation, translation):
        text = "".join({1: "+", -1: "-"}[f] + name for f, name in zip(row, "xyz") if f)
        n = round(shift % 1.0 * 24)
        if n:
            d = np.gcd(n, 24)
            fraction = f"{n // d}/{24 // d}" if style != 1 else f"{n / 24:.5f}".rstrip("0")
            text = f"{fraction}{text}" if style == 0 else f"{text}+{fraction}"
        parts.append(text.lstrip("+"))
    return (", " if style == 2 else ",").join(parts)


def statement(hall_number, operations, rng, style):
    group = spglib.get_spacegroup_type(hall_number)
    if style == "symbol":
        full = group.international_full.replace("_", "")
        name = f"{full}:{group.choice}" if group.choice else group.international.replace("_", "")
        return f"_symmetry_space_group_name_H-M '{name}'\n"
    if style == "hall":
        return f"_space_group_name_Hall '{group.hall_symbol}'\n"
    listed = [xyz(r, t, rng) for r, t in zip(operations["rotations"], operations["translations"])]
    # Only ASE knows the dotted name.
    names = ["_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz", "_space_group_symop.operation_xyz"]
    name = names[rng.integers(2 if style == "list" else 3)]
    head = f"_space_group_IT_number {group.number}\n" if rng.random() < 0.5 else ""
    rows = "".join(f"'{text}'\n" for text in listed)
    return head + f"loop_\n{name}\n{rows}"


def sites_for(operations, rng, general, most):
    vectors = cell_for(operations["rotations"], rng)
    while True:
        n = rng.integers(1, 4)
        sites = [
            np.array([rng.random() if rng.random() < general else rng.choice(PLACES) for _ in range(3)])
            for _ in range(n)
        ]
        size = 4.0 * len(operations["rotations"]) ** (1 / 3)
        found = expanded(sites, operations, vectors * size)
        if found and len(found[0]) <= most:
            return sites, vectors * size, *found


def text_of(name, sites, symbols, vectors, stated, damage="", occupancy=False):
    keys = ["length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"]
    cell = "".join(f"_cell_{key} {value:.6f}\n" for key, value in zip(keys, parameters(vectors)))
    rows = "".join(
        f"{symbol}{i} {symbol} " + " ".join(f"{x:.6f}" for x in at) + (" 1.0" if occupancy else "") + "\n"
        for i, (at, symbol) in enumerate(zip(sites, symbols))
    )
    columns = ["label", "type_symbol", "fract_x", "fract_y", "fract_z"] + ["occupancy"] * occupancy
    loop = "loop_\n" + "".join(f"_atom_site_{column}\n" for column in columns)
    text = f"data_{name}\n{cell}{stated}{loop}{rows}"
    if damage == "occupancy":
        text = text.replace(" 1.0\n", " 0.5\n", 1)
    if damage == "unknown":
        text = text.replace(f"{sites[0][0]:.6f}", "?", 1)
    return text


def case(name, hall_number, style, rng, damage="", general=0.5, most=200):
    operations = spglib.get_symmetry_from_database(hall_number)
    sites, vectors, atoms, of_site = sites_for(operations, rng, general, most)
    symbols = [SYMBOLS[rng.integers(len(SYMBOLS))] for _ in sites]
    stated = statement(hall_number, operations, rng, style)
    occupancy = damage == "occupancy" or rng.random() < 0.5
    text = text_of(name, sites, symbols, vectors, stated, damage, occupancy)
    numbers = [Element(symbols[site]).Z for site in of_site]
    truth = None if damage else structure(numbers, parameters(vectors), atoms)
    return record(f"{name}.cif", text, "cif", read, truth)


def read(text):
    # A site on which two lie is disordered, and refused.
    return CifParser.from_str(text).parse_structures(primitive=False)[0]


def random_cases(rng, n):
    for at in range(n):
        style = ["list", "dotted", "symbol", "hall"][at % 4]
        damage = {7: "occupancy", 17: "unknown"}.get(at % 20, "")
        yield case(f"c{at}", int(rng.integers(1, 531)), style, rng, damage)


# Two and more groups of each crystal system; special positions; both rhombohedral axes; both choices of origin.
CHOSEN = [
    2, 3, 63, 81, 82, 90, 112, 115, 229, 298, 366, 404, 409, 430,
    433, 434, 458, 459, 460, 461, 463, 488, 489, 517, 523, 525, 526, 529, 515,
]  # fmt: skip


def chosen_cases(rng, _):
    for at, hall_number in enumerate(CHOSEN):
        has_choice = spglib.get_spacegroup_type(hall_number).choice
        style = "symbol" if at % 2 and not has_choice else "list"
        yield case(f"hall_{hall_number}", hall_number, style, rng, general=0.1, most=48)
    yield case("partial", 523, "list", rng, "occupancy", general=0.1, most=48)


def as_pymatgen_reads(cases):
    for found in cases:
        found["structures"].pop("ase", None)
        found.pop("truth", None)
        yield found


if __name__ == "__main__":
    if "chosen" in sys.argv:
        main(lambda rng, n: as_pymatgen_reads(chosen_cases(rng, n)))
    else:
        main(random_cases)
