"""Writes src/symmetry/groups.txt: the 530 settings of the space groups, from spglib (pip install spglib).

One setting a line, in the order of Hall numbers: number, choice, Hall symbol, Hermann-Mauguin symbols.
"""

from pathlib import Path

import spglib

# What International Tables called the groups with an `e` glide before 1992, in the order of their axes.
WITHOUT_E = {
    39: "Abm2 Bma2 B2cm C2mb Cm2a Ac2m",
    41: "Aba2 Bba2 B2cb C2cb Cc2a Ac2a",
    64: "Cmca Ccmb Abma Acam Bbcm Bmab",
    67: "Cmma Cmmb Abmm Acmm Bmcm Bmam",
    68: "Ccca Cccb Abaa Acaa Bbcb Bbab",
}
AXES = ["", "ba-c", "cab", "-cba", "bca", "a-cb"]


def names(group):
    number, choice = group.number, group.choice
    short, *others = [name.replace("_", "") for name in group.international.split(" = ")]
    found = [group.international_full.replace("_", ""), *others]
    if not 3 <= number <= 15 or choice in ("b", "b1"):
        # The short symbol of a monoclinic group means unique axis b and cell choice 1.
        found.append(short)
    elif choice.startswith(("b", "-b")):
        found.append(found[0].replace(" 1", ""))  # P 1 21/n 1, or P 21/n
    if number in WITHOUT_E:
        found.append(" ".join(WITHOUT_E[number].split()[AXES.index(choice.lstrip("12"))]))
    if 200 <= number <= 206 or number >= 221:
        found.append(short.replace("-3", "3"))  # m3m is the older form of m-3m
    return list(dict.fromkeys(found))


lines, group_of = [], {}
for hall_number in range(1, 531):
    group = spglib.get_spacegroup_type(hall_number)
    for name in names(group):
        same = group_of.setdefault(name.replace(" ", "").lower(), group.number)
        assert same == group.number, (name, same, group.number)
    lines.append("|".join([str(group.number), group.choice, group.hall_symbol, *names(group)]))
path = Path(__file__).parents[2] / "src/symmetry/groups.txt"
path.write_text("\n".join(lines) + "\n")
