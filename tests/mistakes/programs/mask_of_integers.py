"""A tokenizer's mask of ones and zeros is taken for one of what is hidden."""

import numpy as np

import volta.functional as F
from volta import nn

attention = nn.MultiheadAttention(4, 2, batch_first=True, key=F.random.key(0))
x = np.ones((2, 3, 4), np.float32)
attention(x, x, x, key_padding_mask=np.asarray([[1, 1, 1], [1, 1, 0]]))  # mistake
