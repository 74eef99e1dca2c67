"""The processor at hand: text of LLVM's becomes code, and code functions of Python.

Nothing here is loaded before a program is compiled: LLVM takes 30 ms.
"""

import ctypes
import functools
import re
import sys
import sysconfig
import weakref
from typing import Any, Final

from volta.compile.native import cache

__all__ = ["available", "builtin", "compiled", "define", "keep", "pause", "vector_bytes"]

OLDEST: Final = (0, 45)  # llvmlite with LLVM 20; those before read vectors written otherwise


@functools.cache
def available() -> bool:
    """Whether there is LLVM, and a Python whose objects lie as is known here."""
    known = sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")
    known = known and sys.maxsize > 2**32 and sys.byteorder == "little"
    return known and _version() >= OLDEST


def _version() -> tuple[int, ...]:
    """Version of llvmlite, which is not imported; (0, 0) of none."""
    import importlib.metadata  # 10 ms

    try:
        found = importlib.metadata.version("llvmlite")
    except importlib.metadata.PackageNotFoundError:
        return (0, 0)
    return tuple(int(n) for n in re.findall(r"\d+", found)[:2])


class _Method(ctypes.Structure):
    """``PyMethodDef``."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


_FASTCALL: Final = 0x80  # a pointer to arguments, and how many there are


_FREE: Final[list[_Method]] = []  # definitions of functions that are no more


def builtin(code: Any, name: str) -> Any:
    """Python function of the name; `code`, to which it is bound, lives as long as it does."""
    # A definition is never freed, only used again: the function's end reads it.
    method = _FREE.pop() if _FREE else _Method()
    method.name, method.flags = b"kernel", _FASTCALL
    method.function = code.get_function_address(name)
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype = ctypes.py_object
    make.argtypes = (ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
    function = make(ctypes.addressof(method), code, None)
    weakref.finalize(function, _FREE.append, method).atexit = False
    return function


@functools.cache
def _processor() -> Any:
    """Target, name and features of the processor at hand."""
    import llvmlite.binding as llvm  # 30 ms, and not in every installation

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    for name in ("PyBool_FromLong", "PyEval_SaveThread", "PyEval_RestoreThread"):
        address = ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value
        llvm.add_symbol(name, address)
    features = llvm.get_host_cpu_features().flatten()
    return llvm.Target.from_default_triple(), llvm.get_host_cpu_name(), features


def compiled(text: str, values: dict[str, int] | None = None) -> Any:
    """Code of a text.

    Parameters
    ----------
    values : dict of str to int, optional
        Of global variables of 8 bytes, which differ from process to process.
    """
    import llvmlite.binding as llvm

    target, name, features = _processor()
    # Code owns the machine that it was made by, and ends it.
    machine = target.create_target_machine(cpu=name, features=features, opt=2, jit=True)
    module = llvm.parse_assembly("")
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    code = llvm.create_mcjit_compiler(module, machine)
    key = "\0".join(
        [text, name, features, ".".join(map(str, _version())), str(llvm.llvm_version_info)]
    )
    held = cache.read(key.encode())
    if held is None:
        held = _object(text, machine)
        cache.write(key.encode(), held)
    code.add_object_file(llvm.ObjectFileRef.from_data(held))
    code.finalize_object()
    for name, value in (values or {}).items():
        ctypes.c_int64.from_address(code.get_global_value_address(name)).value = value
    return code


def _object(text: str, machine: Any) -> bytes:
    """Object file of a text."""
    import llvmlite.binding as llvm

    module = llvm.parse_assembly(text)
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    # None of LLVM's passes runs on the text: a kernel lists each node once, what does not change in
    # a loop stands before it, and llvmlite never frees what runs passes, 49 kB each.
    return machine.emit_object(module)  # type: ignore[no-any-return]


def define(name: str, address: int) -> None:
    """Have native code call a function by a name."""
    import llvmlite.binding as llvm

    _processor()
    llvm.add_symbol(name, address)


_KEPT: Final[list[Any]] = []


def keep(code: Any) -> None:
    """Have code stay until the process ends."""
    _KEPT.append(code)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(code))  # and not be freed when Python does


@functools.cache
def vector_bytes() -> int:
    """Bytes of a vector register."""
    features = _processor()[2].split(",")
    return 64 if "+avx512f" in features else 32 if "+avx2" in features else 16


def pause() -> str:
    """Line that makes the processor wait a little."""
    return "call void @llvm.x86.sse2.pause()" if _processor()[0].triple.startswith("x86_64") else ""
