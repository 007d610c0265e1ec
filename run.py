"""The two commands of the README: `python3 run.py` sets up and opens the chapters, `python3 run.py test` checks all.

Standard library only. Everything goes into the folder `.venv` beside this file; doing it again does nothing again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "d2lblocks-installed"
PINNED = ("pyproject.toml", "d2lblocks/__init__.py")


class SetupError(Exception):
    """Something the user can mend; the message says how."""


def say(text: str) -> None:
    """Print a line at once, also into a pipe."""
    print(f"-- {text}", flush=True)


def run(*command: object, quiet: bool = False, **options: object) -> subprocess.CompletedProcess:
    """Run a command in the repository's folder."""
    output = {"capture_output": True, "text": True} if quiet else {}
    return subprocess.run([str(c) for c in command], cwd=HERE, **output, **options)  # type: ignore[call-overload]


def wanted() -> str:
    """Return a fingerprint of what should be installed."""
    parts = [(HERE / name).read_bytes() for name in PINNED]
    return hashlib.sha256(b"\0".join([*parts, sys.version.encode(), str(HERE).encode()])).hexdigest()


def index_url() -> str | None:
    """Return the package index that pip is set to use, None for the public one."""
    for name in ("UV_INDEX_URL", "PIP_INDEX_URL"):
        if os.environ.get(name):
            return os.environ[name]
    told = run(PYTHON, "-m", "pip", "config", "get", "global.index-url", quiet=True)
    return told.stdout.strip() or None if told.returncode == 0 else None


def make_environment() -> None:
    """Make .venv with pip in it, also where Python came without pip and ensurepip (bare Debian)."""
    shutil.rmtree(VENV, ignore_errors=True)
    say(f"making a virtual environment in {VENV.name}")
    try:
        with_pip = __import__("ensurepip") is not None
    except ImportError:
        with_pip = False
    try:
        venv.EnvBuilder(with_pip=with_pip, symlinks=os.name != "nt").create(VENV)
    except (OSError, subprocess.CalledProcessError) as problem:
        raise SetupError(
            f"No virtual environment could be made in {VENV}: {problem}. Is the folder writable?"
        ) from None
    if not with_pip:
        fetch_pip()


def fetch_pip() -> None:
    """Install pip from the package index, checked by its checksum."""
    base = (os.environ.get("PIP_INDEX_URL") or "https://pypi.org/simple").rstrip("/") + "/pip/"
    say("this Python has no pip: fetching it")
    request = urllib.request.Request(base, headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            files = json.load(answer)["files"]
        wheels = [f for f in files if f["filename"].endswith("-none-any.whl") and not f.get("yanked")]
        numbered = [(tuple(map(int, f["filename"].split("-")[1].split("."))), f) for f in wheels
                    if f["filename"].split("-")[1].replace(".", "").isdigit()]  # fmt: skip
        newest = max(numbered, key=lambda pair: pair[0])[1]
        with urllib.request.urlopen(urllib.parse.urljoin(base, newest["url"]), timeout=60) as answer:
            data = answer.read()
    except (urllib.error.URLError, OSError, ValueError, KeyError) as problem:
        raise SetupError(f"pip could not be fetched from {base}: {problem}. Connect to the network, or install "
                         "the package python3-venv.") from None  # fmt: skip
    if hashlib.sha256(data).hexdigest() != newest["hashes"]["sha256"]:
        raise SetupError("The pip that came over the network has a wrong checksum. Try again.")
    with tempfile.TemporaryDirectory() as folder:
        wheel = Path(folder) / newest["filename"]
        wheel.write_bytes(data)
        if run(PYTHON, f"{wheel}/pip", "install", "--quiet", "--no-index", wheel).returncode:
            raise SetupError("pip could not be installed into the virtual environment; see the lines above.")


def install(offline: bool) -> None:
    """Install the package with notebooks and tests, by uv where it can be had (seconds), else by pip (a minute)."""
    if STAMP.exists() and STAMP.read_text() == wanted() and PYTHON.exists():
        say("everything is installed")
        return
    if offline:
        raise SetupError("Not everything is installed yet; run once without --offline.")
    if not PYTHON.exists() or not STAMP.exists():
        make_environment()
    start = time.monotonic()
    say("installing packages (some 0.6 GB; a few seconds with uv, a minute or more with pip)")
    what = ("--editable", ".[lab,test]")
    url = index_url()
    index = ("--index-url", url) if url else ()
    done = run(PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv", quiet=True)
    if done.returncode == 0:
        done = run(PYTHON, "-m", "uv", "pip", "install", "--quiet", "--python", PYTHON, *index, *what, quiet=True)
    if done.returncode:
        say("uv could not do it; taking pip")
        done = run(PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", *what)
    if done.returncode:
        raise SetupError("The packages could not be installed; the lines above say why. Most often the network is the "
                         "reason, or a full disk (0.7 GB are needed). Then run this command again.")  # fmt: skip
    STAMP.write_text(wanted())
    say(f"installed in {time.monotonic() - start:.0f} s")


def learn(no_lab: bool) -> int:
    """Run chapter 1 as a proof, then open JupyterLab there."""
    start = time.monotonic()
    if run(PYTHON, "-m", "d2lblocks", "run", "1").returncode:
        raise SetupError("Chapter 1 did not run; the lines above say where. `d2lblocks doctor` may know the cure.")
    say(f"chapter 1 ran in {time.monotonic() - start:.1f} s")
    if no_lab or not sys.stdout.isatty():
        say(f"to open the chapters: {PYTHON.relative_to(HERE)} -m d2lblocks lab")
        return 0
    return run(PYTHON, "-m", "d2lblocks", "lab", "1").returncode


def test(arguments: list[str]) -> int:
    """Run every test and every chapter, and the checks of style."""
    failed = False
    for check in (["ruff", "format", "--check"], ["ruff", "check"]):
        failed |= run(PYTHON, "-m", *check, ".").returncode != 0
    failed |= run(PYTHON, "-m", "pytest", "-q", *arguments).returncode != 0
    return int(failed)


def main() -> int:
    """Read the command line and do it; gives back the exit code."""
    parser = argparse.ArgumentParser(description="Set up d2lblocks and open its chapters, or run its tests.")
    parser.add_argument("command", nargs="?", choices=["lab", "test"], default="lab")
    parser.add_argument("--no-lab", action="store_true", help="set up and run chapter 1, but open nothing")
    parser.add_argument("--offline", action="store_true", help="use what is installed, fetch nothing")
    parser.add_argument("--recreate", action="store_true", help="make the virtual environment anew")
    options, rest = parser.parse_known_args()
    if rest and options.command != "test":
        parser.error(f"unknown arguments: {' '.join(rest)}")
    try:
        if sys.version_info < (3, 11):
            raise SetupError(
                f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}. Try python3.12 run.py."
            )
        if options.recreate:
            shutil.rmtree(VENV, ignore_errors=True)
        install(options.offline)
        return test(rest) if options.command == "test" else learn(options.no_lab)
    except SetupError as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Run the command again to go on.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
