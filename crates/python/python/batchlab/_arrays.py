"""Checks arrays from users, and turns them into what Rust reads: contiguous and of one type."""

import operator
from typing import Any

import numpy as np

# A batch indexes with 32 bits and a sign.
MOST = 2**31 - 1


def whole(name: str, value: Any, low: int, high: int) -> int:
    """A whole number in a range."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}; it must be a whole number") from None
    if not low <= number <= high:
        raise ValueError(f"{name} is {number}; it must be from {low} to {high}")
    return number


def array(name: str, values: Any) -> np.ndarray:
    """NumPy's view of an array of any library; of CUDA's memory there is none."""
    try:
        if hasattr(values, "detach"):
            values = values.detach()
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name}: cannot be read as a NumPy array: {error}") from error


def integers(name: str, values: Any, shape: tuple[int | None, ...] = (None,)) -> np.ndarray:
    """Whole numbers from 0 to 2^31 - 1."""
    given = array(name, values)
    if given.size == 0:
        given = given.astype(np.uint32)
    if given.dtype.kind not in "iu":
        raise TypeError(f"{name}: has elements of type {given.dtype}; whole numbers are needed")
    of_shape(name, given, shape)
    if given.size and (given.min() < 0 or given.max() > MOST):
        at = np.argwhere((given < 0) | (given > MOST))[0]
        where = ", ".join(str(i) for i in at)
        raise ValueError(f"{name}[{where}] is {given[tuple(at)]}; it must be from 0 to {MOST}")
    return np.ascontiguousarray(given, np.uint32)


def floats(name: str, values: Any, shape: tuple[int | None, ...], dtype: Any = np.float32, missing: bool = False) -> np.ndarray:
    """Finite numbers; with `missing` also NaN."""
    given = array(name, values)
    if given.dtype.kind not in "fiub":
        raise TypeError(f"{name}: has elements of type {given.dtype}; numbers are needed")
    of_shape(name, given, shape)
    given = np.ascontiguousarray(given, dtype)
    is_wrong = np.isinf(given) if missing else ~np.isfinite(given)
    if is_wrong.any():
        at = np.argwhere(is_wrong)[0]
        where = ", ".join(str(i) for i in at)
        raise ValueError(f"{name}[{where}] is {given[tuple(at)]}")
    return given


def of_shape(name: str, given: np.ndarray, shape: tuple[int | None, ...]) -> None:
    if len(given.shape) != len(shape) or any(n not in (None, m) for m, n in zip(given.shape, shape)):
        expected = ", ".join("any" if n is None else str(n) for n in shape)
        raise ValueError(f"{name}: has shape {list(given.shape)}; [{expected}] is needed")
