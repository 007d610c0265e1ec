"""The base of all widgets: one ES module and one style sheet per class, and a view for readers without a kernel."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import anywidget

HERE = Path(__file__).parent
SHARED_JS = (HERE / "common.js").read_text(encoding="utf-8")
SHARED_CSS = (HERE / "common.css").read_text(encoding="utf-8")
_IMPORT = re.compile(r'^import \{[^}]*\} from "\.\./common\.js";\n', re.MULTILINE)


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
            cls._esm = f"{SHARED_JS}\n{_IMPORT.sub('', (folder / 'view.js').read_text(encoding='utf-8'))}"
            cls._css = f"{SHARED_CSS}\n{(folder / 'view.css').read_text(encoding='utf-8')}"
        super().__init_subclass__(**kwargs)

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
