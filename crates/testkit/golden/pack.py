"""Packs golden files for this folder.

    pack.py FROM [TO]

Takes every *.json and *.safetensors of the folder FROM. Gradients become single precision, which
is what they are compared in; everything else stays as it is, bit by bit. Then xz.
"""

import json
import lzma
import pathlib
import sys
from array import array

WIDTH = {"F64": 8, "F32": 4, "I32": 4}


def with_short_gradients(data):
    start = 8 + int.from_bytes(data[:8], "little")
    table = json.loads(data[8:start])
    packed = {"__metadata__": dict(sorted(table.pop("__metadata__", {}).items()))}
    tensors = []
    for name, entry in table.items():
        first, end = entry["data_offsets"]
        values = data[start + first:start + end]
        if name.startswith("grad.") and entry["dtype"] == "F64":
            entry["dtype"], values = "F32", array("f", array("d", values)).tobytes()
        tensors.append((name, entry, values))
    # Wide numbers first, so that all of them are aligned.
    tensors.sort(key=lambda tensor: (-WIDTH[tensor[1]["dtype"]], tensor[0]))
    end = 0
    for name, entry, values in tensors:
        packed[name] = entry | {"data_offsets": [end, end + len(values)]}
        end += len(values)
    header = json.dumps(packed, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + b"".join(v for *_, v in tensors)


def main():
    source = pathlib.Path(sys.argv[1])
    target = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else __file__).resolve()
    target = target.parent if target.is_file() else target
    for path in sorted(source.iterdir()):
        if path.suffix not in (".json", ".safetensors"):
            continue
        data = path.read_bytes()
        if path.suffix == ".safetensors":
            data = with_short_gradients(data)
        packed = lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)
        (target / f"{path.name}.xz").write_bytes(packed)
        print(f"{path.name}: {path.stat().st_size} bytes, {len(data)} to unpack, {len(packed)} packed")


if __name__ == "__main__":
    main()
