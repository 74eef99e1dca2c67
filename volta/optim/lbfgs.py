"""L-BFGS: Newton's direction from the steps and gradients before, without matrices."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from volta.core import tree
from volta.core.errors import LoadError
from volta.core.keywords import suggesting
from volta.core.trace import located, ops
from volta.core.types import as_dtype
from volta.nn.loading import fitted
from volta.nn.module import Module
from volta.optim.base import (
    Optimizer,
    Rate,
    apply_updates,
    chain,
    check_count,
    check_number,
    check_rate,
    conjugate,
    following,
    identity,
    kept,
    known,
    leafwise,
    needed,
    no_steps,
    rate_at,
    scale_by_learning_rate,
    times,
)
from volta.optim.line_search import Point, strong_wolfe
from volta.optim.stateful import restored
from volta.transforms import value_and_grad
from volta.tree import ravel_pytree

__all__ = [
    "LBFGS",
    "LbfgsState",
    "LinesearchState",
    "lbfgs",
    "scale_by_lbfgs",
    "scale_by_zoom_linesearch",
    "value_and_grad_from_state",
]


class LbfgsState(NamedTuple):
    """State of `scale_by_lbfgs`: steps, what was before, and differences, the oldest first."""

    count: Any
    params: Any
    updates: Any
    diff_params_memory: Any
    diff_updates_memory: Any
    weights_memory: Any


@suggesting
def scale_by_lbfgs(memory_size: int = 10, scale_init_precond: bool = True) -> Optimizer:
    """Multiply gradients by an approximation of the inverse of the Hessian.

    Parameters
    ----------
    memory_size : int
        How many steps before are used, at least 1.
    scale_init_precond : bool
        Whether the approximation begins with the last step's curvature instead of 1; in the first
        step with 1 over the norm of the gradient, if that is above 1.

    Returns
    -------
    Optimizer
        Its `update` needs `params`.

    Raises
    ------
    ValueError
        If `memory_size` is less than 1.

    Notes
    -----
    Steps along which the gradient does not grow, as at a negative curvature, are left out.

    References
    ----------
    J. Nocedal, S. J. Wright, "Numerical optimization", 2nd edition, Springer 2006, algorithm 7.4.

    Examples
    --------
    >>> optimizer = volta.optim.chain(volta.optim.scale_by_lbfgs(), volta.optim.scale(-1.0))
    >>> w = np.asarray([3.0, 1.0])
    >>> state = optimizer.init(w)
    >>> for _ in range(6):
    ...     updates, state = optimizer.update(w * np.asarray([1.0, 2.0]), state, w)
    ...     w = w + updates
    >>> bool(np.max(np.abs(w)) < 1e-3)
    True
    """
    check_count("scale_by_lbfgs", "memory_size", memory_size)

    def init(params: Any) -> LbfgsState:
        zeros = leafwise("scale_by_lbfgs.init", ops.zeros_like, params=params)
        memory = tree.map(lambda x: ops.stack([x] * memory_size), zeros)
        weights = ops.stack([_dot(zeros, zeros)] * memory_size)
        return LbfgsState(no_steps(), zeros, zeros, memory, memory, weights)

    def update(grads: Any, state: LbfgsState, params: Any = None) -> tuple[Any, LbfgsState]:
        leafwise(
            "scale_by_lbfgs.update",
            lambda g, p: None,
            grads=grads,
            params=needed("scale_by_lbfgs", params),
        )
        uphill = tree.map(conjugate, grads)
        begun = ops.greater(state.count, 0)
        s = tree.map(lambda p, q: ops.where(begun, ops.subtract(p, q), 0), params, state.params)
        y = tree.map(lambda g, h: ops.where(begun, ops.subtract(g, h), 0), uphill, state.updates)
        curvature, square = _dot(s, y), _dot(y, y)
        good = ops.greater(curvature, 0)
        weight = ops.where(good, ops.divide(1.0, ops.where(good, curvature, 1.0)), 0.0)
        s_memory = tree.map(_pushed, state.diff_params_memory, s)
        y_memory = tree.map(_pushed, state.diff_updates_memory, y)
        weights = _pushed(state.weights_memory, weight)
        gamma: Any = 1.0
        if scale_init_precond:
            length = _dot(uphill, uphill) ** 0.5
            shortened = ops.divide(1.0, ops.maximum(length, 1.0))
            gamma = ops.where(good, ops.divide(curvature, ops.where(good, square, 1.0)), shortened)
        pairs = [(_entry(s_memory, i), _entry(y_memory, i), weights[i]) for i in range(memory_size)]
        q, alphas = uphill, []
        for si, yi, rho in reversed(pairs):
            alphas.append(ops.multiply(rho, _dot(si, q)))
            q = _plus(q, ops.negative(alphas[-1]), yi)
        r = tree.map(lambda x: times(x, gamma), q)
        for (si, yi, rho), alpha in zip(pairs, reversed(alphas), strict=True):
            r = _plus(r, ops.subtract(alpha, ops.multiply(rho, _dot(yi, r))), si)
        new = LbfgsState(following(state.count), params, uphill, s_memory, y_memory, weights)
        return tree.map(conjugate, r), new

    return Optimizer(init, update)


def _pushed(memory: Any, newest: Any) -> Any:
    return ops.concat([memory[1:, ...], kept(ops.expand_dims(newest, axis=0), memory)])


def _entry(memory: Any, i: int) -> Any:
    return tree.map(lambda m: m[i, ...], memory)


def _dot(a: Any, b: Any) -> Any:
    """Real inner product of trees."""
    products = [
        ops.sum(ops.real(ops.multiply(conjugate(x), y)))
        for x, y in zip(tree.leaves(a), tree.leaves(b), strict=True)
    ]
    total = products[0] if products else np.zeros(())
    for product in products[1:]:
        total = ops.add(total, product)
    return total


def _plus(a: Any, factor: Any, b: Any) -> Any:
    return tree.map(lambda x, y: kept(ops.add(x, ops.multiply(y, factor)), x), a, b)


class LinesearchState(NamedTuple):
    """State of a line search: its last step, and value and gradient there."""

    learning_rate: Any
    value: Any
    grad: Any


@suggesting
def scale_by_zoom_linesearch(
    max_linesearch_steps: int = 20,
    initial_guess_strategy: str = "one",
    slope_rtol: float = 1e-4,
    curv_rtol: float = 0.9,
    tol: float = 1e-9,
) -> Optimizer:
    """Multiply updates by a number such that the value and its slope become less.

    Parameters
    ----------
    max_linesearch_steps : int
        How often the value is computed at most, but for once.
    initial_guess_strategy : {"one", "keep"}
        What is tried first: 1, or the number before.
    slope_rtol, curv_rtol : float
        Constants of the strong Wolfe conditions, decrease and curvature.
    tol : float
        Least change of a parameter; a bracket below it is not made smaller.

    Returns
    -------
    Optimizer
        Its `update` needs `params` and the keywords ``value``, ``grad`` and ``value_fn``: the
        function of the parameters, its value, and its gradient there.

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range; from `update`, if a keyword is not given.

    Notes
    -----
    Brackets shrink by cubic interpolation as in PyTorch; optax's takes other points. Where it finds
    none that meets the conditions it takes the best it has seen. It branches on values, and so runs
    eagerly and under `grad`; under `jit` each way through it is compiled by itself.

    References
    ----------
    J. Nocedal, S. J. Wright, "Numerical optimization", 2nd edition, Springer 2006, algorithms 3.5
    and 3.6.

    Examples
    --------
    >>> search = volta.optim.scale_by_zoom_linesearch()
    >>> f = lambda w: F.sum(w**2)
    >>> w = np.asarray([1.0])
    >>> value, grad = volta.value_and_grad(f)(w)
    >>> search.update(-10 * grad, search.init(w), w, value=value, grad=grad, value_fn=f)[0].round(6)
    array([-1.])
    """
    check_count("scale_by_zoom_linesearch", "max_linesearch_steps", max_linesearch_steps)
    if initial_guess_strategy not in ("one", "keep"):
        msg = (
            "scale_by_zoom_linesearch: initial_guess_strategy must be 'one' or 'keep'; got "
            f"{initial_guess_strategy!r}."
        )
        raise located(ValueError(msg))
    check_number("scale_by_zoom_linesearch", "slope_rtol", slope_rtol, 1.0)
    check_number("scale_by_zoom_linesearch", "curv_rtol", curv_rtol, 1.0)
    check_number("scale_by_zoom_linesearch", "tol", tol)

    def init(params: Any) -> LinesearchState:
        zeros = leafwise("scale_by_zoom_linesearch.init", ops.zeros_like, params=params)
        return LinesearchState(np.ones(()), np.full((), np.inf), zeros)

    def update(
        updates: Any,
        state: LinesearchState,
        params: Any = None,
        *,
        value: Any = None,
        grad: Any = None,
        value_fn: Any = None,
    ) -> tuple[Any, LinesearchState]:
        needed("scale_by_zoom_linesearch", params)
        if value is None or grad is None or value_fn is None:
            msg = (
                "scale_by_zoom_linesearch.update: needs the function and where it is; got not all "
                "of them. Pass value=, grad= and value_fn=."
            )
            raise located(ValueError(msg))

        def line(t: Any) -> Point:
            there = apply_updates(params, tree.map(lambda u: times(u, t), updates))
            new_value, new_grad = value_and_grad(value_fn)(there)
            return Point(t, new_value, _slope(new_grad, updates), new_grad)

        start = Point(0.0, value, _slope(grad, updates), grad)
        first = known(state.learning_rate)
        if initial_guess_strategy == "one" or not first > 0:
            first = 1.0
        found, _ = strong_wolfe(
            line,
            start,
            first,
            _largest(updates),
            c1=slope_rtol,
            c2=curv_rtol,
            tolerance_change=tol,
            max_steps=max_linesearch_steps,
        )
        step = np.asarray(found.t) if isinstance(found.t, int | float) else found.t
        scaled = tree.map(lambda u: times(u, found.t), updates)
        return scaled, LinesearchState(step, found.value, found.grad)

    return Optimizer(init, update)


def _slope(grad: Any, direction: Any) -> Any:
    """Derivative along a direction: gradients are conjugates of where the value grows."""
    return _dot(tree.map(conjugate, grad), direction)


def _largest(arrays: Any) -> Any:
    found = [ops.max(ops.abs(x)) for x in tree.leaves(arrays) if math.prod(x.shape)]
    return ops.max(ops.stack(found)) if found else 0.0


def value_and_grad_from_state(value_fn: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function of parameters that takes value and gradient from a line search's state.

    Parameters
    ----------
    value_fn : callable

    Returns
    -------
    callable
        ``f(params, *args, state=…)`` returns value and gradient: those that the last line search
        has found, or, before it, those it computes.

    Examples
    --------
    >>> f = lambda w: F.sum(w**2)
    >>> optimizer = volta.optim.lbfgs()
    >>> w = np.asarray([3.0])
    >>> state = optimizer.init(w)
    >>> value, grad = volta.optim.value_and_grad_from_state(f)(w, state=state)
    >>> value, grad
    (array(9.), array([6.]))
    """

    def from_state(params: Any, *args: Any, state: Any) -> Any:
        found = _search_state(state)
        if found is None or not bool(ops.isfinite(found.value)):
            return value_and_grad(value_fn)(params, *args)
        return found.value, found.grad

    return from_state


