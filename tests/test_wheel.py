"""What is in the wheel and the source archive, and that the command line works from the wheel."""

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def names(folder, *patterns):
    """Files of the checkout that belong into an archive."""
    found = (p for pattern in patterns for p in (ROOT / folder).glob(pattern) if p.is_file())
    return {p.relative_to(ROOT).as_posix() for p in found if not {"__pycache__", ".ipynb_checkpoints"} & {*p.parts}}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=ROOT, check=True, capture_output=True
    )
    return folder


def test_wheel(built):
    (file,) = built.glob("*.whl")
    inside = zipfile.ZipFile(file).namelist()
    code = names("d2lblocks", "**/*.py", "py.typed") | {n[8:] for n in names("widgets", "**/*")}
    pages = {f"d2lblocks/_{name}" for name in names("chapters", "*.ipynb", "images/*")}
    rest = {name for name in inside if not name.partition("/")[0].endswith(".dist-info")}
    assert rest == code | pages
    assert {"d2lblocks/py.typed", "d2lblocks_widgets/py.typed"} <= rest and len(pages) >= 8
    assert file.name.endswith("-py3-none-any.whl") and file.stat().st_size < 1_000_000


def test_sdist(built):
    (file,) = built.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        inside = {m.name.partition("/")[2]: m for m in archive.getmembers()}
    top = names(".", "*.md", "*.py", "*.toml", "LICENSE", ".ci/*", ".github/*", ".pre-commit-config.yaml")
    code = names("d2lblocks", "**/*.py", "py.typed") | names("widgets", "**/*") | names("tests", "**/*")
    wanted = top | code | names("chapters", "*.ipynb", "images/*") | names("binder", "*")
    assert set(inside) - {"PKG-INFO", ".gitignore"} == wanted
    assert inside["binder/postBuild"].mode & 0o111 and inside["binder/start"].mode & 0o111
    assert file.stat().st_size < 3_000_000


def test_lab_from_the_wheel(built, tmp_path):
    """Installed from the wheel: `lab 2` copies the chapters to ./chapters, keeps the learner's, and opens the second."""
    (wheel,) = built.glob("*.whl")
    site, stand_in, work = tmp_path / "site", tmp_path / "stand-in", tmp_path / "work"
    install = ["-m", "pip", "install", "--no-deps", "--no-index", "--no-compile", "--target", site, wheel]
    subprocess.run([sys.executable, *install], check=True, capture_output=True)
    stand_in.mkdir()
    (stand_in / "jupyterlab.py").write_text("import sys; print(*sys.argv[1:], sep='\\n')")
    (work / "chapters").mkdir(parents=True)
    (work / "chapters" / "01_layers_and_blocks.ipynb").write_text("mine")
    path = os.pathsep.join(map(str, (stand_in, site)))
    environment = {**os.environ, "PYTHONPATH": path, "JUPYTER_DATA_DIR": str(tmp_path / "data")}
    command = [sys.executable, "-m", "d2lblocks", "lab", "2", "--no-browser"]
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    opened, option = done.stdout.splitlines()[:2]
    assert Path(opened) == work / "chapters" / "02_parameters.ipynb" and option == "--no-browser"
    assert (work / "chapters" / "01_layers_and_blocks.ipynb").read_text(encoding="utf-8") == "mine"
    assert json.loads(Path(opened).read_text(encoding="utf-8")) == json.loads(
        (ROOT / "chapters" / "02_parameters.ipynb").read_text(encoding="utf-8")
    )
    assert {p.name for p in (work / "chapters" / "images").iterdir()} == {
        p.name for p in (ROOT / "chapters" / "images").iterdir()
    }
    assert (site / "bin" / "d2lblocks").exists() or (site / "Scripts" / "d2lblocks.exe").exists()
