"""How convolutions are computed: one trilinear form, its three maps, and algorithms for each.

With input x, weight w and result y, a convolution is one way to read the form ::

    T(x, w, y) = Σ x[n, c, stride · p + dilation · k − padding] · w[o, c, k] · y[n, o, p]

Given two of the three, its derivative with respect to the other is linear in both: the *result*
``y(x, w)`` is a convolution, the *input* ``x(y, w)`` its transpose, the *weight* ``w(x, y)`` what
training needs. The derivatives of each are the other two, so that three primitives are closed
under differentiation of any order.

Read `geometry`, then an algorithm (`gemm`, `direct`, `winograd`, `fourier`), `choice` (which one,
and why), `primitives`. The public functions are in `volta/functional/convolution.py`.
"""

__all__: list[str] = []
