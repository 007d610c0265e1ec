"""The command line: lab, run, doctor, warm."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from d2lblocks import cli, doctor


def notebook(path, *cells):
    cells = [
        {"cell_type": "code", "id": f"c{i}", "metadata": {}, "outputs": [], "execution_count": None, "source": source}
        for i, source in enumerate(cells)
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path.write_text(json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))
    return path


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder of chapters as in a wheel, and a working folder beside it."""
    folder = tmp_path / "_chapters"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "a.svg").write_text("<svg/>")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(cli, "chapters_folder", lambda: folder)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    return folder


def test_chapters_by_number():
    assert list(cli.chapters()) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(("arguments", "said"), [(["run", "77"], "no chapter 77; the chapters are 0, 1, 2, 3, 4, 5"),
                                                 (["lab", "6"], "no chapter 6")])  # fmt: skip
def test_no_such_chapter(arguments, said, capsys):
    assert cli.main(arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["run", "x"], ["run", "1", "--fast"], ["dance"]])
def test_wrong_arguments(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2


def test_lab_copies_and_overwrites_nothing(shelf, tmp_path, monkeypatch):
    for name in ("01_a", "02_b"):
        notebook(shelf / f"{name}.ipynb", "1")
    mine = tmp_path / "work" / "chapters" / "01_a.ipynb"
    mine.parent.mkdir()
    mine.write_text("mine")
    started = []
    monkeypatch.setattr(
        cli.subprocess, "run", lambda command: started.append(command) or subprocess.CompletedProcess([], 0)
    )
    before = signal.getsignal(signal.SIGINT)
    try:
        assert cli.main(["lab", "2", "--no-browser"]) == 0
    finally:
        signal.signal(signal.SIGINT, before)
    assert mine.read_text() == "mine"
    assert (mine.parent / "images" / "a.svg").read_text() == "<svg/>"
    assert (mine.parent / "02_b.ipynb").read_bytes() == (shelf / "02_b.ipynb").read_bytes()
    assert str(mine.parent / "02_b.ipynb") in started[0] and "--no-browser" in started[0]
    assert sorted(p.name for p in mine.parent.iterdir()) == ["01_a.ipynb", "02_b.ipynb", "images"]


def test_lab_where_nothing_can_be_written(shelf, tmp_path, capsys):
    notebook(shelf / "01_a.ipynb", "1")
    (tmp_path / "work" / "chapters").write_text("a file in the way")
    assert cli.main(["lab"]) == 2
    assert "chapters" in capsys.readouterr().err


def test_without_jupyter(monkeypatch, capsys):
    monkeypatch.setattr(cli.importlib.util, "find_spec", lambda name: None)
    for command in ("lab", "run"):
        assert cli.main([command]) == 2
        assert "pip install 'd2lblocks[lab]'" in capsys.readouterr().err


def test_run_names_what_failed(shelf, capfd):
    notebook(shelf / "01_good.ipynb", "print('hello')")
    notebook(shelf / "02_bad.ipynb", "1", "def f():\n    raise KeyError('lost')", "f()", "print('never')")
    notebook(shelf / "03_dead.ipynb", "import os", "os._exit(1)")
    (shelf / "04_torn.ipynb").write_text('{"cells": [')
    assert cli.main(["run"]) == 1
    out, err = capfd.readouterr()
    assert re.search(r"^01_good +1 cells in \d+\.\d s$", out, re.M)
    assert (
        re.search(r"^02_bad +failed$", out, re.M) and "02_bad.ipynb, code cell 3" in err and "KeyError: 'lost'" in err
    )
    assert "03_dead.ipynb, code cell 2: Kernel died" in err and "04_torn.ipynb is no notebook" in err
    assert "failed: 02_bad.ipynb, 03_dead.ipynb, 04_torn.ipynb" in err
    assert "\x1b" not in out + err and "encryption" not in err
    assert cli.main(["run", "1"]) == 0


SLOW = "import sys; from pathlib import Path; from d2lblocks import cli; cli.chapters_folder = lambda: Path({!r}); {}"


@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C to the whole console")
def test_ctrl_c_ends_the_kernel_too(shelf):
    note = shelf / "pid"
    notebook(
        shelf / "01_slow.ipynb", f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid()))", "time.sleep(60)"
    )
    program = SLOW.format(str(shelf), "sys.exit(cli.main(['run']))")
    child = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while not (note.exists() and note.read_text()):
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=10)
    assert (child.returncode, err, out.split()) == (130, "Stopped.\n", ["01_slow", "stopped"])
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


