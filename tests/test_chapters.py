"""Guards on the committed chapters: run in order, nothing personal in them, nothing too big."""

import json
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "chapters"
CHAPTERS = sorted(FOLDER.glob("*.ipynb"))


@pytest.fixture(params=CHAPTERS, ids=lambda p: p.stem)
def chapter(request):
    return request.param.read_text(), json.loads(request.param.read_text())


def code(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_there_are_five():
    assert [p.name[:2] for p in CHAPTERS] == ["01", "02", "03", "04", "05"]


def test_cells_ran_in_order(chapter):
    assert [cell["execution_count"] for cell in code(chapter[1])] == list(range(1, len(code(chapter[1])) + 1))


def test_a_cell_that_should_raise_has_raised(chapter):
    for cell in code(chapter[1]):
        raised = any(output["output_type"] == "error" for output in cell["outputs"])
        assert raised == ("raises-exception" in cell["metadata"].get("tags", []))


def test_no_addresses_paths_or_state(chapter):
    text, notebook = chapter
    outputs = json.dumps([cell["outputs"] for cell in code(notebook)])
    assert not re.search(r"0x[0-9a-f]{6,}", outputs)
    assert not re.search(r"/(home|root|tmp|work|Users)/", outputs)
    assert "widget" not in json.dumps(notebook["metadata"])
    assert set(notebook["metadata"]) == {"kernelspec"}
    assert len(text) < 300_000


def test_nothing_on_stderr(chapter):
    for cell in code(chapter[1]):
        assert not any(output.get("name") == "stderr" for output in cell["outputs"])


def test_pictures_have_words(chapter):
    for cell in chapter[1]["cells"]:
        for alt, file in re.findall(r"!\[(.*?)\]\((.*?)\)", "".join(cell["source"])):
            assert len(alt) > 20
            assert (FOLDER / file).exists()


def test_template(chapter):
    words = "\n".join("".join(cell["source"]) for cell in chapter[1]["cells"] if cell["cell_type"] == "markdown")
    for part in (
        "**Goals.**",
        "## A common mistake",
        "## Recap",
        "## The same thing elsewhere",
        "PyTorch",
        "Flax",
        "Keras",
    ):
        assert part in words
    assert len(chapter[1]["cells"]) <= 40


def test_cells_are_short(chapter):
    for cell in code(chapter[1]):
        source = "".join(cell["source"])
        assert "class " in source or source.count("\n") < 12
