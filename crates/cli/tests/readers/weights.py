"""Reads exported weights with Python's safetensors and NumPy.

usage: weights.py FILE   prints the number of parameters
"""

import sys

import numpy
from safetensors import safe_open
from safetensors.numpy import load_file

weights = load_file(sys.argv[1])
assert all(value.dtype == numpy.float32 and numpy.isfinite(value).all() for value in weights.values())
with safe_open(sys.argv[1], framework="numpy") as file:
    assert file.metadata()["step"] == "20", file.metadata()
print(sum(value.size for value in weights.values()))
