"""The table that `net.summary(x)` prints: one run through the net, layer by layer."""

from __future__ import annotations

from typing import Any

from d2lblocks.errors import MismatchError
from d2lblocks.np.ndarray import ndarray


def summary_text(net: Any, inputs: tuple) -> str:
    """Return the table of layers, output shapes and parameter counts, 80 columns wide."""
    rows: list[tuple[str, str, int]] = [("Input", _shapes(inputs), 0)]
    seen: set[int] = set()
    totals = {"total": 0, "trainable": 0, "shared": 0}
    handles: list[Any] = []

    def watch(block: Any) -> None:
        if getattr(block, "_active", False):
            raise MismatchError(f'"{block.name}" must not be hybridized to print summary.')

        def note(block: Any, _: Any, out: Any) -> None:
            count = 0
            for p in block.params.values():
                n = p.data().size
                count += n
                totals["trainable"] += 0 if p.grad_req == "null" else n
                totals["shared"] += n if id(p) in seen else 0
                seen.add(id(p))
            totals["total"] += count
            rows.append((f"{type(block).__name__}-{len(rows)}", _shapes(out), count))

        if getattr(block, "is_layer", True):
            handles.append(block.register_forward_hook(note))

    net.apply(watch)
    try:
        net(*inputs)
    finally:
        for handle in handles:
            handle.detach()
    return _table(rows, totals)


def _shapes(value: Any) -> str:
    """Return (1, 4) for an array, (1, 4), (2,) for several, with brackets around lists within lists."""
    shapes = _shape(value)
    return str(shapes)[1:-1] if isinstance(shapes, list) else str(shapes)


def _shape(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_shape(part) for part in value]
    return value.shape if isinstance(value, ndarray) else value


def _table(rows: list, totals: dict) -> str:
    line = "{:>20}  {:>42} {:>15}".format
    lines = ["-" * 80, line("Layer (type)", "Output Shape", "Param #"), "=" * 80]
    lines += [line(*row) for row in rows]
    lines += [
        "=" * 80,
        "Parameters in forward computation graph, duplicate included",
        f"   Total params: {totals['total']}",
        f"   Trainable params: {totals['trainable']}",
        f"   Non-trainable params: {totals['total'] - totals['trainable']}",
        f"Shared params in forward computation graph: {totals['shared']}",
        f"Unique parameters in model: {totals['total'] - totals['shared']}",
        "-" * 80,
    ]
    return "\n".join(lines)
