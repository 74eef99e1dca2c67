"""What docs/coverage.md and docs/coverage.json say, from what the tests of rows recorded.

`scripts/write_coverage` writes them; tests/test_coverage.py holds them against the namespaces.
"""

import inspect
import types

import numpy as np
from samples import SAMPLES
from samples.sample import EXTENSIONS

import volta.functional as F

DERIVATIVES = ("jvp", "vjp", "jvp of jvp", "jvp of vjp", "vjp of jvp", "vjp of vjp")
PRECISIONS = ("float32", "float16", "bfloat16")
LIBRARIES = ("by torch", "by jax")
ARRAYS = ("on array_api_strict", "on torch", "on jax", "on dask")
CHECKS = (*DERIVATIVES, "vmap", *PRECISIONS, *LIBRARIES, *ARRAYS)
TITLES = (
    *DERIVATIVES,
    *("vmap", "32 bits", "float16", "bfloat16", "torch's", "JAX's"),
    *("strict", "torch", "JAX", "dask"),
)

# why functions have no row with a derivative, where it does not follow from the row or signature
REASONS = {
    "makes a new array of numbers that are no arrays": (
        *("arange", "empty", "empty_like", "eye", "ones", "ones_like", "zeros", "zeros_like"),
        *("fft.fftfreq", "fft.rfftfreq", "alibi_bias", "causal_mask", "sinusoidal_encoding"),
    ),
    "takes an array from another library, which knows of no transform": ("from_dlpack",),
    "asks about dtypes or shapes, not numbers": (
        *("broadcast_shapes", "can_cast", "finfo", "iinfo", "isdtype", "result_type"),
    ),
    "tells or sets how something is computed": ("conv_algo", "conv_options"),
    "the result holds integers": (
        *("linalg.matrix_rank", "nonzero", "random.categorical", "unique_counts"),
        "unique_inverse",
    ),
    "the result is boolean": ("random.bernoulli",),
    "the size of the result depends on the numbers: a choice of elements, as `x[key]`": (
        *("unique_all", "unique_values"),
    ),
    "by definition a constant": ("nextafter", "stop_gradient"),
}


def functions():
    """Public functions by their names below `volta.functional`, and what indexing is called."""
    found = {}
    for space in ("", *EXTENSIONS):
        module = getattr(F, space) if space else F
        for name in module.__all__:
            value = getattr(module, name)
            if callable(value) and not isinstance(value, types.ModuleType | type):
                found[f"{space}.{name}" if space else name] = value
    return {**dict.fromkeys(("x[key]", "x[key] = value")), **found}


def family(name, function):
    """Chapter that a function belongs to."""
    if function is None:
        return "indexing"
    space = name.partition(".")[0]
    return space if space in EXTENSIONS else function.__module__.rpartition(".")[2]


def rows_of(name):
    return [s for s in SAMPLES if s.of == name]


def reason(name, found):
    """Why a function has no derivatives to check, or "" if it has."""
    rows, function = rows_of(name), found[name]
    if any(row.diff for row in rows):
        return ""
    for why, names in REASONS.items():
        if name in names:
            return why
    for other, value in found.items():
        if value is function and other != name and any(row.diff for row in rows_of(other)):
            return f"the same function as `{other}`"
    if not rows:
        rest = {"key", "shape", "dtype", "xp", "device"}
        return (
            "no operand of numbers" if inspect.signature(function).parameters.keys() <= rest else ""
        )
    row = rows[0]
    out = row.fun(*row.args)
    kinds = {np.asarray(o).dtype.kind for o in (out if isinstance(out, tuple) else (out,))}
    if kinds <= {"b"}:
        return "the result is boolean"
    if not kinds & {"f", "c"}:
        return "the result holds integers"
    return "" if any(a.dtype.kind in "fc" for a in row.args) else "no operand of numbers"


def missing(row, check, found):
    """Why a check of a row has no result: the row stands aside, or another stands for it."""
    if check == "vmap" and row.vmap:
        return row.vmap
    if check == "by jax" and found.get("by jax") is None:
        return "another row of the function stands for it"
    return ""


