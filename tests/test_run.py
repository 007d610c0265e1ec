"""`run.py`: what it does on a bare machine, the second time, and when something is in the way."""

import ast
import hashlib
import http.server
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import urllib.error
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
posix = pytest.mark.skipif(os.name == "nt", reason="the stand-in for Python is a shell script")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """run.py as a module, at work in a folder of its own."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # nothing beside run.py
    spec = importlib.util.spec_from_file_location("run_py", ROOT / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    place = tmp_path / "Ordner für alle"
    place.mkdir()
    (place / "pyproject.toml").write_text("[project]")
    for name, value in {"HERE": place, "VENV": place / ".venv", "PYTHON": place / ".venv" / "bin" / "python"}.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(module, "STAMP", module.VENV / "stamp")
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    before = signal.getsignal(signal.SIGINT)
    yield module
    signal.signal(signal.SIGINT, before)


ALL = "packages lab,test"


@pytest.fixture
def steps(run, monkeypatch):
    """The steps of an installation, noted instead of done."""
    done = []

    def environment():
        done.append("environment")
        run.PYTHON.parent.mkdir(parents=True, exist_ok=True)
        run.PYTHON.write_text("")
        run.STAMP.unlink(missing_ok=True)

    monkeypatch.setattr(run, "make_environment", environment)
    monkeypatch.setattr(run, "install_packages", lambda extras: done.append(f"packages {extras}"))
    monkeypatch.setattr(run, "compile_kernels", lambda: None)
    return done


def python(run, script):
    """Put a shell script in the place of the environment's Python; it notes how it is called."""
    run.PYTHON.parent.mkdir(parents=True)
    run.PYTHON.write_text(f'#!/bin/sh\necho "$@" >> "{run.HERE}/calls"\n{script}\n')
    run.PYTHON.chmod(0o755)
    return lambda: (run.HERE / "calls").read_text().splitlines()


def test_old_pythons_reach_the_message():
    ast.parse((ROOT / "run.py").read_text(), feature_version=(3, 7))


@pytest.mark.parametrize(
    ("newer", "cure"), [("python3.13", "Run: python3.13 run.py"), (None, "https://www.python.org")]
)
def test_python_too_old(run, monkeypatch, capsys, newer, cure):
    monkeypatch.setattr(sys, "version_info", (3, 10, 12))
    monkeypatch.setattr(sys, "version", "3.10.12 (main)")
    monkeypatch.setattr(run.shutil, "which", lambda name: name if name == newer else None)
    assert run.main(["--no-lab"]) == 1
    said = capsys.readouterr().err
    assert "Python 3.11 or newer is needed, this is 3.10.12." in said and cure in said


def test_path_that_the_locale_cannot_spell(run, monkeypatch, capsys):
    monkeypatch.setattr(run, "HERE", Path("/home/\udcc3\udc9c"))
    assert run.main([]) == 1
    assert r"'/home/\udcc3\udc9c', has letters" in capsys.readouterr().err


def test_second_time_does_nothing(run, steps, capsys):
    run.install(False, False)
    run.install(False, False)
    assert steps == ["environment", ALL]
    assert "everything is installed" in capsys.readouterr().out
    run.install(True, False)
    run.install(False, True)
    assert steps == ["environment", ALL] * 2


def test_learners_need_no_tools_of_the_tests(run, steps):
    run.install(False, False, "lab")
    run.install(False, False, "lab")
    run.install(False, False)
    run.install(False, False, "lab")  # what is there stays
    assert steps == ["environment", "packages lab", ALL]
    (run.HERE / "pyproject.toml").write_text("[project] # other")
    run.install(False, False, "lab")
    assert steps[3:] == [ALL]


def test_new_requirements_keep_what_the_learner_added(run, steps):
    run.install(False, False)
    (run.HERE / "pyproject.toml").write_text("[project] # other")
    run.install(False, False)
    run.install(False, False)
    assert steps == ["environment", ALL, ALL]


def test_another_python_makes_the_environment_anew(run, steps, monkeypatch):
    run.install(False, False)
    monkeypatch.setattr(sys, "version", "3.99")
    run.install(False, False)
    assert steps == ["environment", ALL] * 2


def test_interrupted(run, steps, monkeypatch, capsys):
    def interrupt(extras):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run, "install_packages", interrupt)
        assert run.main([]) == 130
    assert "Stopped. Run the command again to go on." in capsys.readouterr().err
    assert not run.STAMP.exists()
    run.install(False, False)
    assert steps == ["environment", "environment", ALL]


