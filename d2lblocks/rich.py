"""How a core object asks for a notebook view without knowing any: painters register with `html` from above."""

from functools import singledispatch


@singledispatch
def html(thing: object) -> str | None:
    """Return the HTML view of `thing`, or None: then the notebook shows its text."""
    return None


class Rich:
    """Mixin: the notebook view of an object is whatever painter has registered for its class."""

    __slots__ = ()

    def _repr_html_(self) -> str | None:
        return html(self)
