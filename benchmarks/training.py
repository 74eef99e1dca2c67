"""Steps of training: runs of them that begin again, with any optimizer and with torch's own.

Every run starts from the same parameters and begins again after 500 steps, so that no moment decays
into denormal numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

RATE = 1e-3
RESTART = 500
Step = Callable[[Any, Any], tuple[Any, Any, Any]]  # (params, state) -> (params, state, loss)


def _same(start: Any) -> Any:
    return start


def trainer(
    step: Step, params: Any, state: Any, copied: Callable[[Any], Any] = _same
) -> Callable[[], Any]:
    """Return a callable that takes one step of a run, beginning again every RESTART steps.

    A `step` that may write to what it is given begins with what `copied` makes of the start.
    """
    start = (params, state)
    now = copied(start)
    taken = 0

    def train() -> Any:
        nonlocal now, taken
        if taken == RESTART:
            now, taken = copied(start), 0
        params, state, loss = step(*now)
        now = (params, state)
        taken += 1
        return loss

    return train


def adam(
    sqrt: Callable[[Any], Any], params: Any, grads: Any, count: Any, first: Any, second: Any
) -> tuple[Any, Any]:
    """Return parameters and state after a step, for libraries that have no such function."""
    count = count + 1
    first = [0.9 * m + 0.1 * g for m, g in zip(first, grads, strict=True)]
    second = [0.999 * v + 0.001 * (g * g) for v, g in zip(second, grads, strict=True)]
    rate, correction = RATE / (1 - 0.9**count), 1 / (1 - 0.999**count)
    params = [
        p - rate * m / (sqrt(v * correction) + 1e-8)
        for p, m, v in zip(params, first, second, strict=True)
    ]
    return params, (count, first, second)


def torch_trainer(
    params: Any, loss: Callable[[Any], Any], *, fused: bool | None = None
) -> Callable[[], Any]:
    """Return what `trainer` does, with torch's optimizer, which writes to its parameters."""
    import torch

    start = [torch.from_numpy(p) for p in params]
    weights = [p.clone().requires_grad_() for p in start]
    optimizer = torch.optim.Adam(weights, lr=RATE, fused=fused)
    taken = 0

    def train() -> Any:
        nonlocal taken
        if taken == RESTART:
            taken = 0
            optimizer.state.clear()
            with torch.no_grad():
                for weight, value in zip(weights, start, strict=True):
                    weight.copy_(value)
        value = loss(weights)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        taken += 1
        return value

    return train
