"""`d2lblocks doctor`: versions and places, what is wrong, and the cure."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import d2lblocks
from d2lblocks.kernels._jit import cache_file, enabled, reason

PACKAGES = ("numpy", "numba", "threadpoolctl", "jupyterlab", "ipykernel", "ipywidgets", "anywidget", "matplotlib",
            "nbclient")  # fmt: skip
PIP = f"{sys.executable} -m pip install"


def doctor() -> int:
    """Print versions and places, and what is wrong with its cure; 1 if anything is wrong."""
    print(f"d2lblocks     {d2lblocks.__version__} in {Path(d2lblocks.__file__).parent}")
    print(f"Python        {platform.python_version()} in {sys.prefix}\nmachine       {platform.platform()}")
    problems = []
    for check in (packages, bounds, imports, cache, kernel, shadows, settings):
        for trouble in check():
            problems.append(trouble)
    for trouble in problems:
        print(f"! {trouble}")
    print("all is well" if not problems else f"{len(problems)} to mend")
    return int(bool(problems))


def packages() -> Iterator[str]:
    """Print versions; yield packages that are missing."""
    for name in PACKAGES:
        try:
            print(f"{name:13} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            print(f"{name:13} missing")
            yield f"{name} is missing. Run: {PIP} 'd2lblocks[lab]'"


def bounds() -> Iterator[str]:
    """Yield packages whose version is outside of what this d2lblocks asks for."""
    try:
        asked = importlib.metadata.requires("d2lblocks") or []
        requirement = importlib.import_module("packaging.requirements").Requirement
    except (importlib.metadata.PackageNotFoundError, ImportError):
        return
    for wish in map(requirement, asked):
        try:
            found = importlib.metadata.version(wish.name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if not wish.specifier.contains(found, prereleases=True):
            yield f"{wish.name} {found} is installed, {wish.specifier} is needed. Run: {PIP} '{wish.name}{wish.specifier}'"


def imports() -> Iterator[str]:
    """Yield packages that are there but broken."""
    for name in ("numba", "ipykernel", "ipywidgets"):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as problem:
            if problem.name != name:
                yield f"{name} cannot be imported: {problem}. Run: {PIP} --force-reinstall {name}"
        except Exception as problem:  # whatever a broken installation raises
            yield f"{name} cannot be imported: {problem}. Run: {PIP} --force-reinstall {name}"


def cache() -> Iterator[str]:
    """Print where compiled kernels are kept, and for which processor; yield why none are."""
    file = cache_file()
    print(
        f"kernel cache  {file}{'' if file and file.exists() else ' (not made yet)'}" if file else "kernel cache  none"
    )
    print(f"processor     {os.environ.get('NUMBA_CPU_NAME') or platform.processor() or platform.machine()}")
    if file is None and enabled():
        yield (
            f"Neither {Path(d2lblocks.__file__).parent} nor your home folder can be written, so NumPy stands in for "
            "compiled kernels. Set D2LBLOCKS_CACHE_DIR to a folder of yours."
        )
    elif enabled() and reason():
        yield f"The kernels could not be compiled, NumPy stands in for them. Run: d2lblocks warm\n{reason()}"


def kernel() -> Iterator[str]:
    """Yield a Jupyter kernel that would start another Python than this one."""
    try:
        spec = importlib.import_module("jupyter_client.kernelspec").get_kernel_spec("python3")
    except ModuleNotFoundError:
        return
    except Exception as problem:
        yield f"Jupyter finds no kernel python3 ({problem}). Run: {sys.executable} -m ipykernel install --sys-prefix"
        return
    program = spec.argv[0]
    print(f"Jupyter       starts {program} (from {spec.resource_dir})")
    same = (
        program in ("python", "python3", f"python3.{sys.version_info[1]}")
        or Path(program).parent == Path(sys.executable).parent
    )
    if not same:
        yield (
            f"Jupyter starts {program} for notebooks, not {sys.executable}. Run: "
            f"{sys.executable} -m ipykernel install --sys-prefix"
        )


def shadows() -> Iterator[str]:
    """Yield files of the working folder that hide a module which notebooks import."""
    hidden = {
        *PACKAGES,
        "d2lblocks",
        "random",
        "typing",
        "types",
        "copy",
        "json",
        "html",
        "math",
        "io",
        "code",
        "signal",
    }
    for file in sorted(Path.cwd().glob("*.py")):
        if file.stem in hidden:
            yield f"{file} hides the module {file.stem}. Give it another name."


def settings() -> Iterator[str]:
    """Yield environment variables that change speed or results."""
    for name, effect in (
        ("OPENBLAS_CORETYPE", "matrix products may be slow, and differ in the last digits"),
        ("NUMBA_DISABLE_JIT", "kernels run as plain Python, a hundred times slower"),
    ):
        if os.environ.get(name, "0") not in ("", "0"):
            yield f"{name} is set to {os.environ[name]}: {effect}. Unset it unless you mean it."
