"""Attention: averages of values, weighted by how well keys fit queries.

Scores are made, used and dropped for a block of queries at a time, in both modes of
differentiation, so memory grows with the length of the sequences and not with its square.
"""

import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from volta.core.derivatives import Pair, fit
from volta.core.dispatch import library_of
from volta.core.errors import DimensionError, DTypeError, ShapeError
from volta.core.trace import located, ops
from volta.core.tracer import library_under
from volta.core.types import DTYPES, HALVES, Array, ArrayType, as_dtype, broadcast_shapes, typeof
from volta.functional.creation import zeros
from volta.functional.declare import composite, primitive
from volta.functional.elementwise import add, equal, exp, multiply, subtract, where
from volta.functional.manipulation import (
    broadcast_to,
    concat,
    expand_dims,
    matrix_transpose,
    moveaxis,
    reshape,
)
from volta.functional.products import matmul
from volta.functional.reduction import sum
from volta.functional.regularization import dropout

__all__ = ["dot_product_attention", "scaled_dot_product_attention"]

# Scores of a block: 4 MiB of float32, which stay in a cache that is shared by cores.
_SCORES: Final = 2**20
_ROWS: Final = 16  # queries of a block at least, fewer of which would make poor matrix products


# The primitive ------------------------------------------------------------------------------------


def _attend_type(
    q: ArrayType, k: ArrayType, v: ArrayType, bias: ArrayType, *, causal: bool
) -> tuple[ArrayType, ArrayType]:
    lead = broadcast_shapes(
        "attention", q.shape[:-2], k.shape[:-2], v.shape[:-2], bias.shape[: max(bias.ndim - 2, 0)]
    )
    rows = (*lead, q.shape[-2])
    return ArrayType((*rows, v.shape[-1]), q.dtype), ArrayType(rows, q.dtype)


