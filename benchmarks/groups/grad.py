"""``grad``: what one operation costs under ``grad``, 8 by 8 float32.

``exp_neg`` is the gradient of the sum of a chain of 20 ``exp(-x)``: time over 40 operations (20
``negative``, 20 ``exp``), value, record, sweep and ``grad``'s own fixed cost all included.
The other chains have 20 steps of one primitive (``sum_broadcast``: of two) and are given whole.
``numpy`` runs, by hand, the kernels that value and rule call, ``base`` is a chain whose steps do
nothing; so the cost that Volta adds to an entry, which has a budget, is
``((volta - volta base) - (numpy - numpy base)) / entries``. ``tape`` is a bare Python tape.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

from benchmarks.harness import Budget, Case, Group, Values

STEPS = 20
WHOLE_LIMIT = 3.0  # µs an operation of exp_neg, everything included
ENTRY_LIMIT = 2.0  # µs an entry above its kernels
_NAMES = (
    "exp", "add", "multiply", "divide", "tanh", "broadcast_to", "matmul", "reshape", "where",
    "maximum", "concat", "softmax", "log_softmax",
)  # fmt: skip
Step = Callable[[Any, Any, int], Any]


@dataclass(frozen=True)
class Chain:
    """One chain: ``step(namespace, x, i)`` and, with raw NumPy, its forward and backward kernels.

    ``forward(k, x, i) → out``, ``backward(k, ct, x, out, i) → cotangent of x``, where ``k`` is
    NumPy's namespace of constants. ``entries`` is the number of primitives in a step.
    """

    step: Step
    forward: Step
    backward: Callable[[Any, Any, Any, Any, int], Any]
    shape: tuple[int, ...] = (8, 8)
    entries: int = 1


def _softmax(k: Any, x: Any) -> Any:
    e = k.np.exp(k.np.subtract(x, k.np.maximum.reduce(x, axis=-1, keepdims=True)))
    return k.np.divide(e, k.np.add.reduce(e, axis=-1, keepdims=True))


def _log_softmax(k: Any, x: Any) -> Any:
    shifted = k.np.subtract(x, k.np.maximum.reduce(x, axis=-1, keepdims=True))
    total = k.np.add.reduce(k.np.exp(shifted), axis=-1, keepdims=True)
    return k.np.subtract(shifted, k.np.log(total))


def _softmax_back(k: Any, ct: Any, x: Any, out: Any, i: int) -> Any:
    weighted = k.np.multiply(ct, out)
    total = k.np.add.reduce(weighted, axis=-1, keepdims=True)
    return k.np.subtract(weighted, k.np.multiply(out, total))


def _log_softmax_back(k: Any, ct: Any, x: Any, out: Any, i: int) -> Any:
    total = k.np.add.reduce(ct, axis=-1, keepdims=True)
    return k.np.subtract(ct, k.np.multiply(k.np.exp(out), total))


def _maximum_back(k: Any, ct: Any, x: Any, out: Any, i: int) -> Any:
    """Take the cotangent where x is the larger, half of it where both are, which is the rule."""
    ct = k.np.where(x == out, ct, 0)
    return k.np.where(x == k.low, ct / 2, ct)


def _slice_back(k: Any, ct: Any, x: Any, out: Any, i: int) -> Any:
    base = k.np.zeros(x.shape, dtype=x.dtype)
    base[1:] = ct
    return base


def _take_back(k: Any, ct: Any, x: Any, out: Any, i: int) -> Any:
    base = k.np.zeros(x.shape, dtype=x.dtype)
    k.np.add.at(base, k.index, ct)
    return base


def _shape(i: int) -> tuple[int, int]:
    return ((4, 16), (8, 8))[i % 2]


CHAINS = {
    "base": Chain(
        lambda n, x, i: x,
        lambda k, x, i: x,
        lambda k, ct, x, out, i: ct,
    ),
    "exp_neg": Chain(
        lambda n, x, i: n.exp(-x),
        lambda k, x, i: k.np.exp(k.np.negative(x)),
        lambda k, ct, x, out, i: k.np.negative(k.np.multiply(ct, out)),
        entries=2,
    ),
    "add": Chain(
        lambda n, x, i: n.add(x, n.w),
        lambda k, x, i: k.np.add(x, k.w),
        lambda k, ct, x, out, i: ct,
    ),
    "multiply": Chain(
        lambda n, x, i: n.multiply(x, n.near_one),
        lambda k, x, i: k.np.multiply(x, k.near_one),
        lambda k, ct, x, out, i: k.np.multiply(ct, k.near_one),
    ),
    "divide": Chain(
        lambda n, x, i: n.divide(x, n.near_one),
        lambda k, x, i: k.np.divide(x, k.near_one),
        lambda k, ct, x, out, i: k.np.multiply(ct, 1 / k.near_one),
    ),
    "tanh": Chain(
        lambda n, x, i: n.tanh(x),
        lambda k, x, i: k.np.tanh(x),
        lambda k, ct, x, out, i: k.np.multiply(ct, (1 - out) * (1 + out)),
    ),
    "sum_broadcast": Chain(
        lambda n, x, i: n.broadcast_to(n.sum(x), (8, 8)),
        lambda k, x, i: k.np.broadcast_to(k.np.add.reduce(x, axis=0, keepdims=True), (8, 8)),
        lambda k, ct, x, out, i: k.np.broadcast_to(
            k.np.add.reduce(ct, axis=0, keepdims=True), (8, 8)
        ),
        entries=2,
    ),
    "matmul": Chain(
        lambda n, x, i: n.matmul(x, n.w),
        lambda k, x, i: k.np.matmul(x, k.w),
        lambda k, ct, x, out, i: k.np.matmul(ct, k.w.T),
    ),
    "reshape": Chain(
        lambda n, x, i: n.reshape(x, _shape(i)),
        lambda k, x, i: x.reshape(_shape(i)),
        lambda k, ct, x, out, i: ct.reshape(_shape(i)),
    ),
    "getitem": Chain(
        lambda n, x, i: x[1:],
        lambda k, x, i: x[1:],
        _slice_back,
        shape=(28, 8),
    ),
    "where": Chain(
        lambda n, x, i: n.where(n.mask, x, n.w),
        lambda k, x, i: k.np.where(k.mask, x, k.w),
        lambda k, ct, x, out, i: k.np.where(k.mask, ct, k.zero),
    ),
    "maximum": Chain(
        lambda n, x, i: n.maximum(x, n.low),
        lambda k, x, i: k.np.maximum(x, k.low),
        _maximum_back,
    ),
    "concat": Chain(
        lambda n, x, i: n.concat([x, n.row]),
        lambda k, x, i: k.np.concatenate([x, k.row]),
        lambda k, ct, x, out, i: ct[: x.shape[0]],
    ),
    "softmax": Chain(
        lambda n, x, i: n.softmax(x),
        lambda k, x, i: _softmax(k, x),
        _softmax_back,
    ),
    "log_softmax": Chain(
        lambda n, x, i: n.log_softmax(x),
        lambda k, x, i: _log_softmax(k, x),
        _log_softmax_back,
    ),
    "take": Chain(
        lambda n, x, i: n.take(x, n.index),
        lambda k, x, i: x[k.index],
        _take_back,
    ),
}


def _constants() -> dict[str, Any]:
    """Return the chains' constant operands as NumPy arrays, the same in every implementation."""
    import numpy as np

    random = np.random.default_rng(0)
    orthogonal, _ = np.linalg.qr(random.normal(size=(8, 8)))
    return {
        "w": orthogonal.astype(np.float32),
        "near_one": random.uniform(0.9, 1.1, size=(8, 8)).astype(np.float32),
        "low": random.uniform(-2, -1, size=(8, 8)).astype(np.float32),
        "row": random.normal(size=(1, 8)).astype(np.float32),
        "mask": random.uniform(size=(8, 8)) < 0.7,
        "index": np.array([1, 0, 3, 2, 5, 4, 7, 6]),
    }


