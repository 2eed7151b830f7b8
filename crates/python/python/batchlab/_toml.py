"""Options as TOML, the language of batchlab's configurations."""

import json
from collections.abc import Mapping
from typing import Any

from . import _batchlab


def value(option: Any) -> str:
    """A value in one line."""
    if option is None:
        raise TypeError("an option is None; leave it out")
    if isinstance(option, bool):
        return "true" if option else "false"
    if isinstance(option, (int, float)):
        return repr(option)
    if isinstance(option, Mapping):
        return "{ " + ", ".join(f"{json.dumps(str(key))} = {value(of)}" for key, of in option.items()) + " }"
    if isinstance(option, (list, tuple)):
        return "[" + ", ".join(value(of) for of in option) + "]"
    if hasattr(option, "item") and getattr(option, "ndim", None) == 0:
        return value(option.item())
    if hasattr(option, "__fspath__"):
        option = option.__fspath__()
    if isinstance(option, str):
        return json.dumps(option, ensure_ascii=False)
    raise TypeError(f"an option is {type(option).__name__}; options are numbers, strings, booleans, lists and dictionaries")


def batcher(batcher: str | Mapping[str, Any], options: Mapping[str, Any], boundary: str | None) -> dict[str, Any]:
    """A strategy and its options as a table. `batcher` is a label such as `static-64`, a name, or a dictionary;
    `boundary` is its `epoch_boundary` unless it has one."""
    if isinstance(batcher, Mapping):
        table = dict(batcher)
    elif isinstance(batcher, str):
        table = json.loads(_batchlab.strategy(batcher))
    else:
        raise TypeError(f"a batcher is a name or a dictionary, not {type(batcher).__name__}")
    table |= options
    if boundary is not None and "epoch_boundary" in _batchlab.options(str(table.get("name"))):
        table.setdefault("epoch_boundary", boundary)
    return table
