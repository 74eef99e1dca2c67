import pytest

from volta.compile.program import backend


@pytest.fixture
def by_numpy():
    """Programs of NumPy's kernels alone, whatever is installed."""
    with backend("numpy"):
        yield
