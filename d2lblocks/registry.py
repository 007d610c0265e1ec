"""Classes found by name: `"xavier"` finds `Xavier`, `"adam"` finds `Adam`."""

from __future__ import annotations

from typing import Any, ClassVar

from d2lblocks.errors import ArgumentError


class Named:
    """Mixin of a root class; its subclasses join the root's `registry` by being defined."""

    registry: ClassVar[dict[str, type]]
    kind: ClassVar[str] = "class"

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if Named in cls.__bases__:
            cls.registry = {}
        else:
            cls.registry[cls.__name__.lower()] = cls

    @classmethod
    def find(cls, name: str) -> type:
        """Return the class registered as `name`, in any case; ArgumentError lists the names there are."""
        try:
            return cls.registry[name.lower()]
        except KeyError:
            known = ", ".join(sorted(cls.registry))
            raise ArgumentError(f"Cannot find {cls.kind} {name}. Known names: {known}.") from None
