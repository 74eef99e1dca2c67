"""Parameters that are computed from others: `torch.nn.utils.parametrizations` and `parametrize`.

A parametrized field of a module holds no array. The module ``parametrizations.<field>`` holds the
originals and the maps that are applied to them whenever the field is read. Names are PyTorch's.
"""

import operator
from typing import Any, ClassVar, Final

from volta import functional as F  # noqa: N812 - the name that the documentation gives it
from volta.core.errors import DTypeError, RuleError, ShapeError
from volta.core.trace import located
from volta.core.types import as_dtype, typeof
from volta.functional import random
from volta.functional.axes import normalize_axis
from volta.nn.container import ModuleDict
from volta.nn.convolution import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from volta.nn.init import home
from volta.nn.module import Module
from volta.nn.structure import ARRAY, Record, Slot, kind_of, role_of, whole
from volta.transforms import stop_gradient

__all__ = [
    "is_parametrized",
    "orthogonal",
    "register_parametrization",
    "remove_parametrizations",
    "spectral_norm",
    "weight_norm",
]


# Any parametrization ------------------------------------------------------------------------------


class ParametrizationList(Module):
    """The originals of a field, and the maps that compute it, applied in their order."""

    def __init__(self, field: str, originals: Any, axes: Any, role: str) -> None:
        self._field = field
        self._length = 0
        several = isinstance(originals, tuple | list)
        self._originals = tuple(
            f"original{i if several else ''}" for i, _ in enumerate(_each(originals))
        )
        self._keep(originals)
        self._roles = Record({(name,): role for name in self._originals if role != "parameter"})
        self._torch_axes = Record(  # type: ignore[misc]  # an instance's, as the field's owner is
            {n: axes for n in self._originals if axes and getattr(self, n).ndim == len(axes)}
        )

    @property
    def old_suffixes(self) -> tuple[str, ...]:
        """What PyTorch once put after the field's name to name the originals."""
        return getattr(vars(self)["0"], "old_suffixes", ())

    def append(self, parametrization: Module) -> None:
        """Apply one more map after the others."""
        setattr(self, str(self._length), parametrization)
        self._length += 1

    def __call__(self) -> Any:
        """Value of the field."""
        first, *others = (vars(self)[str(i)] for i in range(self._length))
        x = first(*(getattr(self, name) for name in self._originals))
        for parametrization in others:
            x = parametrization(x)
        return x

    def assign(self, value: Any) -> None:
        """Put into the originals what `value` is computed from."""
        if kind_of(value) is not ARRAY:
            msg = (
                f"{self._field}: a parametrized field must be assigned an array; got "
                f"{type(value).__name__}. Call remove_parametrizations first."
            )
            raise located(TypeError(msg))
        for i in reversed(range(self._length)):
            parametrization = vars(self)[str(i)]
            if not hasattr(parametrization, "right_inverse"):
                msg = (
                    f"{self._field}: a parametrization must have a right_inverse for the field to "
                    f"be assigned to; got {type(parametrization).__name__}."
                )
                raise located(TypeError(msg))
            value = parametrization.right_inverse(value)
        self._keep(value)

    def _keep(self, originals: Any) -> None:
        for name, original in zip(self._originals, _each(originals), strict=True):
            setattr(self, name, whole(original))


