"""Keywords of other libraries: what a call with one of them meant."""

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, Final, ParamSpec, TypeVar

from volta.core.trace import located

__all__ = ["suggesting"]

P = ParamSpec("P")
R = TypeVar("R")

# Words for one thing, here and elsewhere. The first line that has the word and an argument decides.
_WORDS: Final = (
    ("axis", "axes", "dim", "dims"),
    ("keepdims", "keepdim"),
    ("in_axes", "in_dims"),
    ("out_axes", "out_dims"),
    ("axis_name", "name"),
    ("axis_size", "size", "num_lanes"),
    ("chunk_size", "chunk", "chunks", "batch_size"),
    ("argnums", "argnum", "wrt"),
    ("has_aux", "aux"),
    ("fun", "f", "fn", "func", "function"),
    ("learning_rate", "lr", "step_size"),
    ("b1", "beta1", "beta_1"),
    ("b2", "beta2", "beta_2"),
    ("betas", "b1", "b2", "beta1", "beta2", "beta_1", "beta_2"),
    ("eps", "epsilon"),
    ("weight_decay", "wd"),
    ("in_features", "in_channels", "in_dim", "in_size", "input_size"),
    ("out_features", "out_channels", "out_dim", "out_size", "output_size"),
    ("bias", "use_bias", "with_bias"),
    ("p", "rate", "prob", "drop_prob", "drop_rate", "dropout"),
    ("negative_slope", "slope", "alpha"),
    ("start_dim", "start_axis"),
    ("end_dim", "end_axis"),
    ("key", "rng", "rngs"),
    ("seed", "generator", "random_state", "key", "rng"),
    ("workers", "num_workers"),
    ("prefetch", "prefetch_factor"),
    ("collate", "collate_fn"),
    ("num_replicas", "world_size"),
    ("device", "map_location"),
    ("max_to_keep", "keep", "save_top_k", "save_total_limit"),
    ("keep_period", "keep_every_n_steps"),
    ("directory", "path", "dirpath", "ckpt_dir"),
)
# Words for what is done in another way
_INSTEAD: Final = {
    "inplace": "functions return new arrays",
    "randomness": "random functions take a key, so map over one for each lane, of random.split",
    "strategy": "jacfwd and jacrev are two functions",
    "vectorize": "all rows are computed at once, or as many as chunk_size says",
}
_NO_KEY: Final = "missing 1 required keyword-only argument: 'key'"
_KEYLESS: Final = (
    "{}: must have a random key, of which the initial values are drawn; got none. "
    "Pass key=F.random.key(seed)."
)
_ALIKE: Final = 0.7  # of difflib, from 0 to 1: a letter or an ending, not another word


def suggesting(call: Callable[P, R]) -> Callable[P, R]:
    """Make a function say which keyword was meant, where it is called with one it does not have.

    A call that fits pays for one frame. An error from inside of `call` is not touched: only where
    binding the arguments failed does the traceback end here.
    """

    @functools.wraps(call)
    def bound(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return call(*args, **kwargs)
        except TypeError as error:
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise
            msg = _explained(call, args, kwargs, str(error))
            raise (TypeError(msg) if msg == str(error) else located(TypeError(msg))) from None

    return bound


def _explained(
    call: Callable[..., Any], args: tuple[Any, ...], kwargs: Iterable[str], plain: str
) -> str:
    """Message for a call whose arguments do not bind: Python's, or a better one."""
    parameters = inspect.signature(call).parameters
    owner, _, function = call.__qualname__.rpartition(".")
    operation = owner.rpartition(".")[2] if function == "__init__" else function
    if operation.startswith("_"):  # a base class that users do not know
        operation = type(args[0]).__name__
        plain = plain.replace(f"{owner}.__init__()", f"{operation}.__init__()")
    unknown = next((k for k in kwargs if k not in parameters), None)
    if unknown is None:
        return _KEYLESS.format(operation) if plain.endswith(_NO_KEY) else plain
    by_position = [n for n, p in parameters.items() if p.kind <= p.POSITIONAL_OR_KEYWORD]
    by_keyword = [
        n for n, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    given = {*by_position[: len(args)], *kwargs}
    meant = _meant(unknown, [n for n in by_keyword if n not in given])
    if not meant and unknown in _INSTEAD:
        return f"{operation}: takes no argument {unknown!r}; {_INSTEAD[unknown]}."
    if not meant:
        return f"{plain}; it takes {', '.join(n for n in by_keyword if n != 'self')}."
    suggested = " and ".join(map(repr, meant))
    return f"{operation}: takes no argument {unknown!r}; did you mean {suggested}?"


def _meant(unknown: str, names: list[str]) -> list[str]:
    for words in _WORDS:
        if unknown in words and (found := [n for n in names if n in words]):
            return found
    return difflib.get_close_matches(unknown, names, n=1, cutoff=_ALIKE)
