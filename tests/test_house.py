"""The layout: imports point down the floors, there are no cycles, files and functions stay small."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(
    [*ROOT.glob("d2lblocks/**/*.py"), *ROOT.glob("widgets/**/*.py"), *ROOT.glob("tests/**/*.py"), ROOT / "run.py"]
)
FLOORS = [
    {"errors", "registry", "rich", "context", "rng", "formats", "kernels"},
    {"tape", "autograd"},
    {"op", "late", "steps", "plan", "graph"},
    {"np"},
    {"io", "npx"},
    {"initializer", "optimizer"},
    {"gluon"},
    {"reprs", "checkpoint", "__init__", "doctor", "cli", "__main__"},
]
TOP = {
    "pyproject.toml", "d2lblocks", "chapters", "widgets", "tests", "binder", "run.py", "README.md", "CHANGELOG.md",
    "CONTRIBUTING.md", "LICENSE",
}  # fmt: skip


def floor(module):
    parts = module.split(".")
    name = parts[1] if len(parts) > 1 else "__init__"
    return next(i for i, names in enumerate(FLOORS) if name in names)


def imported(path):
    """Return the modules of the package that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "d2lblocks":
            parts = node.module.split(".")
            found |= {f"d2lblocks.{a.name}" for a in node.names} if len(parts) == 1 else {node.module}
    return found


@pytest.mark.parametrize("path", [p for p in FILES if "d2lblocks/" in str(p.relative_to(ROOT))], ids=lambda p: p.name)
def test_imports_point_down(path):
    here = path.relative_to(ROOT).with_suffix("")
    if here.parts[0] != "d2lblocks":
        return
    own = floor("d2lblocks." + here.parts[1])
    for module in imported(path):
        if module in ("d2lblocks.__version__",):
            continue
        assert floor(module) <= own, f"{here} imports {module}, a floor above"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_sizes(path):
    text = path.read_text()
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 50, node.name


@pytest.mark.parametrize("path", [p for p in FILES if p.parts[-2] != "tests"], ids=lambda p: p.name)
def test_no_imports_inside_functions(path):
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, ast.FunctionDef):
            assert not any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(function))


def test_top_level():
    there = {p.name for p in ROOT.iterdir() if not p.name.startswith(".")}
    assert there - {"d2lblocks.egg-info", "dist"} <= TOP


def test_no_leftovers_beside_the_chapters():
    assert {p.suffix for p in (ROOT / "chapters").iterdir()} - {".ipynb", ""} == set()
