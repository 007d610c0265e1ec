"""Guards on the committed chapters. Each is proven by a notebook with the fault planted in it."""

import copy
import json
import re
from html.parser import HTMLParser
from inspect import isfunction
from pathlib import Path

import d2lblocks_widgets
import nbformat
import pytest

from tests.nbval_strict import NUMBER, close
from tests.refresh_chapters import FOLDER, KERNELSPEC, WIDGET, normalize

CHAPTERS = sorted(FOLDER.glob("*.ipynb"))
KEPT = {"image/png", "text/html", "text/plain"}  # what an output may consist of; of a widget that is its HTML
CELLS = 45  # 40 for half an hour, and some, since a view and the cell that reads it are one step
PATH = re.compile(r"(?<![\w.:<>])/(?:[\w.-]+/)+|\b[A-Za-z]:\\|\\\\\w")
TIME = re.compile(r"\b\d[\d.]*\s?(?:s|ms|µs|us|ns|sec|seconds?|minutes?)\b|\d\d:\d\d", re.IGNORECASE)
TEMPLATE = ("**Goals.**", "## A common mistake", "## Recap", "## Exercises", "## The same thing elsewhere")


def code(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def outputs(notebook):
    return [output for cell in code(notebook) for output in cell["outputs"]]


def printed(notebook):
    """Return every text that the outputs show, tracebacks and text inside HTML included."""
    found = []
    for output in outputs(notebook):
        found += [output.get("text", ""), output.get("evalue", ""), *output.get("traceback", [])]
        data = output.get("data", {})
        found += [data.get("text/plain", ""), re.sub(r"<[^>]*>", " ", data.get("text/html", ""))]
    return found


def markdown(notebook):
    return "\n".join(cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "markdown")


class Images(HTMLParser):
    """Collect the alternative texts of the images in a piece of HTML."""

    def __init__(self, html):
        super().__init__()
        self.texts = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.texts.append(dict(attrs).get("alt") or "")


def image_texts(notebook):
    """Return what those hear who cannot see the pictures."""
    texts = re.findall(r"!\[(.*?)\]\(", markdown(notebook)) + Images(markdown(notebook)).texts
    for cell in code(notebook):
        words = "".join(output.get("text", "") for output in cell["outputs"])
        words += "".join(
            re.sub("^<.*>$", "", output.get("data", {}).get("text/plain", "")) for output in cell["outputs"]
        )
        for output in cell["outputs"]:
            texts += Images(output.get("data", {}).get("text/html", "")).texts
            if "image/png" in output.get("data", {}):
                texts.append(
                    words
                )  # a drawn figure cannot carry a text, so its cell prints one, or it has a repr in words
    return texts


def valid(notebook):
    nbformat.validate(nbformat.from_dict(notebook))
    return (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)


GUARDS = {
    "the format is valid": valid,
    "cells ran, in order": lambda nb: [c["execution_count"] for c in code(nb)] == [*range(1, len(code(nb)) + 1)],
    "what should raise has raised, and nothing else": lambda nb: all(
        ("raises-exception" in cell["metadata"].get("tags", []))
        == any(output["output_type"] == "error" for output in cell["outputs"])
        for cell in code(nb)
    ),
    "no cell is left out of the comparison": lambda nb: all(
        set(cell["metadata"].get("tags", [])) <= {"raises-exception"} and "NBVAL" not in cell["source"]
        for cell in nb["cells"]
    ),
    "nothing on stderr": lambda nb: not any(output.get("name") == "stderr" for output in outputs(nb)),
    "no addresses": lambda nb: not any(re.search(r"0x[0-9a-fA-F]{6,}", text) for text in printed(nb)),
    "no absolute paths": lambda nb: (
        not any(PATH.search(text) for text in [*printed(nb), *(cell["source"] for cell in nb["cells"])])
    ),
    "no timings": lambda nb: not any(TIME.search(text) for text in printed(nb)),
    "metadata is of no machine": lambda nb: (
        normalize(nbformat.from_dict(copy.deepcopy(nb))) == nb and nb["metadata"] == {"kernelspec": KERNELSPEC}
    ),
    "no widget state": lambda nb: "widgets" not in nb["metadata"],
    "outputs are of known kinds": lambda nb: all(set(output.get("data", {})) <= KEPT for output in outputs(nb)),
    "HTML has a text": lambda nb: all(
        output["data"].get("text/plain") for output in outputs(nb) if "text/html" in output.get("data", {})
    ),
    "outputs are below 100 KB": lambda nb: all(len(json.dumps(output)) < 100_000 for output in outputs(nb)),
    "pictures have words": lambda nb: all(len(text) > 20 for text in image_texts(nb)),
    "files that the text names are there": lambda nb: all(
        (FOLDER / file).is_file() for file in re.findall(r"\]\((?!https?:)(.*?)\)", markdown(nb))
    ),
    "every part of the template is there": lambda nb: all(part in markdown(nb) for part in TEMPLATE),
    "three frameworks stand in the table": lambda nb: "| here | PyTorch | Flax (NNX) | Keras |" in markdown(nb),
    "not too many cells": lambda nb: len(nb["cells"]) <= CELLS,
    "cells are short": lambda nb: all(
        "class " in cell["source"] or cell["source"].count("\n") < 12 for cell in code(nb)
    ),
}


@pytest.fixture(scope="module", params=CHAPTERS, ids=lambda path: path.stem)
def chapter(request):
    return request.param.stem, nbformat.read(request.param, as_version=nbformat.NO_CONVERT)


OF_LESSONS = {"every part of the template is there", "three frameworks stand in the table"}


@pytest.mark.parametrize("guard", GUARDS)
def test_chapter(chapter, guard):
    name, notebook = chapter
    assert GUARDS[guard](notebook) or (name == "00_gallery" and guard in OF_LESSONS)


def plain(**data):
    return {"output_type": "display_data", "data": {k.replace("_", "/"): v for k, v in data.items()}, "metadata": {}}


def stream(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": text}


def good():
    """Return a small notebook in which no guard finds a fault."""
    table = "| here | PyTorch | Flax (NNX) | Keras |"
    cells = [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "\n".join([*TEMPLATE, table])},
        {
            "cell_type": "code",
            "id": "b",
            "metadata": {},
            "execution_count": 1,
            "source": "1",
            "outputs": [stream("1\n")],
        },
        {"cell_type": "code", "id": "c", "metadata": {}, "execution_count": 2, "source": "2", "outputs": []},
    ]
    return nbformat.from_dict(
        {"cells": cells, "metadata": {"kernelspec": dict(KERNELSPEC)}, "nbformat": 4, "nbformat_minor": 5}
    )


def shows(output):
    """Return a fault: the second cell has this output."""
    return lambda nb: nb["cells"][2]["outputs"].append(nbformat.from_dict(output))


def says(text):
    """Return a fault: the text of the chapter has these words too."""
    return lambda nb: nb["cells"][0].update(source=nb["cells"][0]["source"] + text)


def sets(key, value, cell=2):
    """Return a fault: a cell, or with cell=None the notebook, has another entry."""
    return lambda nb: (nb if cell is None else nb["cells"][cell]).update({key: nbformat.from_dict(value)})


ERROR = {"output_type": "error", "ename": "KeyError", "evalue": "1", "traceback": ["KeyError: 1"]}
FRAME = {"output_type": "error", "ename": "E", "evalue": "1", "traceback": ["File a.py:3, in f"]}
PLANTED = [
    ("the format is valid", sets("nbformat_minor", 4, None)),
    ("cells ran, in order", sets("execution_count", None)),
    ("cells ran, in order", sets("execution_count", 3)),
    ("cells ran, in order", sets("execution_count", 1)),
    ("what should raise has raised, and nothing else", shows(ERROR)),
    ("what should raise has raised, and nothing else", sets("metadata", {"tags": ["raises-exception"]})),
    ("no cell is left out of the comparison", sets("metadata", {"tags": ["nbval-ignore-output"]})),
    ("no cell is left out of the comparison", sets("source", "# NBVAL_SKIP")),
    ("nothing on stderr", shows(stream("slow\n", "stderr"))),
    ("no addresses", shows(stream("<Net at 0x7f5c3a9be0d0>"))),
    ("no addresses", shows(plain(text_html="<b>0x7f5c3a9be0d0</b>"))),
    ("no absolute paths", shows(stream("saved to /home/ada/net.params"))),
    ("no absolute paths", shows(stream("saved to /srv/net.params"))),
    ("no absolute paths", shows(stream("saved to C:\\nets\\net.params"))),
    ("no absolute paths", shows(plain(text_html="<i>/home/ada/</i>"))),
    ("no absolute paths", shows(ERROR | {"traceback": ["File /home/ada/x.py:3"]})),
    ("no absolute paths", says("see /home/ada/nets")),
    ("no timings", shows(stream("took 3.2 ms"))),
    ("no timings", shows(stream("CPU times: total: 12 s"))),
    ("no timings", shows(stream("at 12:30:01"))),
    ("metadata is of no machine", sets("metadata", {"language_info": {"version": "3.11"}}, None)),
    ("metadata is of no machine", sets("metadata", {"execution": {"shell.execute_reply": "now"}})),
    ("metadata is of no machine", sets("metadata", {"kernelspec": KERNELSPEC | {"name": "mine"}}, None)),
    ("metadata is of no machine", shows(FRAME)),
    ("metadata is of no machine", shows(ERROR | {"traceback": ["\x1b[31mKeyError\x1b[39m: 1"]})),
    ("no widget state", sets("metadata", {"widgets": {"state": {}}}, None)),
    ("outputs are of known kinds", shows(plain(**{"application/javascript": "alert(1)"}))),
    ("outputs are of known kinds", shows(plain(text_plain="net", **{WIDGET: {"model_id": "7f"}}))),
    ("metadata is of no machine", shows(plain(text_plain="net", text_html="<b>1</b>", **{WIDGET: {"model_id": "7f"}}))),
    ("HTML has a text", shows(plain(text_html="<b>1</b>"))),
    ("outputs are below 100 KB", shows(stream("1" * 100_000))),
    ("pictures have words", says("![](images/tree.svg)")),
    ("pictures have words", says("![tree](images/tree.svg)")),
    ("pictures have words", says('<img src="images/tree.svg">')),
    ("pictures have words", shows(plain(text_html='<img src="data:,">'))),
    ("pictures have words", shows(plain(image_png="iVBORw0KGgo="))),
    ("pictures have words", shows(plain(image_png="iVBORw0KGgo=", text_plain="<Figure size 900x220 with 4 Axes>"))),
    ("files that the text names are there", says("![a tree that nobody has drawn](images/none.svg)")),
    ("files that the text names are there", says("[next](09_none.ipynb)")),
    *(("every part of the template is there", sets("source", "\n".join({*TEMPLATE} - {part}), 0)) for part in TEMPLATE),
    ("three frameworks stand in the table", sets("source", "| here | PyTorch |", 0)),
    ("not too many cells", lambda nb: nb["cells"].extend([nb["cells"][0]] * CELLS)),
    ("cells are short", sets("source", "1\n" * 12)),
]


@pytest.mark.parametrize("guard", GUARDS)
def test_a_good_notebook_passes(guard):
    assert GUARDS[guard](good())


@pytest.mark.parametrize(("guard", "plant"), PLANTED, ids=[f"{name}-{i}" for i, (name, _) in enumerate(PLANTED)])
def test_a_planted_fault_is_found(guard, plant):
    notebook = good()
    plant(notebook)
    try:
        assert not GUARDS[guard](notebook)
    except nbformat.ValidationError:
        assert guard == "the format is valid"


def test_every_guard_is_proven():
    assert {name for name, _ in PLANTED} == set(GUARDS)


def test_an_invalid_notebook_is_found():
    notebook = good()
    del notebook["cells"][1]["outputs"]
    with pytest.raises(nbformat.ValidationError):
        valid(notebook)


def test_there_are_five_and_a_gallery():
    assert [path.name[:2] for path in CHAPTERS] == ["00", "01", "02", "03", "04", "05"]


def test_the_gallery_shows_every_view():
    gallery = nbformat.read(FOLDER / "00_gallery.ipynb", as_version=4)
    told = "\n".join(cell.source for cell in gallery.cells)
    widgets = {name for name, thing in vars(d2lblocks_widgets).items() if isfunction(thing) and name[0] != "_"}
    assert len(widgets) >= 4
    assert all(name in told for name in [*widgets, *d2lblocks_widgets._FIGURES])


FIGURES = {  # what a reader of the original book will look for; float32, the first numbers of a fresh process
    "01": [0.06240272, -0.03268593, -0.03989593, -0.10414708, -0.0764568, -0.01130233, 5.2637568, 0.9772054],
    "02": [0.06240272, 0.06700657, -0.00369488, 0.0418822, 42.0, 100.0],
    "04": [-2.0, -1.0, 0.0, 1.0, 2.0],
}


@pytest.mark.parametrize(("number", "figure"), [(n, x) for n, found in FIGURES.items() for x in found])
def test_the_figures_of_the_book_are_there(number, figure):
    (path,) = FOLDER.glob(f"{number}_*.ipynb")
    texts = printed(nbformat.read(path, as_version=4))
    assert any(close(str(figure), found) for text in texts for found in NUMBER.findall(text))


PICTURES = sorted((FOLDER / "images").glob("*.svg"))


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.stem)
def test_a_picture_is_used_and_reads_on_any_page(picture):
    svg = picture.read_text(encoding="utf-8")
    assert any(f"images/{picture.name}" in path.read_text(encoding="utf-8") for path in CHAPTERS)
    assert re.search(r'aria-label="[^"]{20,}"', svg)
    assert re.search(
        r'<rect x="0.5" y="0.5" width="[\d.]+" height="[\d.]+" rx="8" fill="#ffffff"', svg
    )  # its own paper
    assert not re.search(r"<script|href|currentColor|@import", svg)


def test_files_are_small():
    assert all(Path(path).stat().st_size < 120_000 for path in CHAPTERS)
