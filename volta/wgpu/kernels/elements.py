"""What kernels share: where elements are, how they are loaded and stored, how they are ordered.

Kernels are listed by `each`, an invocation for every number below a count. A body finds the element
of an array by its number in row-major order with a function that `place` writes.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from volta.core.errors import DTypeError
from volta.core.types import DTYPES, DType
from volta.wgpu.launch import COMPUTED, STORED, View, Writer

__all__ = [
    "ACCUMULATED",
    "Place",
    "broadcast",
    "combination",
    "each",
    "key",
    "loaded",
    "merged",
    "place",
    "split",
    "stored",
]

GROUP: Final = 64  # invocations of a workgroup, unless a kernel says otherwise


class Place(NamedTuple):
    """A WGSL function from the number of an element to where it is, and its parameters."""

    text: str
    params: dict[str, int]


def merged(shape: Sequence[int], strides: Sequence[int]) -> list[tuple[int, int]]:
    """Lengths and strides of axes, neighbours made one where they can be; none of length 1."""
    out: list[tuple[int, int]] = []
    for n, stride in zip(shape, strides, strict=True):
        if n == 1:
            continue
        if out and out[-1][1] == n * stride:
            out[-1] = out[-1][0] * n, stride
        else:
            out.append((n, stride))
    return out


def broadcast(view: View, shape: tuple[int, ...]) -> View:
    """A view as one of a shape that its own broadcasts to."""
    more = len(shape) - len(view.shape)
    own = zip(view.shape, view.strides, strict=True)
    strides = (*(0,) * more, *(0 if n == 1 else stride for n, stride in own))
    return view._replace(shape=shape, strides=strides)


def place(name: str, view: View, axes: Sequence[int] | None = None) -> Place:
    """Write ``fn {name}_place(i: u32) -> u32``: where the element of number i of an array is.

    Parameters
    ----------
    name : str
        Of the array in the kernel.
    view : View
    axes : sequence of int, optional
        Those that i counts along, the last one fastest; the index along others is 0. By default
        all, in their order.
    """
    axes = range(len(view.shape)) if axes is None else axes
    parts = merged([view.shape[a] for a in axes], [view.strides[a] for a in axes])
    lines = [f"fn {name}_place(i: u32) -> u32 {{", f"  var at = p.{name}_0;", "  var rest = i;"]
    params = {}
    for k in reversed(range(len(parts))):
        length, step = f"{name}_n{k}", f"{name}_s{k}"
        params[step] = parts[k][1]
        if k:
            params[length] = parts[k][0]
            lines += [f"  at += rest % p.{length} * p.{step};", f"  rest /= p.{length};"]
        else:
            lines += [f"  at += rest * p.{step};"]
    return Place("\n".join([*lines, "  return at;", "}"]), params)


def each(
    to: Writer,
    label: str,
    count: int,
    body: str,
    *,
    reads: Mapping[str, View] | None = None,
    writes: Mapping[str, View] | None = None,
    places: Sequence[Place] = (),
    params: Mapping[str, float] | None = None,
    outside: str = "",
) -> None:
    """List a kernel of an invocation for each number ``i`` below `count`."""
    values: dict[str, float] = {"count": count}
    for its in places:
        values.update(its.params)
    parts = [outside, *(its.text for its in places)]
    to.launch(
        label,
        f"let i = group * {GROUP}u + lane;\nif i >= p.count {{ return; }}\n{body}",
        reads=reads,
        writes=writes,
        params=values | dict(params or {}),
        groups=-(-count // GROUP),
        outside="\n".join(parts),
    )


def split(columns: int) -> str:
    """WGSL of the ``row`` and the ``column`` of element ``i`` of an array of ``p.columns``.

    A division takes longer than most of what kernels do else.
    """
    if columns == 1:
        return "let row = i;\nlet column = 0u;"
    return "let row = i / p.columns;\nlet column = i % p.columns;"


# Numbers ------------------------------------------------------------------------------------------


def loaded(element: str, dtype: DType, kind: str | None = None) -> str:
    """WGSL expression of an element in memory as a number of `kind`, by default as computed."""
    own, kind = STORED[dtype.name], COMPUTED[dtype.name] if kind is None else kind
    if own == kind:
        return element
    if kind == "bool":
        return f"({element} != {own}())"
    if own in ("i32", "i64") and kind == "u64":  # u64 of i32 would put zeros before it
        return f"bitcast<u64>(i64({element}))"
    return f"{kind}({element})"


def stored(number: str, dtype: DType) -> str:
    """WGSL expression of a number, as computed, as an element in memory: wrapped or rounded."""
    own = STORED[dtype.name]
    if dtype.kind in ("int", "uint") and dtype.itemsize < 4:
        return f"extractBits({number}, 0u, {8 * dtype.itemsize}u)"
    if dtype.name == "bfloat16":
        return f"v_to_bf16({number})"
    return number if own == COMPUTED[dtype.name] else f"{own}({number})"


# Order --------------------------------------------------------------------------------------------


def key(dtype: DType, *, descending: bool = False, nan_first: bool = False) -> tuple[str, str]:
    """Write ``fn key(x) -> u32 or u64``: unsigned integers in the order of elements in memory.

    Both zeros have the same one, and all NaNs the largest there is, or 0 with `nan_first`.

    Returns
    -------
    type, function : str
    """
    own = STORED[dtype.name]
    kind = "u64" if dtype.itemsize == 8 else "u32"
    sign = f"({kind}(1u) << {63 if kind == 'u64' else 31}u)"
    lines = [f"fn key(x: {own}) -> {kind} {{"]
    if dtype.kind == "float":
        number = "f32(x)" if own == "f16" else "x"
        lines += [
            f"  let bits = bitcast<{kind}>({number});",
            f"  let size = bits & ~{sign};",
            f"  let number = select(bits ^ {sign}, ~bits, bits != size);",
            f"  let found = select(number, {sign}, size == {kind}());",
        ]
    elif dtype.kind == "int" and dtype.itemsize < 4:  # so that no other bits are set
        lines += [f"  let found = bitcast<u32>(x + {1 << 8 * dtype.itemsize - 1});"]
    elif dtype.kind == "int":
        lines += [f"  let found = bitcast<{kind}>(x) ^ {sign};"]
    else:
        lines += ["  let found = x;"]
    out = "~found" if descending else "found"
    if dtype.kind == "float":
        largest = _INFINITE[kind]
        out = f"select({out}, {'' if nan_first else '~'}{kind}(), size > {largest})"
    return kind, "\n".join([*lines, f"  return {out};", "}"])


_INFINITE: Final = {"u32": "0x7f800000u", "u64": "0x7ff0000000000000lu"}


# Combination --------------------------------------------------------------------------------------

ACCUMULATED: Final = {  # dtype of scratch memory that holds what is computed
    "bool": "bool",
    "i32": "int32",
    "u32": "uint32",
    "i64": "int64",
    "u64": "uint64",
    "f32": "float32",
    "f64": "float64",
}


def combination(name: str, mode: str, dtype: DType) -> str:
    """Write ``fn combined(x, y)`` of two numbers as they are computed.

    Parameters
    ----------
    name : str
        Of the operation, for an error.
    mode : str
        ``"sum"``, ``"prod"``, ``"max"``, ``"min"`` or ``"logsumexp"``. Of several extrema the first
        is taken, and NaN wins.
    dtype : DType

    Raises
    ------
    DTypeError
        If there is no such function of that dtype.
    """
    kind = COMPUTED[dtype.name]
    if kind == "bool":
        out, more = {"sum": "x | y", "max": "x | y"}.get(mode, "x & y"), ""
    elif mode in ("max", "min"):
        more = key(DTYPES[ACCUMULATED[kind]], nan_first=mode == "min")[1]
        out = f"select(y, x, key(x) {'>=' if mode == 'max' else '<='} key(y))"
    elif mode == "logsumexp":
        if kind != "f32":
            msg = f"{name}: the dtype must be floating of at most 32 bits; got {dtype.name}."
            raise DTypeError(msg)
        out, more = "v_logaddexp(x, y)", ""
    else:
        out, more = {"sum": "x + y", "prod": "x * y"}[mode], ""
    return f"{more}\nfn combined(x: {kind}, y: {kind}) -> {kind} {{ return {out}; }}"
