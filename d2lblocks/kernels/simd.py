"""Machine code for the one loop that a compiler does not make fast by itself: a tile of a product, held in registers.

A processor has some 16 or 32 registers of 4, 8 or 16 numbers, its lanes, and multiplies and adds all lanes at once (fma).
A tile is R rows of V such vectors of y, kept in registers while p runs over the terms of the sums:

    y[r, v] += x[r, p] w[p, v]        a number of x, repeated in all lanes, times a vector of w

so that each vector of w that is read serves R rows, and each number of x serves V vectors. An fma must wait about four
steps for the one before it, and two start in each step: a tile with fewer than eight vectors takes in several terms at a
time, in sums of their own. The last vector of a row may stand out beyond it; its lanes there are masked.

LLVM's instructions are written by an IRBuilder, llvmlite's; loops of Python below write the same instruction for each r and v.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import numpy as onp
from llvmlite import binding, ir
from numba import from_dtype, njit, typeof, types
from numba.core import config
from numba.extending import intrinsic
from numba.np.numpy_support import carray

CHAINS = 8  # so many sums at a time keep the multipliers busy

INT, BIT, FLOAT = ir.IntType(64), ir.IntType(1), ir.FloatType()
POSITION = ir.IntType(32)  # of a lane
SIZE = 4  # bytes of a number
KEPT: list[Any] = []


class Host(NamedTuple):
    """What a processor offers: lanes of a vector, whether they can be masked, and tiles that fit into its registers.

    Tiles are {rows: vectors}, rows from many to few and down to 1, vectors a power of two.
    """

    lanes: int
    masked: bool
    tiles: dict[int, int]


def host() -> Host:
    """Return what this processor offers, or the one that NUMBA_CPU_NAME and NUMBA_CPU_FEATURES tell of."""
    name, features = getattr(config, "CPU_NAME", None), getattr(config, "CPU_FEATURES", None)
    if name in (None, "host"):
        has = {name for name, there in binding.get_host_cpu_features().items() if there}
    else:
        has = {name[1:] for name in (features or "").split(",") if name.startswith("+")}
    if "avx512f" in has:  # 32 registers
        return Host(16, True, {12: 2, 8: 2, 4: 4, 2: 4, 1: 8})
    if {"avx2", "fma"} <= has:  # 16 registers
        return Host(8, True, {6: 2, 4: 2, 2: 4, 1: 8})
    if platform.machine() in ("arm64", "aarch64"):  # 32 registers
        return Host(4, False, {8: 2, 4: 4, 2: 4, 1: 8})
    return Host(4, False, {4: 2, 2: 4, 1: 8})


class Tile:
    """y = x w + b for R rows and V vectors: one function of `module`, which `product` calls."""

    def __init__(self, module: ir.Module, rows: int, vectors: int, lanes: int, masked: bool):
        self.module, self.rows, self.vectors, self.lanes = module, rows, vectors, lanes
        self.vector = ir.VectorType(FLOAT, lanes)
        self.zero = ir.Constant(self.vector, [0.0] * lanes)
        self.function = function(module, f"d2lblocks_tile_{rows}x{vectors}x{lanes}", 12)
        k, x, x_row, x_col, w, w_row, y, y_row, b, b_row, relu, left = self.function.args
        self.build = build = ir.IRBuilder(self.function.append_basic_block())
        self.mask = self.masking(left) if masked else None
        self.x_row = x_row
        copies = max(1, CHAINS // (rows * vectors))
        places = [(r, v) for r in range(rows) for v in range(vectors)]
        sums = [{place: build.alloca(self.vector) for place in places} for _ in range(copies)]
        self.begin(sums, b, b_row)
        self.add_terms(sums, k, x, x_col, w, w_row)
        everything = self.repeated(build.not_(build.trunc(relu, BIT)))
        for r, v in places:
            total = [build.load(s[r, v]) for s in sums]
            while len(total) > 1:
                total = [build.fadd(one, other) for one, other in zip(total[::2], total[1::2], strict=True)]
            passes = build.or_(everything, build.fcmp_unordered(">", total[0], self.zero))  # unordered: NaN passes too
            self.save(build.select(passes, total[0], self.zero), offset(build, y, (r, y_row)), v)
        build.ret_void()

    def begin(self, sums: list, b: Any, b_row: Any) -> None:
        """Let the first sums begin at b, if its address is not 0, the others at 0."""
        build = self.build
        for one in sums:
            for place in one.values():
                build.store(self.zero, place)
        with build.if_then(build.icmp_signed("!=", b, INT(0))):
            for (r, v), place in sums[0].items():
                build.store(self.load(offset(build, b, (r, b_row)), v), place)

    def add_terms(self, sums: list, k: Any, x: Any, x_col: Any, w: Any, w_row: Any) -> None:
        """Add the k terms, as many at a time as there are sums, and one by one those left over."""
        p = self.build.alloca(INT)
        self.build.store(INT(0), p)
        for some in (sums, sums[:1]) if len(sums) > 1 else (sums,):
            with counting(self.build, p, k, len(some)) as now:
                for u, sums_of_term in enumerate(some):
                    term = self.build.add(now, INT(u))
                    column, row = offset(self.build, x, (term, x_col)), offset(self.build, w, (term, w_row))
                    self.add_term(sums_of_term, column, row)

    def add_term(self, sums: dict, x: Any, w: Any) -> None:
        """Add one number of each row of x times one row of w."""
        build = self.build
        fma = self.declared("llvm.fmuladd", self.vector, [self.vector] * 3, "")
        vectors = [self.load(w, v) for v in range(self.vectors)]
        for r in range(self.rows):
            number = build.load(build.inttoptr(offset(build, x, (r, self.x_row)), FLOAT.as_pointer()), align=SIZE)
            many = self.repeated(number)
            for v, vector in enumerate(vectors):
                build.store(
                    build.call(fma, [many, vector, build.load(sums[r, v])]), sums[r, v]
                )  # in one where the host can

    def masking(self, left: Any) -> Any:
        """Return for each lane whether it is one of the `left` numbers from the last vector on."""
        lanes = ir.Constant(ir.VectorType(INT, self.lanes), list(range(self.lanes)))
        return self.build.icmp_signed("<", lanes, self.repeated(left))

    def repeated(self, number: Any) -> Any:
        """Return a vector of equal numbers."""
        none = ir.Constant(ir.VectorType(number.type, self.lanes), ir.Undefined)
        zeros = ir.Constant(ir.VectorType(POSITION, self.lanes), [0] * self.lanes)
        return self.build.shuffle_vector(self.build.insert_element(none, number, POSITION(0)), none, zeros)

    def load(self, at: Any, v: int) -> Any:
        pointer = self.pointer(at, v)
        if self.mask is None or v < self.vectors - 1:
            return self.build.load(pointer, align=SIZE)
        kinds = [pointer.type, POSITION, self.mask.type, self.vector]
        load = self.declared("llvm.masked.load", self.vector, kinds, ".p0")
        return self.build.call(load, [pointer, POSITION(SIZE), self.mask, self.zero])

    def save(self, value: Any, at: Any, v: int) -> None:
        pointer = self.pointer(at, v)
        if self.mask is None or v < self.vectors - 1:
            self.build.store(value, pointer, align=SIZE)
            return
        kinds = [self.vector, pointer.type, POSITION, self.mask.type]
        store = self.declared("llvm.masked.store", ir.VoidType(), kinds, ".p0")
        self.build.call(store, [value, pointer, POSITION(SIZE), self.mask])

    def pointer(self, at: Any, v: int) -> Any:
        return self.build.inttoptr(self.build.add(at, INT(SIZE * self.lanes * v)), self.vector.as_pointer())

    def declared(self, name: str, result: ir.Type, kinds: list, suffix: str) -> ir.Function:
        """Return one of LLVM's own functions on vectors."""
        name = f"{name}.v{self.lanes}f32{suffix}"
        return self.module.globals.get(name) or ir.Function(self.module, ir.FunctionType(result, kinds), name)