def test_offline(run, capsys):
    assert run.main(["--offline"]) == 1
    assert "run once without --offline" in capsys.readouterr().err


def test_unknown_option(run):
    with pytest.raises(SystemExit):
        run.main(["--fast"])


def test_folder_that_cannot_be_written(run, monkeypatch, capsys):
    (run.HERE / "file").write_text("")
    monkeypatch.setattr(run, "VENV", run.HERE / "file" / ".venv")
    assert run.main([]) == 1
    said = capsys.readouterr().err
    assert str(run.VENV) in said and "write" in said


@posix
@pytest.mark.parametrize("with_uv", [True, False])
def test_installs_with_uv(run, monkeypatch, tmp_path, with_uv):
    calls = python(run, "exit 0")
    uv = tmp_path / "uv"
    uv.write_text(f'#!/bin/sh\necho "own uv $@" >> "{run.HERE}/calls"')
    uv.chmod(0o755)
    monkeypatch.setattr(run.shutil, "which", lambda name: str(uv) if with_uv else None)
    run.install_packages("lab,test")
    start = "own uv pip install --python" if with_uv else "-m uv pip install --python"
    assert calls()[-1].startswith(start) and calls()[-1].endswith("--quiet --editable .[lab,test]")


@posix
def test_pip_when_uv_fails(run, capsys, monkeypatch):
    monkeypatch.setattr(run.shutil, "which", lambda name: None)
    calls = python(run, 'case "$*" in *"uv pip"*) echo "cause: no such planet" >&2; exit 2;; esac')
    run.install_packages("lab,test")
    assert "uv could not do it (cause: no such planet); taking pip" in capsys.readouterr().out
    assert calls()[-1] == "-m pip --disable-pip-version-check install --quiet --editable .[lab,test]"


@posix
def test_pip_fails_too(run, capfd, monkeypatch):
    monkeypatch.setattr(run.shutil, "which", lambda name: None)
    python(run, 'case "$*" in *install*) echo "no space left" >&2; exit 1;; esac')
    with pytest.raises(run.SetupError, match="network is the reason, or a full disk"):
        run.install_packages("lab,test")
    assert "no space left" in capfd.readouterr().err


PAGE = f"""<!DOCTYPE html><html><body>
<a href="../../files/pip-9.0-py3-none-any.whl#sha256={"a" * 64}" data-requires-python="&gt;=3.7">pip-9.0-py3-none-any.whl</a>
<a href="../../files/pip-26.1.tar.gz#sha256={"b" * 64}">pip-26.1.tar.gz</a>
<a href="x?a=1&amp;b=2#sha256={"c" * 64}" data-requires-python="&gt;=3.9">pip-25.3-py3-none-any.whl</a>
<a href="x#sha256={"d" * 64}" data-requires-python="&gt;=3.9" data-yanked="broken">pip-26.0-py3-none-any.whl</a>
<a href="x#sha256={"e" * 64}" data-requires-python="&gt;=3.99">pip-27.0-py3-none-any.whl</a>
<a href="x#md5=1">pip-28.0-py3-none-any.whl</a>
</body></html>"""


def test_newest_pip(run):
    assert run.newest_pip(PAGE) == ("pip-25.3-py3-none-any.whl", "x?a=1&b=2", "c" * 64)
    with pytest.raises(ValueError, match="lists no file of pip"):
        run.newest_pip("<html>Log in, please</html>")


@pytest.mark.parametrize(("problem", "cure"), [("Name or service not known", "connect to the network"),
                                               ("CERTIFICATE_VERIFY_FAILED", "package ca-certificates")])  # fmt: skip
