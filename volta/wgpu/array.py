"""Arrays of a device: what the Array API says of arrays, over values that may be pending."""

import math
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Final, NoReturn

import numpy as np

from volta.core.errors import DeviceError, ShapeError
from volta.core.trace import located, ops
from volta.core.types import DType
from volta.wgpu.device import Device
from volta.wgpu.pending import Value, pending_of

__all__ = ["Array"]

_CPU: Final = (1, 0)  # DLPack's device of the host


class Array:
    """An immutable array of any rank in the memory of a `Device`.

    It has the attributes, methods and operators of the Array API; `volta.wgpu` is its namespace,
    whose functions make it. What it holds is computed when it is asked for: by `to_numpy`, `bool`
    and its like, or printing.

    Attributes
    ----------
    device : Device
    """

    __slots__ = ("__weakref__", "device", "value")
    __array_priority__ = 1e5
    __array_ufunc__ = None  # a function of NumPy's would read it back
    __hash__ = None  # type: ignore[assignment]  # arrays compare elementwise

    def __init__(self, device: Device, value: Value) -> None:
        self.device, self.value = device, value
        value.handle = weakref.ref(self)

    # attributes ----------------------------------------------------------------------------------
    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self.value.kind.shape

    @property
    def dtype(self) -> DType:
        """Dtype."""
        return self.value.kind.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.value.kind.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.value.kind.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements, as the host has them."""
        return self.value.kind.nbytes

    @property
    def T(self) -> "Array":  # noqa: N802 - the standard's name
        """Transpose of a matrix."""
        if self.ndim != 2:
            msg = f"T: the array must have two axes; got shape {self.shape}. Use mT."
            raise located(ShapeError(msg))
        return ops.permute_dims(self, (1, 0))  # type: ignore[no-any-return]  # ops is dynamic

    @property
    def mT(self) -> "Array":  # noqa: N802 - the standard's name
        """Transpose of the last two axes."""
        return ops.matrix_transpose(self)  # type: ignore[no-any-return]  # ops is dynamic

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        import volta.wgpu

        if api_version not in (None, *_VERSIONS):
            msg = f"__array_namespace__: api_version must be one of {_VERSIONS}; got {api_version}."
            raise located(ValueError(msg))
        return volta.wgpu

    # the host ------------------------------------------------------------------------------------
    def to_numpy(self) -> Any:
        """Copy of the elements as a NumPy array; waits for the device.

        Returns
        -------
        numpy.ndarray

        Raises
        ------
        DeviceError
            If the device is lost, or its memory runs out.
        """
        return pending_of(self.device).read(self.value)

    def to_device(self, device: Device, /, *, stream: None = None) -> "Array":
        """Array with the same elements on a device.

        Raises
        ------
        DeviceError
            If `device` is no `Device`.
        """
        if type(device) is not Device:
            msg = f"to_device: the device must be a volta.wgpu.Device; got {device!r}."
            raise located(DeviceError(msg))
        if device is self.device:
            return self
        return Array(device, pending_of(device).write(self.to_numpy(), self.dtype))

    def item(self) -> Any:
        """The one element as a Python number."""
        return self.to_numpy().item()

    def tolist(self) -> Any:
        """The elements as nested lists."""
        return self.to_numpy().tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        if copy is False:
            msg = "numpy.asarray: copy must not be False, as the elements are not on the host."
            raise located(ValueError(msg))
        return np.asarray(self.to_numpy(), dtype=dtype)

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        if dl_device not in (None, _CPU) or copy is False:
            msg = f"__dlpack__: elements must be copied to {_CPU}; got {dl_device}, copy={copy}."
            raise located(BufferError(msg))
        return self.to_numpy().__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return _CPU

    def __bool__(self) -> bool:
        return bool(self.to_numpy())

    def __int__(self) -> int:
        return int(self.to_numpy())

    def __index__(self) -> int:
        return self.to_numpy().__index__()  # type: ignore[no-any-return]  # NumPy's

    def __float__(self) -> float:
        return float(self.to_numpy())

    def __complex__(self) -> complex:
        return complex(self.to_numpy())

    def __repr__(self) -> str:
        body = np.array2string(self.to_numpy(), separator=", ", prefix="Array(")
        return f"Array({body}, dtype={self.dtype}, device={self.device})"

    def __str__(self) -> str:
        return str(self.to_numpy())

    def __format__(self, spec: str) -> str:
        return format(self.to_numpy()[()], spec) if spec else str(self)

    def __copy__(self) -> "Array":
        return self

    def __deepcopy__(self, memo: Any) -> "Array":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.to_numpy(),)

    # containers ----------------------------------------------------------------------------------
    def __len__(self) -> int:
        if not self.shape:
            msg = "len: the array must have an axis; got shape ()."
            raise located(TypeError(msg))
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        if not self.shape:
            msg = "iter: the array must have an axis; got shape ()."
            raise located(TypeError(msg))
        return (self[i] for i in range(self.shape[0]))

    def __getitem__(self, key: Any) -> Any:
        return ops.getitem(self, key)

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        msg = "x[key] = value: arrays of volta.wgpu are immutable. Use x = F.at(x)[key].set(value)."
        raise located(TypeError(msg))

    @property
    def at(self) -> Any:
        """Parts of it to be changed in a new array, as JAX's arrays have them."""
        return ops.at(self)

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        """Array of another dtype."""
        return ops.astype(self, dtype, copy=copy)

    def reshape(self, *shape: Any) -> Any:
        """Array of another shape."""
        whole = len(shape) == 1 and isinstance(shape[0], tuple | list)
        return ops.reshape(self, shape[0] if whole else shape)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Sum over axes."""
        return ops.sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Mean over axes."""
        return ops.mean(self, axis=axis, keepdims=keepdims)


def _restored(elements: Any) -> Array:
    """An array on the first device."""
    import volta.wgpu

    return volta.wgpu.asarray(elements)


_VERSIONS: Final = ("2021.12", "2022.12", "2023.12", "2024.12", "2025.12")
_UNARY: Final = {"abs": "abs", "invert": "bitwise_invert", "neg": "negative", "pos": "positive"}
_COMPARISONS: Final = {
    "eq": "equal",
    "ge": "greater_equal",
    "gt": "greater",
    "le": "less_equal",
    "lt": "less",
    "ne": "not_equal",
}
_BINARY: Final = {
    "add": "add",
    "and": "bitwise_and",
    "floordiv": "floor_divide",
    "lshift": "bitwise_left_shift",
    "matmul": "matmul",
    "mod": "remainder",
    "mul": "multiply",
    "or": "bitwise_or",
    "pow": "pow",
    "rshift": "bitwise_right_shift",
    "sub": "subtract",
    "truediv": "divide",
    "xor": "bitwise_xor",
}


def _operator(name: str, reflected: bool = False) -> Callable[..., Any]:
    if reflected:
        return lambda x, y: getattr(ops, name)(y, x)
    return lambda x, *y: getattr(ops, name)(x, *y)


for _method, _name in {**_UNARY, **_COMPARISONS, **_BINARY}.items():
    setattr(Array, f"__{_method}__", _operator(_name))
for _method, _name in _BINARY.items():
    setattr(Array, f"__r{_method}__", _operator(_name, reflected=True))