def _blocks(
    q: Any, k: Any, v: Any, bias: Any, causal: bool, scores: int = _SCORES
) -> Iterator[tuple[int, int, int]]:
    """First and last query of each block, and how many keys they see, of which later ones none."""
    shapes = (tuple(a.shape[:-2]) for a in (q, k, v, bias))
    lead = math.prod(broadcast_shapes("attention", *shapes))
    queries, keys = q.shape[-2], k.shape[-2]
    rows = max(_ROWS, scores // max(1, lead * keys))
    step = max(1, -(-keys // 8))  # eight sums of cotangents are kept for keys, not one a block
    for start in range(0, max(1, queries), rows):
        stop = min(start + rows, queries)
        seen = min(keys, -(-stop // step) * step) if causal else keys
        yield start, stop, seen


def _part(bias: Any, start: int, stop: int, seen: int) -> Any:
    """What `bias` adds to a block of scores; its axes may have length 1."""
    rows = slice(start, stop) if bias.shape[-2] != 1 else slice(None)
    return bias[..., rows, : seen if bias.shape[-1] != 1 else 1]


def _earlier(start: int, stop: int, seen: int) -> Any:
    """Whether a query of the block may see a key: those up to its own place."""
    return np.arange(seen) <= np.arange(start, stop)[:, None]


def _attend_value(xp: Any, q: Any, k: Any, v: Any, bias: Any, *, causal: bool) -> Any:
    """Results and logarithms of the sums of exponentials, a block of queries at a time."""
    outs, sums = [], []
    for start, stop, seen in _blocks(q, k, v, bias, causal, getattr(xp, "scores", _SCORES)):
        scores = q[..., start:stop, :] @ xp.matrix_transpose(k[..., :seen, :])
        if bias.ndim:
            scores = scores + _part(bias, start, stop, seen)
        if causal:
            mask = _earlier(start, stop, seen)
            if not hasattr(xp, "scores"):
                library = library_of(q, "attention")
                mask = library.asarray(mask, device=library.device(q))
            scores = xp.where(mask, scores, xp.full_like(scores[..., :1, :1], -math.inf))
        if not seen:
            top = xp.zeros((*scores.shape[:-1], 1), dtype=scores.dtype)
        else:
            top = xp.max(scores, axis=-1, keepdims=True)
            top = xp.where(top == -math.inf, xp.zeros_like(top), top)
        weights = xp.exp(scores - top)
        total = xp.sum(weights, axis=-1, keepdims=True)
        some = total > 0
        total = xp.where(some, total, xp.ones_like(total))
        outs.append((weights @ v[..., :seen, :]) / total)
        logarithm = xp.where(some, top + xp.log(total), xp.full_like(total, -math.inf))
        sums.append(logarithm[..., 0])
    if len(outs) == 1:
        return outs[0], sums[0]
    return xp.concat(outs, axis=-2), xp.concat(sums, axis=-1)


def _numpy_attend(q: Any, k: Any, v: Any, bias: Any, *, causal: bool) -> Any:
    """The same, in place."""
    lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2], bias.shape[:-2])
    out = np.zeros((*lead, q.shape[-2], v.shape[-1]), q.dtype)
    sums = np.full((*lead, q.shape[-2]), -np.inf, q.dtype)
    turned = np.matrix_transpose(k)
    if not sums.size or not k.shape[-2]:
        return out, sums
    for start, stop, seen in _blocks(q, k, v, bias, causal):
        scores = q[..., start:stop, :] @ turned[..., :seen]
        if scores.shape[:-2] != lead:
            scores = np.array(np.broadcast_to(scores, (*lead, *scores.shape[-2:])))
        if bias.ndim:
            scores += _part(bias, start, stop, seen)
        if causal:
            later = np.arange(start, seen) > np.arange(start, stop)[:, None]
            np.copyto(scores[..., start:], -np.inf, where=later)
        top = np.max(scores, axis=-1, keepdims=True)
        top[top == -np.inf] = 0
        scores -= top
        np.exp(scores, out=scores)
        total = np.sum(scores, axis=-1, keepdims=True)
        np.matmul(scores, v[..., :seen, :], out=out[..., start:stop, :])
        with np.errstate(divide="ignore"):
            sums[..., start:stop] = (top + np.log(total))[..., 0]
        total[total == 0] = 1
        out[..., start:stop, :] /= total
    return out, sums


def _weights(
    q: Any, k: Any, bias: Any, sums: Any, block: tuple[int, int, int], causal: bool
) -> Any:
    """Weights of the values for a block of queries, zero where none is seen."""
    start, stop, seen = block
    scores = matmul(q[..., start:stop, :], matrix_transpose(k[..., :seen, :]))
    if bias.ndim:
        scores = add(scores, _part(bias, start, stop, seen))
    total = expand_dims(sums[..., start:stop], axis=-1)
    total = where(equal(total, -math.inf), 0.0, total)
    weights = exp(subtract(scores, total))
    if causal:
        weights = where(_earlier(start, stop, seen), weights, 0.0)
    return weights


def _attend_jvp(primals: Any, tangents: Any, *, causal: bool) -> Any:
    q, k, v, bias = primals
    dq, dk, dv, dbias = tangents
    out, sums = result = _attend(q, k, v, bias, causal=causal)
    shape = tuple(out.shape)
    outs, logs = [], []
    for block in _blocks(q, k, v, bias, causal):
        start, stop, seen = block
        weights = _weights(q, k, bias, sums, block, causal)
        values = v[..., :seen, :]
        terms = []
        if dq is not None:
            terms.append(matmul(dq[..., start:stop, :], matrix_transpose(k[..., :seen, :])))
        if dk is not None:
            terms.append(matmul(q[..., start:stop, :], matrix_transpose(dk[..., :seen, :])))
        if dbias is not None:
            terms.append(_part(dbias, start, stop, seen))
        dout: Any = None
        dsum = ops.zeros_like(sums[..., start:stop])
        if terms:
            moved = multiply(weights, _total(terms))
            dsum = sum(moved, axis=-1)
            own = multiply(out[..., start:stop, :], expand_dims(dsum, axis=-1))
            dout = subtract(matmul(moved, values), own)
        if dv is not None:
            further = matmul(weights, dv[..., :seen, :])
            dout = further if dout is None else add(dout, further)
        outs.append(broadcast_to(dout, (*shape[:-2], stop - start, shape[-1])))
        logs.append(broadcast_to(dsum, (*shape[:-2], stop - start)))
    return result, (concat(outs, axis=-2), concat(logs, axis=-1))


def _attend_fwd(q: Any, k: Any, v: Any, bias: Any, *, causal: bool) -> Any:
    result = _attend(q, k, v, bias, causal=causal)
    return result, (q, k, v, bias, *result)


def _attend_bwd(residuals: Any, ct: Any, needed: Any, *, causal: bool) -> Any:
    q, k, v, bias, out, sums = residuals
    gout, gsum = ct
    need_q, need_k, need_v, need_bias = needed
    gq: list[Any] = []
    gbias: list[Any] = []
    gk: dict[int, Any] = {}
    gv: dict[int, Any] = {}
    for block in _blocks(q, k, v, bias, causal):
        start, stop, seen = block
        weights = _weights(q, k, bias, sums, block, causal)
        shift: Any = 0.0 if gsum is None else expand_dims(gsum[..., start:stop], axis=-1)
        moved = None
        if gout is not None:
            g = gout[..., start:stop, :]
            if need_v:
                _collect(gv, seen, fit(matmul(matrix_transpose(weights), g), _cut(v, seen)))
            if need_q or need_k or need_bias:
                own = sum(multiply(g, out[..., start:stop, :]), axis=-1, keepdims=True)
                shift = subtract(shift, own)
                moved = matmul(g, matrix_transpose(v[..., :seen, :]))
        if not (need_q or need_k or need_bias):
            continue
        moved = multiply(weights, shift if moved is None else add(moved, shift))
        if need_q:
            gq.append(fit(matmul(moved, k[..., :seen, :]), _cut(q, stop - start)))
        if need_k:
            part = matmul(matrix_transpose(moved), q[..., start:stop, :])
            _collect(gk, seen, fit(part, _cut(k, seen)))
        if need_bias:
            gbias.append(_padded(fit(moved, typeof(_part(bias, start, stop, seen))), bias, -1))
    return (
        concat(gq, axis=-2) if gq else None,
        _joined(gk, k),
        _joined(gv, v),
        None if not gbias else _total(gbias) if bias.shape[-2] == 1 else concat(gbias, axis=-2),
    )


def _cut(x: Any, rows: int) -> ArrayType:
    return ArrayType((*x.shape[:-2], rows, x.shape[-1]), as_dtype(x.dtype))


def _total(terms: list[Any]) -> Any:
    out, *rest = terms
    for term in rest:
        out = add(out, term)
    return out


def _collect(sums: dict[int, Any], seen: int, part: Any) -> None:
    sums[seen] = add(sums[seen], part) if seen in sums else part


def _joined(sums: dict[int, Any], like: Any) -> Any:
    """Sum of cotangents of the first so many rows each."""
    return _total([_padded(part, like, -2) for part in sums.values()]) if sums else None


def _padded(part: Any, like: Any, axis: int) -> Any:
    missing = like.shape[axis] - part.shape[axis]
    if not missing:
        return part
    width = [(0, 0)] * part.ndim
    width[axis] = (0, missing)
    return ops.pad(part, width)


def _attend_batch(size: int, batched: tuple[bool, ...], *xs: Any, causal: bool) -> Any:
    ndim = max(x.ndim - b for x, b in zip(xs, batched, strict=True))
    aligned = [
        reshape(x, (size, *(1,) * (ndim + 1 - x.ndim), *x.shape[1:])) if b else x
        for x, b in zip(xs, batched, strict=True)
    ]
    return _attend(*aligned, causal=causal)


_attend: Any = primitive(
    "attention",
    type_rule=_attend_type,
    batch=_attend_batch,
    derivatives=Pair(_attend_jvp, _attend_fwd, _attend_bwd),
    value=_attend_value,
    kernels={"numpy": _numpy_attend},
    results=2,
)


# Public -------------------------------------------------------------------------------------------


@composite
def scaled_dot_product_attention(
    query: Array,
    key: Array,
    value: Array,
    attn_mask: Array | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: Any = None,
    enable_gqa: bool = False,
    *,
    dropout_key: Any = None,
) -> Any:
    """Average values by the softmax of scaled products of queries and keys.

    ``softmax(scale · Q Kᵀ + mask) V``.

    Parameters
    ----------
    query : array, shape (..., L, E)
        Of real floating dtype.
    key : array, shape (..., S, E)
    value : array, shape (..., S, D)
        The leading axes of all three broadcast; the last of them is that of the heads.
    attn_mask : array, shape broadcastable to (..., L, S), optional
        Of bool: True where a query may see a key. Of floating dtype: added to the scores.
    dropout_p : float
        Probability with which a weight is dropped. The others are divided by 1 − p.
    is_causal : bool
        Whether query i sees only the keys 0 to i; beside a mask both hold.
    scale : float or array of shape (), optional
        By default 1/√E.
    enable_gqa : bool
        Whether there are several heads of queries, in turn, to a head of keys and values (grouped
        queries).
    dropout_key : array, shape (2,), uint32, optional
        Random key; needed where `dropout_p` is not 0.

    Returns
    -------
    array, shape (..., L, D)
        Of the dtype of `query`; zero for a query that sees no key.

    Raises
    ------
    ShapeError
        If the lengths do not fit.
    DTypeError
        If the dtypes are not one real floating dtype, or that of the mask is neither.
    ValueError
        If `dropout_p` is not from 0 to 1, or there is no random key for it.

    Notes
    -----
    Scores exist for a block of queries at a time, and the reverse mode computes them again, so
    memory does not grow with L · S; with dropout it does. 16-bit floats are computed with in 32
    bits.

    References
    ----------
    A. Vaswani et al., "Attention is all you need", NeurIPS 2017, https://arxiv.org/abs/1706.03762;
    T. Dao, "FlashAttention-2", ICLR 2024, https://arxiv.org/abs/2307.08691, for the reverse mode;
    J. Ainslie et al., "GQA", EMNLP 2023, https://arxiv.org/abs/2305.13245.

    Examples
    --------
    >>> q, k, v = np.zeros((1, 4)), np.ones((3, 4)), np.asarray([[1.0], [2.0], [6.0]])
    >>> F.scaled_dot_product_attention(q, k, v)
    array([[3.]])
    >>> F.scaled_dot_product_attention(q, k, v, np.asarray([True, True, False]))
    array([[1.5]])
    """
    q, k, v = query, key, value
    dtype = _checked(q, k, v, attn_mask, enable_gqa)
    if not 0 <= dropout_p <= 1:
        msg = f"scaled_dot_product_attention: dropout_p must be from 0 to 1; got {dropout_p}."
        raise located(ValueError(msg))
    if dropout_p and dropout_key is None:
        msg = (
            "scaled_dot_product_attention: dropout must have a random key; got none. Pass "
            "dropout_key=F.random.key(seed), a new one in each step, or dropout_p=0.0."
        )
        raise located(ValueError(msg))
    half = dtype in HALVES
    if half:
        q, k, v = (ops.astype(x, DTYPES["float32"]) for x in (q, k, v))
    q = multiply(q, 1 / math.sqrt(q.shape[-1] or 1) if scale is None else scale)
    bias = _bias(attn_mask, q)
    if enable_gqa:
        groups = q.shape[-3] // (k.shape[-3] or 1)
        q = reshape(q, (*q.shape[:-3], k.shape[-3], groups, *q.shape[-2:]))
        k, v = expand_dims(k, axis=-3), expand_dims(v, axis=-3)
        if bias.ndim > 2:
            heads = bias.shape[-3]
            split = (1, 1) if heads == 1 else (k.shape[-4], groups)
            bias = reshape(bias, (*bias.shape[:-3], *split, *bias.shape[-2:]))
    if dropout_p:
        out = _with_dropout(q, k, v, bias, is_causal, dropout_p, dropout_key)
    else:
        out, _ = _attend(q, k, v, bias, causal=bool(is_causal))
    if enable_gqa:
        out = reshape(out, (*out.shape[:-4], -1, *out.shape[-2:]))
    return ops.astype(out, query.dtype) if half else out


def _checked(q: Any, k: Any, v: Any, mask: Any, grouped: bool) -> Any:
    """The dtype, where shapes and dtypes fit."""
    name = "scaled_dot_product_attention"
    types = [typeof(x) for x in (q, k, v)]
    shapes = " and ".join(str(t.shape) for t in types)
    if any(t.dtype is not types[0].dtype or t.dtype.kind != "float" for t in types):
        dtypes = ", ".join(t.dtype.name for t in types)
        msg = f"{name}: query, key and value must have one real floating dtype; got {dtypes}."
        raise located(DTypeError(msg))
    if any(t.ndim < 2 + grouped for t in types):
        wanted = "(..., heads, length, features)" if grouped else "(..., length, features)"
        msg = f"{name}: query, key and value must have shapes {wanted}; got {shapes}."
        raise located(ShapeError(msg))
    q, k, v = types
    if q.shape[-1] != k.shape[-1]:
        msg = f"{name}: queries and keys must have as many features; got shapes {shapes}."
        raise located(ShapeError(msg))
    if k.shape[-2] != v.shape[-2]:
        msg = f"{name}: there must be as many keys as values; got shapes {shapes}."
        raise located(ShapeError(msg))
    if grouped and (q.shape[-3] % (k.shape[-3] or 1) or k.shape[-3] != v.shape[-3]):
        msg = (
            f"{name}: heads of queries must be a multiple of those of keys and values; got shapes "
            f"{shapes}."
        )
        raise located(ShapeError(msg))
    heads = 1 if grouped else 0
    lead = broadcast_shapes(name, *(t.shape[: -2 - heads] for t in types))
    if mask is not None:
        kind = typeof(mask)
        if kind.dtype.kind not in ("bool", "float"):
            msg = f"{name}: attn_mask must be boolean or real floating; got {kind.dtype.name}."
            raise located(DTypeError(msg))
        scores = (*lead, *q.shape[-3 : -2 if heads else -3], q.shape[-2], k.shape[-2])
        pairs = zip(reversed(kind.shape), reversed(scores), strict=False)
        if kind.ndim > len(scores) or any(m not in (1, n) for m, n in pairs):
            msg = (
                f"{name}: attn_mask must broadcast to the scores; got shapes {kind.shape} and "
                f"{scores}."
            )
            raise located(ShapeError(msg))
    return q.dtype


def _bias(mask: Any, q: Any) -> Any:
    """What is added to the scores; an array of shape () for nothing."""
    if mask is None:
        return zeros((), dtype=q.dtype, xp=library_under(q))
    if as_dtype(mask.dtype).kind == "bool":
        zero = zeros((), dtype=q.dtype, xp=library_under(mask))
        mask = where(mask, zero, -math.inf)
    mask = ops.astype(mask, q.dtype, copy=False)
    return mask if mask.ndim >= 2 else reshape(mask, ((1,) * (2 - mask.ndim) + tuple(mask.shape)))


def _with_dropout(
    q: Any, k: Any, v: Any, bias: Any, causal: bool, p: float, dropout_key: Any
) -> Any:
    """Attention that holds all the weights, for a part of them to be dropped."""
    scores = matmul(q, matrix_transpose(k))
    scores = add(scores, bias) if bias.ndim else scores
    if causal:
        scores = where(_earlier(0, *scores.shape[-2:]), scores, -math.inf)
    some = ops.any(ops.greater(scores, -math.inf), axis=-1, keepdims=True)
    weights = where(some, ops.softmax(where(some, scores, 0.0), axis=-1), 0.0)
    return matmul(dropout(weights, p, key=dropout_key), v)


@composite
def dot_product_attention(
    query: Array,
    key: Array,
    value: Array,
    bias: Array | None = None,
    mask: Array | None = None,
    *,
    scale: Any = None,
    is_causal: bool = False,
) -> Any:
    """Attention in JAX's layout, ``(batch, length, heads, features)``.

    Parameters
    ----------
    query : array, shape (..., L, N, E)
        Of real floating dtype.
    key : array, shape (..., S, K, E)
    value : array, shape (..., S, K, D)
        N is a multiple of K: a head of keys serves several of queries.
    bias : array, shape broadcastable to (..., N, L, S), optional
        Added to the scores.
    mask : array, shape broadcastable to (..., N, L, S), optional
        Of bool: True where a query may see a key.
    scale : float or array of shape (), optional
        By default 1/√E.
    is_causal : bool
        Whether query i sees only the keys 0 to i.

    Returns
    -------
    array, shape (..., L, N, D)

    Raises
    ------
    ShapeError, DTypeError
        As for `scaled_dot_product_attention`, which computes it.

    Examples
    --------
    >>> x = np.ones((2, 5, 4, 8))
    >>> F.dot_product_attention(x, x, x, is_causal=True).shape
    (2, 5, 4, 8)
    """
    for x in (query, key, value):
        if x.ndim < 3:
            msg = (
                "dot_product_attention: arrays must have shape (..., length, heads, features); got "
                f"{tuple(x.shape)}."
            )
            raise located(DimensionError(msg))
    q, k, v = (moveaxis(x, -2, -3) for x in (query, key, value))
    if bias is not None and mask is not None:
        bias = where(mask, bias, -math.inf)
    grouped = q.shape[-3] != k.shape[-3]
    out = scaled_dot_product_attention(
        q, k, v, mask if bias is None else bias, 0.0, is_causal, scale, enable_gqa=grouped
    )
    return moveaxis(out, -3, -2)
