"""Names that every docstring example may use without importing them."""

import numpy as np
import pytest

import volta
import volta.functional as F


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace):
    doctest_namespace.update(np=np, volta=volta, F=F)
