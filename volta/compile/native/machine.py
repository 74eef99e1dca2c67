"""The processor at hand: text of LLVM's becomes code, and code functions of Python.

Nothing here is loaded before a program is compiled: LLVM takes 30 ms.
"""

import ctypes
import functools
import hashlib
import re
import sys
import sysconfig
import weakref
from typing import Any, Final

from volta.compile import cache

__all__ = [
    *("available", "builtin", "compiled", "define", "described", "keep", "kept", "pause"),
    "vector_bytes",
]

OLDEST: Final = (0, 45)  # llvmlite with LLVM 20; those before read vectors written otherwise


@functools.cache
def available() -> bool:
    """Whether there is LLVM, and a Python whose objects lie as is known here."""
    known = sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")
    known = known and sys.maxsize > 2**32 and sys.byteorder == "little"
    return known and _version() >= OLDEST


def _version() -> tuple[int, ...]:
    """Version of llvmlite, of which LLVM is no part yet; (0, 0) of none."""
    try:
        import llvmlite
    except ImportError:
        return (0, 0)
    return tuple(int(n) for n in re.findall(r"\d+", llvmlite.__version__)[:2])


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


@functools.cache
def described() -> str:
    """The processor and LLVM, on which code depends besides its text."""
    import llvmlite.binding as llvm

    target, name, features = _processor()
    versions = ".".join(map(str, _version())), str(llvm.llvm_version_info)
    return "\0".join([target.triple, name, features, *versions])


def compiled(text: str) -> tuple[Any, bytes]:
    """Code of a text, and the key of its object file on the disk."""
    key = hashlib.sha256(f"{text}\0{described()}".encode()).digest()
    held = cache.read(key)
    if held is None:
        held = _object(text)
        cache.write(key, held)
    return _loaded(held), key


def kept(key: bytes) -> Any:
    """Code whose object file is on the disk, if it is."""
    held = cache.read(key)
    return None if held is None else _loaded(held)


def _machine() -> Any:
    target, name, features = _processor()
    return target.create_target_machine(cpu=name, features=features, opt=2, jit=True)


def _loaded(held: bytes) -> Any:
    """Code of an object file."""
    import llvmlite.binding as llvm

    machine = _machine()  # which the code owns, and ends
    module = llvm.parse_assembly("")
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    code = llvm.create_mcjit_compiler(module, machine)
    code.add_object_file(llvm.ObjectFileRef.from_data(held))
    code.finalize_object()
    return code


def _object(text: str) -> bytes:
    """Object file of a text."""
    import llvmlite.binding as llvm

    machine = _machine()
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
