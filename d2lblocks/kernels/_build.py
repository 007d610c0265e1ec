"""How kernels become machine code: Numba compiles each loop, and a few instructions before it make it a builtin.

A builtin is called by Python as `f(self, args, n)`: args is the address of n addresses of objects. The instructions read
from each object what the loop needs, an array's address and lengths or a number, and refuse what does not fit: then the
answer is False, and the caller takes the NumPy equal. self is the class ndarray. Only this module imports Numba.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
from functools import reduce
from typing import Any, NamedTuple, get_type_hints

import numpy as onp
from llvmlite import ir
from numba import from_dtype, njit, types
from numba.core import cgutils
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.np.arrayobj import populate_array

from d2lblocks import kernels
from d2lblocks.kernels._jit import KERNELS, PROBE, Array, Kernel, Work, environment

TARGET: Any = cpu_target.target_context
INT, SHORT, BYTE, REAL, BIT = ir.IntType(64), ir.IntType(32), ir.IntType(8), ir.DoubleType(), ir.IntType(1)
HEAD = object.__basicsize__  # bytes of what every object begins with; its class is the last of it
TYPE, DATA, NDIM, SHAPE, STRIDES, DESCR, FLAGS = HEAD - 8, HEAD, HEAD + 8, HEAD + 16, HEAD + 24, HEAD + 40, HEAD + 48
ORDER, NUMBER = HEAD + 10, HEAD + 12  # in the object of a dtype: its byte order, and which it is
USABLE = 0x501  # flags of an array: in C order, aligned, writeable
TRIAL = (
    "import sys; from d2lblocks.kernels import _jit; _jit.library.load(sys.stdin.buffer.read()); "
    "assert _jit.library.builtins"
)
BARE: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # Numba's own ways to call a loop
MANY = 2**16  # so many numbers make it worth to let other threads run meanwhile


class Argument(NamedTuple):
    """What the loop takes for an argument, and what of it decides on how it is called."""

    value: Any
    size: Any = None


def tried(body: bytes) -> None:
    """Raise unless machine code works in a fresh process: what is wrong with it may end a process."""
    done = subprocess.run([sys.executable, "-P", "-c", TRIAL], input=body, capture_output=True, env=environment())
    if done.returncode:
        raise RuntimeError(f"The machine code does not work: {done.stderr.decode(errors='replace') or done.returncode}")


def built() -> bytes:
    """Return the names of all kernels, a line of JSON, and their machine code."""
    for module in pkgutil.iter_modules(kernels.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{kernels.__name__}.{module.name}")
    codes = {kernel.name: compiled(kernel) for kernel in (PROBE, *KERNELS)}
    index = json.dumps({name: len(code) for name, code in codes.items()})
    return b"\n".join([index.encode(), b"".join(codes.values())])


@global_compiler_lock
def compiled(kernel: Kernel) -> bytes:
    """Return the object file with the builtin of a kernel; its symbol is the kernel's name."""
    hints = get_type_hints(kernel.loop, include_extras=True)
    result = types.boolean if hints.pop("return", None) is bool else types.void
    # Fusing a product and a sum (FMA) is allowed, reordering and forgetting NaN never are: results do not depend on the
    # CPU beyond FMA, and NaN passes through.
    options: dict[str, Any] = {"error_model": "numpy", "fastmath": set() if kernel.exact else {"contract"}}
    signature = result(*map(numba_type, hints.values()))
    loop = njit(signature, **options, **BARE)(kernel.loop)
    (compiled,) = loop.overloads.values()
    library = TARGET.codegen().create_library(kernel.name)
    library.enable_object_caching()
    module = library.create_ir_module(kernel.name)
    Builtin(module, kernel.name, list(hints.values()), compiled)
    library.add_ir_module(module)
    library.add_linking_library(compiled.library)
    library.finalize()
    return library._get_compiled_object()


def numba_type(hint: Any) -> Any:
    """Return Numba's type for the annotation of a parameter."""
    if isinstance(hint, type):
        return {bool: types.boolean, int: types.int64, float: types.float64}[hint]
    if hint is Work:
        return types.int64
    array: Array = hint.__metadata__[0]
    return types.Array(from_dtype(onp.dtype(array.dtype)), array.ndim, "C")


