"""A chain of operations on long arrays as one loop: numbers come into registers, go through all links, and leave.

`tiles` takes a link at a time through the nearest cache. What a compiler can do better is shown here, in three steps:

1. The formulas of `elementwise` are called with vectors in place of numbers. A `Vector` does not compute: each + and *
   writes an instruction of LLVM's language and returns the vector that this instruction will make.
2. The instructions stand in a loop that reads the chain's arrays and writes its results, some 16 numbers at a time. What
   goes from link to link needs no place in memory: it has a name.
3. LLVM, which llvmlite brings along, turns the names into registers and the text into machine code, in some 10 ms.

Of a chain that begins by x * 0.5 step 2 writes into the loop, for x at place 1 and a tile full of 0.5 at place 7:

    %v0 = getelementptr float, ptr %a1, i64 %i
    %v3 = load <16 x float>, ptr %v0, align 4
    %v4 = fmul <16 x float> %v3, %c7
"""

from __future__ import annotations

import ctypes
import operator
import os
import sys
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import numpy as onp
from llvmlite import binding as llvm

from d2lblocks.kernels import elementwise as E
from d2lblocks.kernels import tiles

PAYS = 2**23  # so many numbers that have gone through a chain make it worth to compile it
STREAMS = 2**22  # so many at a time are written past the caches: they would not stay there
AHEAD = 4096  # bytes: so early memory is asked for what will be read
KEPT = 64  # loops of some 1 MB


def written(instruction: str, swapped: bool = False) -> Callable:
    """Return a method that writes an instruction with two operands."""

    def method(self: Vector, other: Any) -> Vector:
        a, b = (other, self) if swapped else (self, other)
        return self.code.write(f"{instruction} {self.code.kind(self)} {self.code.name(a)}, {self.code.name(b)}")

    return method


class Vector:
    """Numbers side by side in a register, or for each whether a condition holds (`mask`)."""

    __array_ufunc__ = None  # so a number of NumPy leaves it to this class what number * vector means

    def __init__(self, code: Code, name: str, mask: bool = False):
        self.code, self.name, self.mask = code, name, mask

    # A product and a sum may become one instruction (contract), as in every kernel; nothing else is allowed.
    __add__, __radd__ = written("fadd contract"), written("fadd contract", swapped=True)
    __sub__, __rsub__ = written("fsub contract"), written("fsub contract", swapped=True)
    __mul__, __rmul__ = written("fmul contract"), written("fmul contract", swapped=True)
    __truediv__, __rtruediv__ = written("fdiv"), written("fdiv", swapped=True)
    __lt__, __gt__, __ne__ = written("fcmp olt"), written("fcmp ogt"), written("fcmp une")  # pyright: ignore
    __or__ = written("or")

    def __pos__(self) -> Vector:
        return self

    def __neg__(self) -> Vector:
        return self.code.write(f"fneg {self.code.real} {self.name}")

    def __abs__(self) -> Vector:
        return self.code.call("fabs", self)

    def where(self, a: Any, b: Any) -> Vector:
        """See elementwise.where: this is the condition."""
        real, a, b = self.code.real, self.code.name(a), self.code.name(b)
        return self.code.write(f"select {self.code.kind(self)} {self.name}, {real} {a}, {real} {b}")

    def power(self) -> Vector:
        """See elementwise.power."""
        real, whole = self.code.real, self.code.real.replace("float", "i32")
        bits = self.code.write(f"bitcast {real} {self.name} to {whole}").name
        bits = self.code.write(f"shl {whole} {bits}, {self.code.repeated('i32 23')}").name
        return self.code.write(f"bitcast {whole} {bits} to {real}")

    def signed(self, y: Vector) -> Vector:
        """See elementwise.signed."""
        return self.code.call("copysign", self, y)

    def root(self) -> Vector:
        """See elementwise.root."""
        return self.code.call("sqrt", self)


