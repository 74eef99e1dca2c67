"""Function transforms, one file each: an interpreter class, then the public function."""

from volta.transforms.jvp import jvp
from volta.transforms.stop_gradient import stop_gradient
from volta.transforms.trace import trace
from volta.transforms.vjp import grad, value_and_grad, vjp
from volta.transforms.vmap import vmap

__all__ = ["grad", "jvp", "stop_gradient", "trace", "value_and_grad", "vjp", "vmap"]
