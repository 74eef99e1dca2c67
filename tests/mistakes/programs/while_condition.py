"""A condition with one answer an element."""

import numpy as np

import volta

volta.while_loop(lambda x: x < 3.0, lambda x: x + 1.0, np.zeros(3))  # mistake