def _search_state(state: Any) -> LinesearchState | None:
    if isinstance(state, LinesearchState):
        return state
    if isinstance(state, tuple):
        return next((s for s in map(_search_state, state) if s is not None), None)
    return None


@suggesting
def lbfgs(
    learning_rate: Rate | None = None,
    memory_size: int = 10,
    scale_init_precond: bool = True,
    linesearch: Any = "zoom",
) -> Optimizer:
    """L-BFGS with a line search; optax's arguments and defaults.

    Parameters
    ----------
    learning_rate : float, array of shape (), or callable, optional
        Or a schedule, from step to rate; of what the line search begins with, by default 1.
    memory_size, scale_init_precond
        See `scale_by_lbfgs`.
    linesearch : Optimizer, optional
        By default ``scale_by_zoom_linesearch()``; none if None.

    Returns
    -------
    Optimizer
        With a line search its `update` needs keywords; see `scale_by_zoom_linesearch`.

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    References
    ----------
    D. C. Liu, J. Nocedal, "On the limited memory BFGS method for large scale optimization", Math.
    Programming 45 (1989), https://doi.org/10.1007/BF01589116.

    Examples
    --------
    >>> f = lambda w: F.sum((w - np.asarray([1.0, 2.0])) ** 4 + w**2)
    >>> optimizer = volta.optim.lbfgs()
    >>> w = np.asarray([4.0, 4.0])
    >>> state = optimizer.init(w)
    >>> for _ in range(15):
    ...     value, grad = volta.optim.value_and_grad_from_state(f)(w, state=state)
    ...     updates, state = optimizer.update(grad, state, w, value=value, grad=grad, value_fn=f)
    ...     w = volta.optim.apply_updates(w, updates)
    >>> bool(np.max(np.abs(4 * (w - np.asarray([1.0, 2.0])) ** 3 + 2 * w)) < 1e-6)
    True
    """
    if learning_rate is not None:
        check_rate("lbfgs", learning_rate)
    if linesearch == "zoom":
        linesearch = scale_by_zoom_linesearch()
    return chain(
        scale_by_lbfgs(memory_size, scale_init_precond),
        scale_by_learning_rate(1.0 if learning_rate is None else learning_rate),
        identity() if linesearch is None else linesearch,
    )


