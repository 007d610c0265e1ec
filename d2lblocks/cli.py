"""The command line: lab, run, doctor, warm."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from d2lblocks.doctor import doctor
from d2lblocks.errors import ArgumentError, MXNetError
from d2lblocks.formats.atomic import replacing
from d2lblocks.kernels._jit import enabled, ready, reason


def chapters_folder() -> Path:
    """Return the folder that holds the chapters: beside the package in a checkout, inside it in a wheel."""
    here = Path(__file__).resolve().parent
    for folder in (here.parent / "chapters", here / "_chapters"):
        if (folder / "images").is_dir():
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

    A file that is already there is never overwritten, and none is there by half.
    """
    source = chapters_folder()
    if source.name == "chapters":
        return source
    target = Path.cwd() / "chapters"
    for file in source.rglob("*"):
        place = target / file.relative_to(source)
        if file.is_file() and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            with replacing(place) as copy:
                copy.write(file.read_bytes())
    return target


def trust(notebooks: list[Path]) -> None:
    """Sign the chapters as they were shipped, so that JupyterLab shows their stored views with style."""
    nbformat, sign = importlib.import_module("nbformat"), importlib.import_module("nbformat.sign")
    notary = sign.NotebookNotary()
    for path in notebooks:
        notary.sign(nbformat.read(path, as_version=4))


def lab(number: int | None, options: list[str]) -> int:
    """Open chapter `number` (default: 1) in JupyterLab; `options` are JupyterLab's own."""
    need("jupyterlab")
    notebook = working_copy() / chosen(1 if number is None else number)[0].name
    trust(chosen(None))
    command = [sys.executable, "-m", "jupyterlab", str(notebook), *options]
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # Jupyter refuses the root user unless told
        command.append("--allow-root")
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C is JupyterLab's: it asks whether to stop
    return subprocess.run(command).returncode


def run(number: int | None) -> int:
    """Execute one chapter, or all, without a browser, and tell how far it is."""
    need("nbclient")
    failures = [path.name for path in chosen(number) if not execute(path)]
    if failures:
        print(f"failed: {', '.join(failures)}", file=sys.stderr)
    return int(bool(failures))


def client_of(path: Path, notebook: Any) -> Any:
    """Return an nbclient for a notebook. Its kernel speaks over encrypted channels where Jupyter can do that."""
    manager = importlib.import_module("jupyter_client.manager").AsyncKernelManager
    told = {"AsyncKernelManager": {"transport_encryption": "auto"}} if hasattr(manager, "transport_encryption") else {}
    return importlib.import_module("nbclient").NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        kernel_manager_class=manager,
        config=importlib.import_module("traitlets.config").Config(told),
    )


def execute(path: Path) -> bool:
    """Run the cells of one notebook in a fresh kernel; nothing is written back. Return whether all went well."""
    nbformat, exceptions = importlib.import_module("nbformat"), importlib.import_module("nbclient.exceptions")
    nothing = importlib.import_module("jupyter_client.kernelspec").NoSuchKernel
    start, bar, done, client = time.monotonic(), Bar(path.stem), 0, None
    try:
        notebook = nbformat.read(path, as_version=4)
        cells = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
        client = client_of(path, notebook)
        client.create_kernel_manager()
        client.start_new_kernel()
        client.start_new_kernel_client()
        for done, i in enumerate(cells):
            bar.show(done, len(cells))
            client.execute_cell(notebook.cells[i], i)
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, UnicodeDecodeError) as problem:
        bar.end("failed")
        print(f"{path.name} is no notebook: {problem}. Restore it from where it came.", file=sys.stderr)
        return False
    except (exceptions.CellExecutionError, exceptions.CellTimeoutError, RuntimeError, nothing) as problem:
        bar.end("failed")
        text = str(problem) if sys.stderr.isatty() else re.sub(r"\x1b\[[\d;]*m", "", str(problem))
        print(f"{path.name}, code cell {done + 1}: {text}", file=sys.stderr)
        return False
    except KeyboardInterrupt:
        bar.end("stopped")
        raise
    finally:
        end_kernel(client)
    bar.end(f"{len(cells)} cells in {time.monotonic() - start:.1f} s")
    return True


def end_kernel(client: Any) -> None:
    """End the kernel of a client at once. Nothing here waits for it, so that Ctrl-C can come at any time."""
    if client is None or client.km is None:
        return
    if client.kc is not None:
        client.kc.stop_channels()
    process = getattr(client.km.provisioner, "process", None)
    if process:
        process.kill()
        process.wait()
    client.km.cleanup_connection_file()


class Bar:
    """A line that fills while a chapter runs; without a terminal only its name and its end."""

    def __init__(self, name: str):
        self.live = sys.stdout.isatty()
        self.name = f"{name:28}"
        print(self.name, end=" ", flush=True)

    def show(self, done: int, of: int) -> None:
        if self.live:
            print(f"\r{self.name} [{'#' * (30 * done // of):30}] {done}/{of}", end="", flush=True)

    def end(self, text: str) -> None:
        print(f"\r{self.name} {text:44}".rstrip() if self.live else text, flush=True)


def warm(kernels_only: bool) -> int:
    """Do in advance what would make the first use slow: kernels are compiled, byte code, and fonts."""
    if kernels_only:
        if hasattr(os, "nice"):
            os.nice(19)
        if not ready():
            print(f"The kernels could not be compiled. {reason()}", file=sys.stderr)
            return 1
        return 0
    imports = [
        subprocess.Popen([sys.executable, "-c", f"import {module}"])
        for module in ("matplotlib.pyplot", "jupyterlab.labapp", "ipykernel.kernelapp")
        if importlib.util.find_spec(module.partition(".")[0])
    ]
    if enabled() and not ready():
        print(f"The kernels could not be compiled, NumPy stands in for them. {reason()}", file=sys.stderr)
    if importlib.util.find_spec("nbformat"):
        trust(chosen(None))
    print("warm" if not any([child.wait() for child in imports]) else "warm, but for imports that failed")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Read the command line and do it; gives back the exit code."""
    parser = argparse.ArgumentParser(prog="d2lblocks", description="Chapters on how a deep learning framework works.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text, default in (("lab", "open a chapter in JupyterLab (further options go there)", "1"),
                                ("run", "run chapters without a browser", "all")):  # fmt: skip
        commands.add_parser(name, help=text).add_argument(
            "chapter", nargs="?", type=int, help=f"its number; default: {default}"
        )
    commands.add_parser("doctor", help="print versions, what is wrong, and the cure")
    commands.add_parser("warm", help="do in advance what would make the first use slow").add_argument(
        "--kernels", action="store_true", help="compile the kernels and no more, in the background"
    )
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command != "lab":
        parser.error(f"unknown arguments: {' '.join(rest)}")
    try:
        if options.command == "lab":
            return lab(options.chapter, rest)
        if options.command == "warm":
            return warm(options.kernels)
        return run(options.chapter) if options.command == "run" else doctor()
    except (MXNetError, OSError) as problem:
        print(problem, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
