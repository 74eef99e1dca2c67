"""Names that every docstring example may use without importing them."""

import numpy as np
import pytest

import volta
import volta.functional as F
from volta.core.trace import ops

# Fixtures that take away what a test declared must not take what it was the first to import.
ops.declare_all()


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace):
    doctest_namespace.update(np=np, volta=volta, F=F)
