"""Machine code for the one loop that a compiler does not make fast by itself: a tile of a product, held in registers.

A processor has some 16 or 32 registers of 4, 8 or 16 numbers, its lanes, and multiplies and adds all lanes at once (fma).
A tile is R rows of V such vectors of y, kept in registers while p runs over the terms of the sums:

    y[r, v] += x[r, p] w[p, v]        a number of x, repeated in all lanes, times a vector of w

so that each vector of w that is read serves R rows, and each number of x serves V vectors. An fma must wait about four
steps for the one before it, and two start in each step: a tile with fewer than eight vectors takes in several terms at a
time, in sums of their own. A row's last vector may stand out beyond it; then it is a tile by itself, with masked lanes.

LLVM's instructions are written by an IRBuilder, llvmlite's; loops of Python below write the same instruction for each r and v.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import numpy as onp
from llvmlite import binding, ir
from numba import carray, from_dtype, njit, typeof, types  # pyright: ignore[reportPrivateImportUsage]
from numba.core import cgutils, config
from numba.extending import intrinsic

from d2lblocks.kernels.product import SHORT, SPAN

CHAINS = 8  # so many sums at a time keep the multipliers busy

INT, BIT, FLOAT = ir.IntType(64), ir.IntType(1), ir.FloatType()
POSITION = ir.IntType(32)  # of a lane
SIZE = 4  # bytes of a number
APART = (
    "arcp",
)  # means nothing but for divisions; where there is no flag, Numba puts one that lets operations be fused

KEPT: list[Any] = []


class Host(NamedTuple):
    """What a processor offers: lanes of a vector, whether they can be masked, and tiles that fit into its registers.

    Tiles are {rows: vectors}, from many to few and down to 1.
    """

    lanes: int
    masked: bool
    tiles: dict[int, tuple[int, ...]]


def host() -> Host:
    """Return what this processor offers, or the one that NUMBA_CPU_NAME and NUMBA_CPU_FEATURES tell of."""
    name, features = getattr(config, "CPU_NAME", None), getattr(config, "CPU_FEATURES", None)
    if name in (None, "host"):
        has = {name for name, there in binding.get_host_cpu_features().items() if there}
    else:
        has = {name[1:] for name in (features or "").split(",") if name.startswith("+")}
    if "avx512f" in has:  # 32 registers
        return Host(16, True, {12: (2, 1), 8: (2, 1), 4: (4, 1), 2: (8, 1), 1: (16, 4, 1)})
    if {"avx2", "fma"} <= has:  # 16 registers
        return Host(8, True, {6: (2, 1), 4: (2, 1), 2: (4, 1), 1: (8, 1)})
    if platform.machine() in ("arm64", "aarch64"):  # 32 registers
        return Host(4, False, {8: (2, 1), 4: (4, 1), 2: (4, 1), 1: (8, 1)})
    return Host(4, False, {4: (2, 1), 2: (4, 1), 1: (8, 1)})


class Lanes:
    """A function of `module` that works on vectors of so many lanes; `new` if it has to be written still."""

    def __init__(self, module: ir.Module, name: str, lanes: int, arguments: int):
        self.module, self.lanes = module, lanes
        self.vector = ir.VectorType(FLOAT, lanes)
        self.zero = ir.Constant(self.vector, [0.0] * lanes)
        self.function, self.new = function(module, f"d2lblocks_{name}", arguments)
        if self.new:
            self.build = ir.IRBuilder(self.function.append_basic_block())

    def repeated(self, number: Any) -> Any:
        """Return a vector of equal numbers."""
        none = ir.Constant(ir.VectorType(number.type, self.lanes), ir.Undefined)
        zeros = self.lanes_at([0] * self.lanes)
        return self.build.shuffle_vector(self.build.insert_element(none, number, POSITION(0)), none, zeros)

    def first(self, count: Any) -> Any:
        """Return a mask: for each lane whether it is one of the first `count`."""
        lanes = ir.Constant(ir.VectorType(INT, self.lanes), list(range(self.lanes)))
        return self.build.icmp_signed("<", lanes, self.repeated(count))

    def load(self, at: Any, mask: Any) -> Any:
        """Read a vector, 0 in masked lanes."""
        pointer: Any = self.build.inttoptr(at, self.vector.as_pointer())
        if mask is None:
            return self.build.load(pointer, align=SIZE)
        kinds = [pointer.type, POSITION, mask.type, self.vector]
        load = self.declared("llvm.masked.load", self.vector, kinds, ".p0")
        return self.build.call(load, [pointer, POSITION(SIZE), mask, self.zero])

    def save(self, value: Any, at: Any, mask: Any) -> None:
        """Write a vector, but for masked lanes."""
        pointer: Any = self.build.inttoptr(at, self.vector.as_pointer())
        if mask is None:
            self.build.store(value, pointer, align=SIZE)
            return
        kinds = [self.vector, pointer.type, POSITION, mask.type]
        store = self.declared("llvm.masked.store", ir.VoidType(), kinds, ".p0")
        self.build.call(store, [value, pointer, POSITION(SIZE), mask])

    def declared(self, name: str, result: ir.Type, kinds: list, suffix: str) -> ir.Function:
        """Return one of LLVM's own functions on vectors."""
        name = f"{name}.v{self.lanes}f32{suffix}"
        return self.module.globals.get(name) or ir.Function(self.module, ir.FunctionType(result, kinds), name)

    def number(self, address: Any) -> Any:
        return self.build.inttoptr(address, FLOAT.as_pointer())

    @staticmethod
    def lanes_at(positions: list[int]) -> ir.Constant:
        return ir.Constant(ir.VectorType(POSITION, len(positions)), positions)


