"""The command line: lab, run, doctor, warm."""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from d2lblocks import __version__, npx
from d2lblocks.errors import ArgumentError, MXNetError

PACKAGES = ("numpy", "numba", "threadpoolctl", "jupyterlab", "ipywidgets", "anywidget", "matplotlib", "nbclient")


def chapters_folder() -> Path:
    """Return the folder that holds the chapters: beside the package in a checkout, inside it in a wheel."""
    here = Path(__file__).resolve().parent
    for folder in (here.parent / "chapters", here / "_chapters"):
        if folder.is_dir():
            return folder
    raise MXNetError("The chapters are not beside this installation; install d2lblocks again.")


def chapters() -> dict[int, Path]:
    """Return the chapters by number."""
    return {int(p.name[:2]): p for p in sorted(chapters_folder().glob("[0-9][0-9]_*.ipynb"))}


def chosen(number: int | None) -> list[Path]:
    """Return chapter `number`, or all of them."""
    found = chapters()
    if number is not None and number not in found:
        raise ArgumentError(f"There is no chapter {number}; the chapters are {', '.join(map(str, found))}.")
    return list(found.values()) if number is None else [found[number]]


def need(module: str) -> None:
    """Say how to install what notebooks need, if it is missing."""
    if importlib.util.find_spec(module) is None:
        raise MXNetError(f"{module} is not installed. Run: {sys.executable} -m pip install 'd2lblocks[lab]'")


def working_copy() -> Path:
    """Return a folder of chapters that the learner may change: the checkout's own, or a copy in the working folder.

    A file that is already there is never overwritten.
    """
    source = chapters_folder()
    if source.name == "chapters":
        return source
    target = Path.cwd() / "chapters"
    for file in source.rglob("*"):
        place = target / file.relative_to(source)
        if file.is_file() and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)
    return target


def lab(number: int | None) -> int:
    """Open chapter `number` (default: 1) in JupyterLab."""
    need("jupyterlab")
    notebook = working_copy() / chosen(1 if number is None else number)[0].name
    command = [sys.executable, "-m", "jupyterlab", str(notebook)]
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # Jupyter refuses the root user unless told
        command.append("--allow-root")
    return subprocess.run(command).returncode


def run(number: int | None) -> int:
    """Execute one chapter, or all, without a browser, and tell how far it is."""
    need("nbclient")
    failures = [path.name for path in chosen(number) if not execute(path)]
    if failures:
        print(f"failed: {', '.join(failures)}", file=sys.stderr)
    return int(bool(failures))


def execute(path: Path) -> bool:
    """Run the cells of one notebook in a fresh kernel; nothing is written back. Return whether all went well."""
    nbformat, nbclient = importlib.import_module("nbformat"), importlib.import_module("nbclient")
    notebook = nbformat.read(path, as_version=4)
    cells = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    start, live = time.monotonic(), sys.stdout.isatty()
    client = nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(path.parent)}})
    try:
        with client.setup_kernel():
            for done, i in enumerate(cells, 1):
                client.execute_cell(notebook.cells[i], i)
                if live:
                    bar = "#" * (30 * done // len(cells))
                    print(f"\r{path.stem:28} [{bar:30}] {done}/{len(cells)}", end="", flush=True)
    except nbclient.exceptions.CellExecutionError as problem:
        print(f"\n{path.name}: {problem}", file=sys.stderr)
        return False
    print(f"{chr(13) if live else ''}{path.stem:28} {len(cells)} cells in {time.monotonic() - start:.1f} s")
    return True


def doctor() -> int:
    """Print versions and places, and what is wrong with its cure."""
    print(f"d2lblocks     {__version__}\nPython        {platform.python_version()} on {platform.platform()}")
    problems = []
    for name in PACKAGES:
        try:
            print(f"{name:13} {version(name)}")
        except PackageNotFoundError:
            print(f"{name:13} missing")
            problems.append(f"{name} is missing: {sys.executable} -m pip install 'd2lblocks[lab]'")
    cache = os.environ.get("NUMBA_CACHE_DIR") or str(Path(__file__).parent / "__pycache__")
    print(f"kernel cache  {cache}\nCPU           {os.environ.get('NUMBA_CPU_NAME') or platform.machine()}")
    if not os.access(Path(cache).parent, os.W_OK) and not os.environ.get("NUMBA_CACHE_DIR"):
        problems.append(f"the kernel cache {cache} is not writable: set NUMBA_CACHE_DIR to a folder of yours")
    if os.environ.get("OPENBLAS_CORETYPE"):
        problems.append("OPENBLAS_CORETYPE is set and may slow matrix products: unset it")
    for problem in problems:
        print(f"! {problem}")
    print("all is well" if not problems else f"{len(problems)} to mend")
    return int(bool(problems))


def warm() -> int:
    """Do in advance what would make the first use slow: byte code, fonts, and one training step."""
    npx.waitall()
    if importlib.util.find_spec("matplotlib"):
        subprocess.run([sys.executable, "-c", "import matplotlib.pyplot"], check=False)
    print("warm")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Read the command line and do it; gives back the exit code."""
    parser = argparse.ArgumentParser(prog="d2lblocks", description="Chapters on how a deep learning framework works.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (("lab", "open a chapter in JupyterLab"), ("run", "run chapters without a browser")):
        commands.add_parser(name, help=text).add_argument(
            "chapter", nargs="?", type=int, help="number; default: 1 / all"
        )
    commands.add_parser("doctor", help="print versions, what is wrong, and the cure")
    commands.add_parser("warm", help="do in advance what would make the first use slow")
    options = parser.parse_args(arguments)
    try:
        if options.command in ("lab", "run"):
            return {"lab": lab, "run": run}[options.command](options.chapter)
        return doctor() if options.command == "doctor" else warm()
    except MXNetError as problem:
        print(problem, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
