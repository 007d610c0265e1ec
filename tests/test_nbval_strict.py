"""The comparison of chapter outputs catches wrong ones and forgives last bits."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tests.nbval_strict import Nearly

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("stored", "new"),
    [
        ("mean −9.21e−06, min −0.5", "mean −9.22e−06, min −0.5000001"),
        ("0.06240272", "0.06240273"),
        ("[ 0.1 -0.2]", "[0.1 -0.2]"),
        ("[[-0.03989593 -0.10414708]]", "[[-0.03989594 -0.10414708]]"),
        ("array([ 0.25,\n        1.5 ])", "array([0.25,\n       1.5 ])"),
        ("1.2e-09", "-3e-10"),
        ("1.2e-09", "0."),
        ("loss 5.2637568", "loss 5.263757"),
    ],
)
def test_forgiven(stored, new):
    assert Nearly(stored) == new


@pytest.mark.parametrize(
    ("stored", "new"),
    [
        ("(2, 20)", "(2, 21)"),
        ("dense0_weight", "dense1_weight"),
        ("0.06", "0.07"),
        ("0.0624", "0.0625"),
        ("0.06240272", "0.06240372"),
        ("5.2637568", "5.2638568"),
        ("0.000123", "0.000124"),
        ("[0.1 0.2]", "[0.1 0.2 0.3]"),
        ("[0.1 0.2]", "[0.2 0.1]"),
        ("True", "False"),
        ("-0.5", "0.5"),
        ("−9.21e−06", "−9.21e−05"),
        ("−9.21", "9.21"),
        ("nan", "0.0"),
        ("inf", "1.0"),
        ("100000", "100001"),
        ("1e5", "100000"),
        ("half a loss", "halfa loss"),
        ("numpy 2.1.3", "numpy 2.2.3"),
        ("x1.5", "x1.50001"),
        ("<td>20</td>", "<td>21</td>"),
        ("<b>1.5</b>", "<i>1.5</i>"),
    ],
)
def test_caught(stored, new):
    assert Nearly(stored) != new


def out(text):
    return new_output("stream", name="stdout", text=text)


def err(text):
    return new_output("stream", name="stderr", text=text)


def result(**data):
    return new_output("execute_result", data={key.replace("_", "/"): value for key, value in data.items()})


def error(ename, evalue):
    return new_output("error", ename=ename, evalue=evalue)


HTML = "from IPython.display import HTML\nHTML('<b>20</b>')"
HTML_TEXT = "<IPython.core.display.HTML object>"
UPDATED = f"{HTML};\nplace = display(HTML('<b>1</b>'), display_id=True)\nplace.update(HTML('<b>20</b>'))"
VIEW = "application/vnd.jupyter.widget-view+json"
WIDGET = f"display({{'{VIEW}': {{'model_id': '7f'}}, 'text/html': '<b>20</b>', 'text/plain': 'net'}}, raw=True)"


def display(**data):
    return new_output("display_data", data={key.replace("_", "/"): value for key, value in data.items()})


RIGHT = {
    "last bits": ("print('loss', 5.2637569)", [out("loss 5.2637568\n")]),
    "result": ("1 + 1", [result(text_plain="2")]),
    "html": (HTML, [result(text_plain=HTML_TEXT, text_html="<b>20</b>")]),
    "an updated display": (UPDATED, [display(text_plain=HTML_TEXT, text_html="<b>20</b>")]),
    "a widget by its html": (WIDGET, [display(text_plain="net", text_html="<b>20</b>")]),
    "silent": ("'x';", []),
    "stderr": ("import sys\nprint('careful', file=sys.stderr)", [err("careful\n")]),
    "raises": ("{}['a']", [error("KeyError", "'a'")]),
}
WRONG = {
    "a word": ("print('half the loss')", [out("half the cost\n")]),
    "a digit": ("print(0.0624)", [out("0.0625\n")]),
    "a whole number": ("print(20)", [out("21\n")]),
    "a missing output": ("pass", [out("20\n")]),
    "one of two outputs missing": ("print(1)", [out("1\n"), result(text_plain="2")]),
    "an extra output": ("print(20)", []),
    "an extra result": ("print(1)\n2", [out("1\n")]),
    "other stderr": ("import sys\nprint('careful', file=sys.stderr)", [err("careless\n")]),
    "a new warning": ("import warnings\nwarnings.warn('slow')", []),
    "a lost warning": ("pass", [err("slow\n")]),
    "stdout that was stderr": ("print('x')", [err("x\n")]),
    "other html": (HTML, [result(text_plain=HTML_TEXT, text_html="<b>21</b>")]),
    "another tag": (HTML, [result(text_plain=HTML_TEXT, text_html="<i>20</i>")]),
    "a display before its update": (UPDATED, [display(text_plain=HTML_TEXT, text_html="<b>1</b>")]),
    "a widget with other html": (WIDGET, [display(text_plain="net", text_html="<b>21</b>")]),
    "a widget with another text": (WIDGET, [display(text_plain="ten", text_html="<b>20</b>")]),
    "a widget that lost its html": (WIDGET, [display(text_plain="net")]),
    "lost html": ("20", [result(text_plain="20", text_html="<b>20</b>")]),
    "new html": (HTML, [result(text_plain=HTML_TEXT)]),
    "another message": ("{}['a']", [error("KeyError", "'b'")]),
    "another error": ("{}['a']", [error("IndexError", "'a'")]),
    "no error any more": ("pass", [error("KeyError", "'a'")]),
}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """Run one notebook of right and wrong outputs under the plugin; give back {name: passed}."""
    cases = RIGHT | WRONG
    cells = []
    for i, (source, outputs) in enumerate(cases.values(), 1):
        raises = any(output.output_type == "error" for output in outputs)
        tags = {"tags": ["raises-exception"]} if raises else {}
        cells.append(new_code_cell(source, execution_count=i, outputs=outputs, metadata=tags))
    folder = tmp_path_factory.mktemp("strict")
    nbformat.write(new_notebook(cells=cells), folder / "cases.ipynb")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.nbval_strict", "-p", "no:cacheprovider"]
    command += ["--nbval", "--nbval-current-env", "--junitxml=report.xml", "cases.ipynb"]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    found = list(ElementTree.parse(folder / "report.xml").iter("testcase"))
    assert len(found) == len(cases), done.stdout + done.stderr
    return {name: len(case) == 0 for name, case in zip(cases, found, strict=True)}


@pytest.mark.parametrize("name", RIGHT)
def test_right_outputs_pass(verdicts, name):
    assert verdicts[name]


@pytest.mark.parametrize("name", WRONG)
def test_wrong_outputs_fail(verdicts, name):
    assert not verdicts[name]
