#!/usr/bin/env python3
"""Makes aflow_icsd_formulas.csv.xz from a pull of AFLOW's ICSD catalogue.

    python3 make_aflow_formulas.py ROWS.csv [OUT_FOLDER]

ROWS.csv has the columns compound, aurl and volume_cell among others; README.md describes it.
"""

import csv
import hashlib
import lzma
import os
import sys

FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 4 << 20}]


def main(rows, out="."):
    """Keeps formula and volume of every entry, in order, without repeats."""
    seen = set()
    lines = ["compound,volume_cell\n"]
    with open(rows, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["aurl"] not in seen:
                seen.add(row["aurl"])
                lines.append(f"{row['compound']},{row['volume_cell']}\n")
    content = "".join(lines).encode()
    stored = lzma.compress(content, lzma.FORMAT_XZ, lzma.CHECK_CRC64, None, FILTERS)
    with open(os.path.join(out, "aflow_icsd_formulas.csv.xz"), "wb") as file:
        file.write(stored)
    print(f"{len(lines) - 1} crystals")
    for name, data in (("packed", stored), ("unpacked", content)):
        print(f"{name}: {len(data)} B, sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