def _each(originals: Any) -> Any:
    return originals if isinstance(originals, tuple | list) else (originals,)


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Compute a field of a module, whenever it is read, from arrays that take its place.

    Parameters
    ----------
    module : Module
        Is changed.
    tensor_name : str
        Name of the field, which holds an array or is parametrized already; the new map is then
        applied after those that there are.
    parametrization : Module
        Called with the originals; returns the value. Its method ``right_inverse(value)``, if it
        has one, makes the original, or a tuple of several, from a value; else the value is the
        original.
    unsafe : bool
        Whether the value may have another shape and dtype than the field had.

    Returns
    -------
    Module
        `module`.

    Raises
    ------
    ValueError
        If the module holds no array of that name itself.
    ShapeError, DTypeError
        If the value does not have the shape and dtype of the field.

    Notes
    -----
    The originals are ``parametrizations.<name>.original``, or ``.original0``, ``.original1``, … of
    a tuple, and the maps ``parametrizations.<name>.0``, …, as in PyTorch; of a `Linear`'s weight
    the originals lie as the weight does, (in, out), and `to_torch_state_dict` turns them. They
    are frozen, or buffers, if the field was. An array that is assigned to the field goes through
    ``right_inverse``.

    Examples
    --------
    >>> class Symmetric(volta.nn.Module):
    ...     def __call__(self, x):
    ...         return F.triu(x) + F.matrix_transpose(F.triu(x, k=1))
    >>> layer = volta.nn.Linear(3, 3, key=F.random.key(0))
    >>> _ = volta.nn.parametrizations.register_parametrization(layer, "weight", Symmetric())
    >>> bool(np.all(layer.weight == layer.weight.T))
    True
    >>> list(layer.parameters())
    ['bias', 'parametrizations.weight.original']
    """
    old = _array("register_parametrization", module, tensor_name)
    originals = _inverse(parametrization, old)
    if not unsafe:
        parametrization.eval()  # the call must not count as one in training
        _check(parametrization(*_each(originals)), old)
    if tensor_name not in module._parametrized:
        field = f"{type(module).__name__}.{tensor_name}"
        axes = module._torch_axes.get(tensor_name)
        role = role_of(Slot(tensor_name, module, (tensor_name,), old))
        if not module._parametrized:
            module.parametrizations = ModuleDict()
        module.parametrizations[tensor_name] = ParametrizationList(field, originals, axes, role)
        delattr(module, tensor_name)
        module._parametrized |= {tensor_name}
    module.parametrizations[tensor_name].append(parametrization)
    module.parametrizations.train(module.training)
    return module


def _array(operation: str, module: Module, name: str) -> Any:
    """Array that a module holds or computes."""
    if name not in vars(module) and name not in module._parametrized:
        value = None
    else:
        value = getattr(module, name)
    if kind_of(value) is not ARRAY:
        tied = " The field is tied: parametrize the array that it is tied to."
        msg = (
            f"{operation}: the field must hold an array; got {name!r} of {type(module).__name__}."
            f"{tied if name in module._ties else ''}"
        )
        raise located(ValueError(msg))
    return value


def _inverse(parametrization: Any, value: Any) -> Any:
    """Original, or originals, of a value."""
    if not hasattr(parametrization, "right_inverse"):
        return value
    try:
        return parametrization.right_inverse(value)
    except NotImplementedError:
        return value


def _check(new: Any, old: Any) -> None:
    got, wanted = typeof(new), typeof(old)
    if got != wanted:
        msg = (
            "register_parametrization: the value must have the shape and dtype of the field; got "
            f"{got} and {wanted}. Pass unsafe=True to let them differ."
        )
        raise located((DTypeError if got.shape == wanted.shape else ShapeError)(msg))


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Make a parametrized field hold an array again.

    Parameters
    ----------
    module : Module
        Is changed.
    tensor_name : str
    leave_parametrized : bool
        Whether the array is the value of the field, and not the original.

    Returns
    -------
    Module
        `module`.

    Raises
    ------
    ValueError
        If the field is not parametrized, or the original is wanted of a field with several.

    Examples
    --------
    >>> layer = volta.nn.parametrizations.weight_norm(volta.nn.Linear(2, 3, key=F.random.key(0)))
    >>> list(volta.nn.parametrizations.remove_parametrizations(layer, "weight").parameters())
    ['bias', 'weight']
    """
    if tensor_name not in module._parametrized:
        msg = (
            f"remove_parametrizations: the field must be parametrized; got {tensor_name!r} of "
            f"{type(module).__name__}."
        )
        raise located(ValueError(msg))
    group = module.parametrizations[tensor_name]
    if not leave_parametrized and len(group._originals) > 1:
        msg = (
            "remove_parametrizations: the field must have one original for it to be left; got "
            f"{len(group._originals)} of {group._field}. Pass leave_parametrized=True."
        )
        raise located(ValueError(msg))
    first = group._originals[0]
    role = role_of(Slot(first, group, (first,), getattr(group, first)))
    value = whole(group() if leave_parametrized else getattr(group, first))
    module._parametrized -= {tensor_name}
    if module._parametrized:
        module.parametrizations.pop(tensor_name)
    else:
        del module.parametrizations
    setattr(module, tensor_name, value)
    roles = {path: r for path, r in module._roles.items() if path != (tensor_name,)}
    module._roles = Record(roles if role == "parameter" else roles | {(tensor_name,): role})
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Tell whether a module has a parametrized field.

    Parameters
    ----------
    module : Module
    tensor_name : str, optional
        Name of the field; by default any.

    Returns
    -------
    bool

    Examples
    --------
    >>> layer = volta.nn.parametrizations.weight_norm(volta.nn.Linear(2, 3, key=F.random.key(0)))
    >>> volta.nn.parametrizations.is_parametrized(layer, "bias")
    False
    """
    found = module._parametrized
    return bool(found) if tensor_name is None else tensor_name in found


# Weight normalization -----------------------------------------------------------------------------


class _WeightNorm(Module):
    old_suffixes: ClassVar = ("_g", "_v")

    def __init__(self, axis: int | None) -> None:
        self.axis = axis

    def __call__(self, g: Any, v: Any) -> Any:
        return F.weight_norm(v, g, axis=self.axis)

    def right_inverse(self, weight: Any) -> tuple[Any, Any]:
        if self.axis is None:
            return F.linalg.vector_norm(weight), weight
        others = tuple(a for a in range(weight.ndim) if a != self.axis)
        return F.linalg.vector_norm(weight, axis=others, keepdims=True), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Train length and direction of a weight apart: `functional.weight_norm`.

    Parameters
    ----------
    module : Module
        Is changed.
    name : str
        Name of the parameter.
    dim : int, optional
        Axis along which each slice has a length of its own, in PyTorch's layout: 0 are the outputs
        of a `Linear` layer, the second axis of its weight here. None, or −1, gives the whole
        weight one length.

    Returns
    -------
    Module
        `module`, with the parameters ``parametrizations.<name>.original0``, the lengths, and
        ``.original1``, the directions. They load under their names of before PyTorch 2.0 too,
        ``<name>_g`` and ``<name>_v``.

    Raises
    ------
    ValueError
        If the module holds no array of that name.
    DimensionError
        If the array has no such axis.

    References
    ----------
    T. Salimans, D. P. Kingma, "Weight normalization: a simple reparameterization to accelerate
    training of deep neural networks", NeurIPS 2016, https://arxiv.org/abs/1602.07868.

    Examples
    --------
    >>> layer = volta.nn.parametrizations.weight_norm(volta.nn.Linear(2, 3, key=F.random.key(0)))
    >>> {name: p.shape for name, p in layer.parameters().items()}
    {'bias': (3,),
     'parametrizations.weight.original0': (1, 3),
     'parametrizations.weight.original1': (2, 3)}
    """
    axis = None if dim in (None, -1) else _axis("weight_norm", module, name, dim)
    return register_parametrization(module, name, _WeightNorm(axis))


