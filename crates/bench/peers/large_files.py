"""Time and memory needed to read files of many structures, as reported in docs/data.md:
python3 crates/bench/peers/large_files.py target/release/batchlab"""

import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

rng = random.Random(0)


def xyz(comment: str, n_frame: int) -> str:
    """Frames of 15 to 25 atoms near grid points."""
    frames = []
    for _ in range(n_frame):
        n = rng.randint(15, 25)
        places = [[1.5 * (k // 3**axis % 3) + rng.uniform(-0.2, 0.2) for axis in range(3)] for k in range(n)]
        atoms = "".join(f"{rng.choice('CHNO')} {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in places)
        frames.append(f"{n}\nProperties=species:S:1:pos:R:3 energy={-n}{comment}\n{atoms}")
    return "".join(frames)


def cif() -> str:
    """A cell of 15 to 25 atoms."""
    cell = "".join(f"_cell_length_{axis} 9\n_cell_angle_{angle} 90\n" for axis, angle in zip("abc", ("alpha", "beta", "gamma")))
    names = "".join(f"_atom_site_{name}\n" for name in ("type_symbol", "fract_x", "fract_y", "fract_z"))
    places = [[(k // 3**axis % 3) / 3 + rng.uniform(0, 0.05) for axis in range(3)] for k in range(rng.randint(15, 25))]
    return f"data_x\n{cell}loop_\n{names}" + "".join(f"{rng.choice('CHNO')} {x:.5f} {y:.5f} {z:.5f}\n" for x, y, z in places)


def measure(program: str, path: Path, keys: list[str]) -> None:
    """Prints time and peak memory of a child process that waits for the reading process."""
    child = "import resource, subprocess, sys; r = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL); " \
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(r.returncode)"
    start = time.perf_counter()
    command = [sys.executable, "-c", child, program, "data", "stats", str(path), *keys]
    kib = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | {"BATCHLAB_CACHE": "off"}).stdout
    print(f"{path.name}: {time.perf_counter() - start:.2f} s, {int(kib) / 1024:.0f} MiB")


with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    (folder / "frames.extxyz").write_text(xyz("", 130_000))
    (folder / "columns.extxyz").write_text(xyz("".join(f" key{k}={rng.random():.6f}" for k in range(300)), 10_000))
    for kind, text in (("xyz", lambda: xyz("", 1)), ("cif", cif)):
        (folder / kind).mkdir()
        for i in range(10_000):
            (folder / kind / f"{i:05}.{kind}").write_text(text())
    for path in ("frames.extxyz", "columns.extxyz", "xyz", "cif"):
        measure(sys.argv[1], folder / path, ["target=energy"] if path != "cif" else [])