class Builtin:
    """The function that Python calls: it reads its arguments, refuses them or runs the loop."""

    def __init__(self, module: ir.Module, name: str, hints: list, loop: Any):
        self.module = module
        function = ir.Function(module, ir.FunctionType(INT, [INT] * 3), name)
        self.ndarray, args, n = function.args
        self.build = ir.IRBuilder(function.append_basic_block())
        self.refusal = function.append_basic_block("refusal")
        self.require("==", n, INT(len(hints)))
        found = [self.argument(hint, self.at(args, 8 * i)) for i, hint in enumerate(hints)]
        done = self.run(loop, found)
        self.build.ret(self.call("PyBool_FromLong", INT, done))
        self.build.position_at_end(self.refusal)
        self.build.ret(self.call("PyBool_FromLong", INT, INT(0)))

    def at(self, address: Any, offset: int = 0, kind: ir.Type = INT) -> Any:
        """Return the number that is so many bytes behind an address."""
        return self.build.load(self.build.inttoptr(self.build.add(address, INT(offset)), kind.as_pointer()))

    def call(self, name: str, result: ir.Type, *args: Any) -> Any:
        """Call a function of Python's C interface."""
        kind = ir.FunctionType(result, [a.type for a in args])
        return self.build.call(cgutils.get_or_insert_function(self.module, kind, name), args)

    def require(self, comparison: str, found: Any, wanted: Any) -> None:
        """Refuse the call unless both integers compare like this."""
        fits = self.build.function.append_basic_block("fits")
        self.build.cbranch(self.build.icmp_signed(comparison, found, wanted), fits, self.refusal)
        self.build.position_at_end(fits)

    def argument(self, hint: Any, item: Any) -> Argument:
        """Return what an object holds, or refuse it."""
        if hint is Work:
            value = self.argument(int, item).value
            return Argument(value, value)
        if not isinstance(hint, type):
            return self.array(hint, item)
        build = self.build
        if hint is bool:
            truth = self.call("PyObject_IsTrue", SHORT, item)
            self.require(">=", truth, SHORT(0))
            return Argument(build.trunc(truth, BIT))
        name, kind = {int: ("PyLong_AsLongLong", INT), float: ("PyFloat_AsDouble", REAL)}[hint]
        value = self.call(name, kind, item)
        compare = build.icmp_signed if hint is int else build.fcmp_ordered
        with build.if_then(compare("==", value, kind(-1)), likely=False):  # -1, or no number
            error = build.icmp_signed("!=", self.call("PyErr_Occurred", INT), INT(0))
            with build.if_then(error, likely=False):
                self.call("PyErr_Clear", ir.VoidType())
                build.branch(self.refusal)
        return Argument(value)

    def array(self, hint: Any, item: Any) -> Argument:
        """Return the array that an object is: one of the class ndarray itself, of the right dtype, in one piece."""
        wanted, build = hint.__metadata__[0], self.build
        self.require("==", self.at(item, TYPE), self.ndarray)
        self.require("==", self.at(item, NDIM, SHORT), SHORT(wanted.ndim))
        self.require("==", build.and_(self.at(item, FLAGS, SHORT), SHORT(USABLE)), SHORT(USABLE))
        dtype, shape, steps = self.at(item, DESCR), self.at(item, SHAPE), self.at(item, STRIDES)
        self.require("==", self.at(dtype, NUMBER, SHORT), SHORT(onp.dtype(wanted.dtype).num))
        self.require("==", self.at(dtype, ORDER, BYTE), BYTE(ord("=")))
        lengths, strides = ([self.at(row, 8 * i) for i in range(wanted.ndim)] for row in (shape, steps))
        return Argument(self.struct(hint, item, lengths, strides), reduce(build.mul, lengths))

    def struct(self, hint: Any, item: Any, lengths: list, strides: list) -> Any:
        """Return an array as Numba knows it."""
        kind = numba_type(hint)
        made = TARGET.make_array(kind)(TARGET, self.build)
        data = self.build.inttoptr(self.at(item, DATA), TARGET.get_data_type(kind.dtype).as_pointer())
        populate_array(made, data, lengths, strides, INT(onp.dtype(hint.__metadata__[0].dtype).itemsize), meminfo=None)
        return made._getvalue()

    def run(self, loop: Any, found: list[Argument]) -> Any:
        """Run the loop, and return what it returns, or 1; while it is long, other threads run as well."""
        build, values = self.build, [a.value for a in found]
        total = reduce(self.build.add, [a.size for a in found if a.size], INT(0))
        long, thread = build.icmp_signed(">", total, INT(MANY)), cgutils.alloca_once(build, INT)
        with build.if_then(long, likely=False):
            build.store(self.call("PyEval_SaveThread", INT), thread)
        _, answer = TARGET.call_internal_no_propagate(build, loop.fndesc, loop.signature, values)
        with build.if_then(long, likely=False):
            self.call("PyEval_RestoreThread", ir.VoidType(), build.load(thread))
        return INT(1) if loop.signature.return_type == types.void else build.zext(answer, INT)