def _start(chain: Chain) -> Any:
    import numpy as np

    return np.random.default_rng(1).uniform(0.1, 1.0, size=chain.shape).astype(np.float32)


def _cases(implementation: str) -> list[Case]:
    if implementation == "numpy":
        setup = _by_hand
    elif implementation == "tape":
        return [Case("exp_neg", _tape, count=2 * STEPS)]
    else:
        setup = partial(_differentiated, _NAMESPACES[implementation]())
    return [
        Case(name, partial(setup, chain), count=2 * STEPS if name == "exp_neg" else 1)
        for name, chain in CHAINS.items()
    ]


def _differentiated(namespace: Any, chain: Chain) -> Callable[[], Any]:
    step = chain.step

    def loss(x: Any) -> Any:
        for i in range(STEPS):
            x = step(namespace, x, i)
        return namespace.total(x)

    return partial(namespace.grad(loss), namespace.asarray(_start(chain)))


def _by_hand(chain: Chain) -> Callable[[], Any]:
    import numpy as np

    zero, one = np.float32(0), np.float32(1)
    k = SimpleNamespace(np=np, zero=zero, **_constants())
    forward, backward, start = chain.forward, chain.backward, _start(chain)

    def run() -> Any:
        x = start
        values = [x]
        for i in range(STEPS):
            x = forward(k, x, i)
            values.append(x)
        np.add.reduce(x, axis=None)
        ct = np.broadcast_to(one, x.shape)
        for i in range(STEPS - 1, -1, -1):
            ct = backward(k, ct, values[i], values[i + 1], i + 1)
        return ct

    return run


