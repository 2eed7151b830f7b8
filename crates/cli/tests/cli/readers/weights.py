"""Reads exported weights with Python's safetensors and NumPy.

usage: weights.py FILE   prints the number of parameters; exit code 77: safetensors is not installed
"""

import importlib.util
import sys

if any(importlib.util.find_spec(name) is None for name in ["safetensors", "numpy"]):
    print(f"{sys.executable} has no safetensors or numpy", file=sys.stderr)
    sys.exit(77)

import numpy
from safetensors import safe_open
from safetensors.numpy import load_file

weights = load_file(sys.argv[1])
assert all(value.dtype == numpy.float32 and numpy.isfinite(value).all() for value in weights.values())
with safe_open(sys.argv[1], framework="numpy") as file:
    assert file.metadata()["step"] == "20", file.metadata()
print(sum(value.size for value in weights.values()))
