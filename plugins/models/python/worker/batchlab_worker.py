"""Turns a Python file into an engine for batchlab's model `python`.

batchlab starts this file as a process, writes requests to its standard input and reads answers from its standard
output; batches lie in shared memory. docs/engines.md describes the messages. Only NumPy is needed.

The engine's file defines `open(context)`, which returns an object with

    step(batch, learning_rate) -> sum of weight times loss over the outputs, as a number
    predict(batch)             -> array [n_output, output_width], padding included
    state() -> bytes, restore(bytes)

and optionally `name` and `version` (of the library that does the arithmetic), `n_parameter`, and
`take_compile_seconds()` (seconds spent compiling since the last call, or None). To train on several ranks, it also has

    gradients(batch)               -> sum of weight times loss, and the gradient of what a step minimises, as one array
                                      [n_parameter]
    apply(gradient, learning_rate)    updates with such an array
"""

import importlib.util
import io
import json
import mmap
import os
import pathlib
import shutil
import struct
import sys
import threading
import time
import traceback
import types

import numpy

VERSION = 1
# Fields are aligned to 64 bytes.
ALIGN = 64
HEAD = struct.Struct("<IQ")
DONE = b'{"kind": "done"}'
DTYPES = {"f32": numpy.float32, "i32": numpy.int32, "i64": numpy.int64, "u8": numpy.uint8}
# Fields that are empty if a batch has no edges.
OF_EDGES = {"sender", "receiver", "distance", "displacement", "edge_weight", "sender_order"}