def test_no_network(run, monkeypatch, problem, cure):
    def fail(*_, **__):
        raise urllib.error.URLError(problem)

    monkeypatch.setattr(run.urllib.request, "urlopen", fail)
    monkeypatch.setattr(run.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(run.SetupError, match=f"https://pypi.org/simple/pip/.*{problem}.*{cure}"):
        run.make_pip()


def test_wrong_checksum(run, monkeypatch):
    monkeypatch.setattr(run, "fetch", lambda url: PAGE.encode() if url.endswith("/pip/") else b"other")
    monkeypatch.setattr(run.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(run.SetupError, match=r"pip-25.3-py3-none-any.whl from .* has a wrong checksum"):
        run.make_pip()


def test_pip_without_ensurepip(run, monkeypatch, tmp_path):
    """From nothing to a working pip, as on a bare Debian, by an index that speaks the oldest form only."""
    bundled = [*Path(os.__file__).parent.glob("ensurepip/_bundled/pip-*.whl")]
    if not bundled:
        pytest.skip("this Python brings no wheel of pip that could be served")
    wheel = bundled[0]
    (tmp_path / "simple" / "pip").mkdir(parents=True)
    (tmp_path / wheel.name).write_bytes(wheel.read_bytes())
    checksum = hashlib.sha256(wheel.read_bytes()).hexdigest()
    page = f'<a href="../../{wheel.name}#sha256={checksum}">{wheel.name}</a>'
    (tmp_path / "simple" / "pip" / "index.html").write_text(page)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
        monkeypatch.setattr(run, "PYTHON", run.VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
        real = importlib.util.find_spec
        monkeypatch.setattr(run.importlib.util, "find_spec", lambda name: None if name == "ensurepip" else real(name))
        try:
            run.make_environment()
            run.make_pip()
        finally:
            server.shutdown()
    told = subprocess.run([run.PYTHON, "-m", "pip", "--version"], capture_output=True, text=True)
    assert wheel.name.split("-")[1] in told.stdout


def test_index_of_pip(run, monkeypatch, tmp_path):
    monkeypatch.setattr(run, "Path", lambda name: tmp_path / "nowhere" if str(name).startswith("/etc") else Path(name))
    run.Path.home = Path.home
    assert run.index_of_pip() == "https://pypi.org/simple"
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "pip.conf").write_text("[global]\nindex-url = https://school/simple\ncert = %(x)\n")
    assert run.index_of_pip() == "https://school/simple"
    (tmp_path / "more.conf").write_text("[global]\nindex-url = https://own/simple\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "more.conf"))
    assert run.index_of_pip() == "https://own/simple"
    monkeypatch.setenv("PIP_INDEX_URL", "https://env/simple")
    assert run.index_of_pip() == "https://env/simple"
    monkeypatch.delenv("PIP_INDEX_URL")
    (tmp_path / "more.conf").write_text("no section")
    assert run.index_of_pip() == "https://pypi.org/simple"


@posix
def test_uv_hears_what_pip_is_told(run):
    python(
        run,
        r"""printf "%s\n" "global.index-url='https://a/simple'" ":env:.extra-index-url='https://b https://c'" \
        "global.find-links='/wheels'" "global.cert='/cert'" "install.no-index='false'" """,
    )
    assert run.indexes() == ["--index-url", "https://a/simple", "--extra-index-url", "https://b", "--extra-index-url",
                             "https://c", "--find-links", "/wheels", "--index-strategy", "unsafe-best-match"]  # fmt: skip


@posix
def test_no_lab_and_no_terminal(run, steps, capfd, monkeypatch):
    monkeypatch.setattr(run, "install", lambda *_: None)
    calls = python(run, "exit 0")
    for arguments in (["--no-lab"], []):
        assert run.main(arguments) == 0
    assert calls() == ["-m d2lblocks run 1"] * 2
    assert f'to open the chapters: "{run.PYTHON}" -m d2lblocks lab' in capfd.readouterr().out
    monkeypatch.chdir(run.HERE)
    assert run.command("lab") == f"{Path('.venv/bin/python')} -m d2lblocks lab"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert run.main([]) == 0
    assert calls()[2:] == ["-m d2lblocks run 1", "-m d2lblocks lab 1"]


@posix
def test_chapter_that_fails(run, capsys, monkeypatch):
    monkeypatch.setattr(run, "install", lambda *_: None)
    python(run, "exit 1")
    assert run.main([]) == 1
    assert "Chapter 1 did not run" in capsys.readouterr().err


@posix
@pytest.mark.parametrize(("broken", "code"), [("none", 0), ("ruff", 1), ("pyright", 1), ("pytest", 1)])
def test_test(run, monkeypatch, broken, code):
    monkeypatch.setattr(run, "install", lambda *_: None)
    calls = python(run, f'case "$*" in *{broken}*) exit 1;; esac')
    assert run.main(["test", "-k", "dense", "--lf"]) == code
    assert calls() == ["-m ruff format --check .", "-m ruff check .", "-m pyright", "-m pytest -q -k dense --lf"]
