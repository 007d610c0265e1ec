"""Run chapters again and write their outputs back: python -m tests.refresh_chapters [number ...].

With --metadata nothing is run: only what belongs to one machine is left out.
"""

import os
import re
import sys
from pathlib import Path

import nbclient
import nbformat

from tests.nbval_strict import FOR_CHAPTERS  # with it comes the environment in which the outputs will be compared

WIDGET = "application/vnd.jupyter.widget-view+json"
FOLDER = Path(__file__).resolve().parent.parent / "chapters"
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
COLOR = re.compile(r"\x1b\[[0-9;]*m")  # of a terminal; hard to read on a light page


def normalize(notebook):
    """Leave out what is of one machine or one moment: versions, timings, widgets, frames of other files.

    A saved widget is a number that means nothing without its kernel, and a trusted notebook shows it rather than the HTML
    beside it. So the HTML stays alone. A widget without HTML is kept, for a guard to find.
    """
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNELSPEC})
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {})
        for output in cell.get("outputs", []):
            if output.output_type in ("display_data", "execute_result"):
                output.metadata = nbformat.from_dict({})
                if "text/html" in output.data:
                    output.data.pop(WIDGET, None)
            if output.output_type == "error":
                frames = [COLOR.sub("", part) for part in output.traceback]
                output.traceback = [frame for frame in frames if not frame.startswith("File ")]
    return notebook


def clean(path):
    """Leave out of one chapter what belongs to one machine, and touch the file only if there was something."""
    text = path.read_text(encoding="utf-8")
    cleaned = nbformat.writes(normalize(nbformat.reads(text, as_version=4))) + "\n"
    if cleaned != text:
        path.write_text(cleaned, encoding="utf-8", newline="\n")


def refresh(path):
    """Run one chapter from the top; say which cells now print something else. A cell that fails leaves the file as it is."""
    notebook = nbformat.read(path, as_version=4)
    before = [cell.get("outputs") for cell in notebook.cells]
    os.environ.update(FOR_CHAPTERS)
    settings = {"timeout": 120, "store_widget_state": False, "record_timing": False, "coalesce_streams": True}
    nbclient.NotebookClient(notebook, resources={"metadata": {"path": str(path.parent)}}, **settings).execute()
    normalize(notebook)
    changed = [i for i, cell in enumerate(notebook.cells) if cell.get("outputs") != before[i]]
    nbformat.write(notebook, path)
    print(f"{path.stem}: {f'other outputs in cells {changed}' if changed else 'as before'}")


if __name__ == "__main__":
    wanted = [int(number) for number in sys.argv[1:] if number != "--metadata"]
    for chapter in sorted(FOLDER.glob("[0-9][0-9]_*.ipynb")):
        if not wanted or int(chapter.name[:2]) in wanted:
            (clean if "--metadata" in sys.argv else refresh)(chapter)
