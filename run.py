"""The two commands of the README: `python3 run.py` sets up and opens the chapters, `python3 run.py test` checks all.

Standard library only. Everything goes into the folder `.venv` beside this file; doing it again does nothing again.
"""

from __future__ import annotations

import argparse
import configparser
import hashlib
import html
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "d2lblocks-installed"
SIZES = {"lab": 0.6, "lab,test": 1.1}  # gigabytes in .venv
OLDEST = (3, 11)
INDEX = "https://pypi.org/simple"


class SetupError(Exception):
    """Something the user can mend; the message says how."""


def say(text: str) -> None:
    """Print a line at once, also into a pipe, also where the terminal lacks a letter of it."""
    print(
        f"-- {text}".encode(sys.stdout.encoding or "ascii", "replace").decode(sys.stdout.encoding or "ascii"),
        flush=True,
    )


def run(*command: object, quiet: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a command in the repository's folder; `quiet` keeps what it prints."""
    environment = {**os.environ, "PYTHONUTF8": "1", "UV_SYSTEM_CERTS": "1"}  # companies and schools have certificates
    environment.pop("VIRTUAL_ENV", None)  # another environment may be active; ours is meant
    return subprocess.run(
        [str(c) for c in command], cwd=HERE, env=environment, capture_output=quiet, text=True, errors="replace"
    )


def wanted() -> tuple[str, str]:
    """Return fingerprints of the interpreter with its place, and of what should be installed."""
    place = sys.version.encode() + os.fsencode(HERE)
    return hashlib.sha256(place).hexdigest(), hashlib.sha256((HERE / "pyproject.toml").read_bytes()).hexdigest()


def installed() -> list[str]:
    """Return the fingerprints of the last installation that came to its end, and its extras."""
    return STAMP.read_text().split() if PYTHON.exists() and STAMP.exists() else []


def make_environment() -> None:
    """Make .venv anew, still without anything in it."""
    say(f"making a virtual environment in {VENV.name}")
    shutil.rmtree(VENV, ignore_errors=True)
    try:
        venv.EnvBuilder(symlinks=os.name != "nt").create(VENV)
    except (OSError, subprocess.CalledProcessError) as problem:
        raise SetupError(
            f"No virtual environment could be made in {VENV}: {problem}. Copy the folder to a place where you may "
            "write and where there is room (a gigabyte), and run it there."
        ) from None


def make_pip() -> None:
    """Put pip into .venv, also where Python came without it (bare Debian)."""
    if PYTHON.exists() and run(PYTHON, "-m", "pip", "--version", quiet=True).returncode == 0:
        return
    if importlib.util.find_spec("ensurepip") and run(PYTHON, "-m", "ensurepip", quiet=True).returncode == 0:
        return
    say("this Python has no pip: fetching it")
    base = index_of_pip().rstrip("/") + "/pip/"
    try:
        name, url, checksum = newest_pip(fetch(base).decode())
        wheel = fetch(urllib.parse.urljoin(base, url))
    except (OSError, ValueError) as problem:
        cure = "install the package ca-certificates" if "CERTIFICATE" in str(problem) else "connect to the network"
        raise SetupError(
            f"pip could not be fetched from {base}: {problem}. Either {cure} and run this again, or install the "
            "package python3-venv."
        ) from None
    if hashlib.sha256(wheel).hexdigest() != checksum:
        raise SetupError(f"The file {name} from {base} has a wrong checksum. Run this again.")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(wheel)
        done = run(PYTHON, f"{file}/pip", "install", "--no-index", file, quiet=True)
    if done.returncode:
        raise SetupError(f"pip could not be installed into {VENV}:\n{done.stderr.strip()}")


def index_of_pip() -> str:
    """Return the package index that this machine's pip configuration names."""
    if os.environ.get("PIP_INDEX_URL"):
        return os.environ["PIP_INDEX_URL"]
    home, own = Path.home(), os.environ.get
    files = [Path("/etc/xdg/pip/pip.conf"), Path("/etc/pip.conf"), home / ".pip/pip.conf",
             Path(own("XDG_CONFIG_HOME") or home / ".config") / "pip/pip.conf",
             home / "Library/Application Support/pip/pip.conf", Path(own("APPDATA") or home) / "pip/pip.ini",
             Path(own("PIP_CONFIG_FILE") or os.devnull)]  # fmt: skip
    told = configparser.RawConfigParser(strict=False)
    try:
        told.read(files, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError):
        return INDEX
    return told.get("global", "index-url", fallback=INDEX)


def fetch(url: str) -> bytes:
    """Return what is at an address, in the oldest form that every package index speaks."""
    request = urllib.request.Request(url, headers={"Accept": "text/html, */*;q=0.1"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def newest_pip(page: str) -> tuple[str, str, str]:
    """Return name, address and SHA-256 of the newest pip on the index page that this Python can run."""
    found = []
    for attributes, name in re.findall(r"<a\s([^>]*)>\s*(pip-[\d.]+-py3-none-any\.whl)\s*</a>", page):
        link = re.search(r'href="([^"#]*)#sha256=([0-9a-f]{64})"', attributes)
        needs = re.search(r'requires-python="[^"]*(?:>|&gt;)=\s*3\.(\d+)', attributes)
        if link and "data-yanked" not in attributes and int(needs[1] if needs else 0) <= sys.version_info[1]:
            number = tuple(map(int, name.split("-")[1].split(".")))
            found.append((number, name, html.unescape(link[1]), link[2]))
    if not found:
        raise ValueError("the page lists no file of pip with a checksum")
    return max(found)[1:]


def indexes() -> list[str]:
    """Return the package sources of pip's configuration as options for uv, which does not read it."""
    options, many = (
        [],
        {"index-url": "--index-url", "extra-index-url": "--extra-index-url", "find-links": "--find-links"},
    )
    for line in run(PYTHON, "-m", "pip", "config", "list", quiet=True).stdout.splitlines():
        key, _, value = line.partition("=")
        option = many.get(key.rpartition(".")[2])
        if option:
            options += [part for place in value.strip("'\"").replace("\\n", " ").split() for part in (option, place)]
    return [*options, "--index-strategy", "unsafe-best-match"] if options else []  # all sources are equal, as in pip


def install_packages(extras: str) -> None:
    """Install the package with these extras, by uv where it can be had (seconds), else by pip."""
    start = time.monotonic()
    what = ("--quiet", "--editable", f".[{extras}]")
    make_pip()
    say(f"installing packages ({SIZES[extras]} GB)")
    pip = (PYTHON, "-m", "pip", "--disable-pip-version-check", "install")
    uv = [shutil.which("uv")] if shutil.which("uv") else [PYTHON, "-m", "uv"]
    if len(uv) == 1 or run(*pip, "--quiet", "--retries", "1", "uv", quiet=True).returncode == 0:
        done = run(*uv, "pip", "install", "--python", PYTHON, *indexes(), *what, quiet=True)
        if done.returncode == 0:
            say(f"installed in {time.monotonic() - start:.0f} s")
            return
        say(f"uv could not do it ({(done.stderr.strip().splitlines() or ['no reason given'])[-1].strip()}); taking pip")
    if run(*pip, *what).returncode:
        raise SetupError(
            "The packages could not be installed; the lines above say why. Most often the network is the reason, or "
            f"a full disk ({SIZES[extras]} GB are needed). Then run this command again."
        )
    say(f"installed in {time.monotonic() - start:.0f} s")


def install(offline: bool, recreate: bool, extras: str = "lab,test") -> None:
    """Bring .venv to what is wanted, if it is not there yet: notebooks ("lab"), with the tests' tools ("lab,test")."""
    want, have = list(wanted()), [] if recreate else installed()
    if have[2:] == ["lab,test"]:  # whoever runs the tests keeps their tools
        extras = "lab,test"
    if have == [*want, extras]:
        say("everything is installed")
        return
    if offline:
        raise SetupError("Not everything is installed yet; run once without --offline.")
    if have[:1] == want[:1]:  # same interpreter, same place, other packages: what the user added stays
        STAMP.unlink()
    else:
        make_environment()
    install_packages(extras)
    STAMP.write_text("\n".join([*want, extras]))
    compile_kernels()


def compile_kernels() -> None:
    """Compile the kernels now; where that fails NumPy stands in for them, and `doctor` says why."""
    start = time.monotonic()
    if run(PYTHON, "-m", "d2lblocks", "warm", "--kernels", quiet=True).returncode == 0:
        say(f"kernels compiled in {time.monotonic() - start:.0f} s")


def learn(no_lab: bool) -> int:
    """Run chapter 1 as a proof, then open JupyterLab there."""
    start = time.monotonic()
    if run(PYTHON, "-m", "d2lblocks", "run", "1").returncode:
        raise SetupError(
            f"Chapter 1 did not run; the lines above say where. This may know the cure: {command('doctor')}"
        )
    say(f"chapter 1 ran in {time.monotonic() - start:.1f} s")
    if no_lab or not sys.stdout.isatty():
        say(f"to open the chapters: {command('lab')}")
        return 0
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C is JupyterLab's: it asks whether to stop
    return run(PYTHON, "-m", "d2lblocks", "lab", "1").returncode


def command(name: str) -> str:
    """Return what to type for a command of d2lblocks, from wherever the user is."""
    program = PYTHON.relative_to(Path.cwd()) if PYTHON.is_relative_to(Path.cwd()) else PYTHON
    return f'"{program}" -m d2lblocks {name}' if " " in str(program) else f"{program} -m d2lblocks {name}"


def test(arguments: list[str]) -> int:
    """Run the checks of style and types, every test and every chapter."""
    style = (["ruff", "format", "--check", "."], ["ruff", "check", "."], ["pyright"])
    checks = (*style, ["pytest", "-q", *arguments])
    return int(any([run(PYTHON, "-m", *check).returncode for check in checks]))


def check_python() -> None:
    """Refuse a Python that is too old, with the name of a newer one if there is one, or that cannot spell this folder."""
    if sys.version_info >= OLDEST:
        try:
            str(HERE).encode()
        except UnicodeEncodeError:
            raise SetupError(
                f"The path of this folder, {str(HERE)!a}, has letters that Python cannot spell under the present "
                "locale. Set LC_ALL=C.UTF-8, or move the folder."
            ) from None
        return
    newer = [name for name in (f"python3.{minor}" for minor in range(20, OLDEST[1] - 1, -1)) if shutil.which(name)]
    cure = f"Run: {newer[0]} run.py" if newer else "Get it from https://www.python.org/downloads/"
    raise SetupError(f"Python {OLDEST[0]}.{OLDEST[1]} or newer is needed, this is {sys.version.split()[0]}. {cure}")


def main(arguments: list[str] | None = None) -> int:
    """Read the command line and do it; gives back the exit code."""
    parser = argparse.ArgumentParser(
        description="Set up d2lblocks and open its chapters, or run its tests (further options go to pytest)."
    )
    parser.add_argument("command", nargs="?", choices=["lab", "test"], default="lab")
    parser.add_argument("--no-lab", action="store_true", help="set up and run chapter 1, but open nothing")
    parser.add_argument("--offline", action="store_true", help="use what is installed, fetch nothing")
    parser.add_argument("--recreate", action="store_true", help="make the virtual environment anew")
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command != "test":
        parser.error(f"unknown arguments: {' '.join(rest)}")
    try:
        check_python()
        install(options.offline, options.recreate, "lab,test" if options.command == "test" else "lab")
        return test(rest) if options.command == "test" else learn(options.no_lab)
    except SetupError as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    except OSError as problem:
        print(f"\nThe system refuses: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Run the command again to go on.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