def product(module: ir.Module, has: Host) -> ir.Function:
    """Return the function of `product.product`: it lays tiles over y, the highest and widest that fit still."""
    made = module.globals.get("d2lblocks_product")
    if made:
        return made
    code = function(module, "d2lblocks_product", 13)
    n, k, m, x, x_row, x_col, w, w_row, y, y_row, b, b_row, relu = code.args
    build = ir.IRBuilder(code.append_basic_block())
    i, j = build.alloca(INT), build.alloca(INT)
    nothing = build.icmp_signed("==", b, INT(0))
    build.store(INT(0), i)

    def lay(tile: Tile, row: Any, width: int, end: Any) -> None:
        with counting(build, j, end, width) as column:
            addend = build.select(nothing, b, offset(build, b, (row, b_row), (column, 1)))
            left = build.sub(build.sub(m, column), INT(width - tile.lanes))
            x_at, w_at = offset(build, x, (row, x_row)), offset(build, w, (column, 1))
            y_at = offset(build, y, (row, y_row), (column, 1))
            build.call(tile.function, [k, x_at, x_row, x_col, w_at, w_row, y_at, y_row, addend, b_row, relu, left])

    for rows, vectors in has.tiles.items():
        with counting(build, i, n, rows) as row:
            build.store(INT(0), j)
            while vectors:
                end = build.add(m, INT(has.lanes - 1)) if has.masked else m
                lay(Tile(module, rows, vectors, has.lanes, has.masked), row, vectors * has.lanes, end)
                vectors //= 2
            if not has.masked:  # the columns left over one by one
                lay(Tile(module, rows, 1, 1, False), row, 1, m)
    build.ret_void()
    return code


