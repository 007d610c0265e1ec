"""The base of all widgets: one ES module and one style sheet per class, and a view for readers without a kernel."""

from __future__ import annotations

import base64
import re
import sys
import zlib
from pathlib import Path
from typing import Any
from weakref import ref

import anywidget
from IPython.core.getipython import get_ipython

HERE = Path(__file__).parent
SHARED_CSS = (HERE / "common.css").read_text(encoding="utf-8")
PACK = 30_000  # a longer module travels packed
_IMPORT = re.compile(r'^import \{[^}]*\} from "(\.{1,2}/\w+\.js)";\n', re.MULTILINE)
_UNPACK = """const bytes = Uint8Array.from(atob("{}"), (c) => c.charCodeAt(0));
const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
const url = URL.createObjectURL(new Blob([await new Response(stream).text()], {{ type: "text/javascript" }}));
export default (await import(url)).default;
"""


def joined(module: Path) -> str:
    """Return a module with all that it imports as one text: a module made from text has no siblings to import."""
    texts: dict[Path, str] = {}

    def add(path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        for name in _IMPORT.findall(text):
            found = (path.parent / name).resolve()
            if found not in texts:
                add(found)
        texts[path] = _IMPORT.sub("", text)

    add(module.resolve())
    return "\n".join(texts.values())


def packed(source: str) -> str:
    """Return a short module that unpacks and imports `source`: it travels in the first message of every widget."""
    return _UNPACK.format(base64.b64encode(zlib.compress(source.encode(), 9)).decode())


_of_cell: dict[str, list[tuple[str, Any]]] = {}  # by cell: (which run of it, a widget that it made)


def running_cell() -> tuple[str, str] | None:
    """Return which cell of a notebook is running, and which run of it this is; None outside of notebooks."""
    asked_by = getattr(get_ipython(), "get_parent", dict)()
    cell, run = asked_by.get("metadata", {}).get("cellId"), asked_by.get("header", {}).get("msg_id")
    return (cell, run) if cell and run else None


class Widget(anywidget.AnyWidget):
    """A view of plain data: `view.js` and `view.css` stand beside the class, traits hold what they show.

    A subclass writes `fallback()`, the same facts as static HTML: readers of a saved notebook see that. Text, not paths,
    is handed on: for a path anywidget would start a thread that watches the file.
    """

    def __init_subclass__(cls, **kwargs: Any):
        folder = Path(getattr(sys.modules[cls.__module__], "__file__", None) or ".").parent
        made_here = (
            "_esm" not in cls.__dict__
        )  # anywidget subclasses again for each widget, with traits in place of texts
        if made_here and cls.__module__ != "__main__" and (folder / "view.js").is_file():
            source = joined(folder / "view.js")
            cls._esm = packed(source) if len(source) > PACK else source
            cls._css = f"{SHARED_CSS}\n{(folder / 'view.css').read_text(encoding='utf-8')}"
        super().__init_subclass__(**kwargs)

    def retire(self) -> None:
        """Follow nothing more, but stay to be looked at."""
        raise NotImplementedError(f"{type(self).__name__} has no retire(self); write one that ends what it listens to.")

    def retire_earlier(self) -> None:
        """Retire the widgets that an earlier run of this notebook cell made: nobody sees them any more."""
        cell = running_cell()
        if cell is None:
            return
        where, run = cell
        made = _of_cell.pop(where, [])
        _of_cell[where] = [*[entry for entry in made if entry[0] == run], (run, ref(self))]
        for then, one in made:
            if then != run and (widget := one()) is not None:
                widget.retire()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def fallback(self) -> str:
        """Return what the widget shows now as HTML without scripts, at most 20 KB."""
        raise NotImplementedError(f"{type(self).__name__} has no fallback(self); write one that returns static HTML.")

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict] | None:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is not None:
            bundle[0].update({"text/plain": repr(self), "text/html": self.fallback()})
        return bundle