class _Variable:
    """A value on the bare tape."""

    __slots__ = ("ct", "tape", "value")

    def __init__(self, value: Any, tape: list[Any]) -> None:
        self.value = value
        self.tape = tape
        self.ct: Any = None

    def __neg__(self) -> _Variable:
        return _record(self, -self.value, lambda ct: -ct)


def _record(x: _Variable, value: Any, pull: Callable[[Any], Any]) -> _Variable:
    out = _Variable(value, x.tape)
    x.tape.append((x, out, pull))
    return out


def _tape() -> Callable[[], Any]:
    """Return the floor: the least that Python needs to record a chain and sweep it back."""
    import numpy as np

    def exp(x: _Variable) -> _Variable:
        value = np.exp(x.value)
        return _record(x, value, lambda ct: ct * value)

    def gradient(start: Any) -> Any:
        tape: list[Any] = []
        first = x = _Variable(start, tape)
        for _ in range(STEPS):
            x = exp(-x)
        np.add.reduce(x.value, axis=None)
        x.ct = np.ones_like(x.value)
        for operand, out, pull in reversed(tape):
            ct = pull(out.ct)
            operand.ct = ct if operand.ct is None else operand.ct + ct
        return first.ct

    return partial(gradient, _start(CHAINS["exp_neg"]))


def _volta(asarray: Callable[[Any], Any] = lambda x: x) -> Any:
    import volta
    from volta import functional

    return SimpleNamespace(
        grad=volta.grad,
        asarray=asarray,
        total=functional.sum,
        sum=lambda x: functional.sum(x, axis=0, keepdims=True),
        take=lambda x, index: functional.take(x, index, axis=0),
        **{name: getattr(functional, name) for name in _NAMES if hasattr(functional, name)},
        **{name: asarray(value) for name, value in _constants().items()},
    )


def _volta_torch() -> Any:
    import torch

    return _volta(torch.from_numpy)


