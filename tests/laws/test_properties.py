"""Derivatives and types as properties: drawn shapes, axes, keys and dtypes."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.core


# What the machine must not remember ---------------------------------------------------------------


def test_a_product_with_a_mask_leaves_later_products_alone():
    # in a process of its own, because what matters is which product comes first
    program = (
        "import numpy as np, volta, volta.functional as F\n"
        "x = np.asarray([2.0, 3.0])\n"
        "volta.grad(lambda x: F.sum(x * (x > 2.5)))(x)\n"
        "print(*volta.grad(lambda x: F.sum(x * np.asarray([5.0, 7.0])))(x))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout.split() == ["5.0", "7.0"], run.stdout + run.stderr
