"""A reader of HTML for tests: what is in a view, and what JupyterLab leaves of it where the notebook is not trusted."""

import re
from html.parser import HTMLParser

# What JupyterLab 4.6 keeps of an untrusted output.
TAGS = {
    "details", "summary", "table", "caption", "thead", "tbody", "tr", "th", "td", "code", "pre", "b", "i", "small", "ins",
    "del", "span", "div", "p", "br", "ol", "li", "img",
}  # fmt: skip
ATTRIBUTES = {"open", "scope", "colspan", "style", "title", "alt", "src", "width", "height"}
STYLES = {
    "text-align": r"left", "margin": r"0", "margin-left": r"[\d.]+em", "padding": r"0 3px", "vertical-align": r"top",
    "font-weight": r"normal", "border": r"1px dashed #[0-9a-f]{6}",
    "background-color": r"rgba\(\d+,\d+,\d+,[\d.]+\)",
}  # fmt: skip
EMPTY = {"br", "img"}


class Page(HTMLParser):
    """Collects tags, attributes, styles and text; complains of tags left open or closed twice."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes, self.styles, self.pictures, self.parts = [], set(), set(), [], [], []
        self.feed(html)
        self.close()
        assert self.open == [], f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        given = dict(attrs)
        self.styles += [part for part in (given.get("style") or "").split(";") if part]
        if tag == "img":
            self.pictures.append(given)
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> inside {self.open}"
        self.open.pop()
        if tag in ("tr", "summary", "caption", "p", "li"):
            self.parts.append("\n")
        elif tag in ("td", "th"):
            self.parts.append(" | ")

    def handle_data(self, data):
        self.parts.append(data.replace("\N{NO-BREAK SPACE}", " "))

    @property
    def text(self):
        """What is left when all tags and styles are gone."""
        return "".join(self.parts)

    def unsafe(self):
        """Everything that JupyterLab would take away."""
        found = [f"<{tag}>" for tag in self.tags - TAGS] + sorted(self.attributes - ATTRIBUTES)
        for style in self.styles:
            name, _, value = style.partition(":")
            if name not in STYLES or not re.fullmatch(STYLES[name], value):
                found.append(style)
        return found
