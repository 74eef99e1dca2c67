"""What namespaces say of themselves: capabilities, devices, dtypes, defaults."""

import array_api_strict as strict
import numpy as np
import pytest
from strategies import LINE

import volta
import volta.functional as F
from volta.core.dispatch import library_for
from volta.core.errors import DeviceError
from volta.functional.namespace import namespace

KINDS = (
    "bool",
    "signed integer",
    "unsigned integer",
    "integral",
    "real floating",
    "complex floating",
    "numeric",
    ("bool", "integral"),
)


@pytest.fixture(params=["numpy", "array_api_strict", "torch"])
def xp(request):
    return namespace(library_for(pytest.importorskip(request.param)))


def test_the_op_sets_own_defaults():
    info = F.__array_namespace_info__()
    assert info.default_dtypes() == {
        "real floating": F.float32,
        "complex floating": F.complex64,
        "integral": F.int64,
        "indexing": F.int64,
    }
    with volta.default_dtype(F.float64):
        assert info.default_dtypes()["real floating"] == F.float64
    assert info.default_device() == F.zeros(1).device
    assert info.capabilities()["boolean indexing"] is True
    assert all(found is getattr(F, name) for name, found in info.dtypes().items())


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_dtypes_of_a_kind_are_the_standards(kind):
    wanted = strict.__array_namespace_info__().dtypes(kind=kind)
    assert F.__array_namespace_info__().dtypes(kind=kind).keys() == wanted.keys()


def test_a_views_answers_are_its_librarys(xp):
    info = xp.__array_namespace_info__()
    dtypes = info.default_dtypes()
    assert xp.zeros(1).dtype == dtypes["real floating"]
    assert xp.asarray(1).dtype == dtypes["integral"]
    assert xp.argmax(xp.zeros(2)).dtype == dtypes["indexing"]
    assert info.default_device() in info.devices()
    for name, dtype in info.dtypes().items():
        assert dtype == getattr(xp, name)
    device = info.default_device()
    assert info.dtypes(device=device, kind="bool") == {"bool": xp.bool}
    assert info.default_dtypes(device=device) == dtypes


def test_no_such_device(xp):
    for info in (xp.__array_namespace_info__(), F.__array_namespace_info__()):
        for ask in (info.dtypes, info.default_dtypes):
            with pytest.raises(
                DeviceError, match=r"^device: must be one of .*; got 'moon'\." + LINE
            ):
                ask(device="moon")


def test_a_tracers_namespace_answers_inside_a_transform():
    seen = []

    def look(x):
        seen.append(x.__array_namespace__().__array_namespace_info__().default_dtypes())
        return F.sum(x)

    volta.grad(look)(np.ones(2))
    assert seen[0]["real floating"] == np.float64