@pytest.mark.skipif(os.name == "nt", reason="no pseudo terminals")
def test_bar_in_a_terminal(shelf):
    pty = pytest.importorskip("pty")
    notebook(shelf / "01_a.ipynb", "1", "2", "3")
    ours, theirs = pty.openpty()
    program = SLOW.format(str(shelf), "sys.exit(cli.main(['run']))")
    assert subprocess.run([sys.executable, "-c", program], stdout=theirs, stderr=subprocess.DEVNULL).returncode == 0
    os.close(theirs)
    shown = os.read(ours, 10000).decode()
    assert f"[{'#' * 20:30}] 2/3" in shown and re.search(r"\r01_a +3 cells in \d\.\d s\s*$", shown)


def told(capsys):
    """What doctor prints: the lines with troubles, and its exit code."""
    code = cli.main(["doctor"])
    out = capsys.readouterr().out
    return code, [line for line in out.splitlines() if line.startswith("! ")], out


@pytest.fixture
def healthy(monkeypatch, tmp_path):
    pytest.importorskip("numba", reason="without Numba an installation is not healthy")
    for name in ("OPENBLAS_CORETYPE", "NUMBA_DISABLE_JIT", "NUMBA_CPU_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_doctor_finds_nothing(healthy, capsys):
    code, troubles, out = told(capsys)
    assert (code, troubles) == (0, []) and "all is well" in out
    assert re.search(r"^numpy +\d+\.\d+", out, re.M) and re.search(r"^kernel cache +\S", out, re.M)


@pytest.mark.parametrize("name", ["OPENBLAS_CORETYPE", "NUMBA_DISABLE_JIT"])
def test_doctor_sees_settings(healthy, capsys, monkeypatch, name):
    monkeypatch.setenv(name, "1")
    code, troubles, _ = told(capsys)
    assert code == 1 and len(troubles) == 1 and f"{name} is set to 1" in troubles[0]


def test_doctor_sees_missing_packages(healthy, capsys, monkeypatch):
    monkeypatch.setattr(doctor, "PACKAGES", ("numpy", "no-such-package"))
    code, (trouble,), out = told(capsys)
    assert code == 1 and "no-such-package is missing. Run:" in trouble and "1 to mend" in out


def test_doctor_sees_wrong_versions(healthy, capsys, monkeypatch):
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda _: ["numpy>=99", "numba>=0.1", "absent>=1"])
    _, (trouble,), _ = told(capsys)
    assert "numpy" in trouble and ">=99 is needed" in trouble


def test_doctor_sees_broken_packages(healthy, capsys, monkeypatch):
    real = doctor.importlib.import_module

    def broken(name):
        if name == "ipywidgets":
            raise ImportError("undefined symbol: spam")
        return real(name)

    monkeypatch.setattr(doctor.importlib, "import_module", broken)
    _, (trouble,), _ = told(capsys)
    assert "ipywidgets cannot be imported: undefined symbol: spam" in trouble


def test_doctor_sees_that_no_folder_can_be_written(healthy, capsys, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("D2LBLOCKS_CACHE_DIR", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(doctor, "enabled", lambda: True)
    _, (trouble,), _ = told(capsys)
    assert "can be written, so NumPy stands in" in trouble and "Set D2LBLOCKS_CACHE_DIR" in trouble


def test_doctor_sees_that_kernels_could_not_be_compiled(healthy, capsys, monkeypatch):
    monkeypatch.setattr(doctor, "enabled", lambda: True)
    monkeypatch.setattr(doctor, "reason", lambda: "TypingError: spam")
    _, (trouble,), out = told(capsys)
    assert "could not be compiled" in trouble and "d2lblocks warm" in trouble and "TypingError: spam" in out


def test_doctor_sees_another_kernel(healthy, capsys, monkeypatch, tmp_path):
    spec = tmp_path / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(json.dumps({"argv": ["/elsewhere/python", "-m", "x"], "display_name": "P"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    _, (trouble,), _ = told(capsys)
    assert "Jupyter starts /elsewhere/python for notebooks" in trouble and "ipykernel install" in trouble


def test_doctor_sees_files_in_the_way(healthy, capsys, tmp_path):
    (tmp_path / "random.py").write_text("")
    _, (trouble,), _ = told(capsys)
    assert "random.py hides the module random" in trouble


WARM = """
from d2lblocks import cli
from d2lblocks.kernels._jit import KERNELS, enabled
real, slow = cli.importlib.util.find_spec, ("matplotlib", "jupyterlab", "ipykernel", "nbformat")
cli.importlib.util.find_spec = lambda name: None if name in slow else real(name)  # the test of Binder imports them
assert cli.main(["warm"]) == 0
print([k.name for k in KERNELS if k.ready() != enabled()])
"""


def test_warm_leaves_no_kernel_out():
    done = subprocess.run([sys.executable, "-c", WARM], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("warm\n[]\n", "")
