"""Every snippet of docs/python.md runs."""

import importlib.util
import pathlib
import re
import subprocess
import sys

import pytest

DOCS = pathlib.Path(__file__).parents[3] / "docs" / "python.md"
SNIPPETS = re.findall(r"^```python\n(.*?)^```", DOCS.read_text(), re.DOTALL | re.MULTILINE)


def test_there_are_snippets():
    assert len(SNIPPETS) >= 7


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_snippet(snippet, tmp_path, monkeypatch):
    for package in re.findall(r"^(?:import|from) (\w+)", snippet, re.MULTILINE):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    if launched := re.match(r"# torchrun (.*) train.py\n", snippet):
        (tmp_path / "train.py").write_text(snippet)
        words = ["-m", "torch.distributed.run", "--standalone", *launched[1].split(), "train.py"]
        subprocess.run([sys.executable, *words], cwd=tmp_path, check=True, timeout=300)
        return
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet, str(DOCS), "exec"), {"__name__": "snippet"})
