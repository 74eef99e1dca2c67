"""Special functions, by SciPy's names: an extension that SciPy itself looks for in a namespace.

Every function has derivatives of every order. An array's own library computes where it has the
function; NumPy's arrays go to SciPy where that is installed. Everything else is computed by a
portable kernel of the standard's operations.
"""

from volta.functional.elementwise import exp2
from volta.functional.reduction import log_softmax, logsumexp, softmax
from volta.functional.special.bessel import *  # noqa: F403
from volta.functional.special.bessel import __all__ as _bessel
from volta.functional.special.distributions import *  # noqa: F403
from volta.functional.special.distributions import __all__ as _distributions
from volta.functional.special.error_functions import *  # noqa: F403 - __all__ of each is ours
from volta.functional.special.error_functions import __all__ as _error_functions
from volta.functional.special.gamma_functions import *  # noqa: F403
from volta.functional.special.gamma_functions import __all__ as _gamma
from volta.functional.special.incomplete import *  # noqa: F403
from volta.functional.special.incomplete import __all__ as _incomplete
from volta.functional.special.information import *  # noqa: F403
from volta.functional.special.information import __all__ as _information
from volta.functional.special.inverses import *  # noqa: F403
from volta.functional.special.inverses import __all__ as _inverses
from volta.functional.special.powers import *  # noqa: F403
from volta.functional.special.powers import __all__ as _powers

__all__ = [
    *_bessel,
    *_distributions,
    *_error_functions,
    *_gamma,
    *_incomplete,
    *_information,
    *_inverses,
    *_powers,
    "exp2",
    "log_softmax",
    "logsumexp",
    "softmax",
]