def _axis(operation: str, module: Module, name: str, dim: Any) -> int:
    """Axis of a field that is the axis `dim` in PyTorch's layout."""
    axis = normalize_axis(operation, dim, _array(operation, module, name).ndim)
    axes = module._torch_axes.get(name)
    return axis if axes is None else axes.index(axis)


# Spectral normalization ---------------------------------------------------------------------------


class _SpectralNorm(Module):
    def __init__(self, weight: Any, n_power_iterations: int, axis: int, eps: float, key: Any):
        self.n_power_iterations = n_power_iterations
        self.axis = axis
        self.eps = eps
        if weight.ndim > 1:
            matrix = self._matrix(stop_gradient(weight))
            start = random.normal(key, matrix.shape[1:], "float32", **home(weight))
            start = F.astype(start, weight.dtype, copy=False)
            self._follow(matrix, F.normalize(start, axis=0, eps=eps), 15)

    def _matrix(self, weight: Any) -> Any:
        rows = F.moveaxis(weight, self.axis, 0)
        return F.reshape(rows, (rows.shape[0], -1))

    def _follow(self, matrix: Any, v: Any, steps: int) -> None:
        """Power iteration, towards the first singular vectors."""
        adjoint = F.conj(F.matrix_transpose(matrix))
        for _ in range(steps):
            u = F.normalize(F.matmul(matrix, v), axis=0, eps=self.eps)
            v = F.normalize(F.matmul(adjoint, u), axis=0, eps=self.eps)
        self.register_buffer("_u", u)
        self.register_buffer("_v", v)

    def __call__(self, weight: Any) -> Any:
        if weight.ndim == 1:
            return F.normalize(weight, axis=0, eps=self.eps)
        matrix = self._matrix(weight)
        if self.training:
            self._follow(stop_gradient(matrix), self._v, self.n_power_iterations)
        return F.divide(weight, F.vecdot(self._u, F.matmul(matrix, self._v)))

    def right_inverse(self, weight: Any) -> Any:
        return weight


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
    *,
    key: Any,
) -> Module:
    """Divide a weight by its largest singular value, so that the map stretches nothing.

    Parameters
    ----------
    module : Module
        Is changed.
    name : str
        Name of the parameter.
    n_power_iterations : int
        Steps of the power iteration whenever the weight is read in training; positive.
    eps : float
        Least length by which vectors are divided.
    dim : int, optional
        Axis that becomes the rows of the matrix, the others being its columns, in PyTorch's
        layout: 0 are the outputs of a `Linear` layer. By default 0, and 1 for transposed
        convolutions.
    key : array, shape (2,), uint32
        Random key of the vector to start from.

    Returns
    -------
    Module
        `module`, with the parameter ``parametrizations.<name>.original`` and the buffers
        ``parametrizations.<name>.0._u`` and ``._v``, the singular vectors.

    Raises
    ------
    ValueError
        If the module holds no array of that name, or `n_power_iterations` is not positive.
    DimensionError
        If the array has no such axis.
    TraceError
        From a call in training inside a transform: `stateful_call` returns the buffers.

    Notes
    -----
    ``W / (uᴴ W v)``, where u and v are constants in derivatives: with singular vectors that is
    the derivative. A vector is divided by its length. As in PyTorch, 15 steps are taken at first,
    and then some at each read; the layers here read a parameter once a call.

    References
    ----------
    T. Miyato, T. Kataoka, M. Koyama, Y. Yoshida, "Spectral normalization for generative
    adversarial networks", ICLR 2018, https://arxiv.org/abs/1802.05957, algorithm 1.

    Examples
    --------
    >>> layer = volta.nn.Linear(20, 40, key=F.random.key(0))
    >>> key = F.random.key(1)
    >>> _ = volta.nn.parametrizations.spectral_norm(layer, n_power_iterations=50, key=key)
    >>> bool(np.isclose(F.linalg.svdvals(layer.weight)[0], 1.0, atol=1e-3))
    True
    """
    if operator.index(n_power_iterations) < 1:
        msg = f"spectral_norm: n_power_iterations must be positive; got {n_power_iterations}."
        raise located(ValueError(msg))
    weight = _array("spectral_norm", module, name)
    if dim is None:
        dim = int(isinstance(module, ConvTranspose1d | ConvTranspose2d | ConvTranspose3d))
    axis = _axis("spectral_norm", module, name, dim)
    parametrization = _SpectralNorm(weight, n_power_iterations, axis, eps, key)
    return register_parametrization(module, name, parametrization)


