"""How property tests run: the same examples every time. What tests found of rows, on request."""

import collections
import gc
import json
import os
import tempfile
import zlib
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # SciPy reads it when it is imported
# workers and subprocesses of a run share what is compiled; nothing is left of it, or of before
_CACHE: Final = tempfile.TemporaryDirectory(prefix="volta-tests")
os.environ.setdefault("VOLTA_CACHE", _CACHE.name)

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


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Keep tests and imported libraries, millions of objects, from searches for garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Let sweeps take in every property test and most of many rows; skip examples of no device."""
    for rows in of_many_rows(items):
        for item in rows:
            if zlib.crc32(item.name.encode()) % _PART:
                item.add_marker("slow")
    on_devices = [i for i in items if i.nodeid.startswith("volta/wgpu/") and is_doctest(i)]
    if on_devices and not devices():
        for item in on_devices:
            item.add_marker(pytest.mark.skip("no driver of a device"))
    if config.option.markexpr == "slow":
        for item in items:
            if is_hypothesis_test(getattr(item, "obj", None)):
                item.add_marker("slow")


_MANY: Final = 24  # rows of a test
_PART: Final = 4  # of more rows, one in so many runs without a sweep


def of_many_rows(items):
    """Rows of each test that has many, if not for docs/coverage.md or with a choice of its own."""
    found = collections.defaultdict(list)
    for item in items:
        if hasattr(item, "callspec"):
            found[item.path, item.originalname].append(item)
    for rows in found.values():
        left = [item for item in rows if not item.get_closest_marker("slow")]
        own = rows[0].get_closest_marker("covers") or 2 * len(left) < len(rows)
        if len(left) > _MANY and not own:
            yield left


def is_doctest(item):
    return isinstance(item, pytest.DoctestItem)


def devices():
    """Devices of this machine; none without the extra."""
    import volta.wgpu
    from volta.core.errors import DeviceError

    try:
        return volta.wgpu.devices()
    except DeviceError:
        return ()


# What docs/coverage.md is made of -----------------------------------------------------------------

RECORD = []


def pytest_addoption(parser):
    parser.addoption("--record-coverage", metavar="PATH", help="what tests found of rows, as JSON")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Note that a row passed what the test's marker `covers` names, or why it was skipped."""
    report = yield
    marker = item.get_closest_marker("covers")
    done = report.when == "call" or report.skipped or report.failed
    if marker and done and report.when != "teardown":
        values = {k: getattr(v, "name", v) for k, v in item.funcargs.items()}
        values |= {k: v for k, v in item.callspec.params.items() if isinstance(v, str)}
        why = report.longrepr[2].removeprefix("Skipped: ") if report.skipped else report.outcome
        row = item.callspec.params["sample"].id
        report.covered = [(row, check.format(**values), why) for check in marker.args]
    return report


def pytest_runtest_logreport(report):
    """Collect what was noted, in the process that the workers report to."""
    RECORD.extend(getattr(report, "covered", ()))


def pytest_sessionfinish(session):
    path = session.config.getoption("record_coverage", None)
    if path and not hasattr(session.config, "workerinput"):
        Path(path).write_text(json.dumps(RECORD))
