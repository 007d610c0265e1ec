"""Take out of notebooks what depends on the machine that ran them: metadata and widget state, never outputs."""

import json
import sys
from pathlib import Path

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def strip(notebook: dict) -> dict:
    """Return the notebook with only the kernel in its metadata, and only tags in that of its cells."""
    for cell in notebook["cells"]:
        cell["metadata"] = {k: v for k, v in cell["metadata"].items() if k == "tags"}
    return {**notebook, "metadata": {"kernelspec": KERNEL}}


def main(names: list[str]) -> int:
    """Strip files in place; 1 if any was changed, as commit hooks expect."""
    changed = []
    for path in map(Path, names):
        before = path.read_text(encoding="utf-8")
        after = json.dumps(strip(json.loads(before)), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        if after != before:
            path.write_text(after, encoding="utf-8", newline="\n")
            changed.append(path.name)
    if changed:
        print(f"stripped {', '.join(changed)}")
    return int(bool(changed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
