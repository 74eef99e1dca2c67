"""einops, by its functions for arrays of the standard."""

import numpy as np
from einops import array_api as einops
from third_party.row import Row, draws

ROWS: list[Row] = []
normal, _, _ = draws(6)


def row(function, call, *args, **options):
    ROWS.append(Row(f"einops.array_api.{function}", call, args, **options))


X = np.exp(normal(2, 4, 6))

row("rearrange", lambda x: einops.rearrange(x, "b (h k) w -> (b w) h k", k=2), X)
row("reduce", lambda x: einops.reduce(x, "b (h k) w -> b h w", "max", k=2), X, variant="max")
row("reduce", lambda x: einops.reduce(x, "b h w -> w", "mean"), X, variant="mean")
row("reduce", lambda x: einops.reduce(x, "b h w -> b w", "prod"), X, variant="prod")
row("repeat", lambda x: einops.repeat(x, "b h w -> b (h r) w c", r=2, c=3), X)
row("pack", lambda x, y: einops.pack([x, y], "b * w")[0], X, normal(2, 6))
row("unpack", lambda x: einops.unpack(x, [(1,), (3,)], "b * w"), X)
row("asnumpy", lambda x: einops.asnumpy(x), X)
