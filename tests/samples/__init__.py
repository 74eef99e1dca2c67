"""One row or more for each primitive, from which the laws in tests/laws are run.

A file for each chapter of the op set; `sample` says what a row is.
"""

from samples import (  # noqa: F401 - each adds its rows
    activation,
    attention,
    calculus,
    control,
    convolution,
    correlation,
    creation,
    dropout,
    elementwise,
    embedding,
    fft,
    indexing,
    linalg,
    loss,
    manipulation,
    normalization,
    padding,
    pooling,
    products,
    random,
    rearrangement,
    recurrent,
    reduction,
    resampling,
    searching,
    sets,
    solutions,
    sorting,
    special,
    update,
)
from samples.sample import SAMPLES, Sample, add, arrays, compose, cplx, ints, real, truth

__all__ = ["SAMPLES", "Sample", "add", "arrays", "compose", "cplx", "ints", "real", "truth"]
