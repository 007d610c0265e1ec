"""How machine code becomes builtins: llvmlite links it, Python wraps it. Numba is not needed for that."""

from __future__ import annotations

import contextlib
import ctypes
import json
from collections.abc import Callable
from typing import Any

import numpy as onp
from llvmlite import binding as llvm

FASTCALL = 0x80
KEPT: list[Any] = []  # machine code, and what Python knows of a builtin, must outlive it
PythonFunction = ctypes.pythonapi.PyCFunction_NewEx
PythonFunction.restype, PythonFunction.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]


class Method(ctypes.Structure):
    """Python's PyMethodDef."""

    _fields_ = [("name", ctypes.c_char_p), ("code", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p)]


def loaded(stored: bytes) -> dict[str, Callable[..., bool]]:
    """Return the builtins by name that `_build.built` made."""
    index, _, code = stored.partition(b"\n")
    with contextlib.suppress(RuntimeError):  # newer versions do it by themselves, and say so
        llvm.initialize()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    for name in ("PyBool_FromLong", "PyErr_Clear", "PyErr_Occurred", "PyEval_RestoreThread", "PyEval_SaveThread",
                 "PyFloat_AsDouble", "PyLong_AsLongLong", "PyObject_IsTrue"):  # fmt: skip
        llvm.add_symbol(name, address(name))
    llvm.add_symbol("NRT_MemInfo_call_dtor", address("PyErr_Clear"))  # never called: no array of a kernel is its own
    target = llvm.Target.from_default_triple().create_target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target)
    KEPT.append(engine)
    start, names = 0, json.loads(index)
    for size in names.values():
        engine.add_object_file(llvm.ObjectFileRef.from_data(code[start : start + size]))
        start += size
    engine.finalize_object()
    return {name: builtin(name, engine.get_function_address(name)) for name in names}


def address(name: str) -> int:
    """Return where a function of Python's C interface is."""
    return ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0


def builtin(name: str, code: int) -> Callable[..., bool]:
    """Return machine code as a function of Python."""
    method = Method(name.encode(), code, FASTCALL, None)
    KEPT.append(method)
    return PythonFunction(ctypes.addressof(method), onp.ndarray, None)


def works(probe: Callable[..., bool]) -> bool:
    """Return whether a builtin reads arrays and numbers as they are, and refuses what it cannot read."""
    x, label, y = onp.arange(6, dtype="float32").reshape(2, 3), onp.array([7]), onp.zeros((2, 3), "float32")
    refused = [(x, label, 2.0, True), (x, label, 2.0, True, y.T), (x.T, label, 2.0, True, y), (x, x, 2.0, True, y),
               (x.astype("float64"), label, 2.0, True, y), (x, label, "two", True, y), (None, label, 2.0, True, y)]  # fmt: skip
    if any(probe(*args) for args in refused) or y.any():
        return False
    right = 2 * x + 7 + onp.array([[2, 3, 0], [0, 0, 0]], "float32")
    return probe(x, label, 2.0, True, y) is True and bool((y == right).all()) and probe(x, label, 2.0, False, y) is True
