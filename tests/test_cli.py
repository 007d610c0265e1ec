"""The command line and the README."""

import re
from pathlib import Path

import pytest

from d2lblocks import cli

ROOT = Path(__file__).resolve().parent.parent


def test_chapters_by_number():
    assert list(cli.chapters()) == [1, 2, 3, 4, 5]


def test_no_such_chapter(capsys):
    assert cli.main(["run", "77"]) == 2
    assert "no chapter 77" in capsys.readouterr().err


def test_doctor(capsys):
    cli.main(["doctor"])
    assert "numpy" in capsys.readouterr().out


def test_working_copy_overwrites_nothing(tmp_path, monkeypatch):
    source = tmp_path / "_chapters"
    source.mkdir()
    (source / "01_a.ipynb").write_text("new")
    (source / "02_b.ipynb").write_text("new")
    work = tmp_path / "work"
    (work / "chapters").mkdir(parents=True)
    (work / "chapters" / "01_a.ipynb").write_text("mine")
    monkeypatch.chdir(work)
    monkeypatch.setattr(cli, "chapters_folder", lambda: source)
    assert cli.working_copy() == work / "chapters"
    assert (work / "chapters" / "01_a.ipynb").read_text() == "mine"
    assert (work / "chapters" / "02_b.ipynb").read_text() == "new"


def test_readme_runs(capsys):
    readme = (ROOT / "README.md").read_text()
    for link in re.findall(r"\]\(((?!http)[^)]+)\)", readme):
        assert (ROOT / link).exists()
    (block,) = re.findall(r"```python\n(.*?)```", readme, re.S)
    exec(block, {})
    shape, loss = capsys.readouterr().out.strip().splitlines()[-1].rsplit(" ", 1)
    assert shape == "(256, 20)" and float(loss) < 2.3


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_binder_scripts(name):
    file = ROOT / "binder" / name
    assert file.stat().st_mode & 0o111
    assert file.read_text().startswith("#!/bin/bash\n")
    assert "python-3.12" in (ROOT / "binder" / "runtime.txt").read_text()
