"""Function transforms, one file each: an interpreter class, then the public function."""

from volta.transforms.associative_scan import associative_scan
from volta.transforms.checkpoint import checkpoint, checkpoint_name, checkpoint_policies
from volta.transforms.cond import cond, switch
from volta.transforms.custom import custom_jvp, custom_rule, custom_vjp
from volta.transforms.custom_linear_solve import custom_linear_solve
from volta.transforms.custom_root import custom_root
from volta.transforms.eval_shape import ShapeDtypeStruct, eval_shape
from volta.transforms.fori_loop import fori_loop
from volta.transforms.jacobian import ggn_vp, hessian, hvp, jacfwd, jacobian, jacrev, vhp
from volta.transforms.jvp import jvp
from volta.transforms.linearize import linear_transpose, linearize
from volta.transforms.map import map
from volta.transforms.scan import scan
from volta.transforms.stop_gradient import stop_gradient
from volta.transforms.trace import trace
from volta.transforms.vjp import grad, value_and_grad, vjp
from volta.transforms.vmap import vmap
from volta.transforms.while_loop import while_loop

__all__ = [
    "ShapeDtypeStruct",
    "associative_scan",
    "checkpoint",
    "checkpoint_name",
    "checkpoint_policies",
    "cond",
    "custom_jvp",
    "custom_linear_solve",
    "custom_root",
    "custom_rule",
    "custom_vjp",
    "eval_shape",
    "fori_loop",
    "ggn_vp",
    "grad",
    "hessian",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jvp",
    "linear_transpose",
    "linearize",
    "map",
    "scan",
    "stop_gradient",
    "switch",
    "trace",
    "value_and_grad",
    "vhp",
    "vjp",
    "vmap",
    "while_loop",
]
