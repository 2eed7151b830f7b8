"""Fills tables of pages in docs/; each lies between `<!-- NAME -->` and `<!-- end -->`."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[3]
RESULTS = ROOT / "results"


def digits(value, n=2):
    """Formats with n significant digits, without an exponent."""
    if value >= 10 ** (n - 1):
        return f"{round(value, n - len(str(int(value)))):g}" if value < 10 ** n else f"{value:.0f}"
    return f"{value:#.{n}g}".rstrip(".")


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---|" + "--:|" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def fill(path, tables):
    """Replaces the tables with these names."""
    page = path.read_text()
    for name, text in tables.items():
        page, n = re.subn(rf"(<!-- {name} -->\n).*?(<!-- end -->)", lambda m: f"{m[1]}{text}\n{m[2]}", page, flags=re.S)
        if n != 1:
            raise SystemExit(f"{path}: {n} places for the table \"{name}\" instead of one")
    path.write_text(page)
