"""How a solution is differentiated: `ImplicitAdjoint`, `RecursiveCheckpointAdjoint`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from volta.core.trace import located
from volta.implicit.linear import cg, dense, gmres, normal_cg

__all__ = ["ImplicitAdjoint", "RecursiveCheckpointAdjoint", "linear_solver"]

_SOLVERS = {"dense": dense, "cg": cg, "gmres": gmres, "normal_cg": normal_cg}
_MOST = 1000  # unknowns of which a matrix is made, unless another solver is asked for


@dataclass(frozen=True)
class ImplicitAdjoint:
    """Derivatives of a solution by the implicit function theorem, whatever the solver does.

    Parameters
    ----------
    solve : {"auto", "dense", "cg", "gmres", "normal_cg"} or callable
        Solver of the linear equation: one of `dense`, `cg`, `gmres` and `normal_cg`, or
        ``solve(matvec, b) -> x`` of trees. ``"auto"`` is `dense` for up to 1000 unknowns, and for
        more `cg` in `minimize` and `gmres` elsewhere.

    Raises
    ------
    ValueError
        If there is no solver of that name.

    Examples
    --------
    >>> import functools, volta
    >>> cg = functools.partial(volta.implicit.cg, rtol=1e-6)
    >>> adjoint = volta.implicit.ImplicitAdjoint(solve=cg)
    """

    solve: str | Callable[..., Any] = "auto"

    def __post_init__(self) -> None:
        if not callable(self.solve) and self.solve not in ("auto", *_SOLVERS):
            names = ", ".join(("auto", *_SOLVERS))
            msg = (
                f"ImplicitAdjoint: solve must be one of {names}, or a function; got {self.solve!r}."
            )
            raise located(ValueError(msg))


@dataclass(frozen=True)
class RecursiveCheckpointAdjoint:
    """Derivatives of a solution by those of the steps that the solver took.

    The solver then gets traced arrays: it must consist of Volta's operations. Where it is a
    `volta.while_loop`, reverse mode keeps few of its steps and runs it again in pieces.

    Examples
    --------
    >>> import volta
    >>> volta.implicit.RecursiveCheckpointAdjoint()
    RecursiveCheckpointAdjoint()
    """


def linear_solver(
    adjoint: ImplicitAdjoint, unknowns: int, symmetric: bool
) -> tuple[Callable[..., Any], bool | None]:
    """Solver that an adjoint asks for, and whether it runs for many lanes at once."""
    solve = adjoint.solve
    if callable(solve):
        return solve, None
    if solve == "auto":
        solve = "dense" if unknowns <= _MOST else "cg" if symmetric else "gmres"
    return _SOLVERS[solve], solve == "dense"