def table(recorded):
    """Functions with their rows' results, from triples (row, check, "passed" or why not)."""
    results = {}
    for row, check, outcome in recorded:
        results.setdefault(row, {})[check] = outcome
    found = functions()
    entries = {}
    for name, function in found.items():
        entry = {"family": family(name, function)}
        why = reason(name, found)
        if why:
            entry["reason"] = why
        else:
            rows = [row for row in rows_of(name) if row.diff]
            entry["dtypes"] = sorted({str(row.args[i].dtype) for row in rows for i in row.diff})
            entry["rows"] = {row.id: of_row(row, results.get(row.id, {})) for row in rows}
        entries[name] = entry
    return {"checks": list(CHECKS), "functions": entries}


def of_row(row, result):
    return {c: result.get(c) or missing(row, c, result) for c in CHECKS}


def cell(entry, check):
    """Tick if a row passed, else the first row's reason."""
    outcomes = [row[check] for row in entry["rows"].values()]
    return "✓" if "passed" in outcomes else next((o for o in outcomes if o), "")


def blanks(found):
    """Functions, with the check, that neither passed nor say why not."""
    for name, entry in found["functions"].items():
        if "rows" in entry:
            yield from (f"{name}: {c}" for c in CHECKS if not cell(entry, c))
        elif not entry.get("reason"):
            yield name


def page(found):
    """Text of docs/coverage.md."""
    entries = found["functions"]
    checked = {n: e for n, e in entries.items() if "rows" in e}
    notes = []

    def mark(text):
        if text == "✓":
            return text
        if text not in notes:
            notes.append(text)
        return f"[{notes.index(text) + 1}](#reasons)"

    lines = []
    for group in dict.fromkeys(e["family"] for e in checked.values()):
        lines += [f"## {group}", "", "| function | dtypes | " + " | ".join(TITLES) + " |"]
        lines.append("|---" * (len(TITLES) + 2) + "|")
        for name, entry in checked.items():
            if entry["family"] == group:
                cells = [mark(cell(entry, c)) for c in CHECKS]
                dtypes = ", ".join(entry["dtypes"])
                lines.append(f"| `{name}` | {dtypes} | " + " | ".join(cells) + " |")
        lines.append("")
    passed = [sum(cell(e, c) == "✓" for e in checked.values()) for c in CHECKS]
    total = " | ".join(map(str, passed))
    lines += ["## Functions that passed", "", "| of | " + " | ".join(TITLES) + " |"]
    lines += ["|---" * (len(TITLES) + 1) + "|", f"| {len(checked)} | {total} |", ""]
    lines += ["## Reasons", "", *(f"{i}. {note}" for i, note in enumerate(notes, 1)), ""]
    lines += ["## Functions without derivatives", "", "| function | reason |", "|---|---|"]
    lines += [f"| `{n}` | {e['reason']} |" for n, e in entries.items() if "reason" in e]
    lines += ["", "## Primitives without a kernel on `volta.wgpu`", "", LEFT_OUT, ""]
    lines += [f"`{name}`" + ("," if name != NO_KERNEL[-1] else ".") for name in NO_KERNEL]
    return INTRODUCTION + "\n".join(lines) + "\n"


LEFT_OUT = """\
They raise when they are applied to its arrays; `linalg` and `fft` are no extensions of that
namespace. Complex numbers are no dtypes of it, so Fourier transforms, which give them, are not
there either. `tests/wgpu/test_laws.py` checks the rows of all other primitives on a device."""
NO_KERNEL = (
    *("adjugate", "cholesky", "det", "eig", "eigh", "eigvalsh", "inv", "pinv", "qr"),
    *("random_lyapunov", "random_root", "slogdet", "solve", "svd", "svdvals"),
)

INTRODUCTION = """\
# What is checked

`scripts/write_coverage` writes this page and [coverage.json](coverage.json), which has every row,
from what the tests of `tests/laws` find; a test fails if a public function is neither checked nor
says why not.

- **jvp** is held against central differences of fourth order, to 1e-6 of each element, in the
  dtypes named. **vjp** is held against jvp as its transpose, with random directions. *jvp of vjp*
  is held against differences again, and the other three second derivatives against it.
- **vmap** is held against a loop over the batch.
- **32 bits** (float32 and complex64), **float16** and **bfloat16**: both derivatives keep their
  types, and round to those in 64 bits.
- **torch's** and **JAX's**: both derivatives against those which the library finds of its own
  functions, that Volta's run on its arrays.
- **strict**, **torch**, **JAX** and **dask**: values, `vmap` and both derivatives on the library's
  arrays are those on NumPy's. `strict` is array-api-strict.

A number leads to the reason why there is no tick; *it* is the library of the column.

"""