# By kind of link. A sum of links is a sum, not fused with a product: so it is the same number as in tiles and in NumPy.
FORMULAS: dict[int, Callable] = {
    tiles.SUM: written("fadd"), tiles.DIFFERENCE: written("fsub"), tiles.PRODUCT: written("fmul"),
    tiles.QUOTIENT: written("fdiv"), tiles.LARGER: E.larger, tiles.SMALLER: E.smaller, tiles.RELU_BACK: E.relu_back,
    tiles.SIGMOID_BACK: E.sigmoid_back, tiles.TANH_BACK: E.tanh_back, tiles.SAME: operator.pos,
    tiles.NEGATIVE: operator.neg, tiles.EXP: E.exp, tiles.TANH: E.tanh, tiles.SIGMOID: E.sigmoid, tiles.RELU: E.relu,
    tiles.ROOT: E.root, tiles.ABSOLUTE: abs, tiles.ERF: E.erf,
}  # fmt: skip


class Code:
    """The text of a function that takes numbers first to last - 1 through all links, as many at a time as there are lanes."""

    def __init__(self, links: tuple, lanes: int, streams: bool):
        self.lanes, self.streams, self.real = lanes, streams, f"<{lanes} x float>"
        self.before: dict[str, str] = {}  # the loop, by names
        self.lines: list[str] = []  # in the loop
        self.declared = {"declare void @llvm.prefetch.p0(ptr, i32, i32, i32)"}
        values: dict[int, Vector] = {}  # by place
        for _, kind, flags, _, _, a, b, to, *_ in links:
            for place, moves in ((a, flags & 1), (b, flags & 2)):
                if place not in values:
                    values[place] = self.read(place) if moves else self.constant(place)
            found = values[a], values[b]
            values[to] = FORMULAS[kind](*found[: 2 if kind < tiles.SAME else 1])
            if flags & 4:
                self.save(values[to], to)

    def write(self, instruction: str) -> Vector:
        """Write an instruction; returns what it makes."""
        name = f"%v{len(self.lines)}"
        self.lines.append(f"{name} = {instruction}")
        return Vector(self, name, mask=instruction.startswith(("fcmp", "or")))

    def kind(self, value: Vector) -> str:
        return self.real.replace("float", "i1") if value.mask else self.real

    def name(self, value: Any) -> str:
        """Return a vector by name, a number by its bits: LLVM writes a float with those of a double."""
        if type(value) is Vector:
            return value.name
        return self.repeated(f"float 0x{onp.float64(value).view(onp.uint64):016X}")

    def repeated(self, constant: str) -> str:
        return f"<{', '.join([constant] * self.lanes)}>"

    def call(self, name: str, *operands: Vector) -> Vector:
        """Write a call of one of LLVM's own functions on vectors."""
        function = f"{self.real} @llvm.{name}.v{self.lanes}f32"
        self.declared.add(f"declare {function}({', '.join([self.real] * len(operands))})")
        return self.write(f"call {function}({', '.join(f'{self.real} {x.name}' for x in operands)})")

    def array(self, place: int) -> str:
        """Return the address of the array at a place; it is read before the loop begins."""
        self.before[f"%s{place}"] = f"getelementptr i64, ptr %slots, i64 {place}"
        self.before[f"%a{place}"] = f"load ptr, ptr %s{place}"
        return f"%a{place}"

    def constant(self, place: int) -> Vector:
        """Read a number, of which there is a tile full, before the loop begins."""
        self.before[f"%c{place}"] = f"load {self.real}, ptr {self.array(place)}, align 4"
        return Vector(self, f"%c{place}")

    def read(self, place: int) -> Vector:
        """Read numbers of an array."""
        here = self.write(f"getelementptr float, ptr {self.array(place)}, i64 %i").name
        if self.lanes > 1:
            later = self.write(f"getelementptr i8, ptr {here}, i64 {AHEAD}").name
            self.lines.append(f"call void @llvm.prefetch.p0(ptr {later}, i32 0, i32 3, i32 1)")
        return self.write(f"load {self.real}, ptr {here}, align 4")

    def save(self, value: Vector, place: int) -> None:
        """Write numbers into an array."""
        here = self.write(f"getelementptr float, ptr {self.array(place)}, i64 %i").name
        how = f"{4 * self.lanes}, !nontemporal !0" if self.streams else "4"
        self.lines.append(f"store {self.real} {value.name}, ptr {here}, align {how}")

    def text(self) -> str:
        """Return the function, in LLVM's language."""
        return "\n".join([
            f"define void @by_{self.lanes}(ptr %slots, i64 %first, i64 %last) {{",
            "start:", *[f"{name} = {instruction}" for name, instruction in self.before.items()], "br label %loop",
            "loop:", "%i = phi i64 [%first, %start], [%next, %loop]", *self.lines,
            f"%next = add i64 %i, {self.lanes}", "%more = icmp slt i64 %next, %last",
            "br i1 %more, label %loop, label %done",
            "done:", "ret void", "}",
        ])  # fmt: skip