# Orthogonal matrices ------------------------------------------------------------------------------

MAPS: Final = ("matrix_exp", "cayley", "householder")


class _Orthogonal(Module):
    def __init__(self, orthogonal_map: str, use_trivialization: bool, turned: bool) -> None:
        self.orthogonal_map = orthogonal_map
        self.use_trivialization = use_trivialization
        self.turned = turned  # PyTorch's matrix is the transpose, and the maps are not symmetric

    def _tall(self, x: Any) -> Any:
        """PyTorch's matrix, or its transpose, which is tall; and back again."""
        rows, columns = x.shape[-2:]
        flip = rows <= columns if self.turned else rows < columns
        return F.matrix_transpose(x) if flip else x

    def __call__(self, x: Any) -> Any:
        tall = self._tall(x)
        q = _reflected(tall) if self.orthogonal_map == "householder" else self._rotation(tall)
        if self.use_trivialization:
            q = F.matmul(self.base, q)
        return q if tall is x else F.matrix_transpose(q)

    def _rotation(self, x: Any) -> Any:
        """First columns of the exponential, or Cayley's transform, of a skew-symmetric matrix."""
        n, k = x.shape[-2:]
        lower = F.pad(F.tril(x), [(0, 0)] * (x.ndim - 1) + [(0, n - k)])
        skew = F.subtract(lower, F.conj(F.matrix_transpose(lower)))
        if self.orthogonal_map == "matrix_exp":
            return F.linalg.expm(skew)[..., :k]
        half, one = F.divide(skew, 2), _eye_like(skew)
        return F.linalg.solve(F.subtract(one, half), F.add(one, half))[..., :k]

    def right_inverse(self, q: Any) -> Any:
        tall = self._tall(q)
        if self.use_trivialization:
            self.register_buffer("base", _orthonormal(tall, "complete"))
            return F.negative(_eye_like(q))
        if self.orthogonal_map != "householder":
            msg = (
                "orthogonal: a field with the map "
                f"{self.orthogonal_map!r} must have use_trivialization=True to be assigned to."
            )
            raise located(RuleError(msg))
        found = _reflectors(_orthonormal(tall, "reduced"))
        return found if tall is q else F.matrix_transpose(found)


