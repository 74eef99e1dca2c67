"""How property tests run: the same examples every time, more of them in a sweep."""

import os
from typing import Final

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # SciPy reads it when it is imported

_COMMON: Final = {
    "derandomize": True,
    "database": None,
    "deadline": None,
    # the first call of a library's function pays for what is filled in on first sight
    "suppress_health_check": [HealthCheck.too_slow],
}
settings.register_profile("check", max_examples=8, **_COMMON)
settings.register_profile("sweep", max_examples=200, **_COMMON)


def pytest_configure(config):
    """Leave the longer sweeps out unless they are asked for."""
    sweep = "slow" in config.option.markexpr and "not slow" not in config.option.markexpr
    settings.load_profile("sweep" if sweep else "check")
    if not config.option.markexpr:
        config.option.markexpr = "not slow"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Let a sweep take in every property test, with more examples."""
    if config.option.markexpr == "slow":
        for item in items:
            if is_hypothesis_test(getattr(item, "obj", None)):
                item.add_marker("slow")
