"""Make the peers' environments: `python -m tests.bench.setup [FOLDER]`, one beside the other, each with its own NumPy."""

from __future__ import annotations

import argparse
import subprocess
import sys
import venv
from pathlib import Path

from tests.bench.peers import FOLDER, interpreter

INDEX = ["--extra-index-url", "https://download.pytorch.org/whl/cpu"]  # where PyTorch keeps what needs no CUDA
PACKAGES = {
    "torch": ["torch==2.13.0", "numpy", *INDEX],
    "jax": ["jax"],
    "mxnet": ["mxnet==1.9.1", "numpy==1.23.5"],  # its last release, and the last NumPy it can be imported with
}


def main() -> None:
    """Make each environment that is not there yet."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.setup", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    parser.add_argument("--peers", nargs="+", default=list(PACKAGES), choices=list(PACKAGES))
    options = parser.parse_args()
    for name in options.peers:
        place = options.folder / name
        if not place.exists():
            venv.create(place, with_pip=True)
        python = interpreter(name, options.folder)
        print(f"{name}: {' '.join(PACKAGES[name])}", flush=True)
        if subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES[name]]).returncode:
            sys.exit(f"pip could not install {name}; its message stands above.")


if __name__ == "__main__":
    main()