def _eye_like(x: Any) -> Any:
    one = F.eye(*x.shape[-2:], dtype=x.dtype, **home(x))
    return F.broadcast_to(one, x.shape)


def _orthonormal(q: Any, mode: str) -> Any:
    """Orthonormal columns that span what those of `q` do, and in mode "complete" all further."""
    found, r = F.linalg.qr(q, mode=mode)
    k = q.shape[-1]
    diagonal = F.linalg.diagonal(r[..., :k, :])
    signs = F.where(F.equal(diagonal, 0), F.ones_like(diagonal), F.sign(diagonal))
    signs = F.expand_dims(signs, axis=-2)
    return F.concat([F.multiply(found[..., :k], signs), found[..., k:]], axis=-1)


def _reflected(x: Any) -> Any:
    """First columns of the product of the reflections at the columns below the diagonal.

    With V of these columns, ones on its diagonal, the product is I − V T⁻¹ Vᵀ, where
    T + Tᵀ = Vᵀ V for the upper triangular T. C. Puglisi, "Modification of the Householder method
    based on the compact WY representation", SIAM J. Sci. Stat. Comput. 13, 1992.
    """
    k = x.shape[-1]
    one = _eye_like(x)
    v = F.add(F.tril(x, k=-1), one)
    gram = F.triu(F.matmul(F.matrix_transpose(v), v))
    t = F.subtract(gram, F.multiply(gram, one[..., :k, :] / 2))
    top = F.matrix_transpose(v[..., :k, :])
    q = F.subtract(one, F.matmul(v, F.linalg.solve_triangular(t, top)))
    return F.multiply(q, F.expand_dims(_signs(F.linalg.diagonal(x)), axis=-2))


