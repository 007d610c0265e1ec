"""Binder: its files replayed in a clean folder, and read by repo2docker where that is installed."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BINDER = ROOT / "binder"
PROOF = """
import os, sys, d2lblocks, d2lblocks_widgets, ipywidgets, matplotlib, jupyterlab
assert d2lblocks.__file__.startswith(os.getcwd()), d2lblocks.__file__
print(sys.prefix, os.environ["NUMBA_CPU_NAME"], os.environ["OPENBLAS_NUM_THREADS"], os.environ["NUMBA_NUM_THREADS"])
"""


def test_files():
    python = (BINDER / "runtime.txt").read_text(encoding="utf-8").strip()
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    assert re.fullmatch(r"python-3\.\d+", python)  # without it Binder takes Python 3.10
    assert int(python.rpartition(".")[2]) >= int(oldest.rpartition(".")[2])
    assert (BINDER / "requirements.txt").read_text(encoding="utf-8") == "-e .[lab]\n"
    for name in ("postBuild", "start"):
        assert os.name == "nt" or (BINDER / name).stat().st_mode & 0o111
        assert (BINDER / name).read_bytes().startswith(b"#!/bin/bash\n")
        assert "NUMBA_CPU_NAME=generic" in (BINDER / name).read_text(
            encoding="utf-8"
        )  # kernels of the build serve every processor
    assert (BINDER / "start").read_text(encoding="utf-8").endswith('exec "$@"\n')  # repo2docker hands its command over


def test_badge_opens_the_first_chapter():
    (path,) = re.findall(
        r"mybinder\.org/v2/gh/\S+/HEAD\?urlpath=lab%2Ftree%2F([^)]+)\)",
        (ROOT / "README.md").read_text(encoding="utf-8"),
    )
    assert (ROOT / path.replace("%2F", "/")).exists()


@pytest.mark.binder
@pytest.mark.skipif(os.name == "nt", reason="Binder builds on Linux; these are shell scripts")
def test_replay(tmp_path):
    """Install from binder/requirements.txt into a fresh environment, run postBuild, then start with a command."""
    repo, home = tmp_path / "repo", tmp_path / "home"
    leave = shutil.ignore_patterns(
        ".venv", ".git", "__pycache__", ".ipynb_checkpoints", ".*_cache", ".hypothesis", "tests"
    )
    shutil.copytree(ROOT, repo, ignore=leave)
    home.mkdir()
    venv.create(tmp_path / "env")
    python = tmp_path / "env" / "bin" / "python"
    uv = [sys.executable, "-m", "uv", "pip", "install", "--python", python]
    pip = [sys.executable, "-m", "pip", "--python", python, "install"]
    installer = uv if importlib.util.find_spec("uv") else pip
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA", "OPENBLAS", "PYTHON", "JUPYTER"))}
    environment |= {"UV_SYSTEM_CERTS": "1", "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}

    def shell(*command):
        done = subprocess.run(command, cwd=repo, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    shell(*installer, "--quiet", "-r", "binder/requirements.txt")
    environment["HOME"] = str(home)
    assert shell("binder/postBuild").endswith("warm\n")
    assert shell("binder/start", "python", "-c", PROOF).split() == [str(tmp_path / "env"), "generic", "1", "1"]
    assert "01_layers_and_blocks" in shell("binder/start", "python", "-m", "d2lblocks", "run", "1")


def test_repo2docker():
    command = shutil.which("jupyter-repo2docker")
    if command is None:
        pytest.skip("jupyter-repo2docker is not installed")
    done = subprocess.run([command, "--no-build", "--debug", str(ROOT)], capture_output=True, text=True)
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    version = (BINDER / "runtime.txt").read_text(encoding="utf-8").strip().partition("-")[2]
    assert f"Building conda environment for python={version}" in text
    for line in ('pip install --no-cache-dir -r "binder/requirements.txt"', "RUN ./binder/postBuild", "binder/start"):
        assert line in text