class Tile(Lanes):
    """y = x w + b for R rows and V vectors; if `masked`, of each vector only as far as `left` numbers."""

    def __init__(self, module: ir.Module, rows: int, vectors: int, lanes: int, masked: bool):
        super().__init__(module, f"tile_{rows}x{vectors}x{lanes}", lanes, 13)
        self.rows, self.vectors, self.masked = rows, vectors, masked
        if self.new:
            self.write()

    def write(self) -> None:
        k, x, self.x_row, x_col, w, w_row, y, y_row, b, b_row, relu, step, left = self.function.args
        build = self.build
        self.mask = self.first(left) if self.masked else None
        copies = max(1, CHAINS // (self.rows * self.vectors))
        places = [(r, v) for r in range(self.rows) for v in range(self.vectors)]
        sums = [{place: build.alloca(self.vector) for place in places} for _ in range(copies)]
        for one in sums:
            for place in places:
                build.store(self.zero, one[place])
        self.add_terms(sums, k, x, x_col, w, w_row)
        self.end(sums, b, b_row, step)
        everything = self.repeated(build.not_(build.trunc(relu, BIT)))
        for r, v in places:
            total = build.load(sums[0][r, v])
            passes = build.or_(everything, build.fcmp_unordered(">", total, self.zero))  # unordered: NaN passes too
            self.save(build.select(passes, total, self.zero), self.at(y, r, y_row, v), self.mask)
        build.ret_void()

    def at(self, address: Any, row: int, stride: Any, v: int) -> Any:
        return offset(self.build, address, (row, stride), (v * self.lanes, 1))

    def end(self, sums: list, b: Any, b_row: Any, step: Any) -> None:
        """Add the sums up into the first ones, and b, if its address is not 0: last, for it may be large beside them.

        Where `step` is no 0, they become b - eta (rescale sum): each operation rounds, as it does in `update.sgd`.
        """
        build: Any = self.build  # its stubs know no flags
        for place, first in sums[0].items():
            total = [build.load(one[place]) for one in sums]
            while len(total) > 1:
                total = [build.fadd(one, other) for one, other in zip(total[::2], total[1::2], strict=True)]
            build.store(total[0], first)
        with (
            build.if_then(build.icmp_signed("!=", b, INT(0))),
            build.if_else(build.icmp_signed("==", step, INT(0))) as (plain, downhill),
        ):
            with plain:
                for (r, v), first in sums[0].items():
                    build.store(build.fadd(build.load(first), self.load(self.at(b, r, b_row, v), self.mask)), first)
            with downhill:
                rescale, eta = (self.repeated(build.load(self.number(offset(build, step, (i, 1))))) for i in (0, 1))
                for (r, v), first in sums[0].items():
                    way = build.fmul(eta, build.fmul(build.load(first), rescale, flags=APART), flags=APART)
                    before = self.load(self.at(b, r, b_row, v), self.mask)
                    build.store(build.fsub(before, way, flags=APART), first)

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
        fma = self.declared("llvm.fmuladd", self.vector, [self.vector] * 3, "")  # in one step where the host can
        vectors = [self.load(self.at(w, 0, 1, v), self.mask) for v in range(self.vectors)]
        for r in range(self.rows):
            many = self.repeated(build.load(self.number(offset(build, x, (r, self.x_row))), align=SIZE))
            for v, vector in enumerate(vectors):
                total = sums[r, v]
                build.store(build.call(fma, [many, vector, build.load(total)]), total)


def product(module: ir.Module, has: Host) -> ir.Function:
    """Return the function of `product.product`: it lays tiles over y, the highest and widest that fit still."""
    code, new = function(module, f"d2lblocks_product_{has.lanes}", 14)
    if not new:
        return code
    n, k, m, x, x_row, x_col, w, w_row, y, y_row, b, b_row, relu, step = code.args
    build = ir.IRBuilder(code.append_basic_block())
    i, j = build.alloca(INT), build.alloca(INT)
    nothing = build.icmp_signed("==", b, INT(0))
    build.store(INT(0), i)

    def lay(tile: Tile, row: Any) -> None:
        end = build.add(m, INT(tile.lanes - 1 if tile.masked else 0))
        with counting(build, j, end, tile.vectors * tile.lanes) as column:
            addend = build.select(nothing, b, offset(build, b, (row, b_row), (column, 1)))
            left = build.sub(m, column)
            x_at, w_at = offset(build, x, (row, x_row)), offset(build, w, (column, 1))
            y_at = offset(build, y, (row, y_row), (column, 1))
            places = [k, x_at, x_row, x_col, w_at, w_row, y_at, y_row, addend, b_row]
            build.call(tile.function, [*places, relu, step, left])

    for rows, widths in has.tiles.items():
        with counting(build, i, n, rows) as row:
            build.store(INT(0), j)
            for vectors in widths:
                lay(Tile(module, rows, vectors, has.lanes, has.masked and vectors == 1), row)
            if not has.masked:  # the columns left over one by one
                lay(Tile(module, rows, 1, 1, False), row)
    build.ret_void()
    return code


class Turn(Lanes):
    """t = aᵀ for a square of as many rows as there are lanes, or a part of it: (rows, columns) -> (columns, rows)."""

    def __init__(self, module: ir.Module, lanes: int, masked: bool):
        super().__init__(module, f"turn_{lanes}", lanes, 6)
        if self.new:
            self.write(masked)

    def write(self, masked: bool) -> None:
        build = self.build
        rows, columns, a, a_row, t, t_row = self.function.args
        i, j = build.alloca(INT), build.alloca(INT)
        high, wide = (build.icmp_signed("==", count, INT(self.lanes)) for count in (rows, columns))
        with build.if_else(build.and_(high, wide)) as (whole, part):
            with whole:
                self.turn(a, a_row, t, t_row, lambda *_: None)
            with part:
                if masked:
                    self.turn(a, a_row, t, t_row, self.inside)
                else:
                    build.store(INT(0), i)
                    with counting(build, i, rows, 1) as r:
                        build.store(INT(0), j)
                        with counting(build, j, columns, 1) as c:
                            number = build.load(self.number(offset(build, a, (r, a_row), (c, 1))), align=SIZE)
                            build.store(number, self.number(offset(build, t, (c, t_row), (r, 1))), align=SIZE)
        build.ret_void()

    def turn(self, a: Any, a_row: Any, t: Any, t_row: Any, mask: Callable) -> None:
        """In each pair of rows swap the numbers beside the diagonal, then blocks in pairs of pairs, and so on."""
        build, lanes, (rows, columns, *_) = self.build, range(self.lanes), self.function.args
        vectors = [self.load(offset(build, a, (r, a_row)), mask(r, rows, columns)) for r in lanes]
        size = 1
        while size < self.lanes:
            upper = self.lanes_at([self.lanes + i - size if i & size else i for i in lanes])
            lower = self.lanes_at([self.lanes + i if i & size else i + size for i in lanes])
            for r in lanes:
                if not r & size:
                    pair = vectors[r], vectors[r + size]
                    vectors[r], vectors[r + size] = (build.shuffle_vector(*pair, half) for half in (upper, lower))
            size *= 2
        for r, vector in enumerate(vectors):
            self.save(vector, offset(build, t, (r, t_row)), mask(r, columns, rows))

    def inside(self, r: int, rows: Any, columns: Any) -> Any:
        """Return a mask for row r: its columns, if there is such a row."""
        return self.build.and_(self.repeated(self.build.icmp_signed(">", rows, INT(r))), self.first(columns))


def function(module: ir.Module, name: str, arguments: int) -> tuple[ir.Function, bool]:
    """Return the function of so many integers, and whether it is new; linked once, however many kernels call it."""
    if name in module.globals:
        return module.globals[name], False
    new = ir.Function(module, ir.FunctionType(ir.VoidType(), [INT] * arguments), name)
    new.linkage = "linkonce_odr"
    new.attributes.add("noinline")  # or LLVM works on a copy in each kernel anew
    return new, True


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


def inner(write: Callable[[ir.Module], ir.Function], arguments: int) -> Any:
    """Return a function of so many integers for use in kernels, with the machine code that `write` adds to a module."""

    @intrinsic
    def code(typing, *args) -> Any:
        def lower(context, builder, signature, values):
            values = cgutils.unpack_tuple(builder, values[0])
            builder.call(write(builder.module), values)
            return context.get_dummy_value()

        return types.none(types.UniTuple(types.int64, arguments)), lower

    return code


def numbers(count: int) -> Any:
    """Return the signature of a function of so many integers: it is compiled once, whatever integers a kernel has."""
    return types.none(*[types.int64] * count)


def compiled_product(has: Host) -> Any:
    """Return `product.product` as Numba compiles it into a kernel."""
    lay = inner(lambda module: product(module, has), 14)

    def blocked(n, k, m, x, x_row, x_col, w, w_row, y, y_row, b, b_row, relu, step):
        some = max(SHORT, SPAN // max(1, w_row))
        while k > some:  # so many terms at a time
            lay(n, some, m, x, x_row, x_col, w, w_row, y, y_row, b, b_row, 0, 0)
            x, w, k = x + SIZE * some * x_col, w + SIZE * some * w_row, k - some
            b, b_row = y, y_row
        lay(n, k, m, x, x_row, x_col, w, w_row, y, y_row, b, b_row, relu, step)

    return njit(numbers(14))(blocked)


def compiled_transpose(has: Host) -> Any:
    """Return `product.transpose` as Numba compiles it into a kernel."""
    lanes = has.lanes
    turn = inner(lambda module: Turn(module, lanes, has.masked).function, 6)

    def squares(rows, columns, a, a_row, t, t_row):
        for i in range(0, rows, lanes):
            for j in range(0, columns, lanes):
                corner, turned = a + SIZE * (i * a_row + j), t + SIZE * (j * t_row + i)
                turn(min(lanes, rows - i), min(lanes, columns - j), corner, a_row, turned, t_row)

    return njit(numbers(6))(squares)


def compiled_address(has: Host) -> Any:
    """Return `product.address` as Numba compiles it into a kernel."""
    return njit(lambda a: onp.int64(a.ctypes.data))


def compiled_numbers(number: Any) -> Any:
    """Return `floats` and its like, as Numba compiles them into a kernel."""

    @intrinsic
    def pointer(typing, address) -> Any:
        def lower(context, builder, signature, args):
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return types.CPointer(number)(types.int64), lower

    return njit(lambda address, n: carray(pointer(address), n))  # pyright: ignore[reportCallIssue]


WRITTEN = {"product": compiled_product, "transpose": compiled_transpose, "address": compiled_address}


@cache
def kind(name: str, plain: Any) -> Any:
    """Return Numba's type of the inner function of that name, whose plain Python is compiled if there is no code for it."""
    if name in WRITTEN:
        made = WRITTEN[name](host())
    elif name.startswith("numbers of "):
        made = compiled_numbers(from_dtype(onp.dtype(name.split()[-1])))
    else:
        made = njit(error_model="numpy", fastmath={"contract"}, forceinline=True)(plain)
    KEPT.append(made)  # a type does not keep its function
    return typeof(made)
