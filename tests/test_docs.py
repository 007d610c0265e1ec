"""README and CONTRIBUTING: links lead somewhere, code runs; and notebooks are cleaned."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import refresh_chapters

ROOT = Path(__file__).resolve().parent.parent


def code_of(name):
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.S)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(((?!http)[^)]+)\)", text):
        assert (ROOT / link).exists(), link
    for file in re.findall(r"`((?:d2lblocks|tests|chapters|widgets|binder|\.ci)/[\w./]+)`", text):
        assert (ROOT / file).exists(), file


def test_taste(capsys):
    """The README's taste of 15 lines runs, and prints what its comments say; its net can be explored."""
    taste, view = code_of("README.md")
    assert len([line for line in taste.splitlines() if line.strip()]) <= 15
    names = {}
    exec(taste, names)
    exec(view, names)
    out = capsys.readouterr().out.strip().splitlines()
    shape, loss = out[-1].rsplit(" ", 1)
    assert "(0): Dense(-1 -> 256" in "".join(out) and shape == "(256, 20)" and float(loss) < 2.3


CHECK = """
import numpy as onp, d2lblocks
from d2lblocks import autograd, gluon, init, np
from d2lblocks.op import OPS
{code}
x = np.array([[0.3, -0.7], [1.1, 0.2]])
x.attach_grad()
with autograd.record():
    y = tanh(x).sum() + tril(x).sum()
y.backward()
assert onp.allclose(x.grad.asnumpy(), 1 - onp.tanh(x.asnumpy()) ** 2 + [[1, 0], [1, 1]])
ones, doubled = onp.ones(3, "float32"), onp.zeros(3, "float32")
scale.run(ones, 2.0, doubled)
assert (doubled == 2).all() and (scale.loop(ones, 3.0, doubled), doubled.sum())[1] == 9
layer = Scale()
layer.initialize()
assert (layer(x) == x).all() and layer.weight.shape == (2,)
assert layer._repr_html_() == "<b>Scale</b> by (2,)"
dense = gluon.nn.Dense(3, in_units=1, weight_initializer="ramp")
dense.initialize()
assert dense.weight.data().tolist() == [[0.0], [0.5], [1.0]]
"""


def test_contributing():
    """What is shown there works: an op with its gradient, a kernel, a layer, an initializer, a view."""
    blocks = code_of("CONTRIBUTING.md")
    assert len(blocks) == 6
    done = subprocess.run([sys.executable, "-c", CHECK.format(code="\n".join(blocks))], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_metadata_of_one_machine_is_left_out(tmp_path):
    shipped, mine = ROOT / "chapters" / "02_parameters.ipynb", tmp_path / "02.ipynb"
    shutil.copyfile(shipped, mine)
    before = mine.stat().st_mtime_ns
    refresh_chapters.clean(mine)
    assert mine.stat().st_mtime_ns == before
    dirty = json.loads(mine.read_text(encoding="utf-8"))
    dirty["metadata"] |= {"language_info": {"version": "3.99"}, "widgets": {"state": {}}}
    dirty["cells"][0]["metadata"]["execution"] = {"iopub.status.busy": "2020-01-01"}
    mine.write_text(json.dumps(dirty), encoding="utf-8")
    refresh_chapters.clean(mine)
    assert mine.read_bytes() == shipped.read_bytes()
