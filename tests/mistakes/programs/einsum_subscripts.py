"""Subscripts that do not fit the operands."""

import numpy as np

import volta.functional as F


def scores(query, key):
    return F.einsum("bhqd,bhkd->bhqk", query, key)  # mistake


scores(np.ones((2, 3, 5, 8)), np.ones((2, 3, 6, 7)))