def _signs(x: Any) -> Any:
    one = F.ones_like(x)
    return F.where(F.less(x, 0), F.negative(one), one)


def _reflectors(q: Any) -> Any:
    """Matrix of which `_reflected` makes the orthonormal `q`."""
    columns = []
    for j in range(q.shape[-1]):
        x = q[..., j:, j : j + 1]
        sign = _signs(x[..., :1, :])
        length = F.linalg.vector_norm(x, axis=-2, keepdims=True)
        v = F.divide(x, F.add(x[..., :1, :], F.multiply(sign, length)))
        v = F.concat([F.ones_like(sign), v[..., 1:, :]], axis=-2)
        below = q[..., j:, :]
        dots = F.matmul(F.matrix_transpose(v), below)
        scale = F.divide(2, F.sum(F.multiply(v, v), axis=(-2, -1), keepdims=True))
        below = F.subtract(below, F.multiply(scale, F.matmul(v, dots)))
        q = F.concat([q[..., :j, :], below], axis=-2)
        v = F.concat([F.negative(sign), v[..., 1:, :]], axis=-2)
        columns.append(F.pad(v, [(0, 0)] * (v.ndim - 2) + [(j, 0), (0, 0)]))
    return F.concat(columns, axis=-1)


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """Keep a matrix, or each of a batch of them, orthogonal or unitary.

    Parameters
    ----------
    module : Module
        Is changed.
    name : str
        Name of the parameter, of shape (..., n, k). Of its rows and columns those that are fewer
        are kept orthonormal.
    orthogonal_map : {"matrix_exp", "cayley", "householder"}, optional
        How the matrix is made: the exponential of a skew-symmetric matrix A; Cayley's
        ``(I − A/2)⁻¹ (I + A/2)``; or a product of reflections, of real matrices only. By default
        the first for square or complex matrices, and else the last.
    use_trivialization : bool
        Whether the map starts from the matrix that there is, the buffer
        ``parametrizations.<name>.0.base``. Without it the first two maps start somewhere else,
        and cannot be assigned to.

    Returns
    -------
    Module
        `module`, with the parameter ``parametrizations.<name>.original``.

    Raises
    ------
    ValueError
        If the module holds no array of that name, or there is no such map.
    ShapeError
        If the array has fewer than two axes.
    RuleError
        From an assignment to the field, if the map has no inverse.

    References
    ----------
    M. Lezcano Casado, "Trivializations for gradient-based optimization on manifolds", NeurIPS
    2019, https://arxiv.org/abs/1909.09501.

    Examples
    --------
    >>> layer = volta.nn.parametrizations.orthogonal(volta.nn.Linear(4, 3, key=F.random.key(0)))
    >>> bool(np.allclose(layer.weight.T @ layer.weight, np.eye(3), atol=1e-6))
    True
    """
    weight = _array("orthogonal", module, name)
    if weight.ndim < 2:
        msg = f"orthogonal: {name} must have at least two axes; got shape {tuple(weight.shape)}."
        raise located(ShapeError(msg))
    complex_ = as_dtype(weight.dtype).kind == "complex"
    if orthogonal_map is None:
        square = weight.shape[-2] == weight.shape[-1]
        orthogonal_map = "matrix_exp" if square or complex_ else "householder"
    if orthogonal_map not in MAPS or (complex_ and orthogonal_map == "householder"):
        msg = (
            f"orthogonal: orthogonal_map must be one of {', '.join(MAPS)}, and for complex "
            f"matrices not the last; got {orthogonal_map!r}."
        )
        raise located(ValueError(msg))
    turned = name in module._torch_axes
    parametrization = _Orthogonal(orthogonal_map, use_trivialization, turned)
    return register_parametrization(module, name, parametrization)