def _autograd() -> Any:
    import autograd
    import autograd.numpy as np

    def log_softmax(x: Any) -> Any:
        shifted = x - np.max(x, axis=-1, keepdims=True)
        return shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))

    return SimpleNamespace(
        grad=autograd.grad,
        asarray=lambda x: x,
        total=np.sum,
        exp=np.exp,
        add=np.add,
        multiply=np.multiply,
        divide=np.divide,
        tanh=np.tanh,
        sum=lambda x: np.sum(x, axis=0, keepdims=True),
        broadcast_to=np.broadcast_to,
        matmul=np.matmul,
        reshape=np.reshape,
        where=np.where,
        maximum=np.maximum,
        concat=np.concatenate,
        softmax=lambda x: np.exp(log_softmax(x)),
        log_softmax=log_softmax,
        take=lambda x, index: x[index],
        **_constants(),
    )


def _torch() -> Any:
    import torch

    def grad(loss: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda x: torch.autograd.grad(loss(x), x)[0]

    return SimpleNamespace(
        grad=grad,
        asarray=lambda x: torch.from_numpy(x).requires_grad_(),
        total=torch.sum,
        exp=torch.exp,
        add=torch.add,
        multiply=torch.mul,
        divide=torch.div,
        tanh=torch.tanh,
        sum=lambda x: torch.sum(x, 0, keepdim=True),
        broadcast_to=torch.broadcast_to,
        matmul=torch.matmul,
        reshape=torch.reshape,
        where=torch.where,
        maximum=torch.maximum,
        concat=torch.cat,
        softmax=lambda x: torch.softmax(x, -1),
        log_softmax=lambda x: torch.log_softmax(x, -1),
        take=lambda x, index: torch.index_select(x, 0, index),
        **{name: torch.from_numpy(value) for name, value in _constants().items()},
    )


def _jax() -> Any:
    import jax
    import jax.numpy as jnp

    def grad(loss: Callable[[Any], Any]) -> Callable[[Any], Any]:
        gradient = jax.grad(loss)
        return lambda x: gradient(x).block_until_ready()

    return SimpleNamespace(
        grad=grad,
        asarray=jnp.asarray,
        total=jnp.sum,
        exp=jnp.exp,
        add=jnp.add,
        multiply=jnp.multiply,
        divide=jnp.divide,
        tanh=jnp.tanh,
        sum=lambda x: jnp.sum(x, axis=0, keepdims=True),
        broadcast_to=jnp.broadcast_to,
        matmul=jnp.matmul,
        reshape=jnp.reshape,
        where=jnp.where,
        maximum=jnp.maximum,
        concat=jnp.concatenate,
        softmax=jax.nn.softmax,
        log_softmax=jax.nn.log_softmax,
        take=lambda x, index: jnp.take(x, index, axis=0),
        **{name: jnp.asarray(value) for name, value in _constants().items()},
    )


def _budgets(values: Values) -> list[Budget]:
    budgets = []
    if ("exp_neg", "volta") in values:
        value = values["exp_neg", "volta"]
        budgets.append(Budget("exp_neg: an operation, in all", value, WHOLE_LIMIT, "µs"))
    for name, chain in CHAINS.items():
        places = [(case, who) for who in ("volta", "numpy") for case in (name, "base")]
        if name in ("base", "exp_neg") or not all(place in values for place in places):
            continue
        ours, our_base, raw, raw_base = (values[place] for place in places)
        added = ((ours - our_base) - (raw - raw_base)) / (STEPS * chain.entries)
        budgets.append(Budget(f"{name}: an entry above its kernels", added, ENTRY_LIMIT, "µs"))
    return budgets


_NAMESPACES = {
    "volta": _volta,
    "volta-torch": _volta_torch,
    "autograd": _autograd,
    "torch": _torch,
    "jax": _jax,
}

GROUP = Group(
    name="grad",
    title="gradient of a chain of 20 steps on 8×8 float32 (exp_neg: an operation; others: whole)",
    unit="µs",
    scale=1e6,
    implementations={
        "volta": ("volta",),
        "numpy": ("numpy",),
        "tape": ("numpy",),
        "volta-torch": ("volta", "torch"),
        "autograd": ("autograd",),
        "torch": ("torch",),
        "jax": ("jax",),
    },
    case_names=tuple(CHAINS),
    cases=_cases,
    budgets=_budgets,
)