class Batch:
    """One padded batch: arrays by the names in docs/engines.md, read-only views of shared memory that are valid
    until the call returns. Integers are int32, except in custom fields of the data set.

    `n_node`, `n_edge`, `n_graph`, `n_output` include padding; `real` holds the numbers without it. `weight_sum` is
    the sum of `output_weight`. A step minimises `scale * sum(output_weight * loss) / weight_sum`; `scale` is 1 unless
    training.weighting requires another value. `key` differs for every step: use it as a seed for dropout.
    """

    def __init__(self, memory, layout, request):
        self._memory = memory
        self._layout = layout
        self.level = request["level"]
        self.n_node, self.n_edge, self.n_graph, self.n_output = request["shape"]
        n_node, n_edge, n_graph, n_output = request["real"]
        self.real = types.SimpleNamespace(n_node=n_node, n_edge=n_edge, n_graph=n_graph, n_output=n_output)
        self.weight_sum = request["weight_sum"]
        self.scale = request.get("scale", 1.0)
        self.key = request.get("key", 0)
        self._lengths = request["lengths"]

    def __getattr__(self, name):
        if name.startswith("_") or name not in self._layout:
            raise AttributeError(f"a batch has no {name!r}; it has {', '.join(self._layout)}")
        index, dtype, width, is_own = self._layout[name]
        start = sum(-(-length // ALIGN) * ALIGN for length in self._lengths[:index])
        length = self._lengths[index]
        if length == 0 and not is_own and (self.n_edge if name in OF_EDGES else self.n_node) > 0:
            raise AttributeError(f"this batch has no {name!r}: add it to model.fields, if the data set has it")
        array = numpy.frombuffer(self._memory, dtype, length // dtype.itemsize, start)
        if width:
            array = array.reshape(-1, width)
        setattr(self, name, array)
        return array

    @property
    def shape(self):
        """Padded sizes: the key under which an engine that compiles per shape compiles."""
        return self.n_node, self.n_edge, self.n_graph, self.n_output


class Memory:
    """The slots for batches, remapped when they grow."""

    def __init__(self, paths):
        self.files = [os.open(path, os.O_RDONLY) for path in paths]
        self.maps = [None for _ in paths]

    def __getitem__(self, slot):
        size = os.fstat(self.files[slot]).st_size
        if self.maps[slot] is None or len(self.maps[slot]) < size:
            self.maps[slot] = mmap.mmap(self.files[slot], size, access=mmap.ACCESS_READ)
        return self.maps[slot]


class Worker:
    def __init__(self, request):
        if request["version"] != VERSION:
            raise ValueError(f"this worker answers version {VERSION}, not {request['version']}")
        self.memory = Memory(request["memory"])
        own = {field["name"] for field in request["context"]["own_fields"]}
        self.layout = {
            field["name"]: (i, numpy.dtype(DTYPES[field["number"]]), field["width"], field["name"] in own)
            for i, field in enumerate(request["fields"])
        }
        self.output_width = request["context"]["output_width"]
        context = types.SimpleNamespace(**request["context"])
        self.engine = load(request["file"]).open(context)
        for method in ("step", "predict", "state", "restore"):
            if not callable(getattr(self.engine, method, None)):
                raise TypeError(f"what open(context) returned has no method {method!r}")
        self.n_parameter = int(getattr(self.engine, "n_parameter", 0))

    def opened(self):
        name = getattr(self.engine, "name", "numpy")
        version = getattr(self.engine, "version", numpy.__version__ if name == "numpy" else "")
        return {
            "engine": f"{name} {version}".strip(),
            "n_parameter": self.n_parameter,
            "gives_gradients": self.n_parameter > 0
            and all(callable(getattr(self.engine, method, None)) for method in ("gradients", "apply")),
        }

    def batch(self, request):
        return Batch(self.memory[request["slot"]], self.layout, request)

    def step(self, request):
        loss_sum = self.engine.step(self.batch(request), request["learning_rate"])
        return self.compiled(), packed(loss_sum, "step(batch, learning_rate)")

    def gradients(self, request):
        given = self.engine.gradients(self.batch(request))
        if not isinstance(given, tuple) or len(given) != 2:
            raise TypeError(f"gradients(batch) returned {type(given).__name__}, not a pair of loss sum and gradient")
        gradient = numpy.asarray(given[1])
        if gradient.shape != (self.n_parameter,):
            raise ValueError(f"gradients(batch) returned an array of shape {gradient.shape}, not ({self.n_parameter},)")
        gradient = numpy.ascontiguousarray(gradient, numpy.float32)
        return self.compiled(), packed(given[0], "gradients(batch)") + gradient.tobytes()

    def apply(self, request):
        self.engine.apply(numpy.fromfile(request["file"], numpy.float32), request["learning_rate"])
        return {}, b""

    def compiled(self):
        take = getattr(self.engine, "take_compile_seconds", None)
        compiling = take() if take else None
        return {} if compiling is None else {"compile_ns": int(compiling * 1e9)}

    def predict(self, request):
        batch = self.batch(request)
        given = numpy.asarray(self.engine.predict(batch))
        expected = (batch.n_output, self.output_width)
        if given.shape != expected and not (self.output_width == 1 and given.shape == expected[:1]):
            raise ValueError(f"predict(batch) returned an array of shape {given.shape}, not {expected}")
        if given.dtype.kind != "f":
            raise TypeError(f"predict(batch) returned numbers of type {given.dtype}, not float32")
        return {}, numpy.ascontiguousarray(given, numpy.float32).tobytes()

    def state(self, _):
        state = self.engine.state()
        if not isinstance(state, (bytes, bytearray)):
            raise TypeError(f"state() returned {type(state).__name__}, not bytes")
        return {}, bytes(state)

    def restore(self, request):
        self.engine.restore(pathlib.Path(request["file"]).read_bytes())
        return {}, b""


def packed(loss_sum, call):
    try:
        return struct.pack("<d", float(loss_sum))
    except (TypeError, ValueError):
        raise TypeError(f"{call} returned {type(loss_sum).__name__}, not a number") from None


def load(path):
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    spec = importlib.util.spec_from_file_location("engine", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["engine"] = module
    spec.loader.exec_module(module)
    if not callable(getattr(module, "open", None)):
        raise TypeError(f"{path} defines no function open(context)")
    return module


def save(arrays):
    """Serialises arrays by name, for `state()`."""
    file = io.BytesIO()
    numpy.savez(file, **arrays)
    return file.getvalue()


def saved(data):
    """Deserialises the arrays written by `save`, for `restore(bytes)`."""
    with numpy.load(io.BytesIO(data)) as arrays:
        return dict(arrays)


def own_traceback(error):
    """The traceback without the frames of this file and of importlib."""
    told = traceback.TracebackException.from_exception(error)
    is_own = lambda frame: frame.filename == __file__ or "importlib" in frame.filename
    told.stack = traceback.StackSummary.from_list([frame for frame in told.stack if not is_own(frame)][-8:])
    return "".join(told.format()).rstrip()


def serve(requests, answers):
    """Answers requests until batchlab closes the pipe."""
    worker = None
    while head := requests.read(HEAD.size):
        n_json, _ = HEAD.unpack(head)
        # Bytes would be searched for their encoding first.
        request = json.loads(requests.read(n_json).decode())
        kind = request["kind"]
        try:
            if kind == "open":
                worker = Worker(request)
                answer, payload = worker.opened(), b""
            else:
                answer, payload = getattr(worker, kind)(request)
            text = json.dumps({"kind": "done", **answer}).encode() if answer else DONE
        except (Exception, SystemExit) as error:
            text, payload = json.dumps({"kind": "failed", "message": own_traceback(error)}).encode(), b""
        answers.write(HEAD.pack(len(text), len(payload)) + text + payload)
        answers.flush()


def end_with(parent):
    """Exits when batchlab has exited, even in the middle of a call."""
    while os.getppid() == parent:
        time.sleep(0.5)
    remove_folder()
    os._exit(1)


def remove_folder():
    """Removes the temporary folder of this file, in case batchlab was stopped before it could."""
    folder = pathlib.Path(__file__).resolve().parent
    if folder.name.startswith("batchlab-engine-"):
        shutil.rmtree(folder, ignore_errors=True)


def main():
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    # Keeps the engine's prints out of the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests = os.fdopen(os.dup(0), "rb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        serve(requests, answers)
    finally:
        remove_folder()


if __name__ == "__main__":
    sys.modules["batchlab_worker"] = sys.modules["__main__"]
    main()