@cache
def processor() -> tuple[str, str, int]:
    """Return LLVM's name of the processor, what it offers, and how many numbers its registers hold.

    It is this one, or as for the other kernels the one that NUMBA_CPU_NAME and NUMBA_CPU_FEATURES tell of.
    """
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name, features = os.environ.get("NUMBA_CPU_NAME") or "host", os.environ.get("NUMBA_CPU_FEATURES") or ""
    if name == "host":
        name, features = llvm.get_host_cpu_name(), features or llvm.get_host_cpu_features().flatten()
    has = features.split(",")
    return name, features, 16 if "+avx512f" in has else 8 if "+avx2" in has else 4


@lru_cache(KEPT)
def compiled(links: tuple, streams: bool) -> Callable[[int, int, int], None]:
    """Return a chain as a function of three integers: address of the slots, how many numbers come first one by one, all."""
    name, features, lanes = processor()
    codes = [Code(links, 1, False), Code(links, lanes, streams)]
    declared = sorted(set().union(*[code.declared for code in codes]))
    module = llvm.parse_assembly("\n".join([*declared, *[code.text() for code in codes], "!0 = !{i32 1}"]))
    target = llvm.Target.from_default_triple().create_target_machine(name, features)
    engine = llvm.create_mcjit_compiler(module, target)
    engine.finalize_object()
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)  # lets other threads run meanwhile
    one, many = (kind(engine.get_function_address(f"by_{code.lanes}")) for code in codes)

    def run(slots: int, first: int, n: int, _alive: Any = engine) -> None:
        last = n - (n - first) % lanes
        for code, start, end in ((one, 0, first), (many, first, last), (one, last, n)):
            if start < end:
                code(slots, start, end)

    return run


class Chain:
    """A long chain of a program, given by its rows and the addresses they are about: compiled as soon as that pays."""

    def __init__(self, rows: list[list[int]], slots: onp.ndarray):
        self.n, self.links = rows[0][1], tuple(map(tuple, rows[1:]))
        self.slots, self.address = slots, slots.ctypes.data
        self.results = sorted({row[7] for row in self.links if row[2] & 4})
        self.seen = 0
        self.codes: dict[bool, Callable] = {}  # that write past the caches, or not

    def run(self) -> bool:
        """Do the work, or return False: then tiles are still the better way."""
        self.seen += self.n
        if self.seen < PAYS:
            return False
        # A vector that is written past the caches has to be a line of memory: those before the first line come one by one.
        first, *others = {-int(self.slots[place]) // 4 % processor()[2] for place in self.results} or {0}
        streams = self.n >= STREAMS and not others
        if streams not in self.codes:
            try:
                self.codes[streams] = compiled(self.links, streams)
            except (RuntimeError, OSError):  # a version of LLVM that reads another language
                self.seen = -sys.maxsize
                return False
        self.codes[streams](self.address, first if streams else 0, self.n)
        return True