class LBFGS:
    """L-BFGS on a model; PyTorch's arguments and defaults.

    Parameters
    ----------
    params : Module, or tree of arrays
        Of one library and device. A module is changed in place; a tree is not, but replaced.
    lr : float or callable
        Step, or the first that the line search tries; or a schedule from call to it.
    max_iter : int
        Iterations in a call of `step`.
    max_eval : int, optional
        How often the function is called in a call of `step`; by default 1.25 · `max_iter`.
    tolerance_grad : float
        A call ends where no number of the gradient is larger.
    tolerance_change : float
        It ends too where value and parameters change less.
    history_size : int
        How many steps before are used.
    line_search_fn : {"strong_wolfe"}, optional
        By default none.

    Attributes
    ----------
    n_iter, func_evals : int
        Iterations, and calls of the function, so far.

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    References
    ----------
    D. C. Liu, J. Nocedal, "On the limited memory BFGS method for large scale optimization", Math.
    Programming 45 (1989), https://doi.org/10.1007/BF01589116.

    Examples
    --------
    >>> optimizer = volta.optim.LBFGS({"w": np.asarray([3.0, -1.0])}, line_search_fn="strong_wolfe")
    >>> f = lambda params: F.sum((params["w"] - 1) ** 2)
    >>> optimizer.step(volta.value_and_grad(f))
    array(8.)
    >>> optimizer.params["w"].round(6)
    array([1., 1.])
    """

    @suggesting
    def __init__(
        self,
        params: Any,
        lr: Rate = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_rate("LBFGS", lr, "lr")
        check_number("LBFGS", "tolerance_grad", tolerance_grad)
        check_number("LBFGS", "tolerance_change", tolerance_change)
        check_count("LBFGS", "max_iter", max_iter)
        check_count("LBFGS", "history_size", history_size)
        if max_eval is not None:
            check_count("LBFGS", "max_eval", max_eval)
        if line_search_fn not in (None, "strong_wolfe"):
            msg = f"LBFGS: line_search_fn must be 'strong_wolfe'; got {line_search_fn!r}."
            raise located(ValueError(msg))
        self.lr = lr
        self.max_iter = max_iter
        self.max_eval = max_iter * 5 // 4 if max_eval is None else max_eval
        self.tolerance_grad = tolerance_grad
        self.tolerance_change = tolerance_change
        self.history_size = history_size
        self.line_search_fn = line_search_fn
        self._model = params if isinstance(params, Module) else None
        self._params = None if isinstance(params, Module) else params
        self.steps = self.n_iter = self.func_evals = 0
        self._t: Any = 0.0
        self._scale: Any = 1.0
        self._d: Any = None  # direction, and gradient, of the last iteration
        self._grad: Any = None
        self._pairs: list[tuple[Any, Any]] = []  # steps and differences of gradients, oldest first

    @property
    def params(self) -> Any:
        """The parameters as they are now: those of the model, or the tree."""
        return self._params if self._model is None else self._model.parameters()

    def step(self, fun: Callable[[Any], tuple[Any, Any]]) -> Any:
        """Iterate, and change the parameters.

        Parameters
        ----------
        fun : callable
            From parameters like `params` to a value and gradients, such as
            ``volta.value_and_grad(loss)``.

        Returns
        -------
        array, shape ()
            The value at the parameters before.
        """
        x, unravel = ravel_pytree(tree.map(_reals, self.params))

        def evaluate(x: Any) -> tuple[Any, Any]:
            value, grads = fun(self._placed(unravel(x)))
            self.func_evals += 1
            return value, ravel_pytree(tree.map(lambda g: _reals(conjugate(g)), grads))[0]

        value, grad = first = evaluate(x)
        rate, calls = rate_at(self.lr, self.steps), 1
        self.steps += 1
        for iteration in range(1, self.max_iter + 1):
            if ops.max(ops.abs(grad)) <= self.tolerance_grad:
                break
            self._turn(grad)
            self._t = rate
            if self.n_iter == 1:
                total = float(ops.sum(ops.abs(grad)))
                self._t = min(1.0, 1.0 / total) * rate
            slope, before = float(ops.sum(grad * self._d)), value
            if slope > -self.tolerance_change:
                break
            if self.line_search_fn is None:
                x = x + self._t * self._d
                if iteration == self.max_iter:
                    break
                value, grad = evaluate(x)
                calls += 1
            else:
                x, value, grad, more = self._searched(
                    evaluate, x, value, grad, slope, self.max_eval - calls
                )
                calls += more
            moved = float(ops.max(ops.abs(self._d))) * abs(self._t)
            small = moved <= self.tolerance_change
            if calls >= self.max_eval or small or abs(value - before) < self.tolerance_change:
                break
        self._put(unravel(x))
        return first[0]

    def _turn(self, grad: Any) -> None:
        """Next direction, from a gradient."""
        self.n_iter += 1
        if self._grad is not None:
            y, s = grad - self._grad, self._d * self._t
            curvature = float(ops.sum(y * s))
            if curvature > 1e-10:
                self._pairs = [*self._pairs, (s, y)][-self.history_size :]
                self._scale = curvature / float(ops.sum(y * y))
        q, alphas = -grad, []
        weights = [1 / float(ops.sum(s * y)) for s, y in self._pairs]
        for (s, y), rho in zip(reversed(self._pairs), reversed(weights), strict=True):
            alphas.append(rho * float(ops.sum(s * q)))
            q = q - alphas[-1] * y
        d = self._scale * q
        for (s, y), rho, alpha in zip(self._pairs, weights, reversed(alphas), strict=True):
            d = d + (alpha - rho * float(ops.sum(y * d))) * s
        self._d, self._grad = d, grad

    def _searched(
        self, evaluate: Any, x: Any, value: Any, grad: Any, slope: float, most: int
    ) -> tuple[Any, Any, Any, int]:
        """Parameters, value and gradient after a line search, and calls of the function."""

        def line(t: Any) -> Point:
            new_value, new_grad = evaluate(x + t * self._d)
            return Point(t, new_value, float(ops.sum(new_grad * self._d)), new_grad)

        found, calls = strong_wolfe(
            line,
            Point(0.0, value, slope, grad),
            self._t,
            float(ops.max(ops.abs(self._d))),
            tolerance_change=self.tolerance_change,
            max_steps=most,
        )
        self._t = found.t
        return x + found.t * self._d, found.value, found.grad, calls

    def _placed(self, reals: Any) -> Any:
        """Parameters of their real numbers."""
        return tree.map(_complexes, self.params, reals)

    def _put(self, reals: Any) -> None:
        new = self._placed(reals)
        if self._model is None:
            self._params = new
        else:
            self._model.update(new)

    def state_dict(self) -> dict[str, Any]:
        """Return the state by name, to be saved; of the hyperparameters `lr`, if it is a number.

        Returns
        -------
        dict of str to array
            Of flat vectors once a step was made; ``diff_params`` and ``diff_grads`` have a row for
            each step that is remembered.
        """
        counts = {"steps": self.steps, "n_iter": self.n_iter, "func_evals": self.func_evals}
        held = {name: np.asarray(n) for name, n in counts.items()}
        if not callable(self.lr):
            held["lr"] = np.asarray(self.lr) if type(self.lr) in (int, float) else self.lr
        if self._grad is None:
            return held
        numbers = {"t": np.asarray(float(self._t)), "scale": np.asarray(float(self._scale))}
        held |= numbers | {"direction": self._d, "grad": self._grad}
        if self._pairs:
            s, y = zip(*self._pairs, strict=True)
            held |= {"diff_params": ops.stack(list(s)), "diff_grads": ops.stack(list(y))}
        return held

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from a state that `state_dict` returned.

        Parameters
        ----------
        state_dict : mapping of str to array
            Of the same parameters.

        Raises
        ------
        LoadError
            If names or shapes do not fit; nothing is changed then.
        """
        flat, _ = ravel_pytree(tree.map(_reals, self.params))
        n = tuple(flat.shape)
        numbers = ("steps", "n_iter", "func_evals", *(() if callable(self.lr) else ("lr",)))
        wanted: dict[str, Any] = dict.fromkeys(numbers, ())
        if "grad" in state_dict:
            wanted |= {"t": (), "scale": (), "direction": n, "grad": n}
        if "diff_params" in state_dict:
            memory = (len(state_dict["diff_params"]), *n)
            wanted |= {"diff_params": memory, "diff_grads": memory}
        wrong = [f"no {name}" for name in wanted if name not in state_dict]
        wrong += [f"unknown {name}" for name in state_dict if name not in wanted]
        wrong += [
            f"{name} of shape {tuple(state_dict[name].shape)} instead of {shape}"
            for name, shape in wanted.items()
            if name in state_dict and tuple(state_dict[name].shape) != shape
        ]
        if wrong:
            msg = (
                "LBFGS.load_state_dict: the state must be that of the same parameters; got "
                f"{', '.join(wrong)}. Nothing was changed."
            )
            raise LoadError(msg)
        self.steps, self.n_iter, self.func_evals = (
            int(state_dict[name]) for name in ("steps", "n_iter", "func_evals")
        )
        if not callable(self.lr):
            self.lr = restored(state_dict["lr"], self.lr)
        self._grad, self._d, self._pairs = None, None, []
        if "grad" in state_dict:
            self._t, self._scale = float(state_dict["t"]), float(state_dict["scale"])
            self._d, self._grad = (fitted(state_dict[name], flat) for name in ("direction", "grad"))
        if "diff_params" in state_dict:
            rows = zip(state_dict["diff_params"], state_dict["diff_grads"], strict=True)
            self._pairs = [(fitted(s, flat), fitted(y, flat)) for s, y in rows]


def _reals(x: Any) -> Any:
    """Real numbers of an array: of a complex one both parts."""
    if as_dtype(x.dtype).kind != "complex":
        return x
    return ops.stack([ops.real(x), ops.imag(x)])


def _complexes(p: Any, reals: Any) -> Any:
    """Array like a parameter of its real numbers."""
    if as_dtype(p.dtype).kind != "complex":
        return reals
    return kept(ops.add(reals[0], ops.multiply(reals[1], 1j)), p)