def function(module: ir.Module, name: str, arguments: int) -> ir.Function:
    """Return a new function of so many integers; linked once, however many kernels call it."""
    new = ir.Function(module, ir.FunctionType(ir.VoidType(), [INT] * arguments), name)
    new.linkage = "linkonce_odr"
    new.attributes.add("noinline")  # or LLVM works on a copy in each kernel anew
    return new


def offset(build: ir.IRBuilder, address: Any, *steps: tuple) -> Any:
    """Return `address` after so many steps of so many numbers."""
    for count, stride in steps:
        count, stride = (INT(s) if isinstance(s, int) else s for s in (count, stride))
        address = build.add(address, build.mul(build.mul(count, stride), INT(SIZE)))
    return address


@contextmanager
def counting(build: ir.IRBuilder, index: Any, end: Any, step: int) -> Iterator[Any]:
    """Write a loop: while index + step <= end: ...; index += step."""
    head, inside, after = (build.append_basic_block() for _ in range(3))
    build.branch(head)
    build.position_at_end(head)
    now = build.load(index)
    build.cbranch(build.icmp_signed("<=", build.add(now, INT(step)), end), inside, after)
    build.position_at_end(inside)
    yield now
    build.store(build.add(now, INT(step)), index)
    build.branch(head)
    build.position_at_end(after)


def compiled_product(has: Host) -> Any:
    """Return `product.product` as Numba compiles it into a kernel."""

    @intrinsic
    def code(typing, n, k, m, x, x_row, x_col, w, w_row, y, y_row, b, b_row, relu):
        def lower(context, builder, signature, args):
            builder.call(product(builder.module, has), args)
            return context.get_dummy_value()

        return types.none(*[types.int64] * 13), lower

    return njit(lambda *args: code(*args))


def compiled_address() -> Any:
    """Return `product.address` as Numba compiles it into a kernel."""
    return njit(lambda a: onp.int64(a.ctypes.data))


def compiled_numbers(number: Any) -> Any:
    """Return `floats` and its like, as Numba compiles them into a kernel."""

    @intrinsic
    def pointer(typing, address):
        def lower(context, builder, signature, args):
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return types.CPointer(number)(types.int64), lower

    def numbers(address, n):
        return carray(pointer(address), n)  # pyright: ignore[reportCallIssue]

    return njit(numbers)


@cache
def kind(name: str, plain: Any) -> Any:
    """Return Numba's type of the inner function of that name, whose plain Python is compiled if there is no code for it."""
    if name == "product":
        made = compiled_product(host())
    elif name == "address":
        made = compiled_address()
    elif name.startswith("numbers of "):
        made = compiled_numbers(from_dtype(onp.dtype(name.split()[-1])))
    else:
        made = njit(error_model="numpy", fastmath={"contract"})(plain)
    KEPT.append(made)  # a type does not keep its function
    return typeof(made)
