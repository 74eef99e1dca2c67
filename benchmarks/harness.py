"""What a measurement is, how a worker takes it, and how rounds of workers are interleaved.

Read in this order: :class:`Case` and :class:`Group` (what the files in ``groups/`` declare),
:func:`take` (one measurement, in a worker), :func:`rounds` (the parent's loop over workers).
Nothing here imports an array library: the parent process and a worker's start stay light.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOOP_SECONDS = 0.001  # an inner loop is calibrated to last at least this long
CASE_SECONDS = 0.2  # and repeated for this long, at least REPEATS times; the fastest counts
REPEATS = 7
LONG_SECONDS = 6.0  # but no longer than this
AGREEMENT = 1e-3  # relative difference at which two implementations' results disagree


@dataclass(frozen=True)
class Case:
    """One thing to measure in one implementation.

    ``setup()`` returns the callable to measure. Its time is divided by ``count``. Where ``direct``
    is true the callable is called once and returns the measured number itself. ``check`` is what of
    a result is compared with other implementations: by default the sum of its elements. All of it
    runs within ``around()``, which ends when nothing refers to the case's arrays any more.
    """

    name: str
    setup: Callable[[], Callable[[], Any]]
    count: int = 1
    direct: bool = False
    check: Callable[[Any], float] | None = None
    around: Callable[[], AbstractContextManager[None]] = nullcontext


def _interpreter(found: str, *arguments: str) -> list[str]:
    return [found, "-m", "benchmarks.worker", *arguments]


@dataclass(frozen=True)
class Elsewhere:
    """Where an implementation is that cannot be installed beside the others.

    The environment variable says it; ``command(value, group, name, *cases)`` is a worker of it. By
    default it is a Python interpreter.
    """

    variable: str
    command: Callable[..., list[str]] = _interpreter


@dataclass(frozen=True)
class Budget:
    """A limit that the design sets, and what was measured against it."""

    name: str
    value: float
    limit: float
    unit: str

    @property
    def met(self) -> bool:
        """Whether the measured value is within the limit."""
        return self.value <= self.limit


Values = Mapping[tuple[str, str], float]  # (case, implementation) -> value


@dataclass(frozen=True)
class Group:
    """Cases that share a table: ``cases(implementation)`` is called in that one's worker.

    ``implementations`` maps each name to the modules it needs; a peer that lacks one is absent.
    ``elsewhere`` has those that are not run by this interpreter.
    ``left_out`` gives the reason for each (case, implementation) that one cannot compute.
    ``isolate`` gives each case a process of its own; ``environment`` is added to the workers'.
    ``scale`` turns seconds (or what a direct case returns) into ``unit``. ``budgets`` is given the
    best round of each, for other programs can only add to a cost; or the median round, where what
    a case returns is a ratio (``by_median``).
    """

    name: str
    title: str
    unit: str
    scale: float
    implementations: Mapping[str, tuple[str, ...]]
    case_names: tuple[str, ...]
    cases: Callable[[str], list[Case]]
    budgets: Callable[[Values], list[Budget]]
    isolate: bool = False
    by_median: bool = False
    rounds: int = 5
    environment: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[tuple[str, str], str] = field(default_factory=dict)
    elsewhere: Mapping[str, Elsewhere] = field(default_factory=dict)


@dataclass
class Results:
    """What the rounds of one group brought back."""

    values: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    checks: dict[tuple[str, str], float] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    failed: dict[tuple[str, str], str] = field(default_factory=dict)

    def medians(self) -> dict[tuple[str, str], float]:
        """Return the median over rounds of each case and implementation."""
        return {place: statistics.median(values) for place, values in self.values.items()}

    def best(self) -> dict[tuple[str, str], float]:
        """Return the smallest value of each case and implementation."""
        return {place: min(values) for place, values in self.values.items()}

    def disagreements(self) -> list[str]:
        """Name the implementations whose results differ from the first one's, case by case."""
        notes = []
        reference: dict[str, tuple[str, float]] = {}
        for (case, implementation), check in self.checks.items():
            first, expected = reference.setdefault(case, (implementation, check))
            if not abs(check - expected) <= AGREEMENT * max(1.0, abs(expected)):
                notes.append(f"{case}: {implementation} gives {check:.6g}, {first} {expected:.6g}")
        return notes


def take(case: Case) -> tuple[float, float | None]:
    """Measure one case in this process: seconds a call (or its own number) and a check value."""
    with case.around():
        return _taken(case)


def _taken(case: Case) -> tuple[float, float | None]:
    call = case.setup()
    if case.direct:
        return float(call()), None
    result = call()  # it may compile
    for _ in range(2):
        start = time.perf_counter()
        result = call()
        if time.perf_counter() - start > LONG_SECONDS:
            break
    check = (case.check or _summary)(result)
    del result
    number = _calibrate(call)
    gc.collect()
    times: list[float] = []
    start = time.perf_counter()
    while (past := time.perf_counter() - start) < CASE_SECONDS or len(times) < REPEATS:
        if times and past > LONG_SECONDS:
            break
        times.append(_loop(call, number))
    return min(times) / number / case.count, check


def take_together(calls: Sequence[Callable[[], Any]]) -> list[float]:
    """Measure several calls in this process, in turn: seconds a call of each, the fastest.

    Where a process lays its arrays changes a time by a tenth and more; here all calls share them.
    Before each measurement the same call runs unmeasured, so that the caches hold its own data.
    """
    numbers = [_calibrate(call) for call in calls]
    gc.collect()
    times: list[list[float]] = [[] for _ in calls]
    end = time.perf_counter() + CASE_SECONDS * len(calls)
    while len(times[0]) < REPEATS or time.perf_counter() < end:
        for call, number, found in zip(calls, numbers, times, strict=True):
            call()
            found.append(_loop(call, number) / number)
    return list(map(min, times))


def _calibrate(call: Callable[[], Any]) -> int:
    number = 1
    while (seconds := _loop(call, number)) < LOOP_SECONDS:
        number = max(2 * number, int(number * LOOP_SECONDS / max(seconds, 1e-9)))
    return number


def _loop(call: Callable[[], Any], number: int) -> float:
    """Time ``number`` calls, the garbage collector running as it does in a user's program."""
    iterator = [None] * number
    start = time.perf_counter()
    for _ in iterator:
        call()
    return time.perf_counter() - start


def _summary(result: Any) -> float:
    if isinstance(result, list | tuple):
        return sum(map(_summary, result))
    if hasattr(result, "detach"):
        result = result.detach()
    import numpy as np

    return float(np.sum(np.asarray(result), dtype=np.float64))


def rounds(
    group: Group,
    names: Sequence[str],
    cases: Sequence[str],
    count: int,
    threads: int,
    tell: Callable[[str], None],
) -> Results:
    """Run ``count`` rounds; in each, every implementation in turn, in a process of its own."""
    results = Results()
    present = []
    for name in names:
        missing = [m for m in group.implementations[name] if importlib.util.find_spec(m) is None]
        place = group.elsewhere.get(name)
        if place is not None and place.variable not in os.environ:
            results.absent[name] = f"{place.variable} is not set"
        elif missing:
            results.absent[name] = f"{', '.join(missing)} not installed"
        else:
            present.append(name)
    for number in range(count):
        tell(f"{group.name}: round {number + 1} of {count}")
        for name in present:
            able = [case for case in cases if (case, name) not in group.left_out]
            for wanted in [[case] for case in able] if group.isolate else [able] if able else []:
                for line in _work(group, name, wanted, threads):
                    _file(results, group, name, line)
    return results


def _file(results: Results, group: Group, implementation: str, line: Mapping[str, Any]) -> None:
    place = (line["case"], implementation)
    if "error" in line:
        results.failed[place] = line["error"]
        return
    results.values.setdefault(place, []).append(line["value"] * group.scale)
    if line["check"] is not None:
        results.checks[place] = line["check"]


def _work(group: Group, name: str, cases: list[str], threads: int) -> Iterator[dict[str, Any]]:
    """Run one worker process and yield its lines; cases it died before reaching have failed."""
    if name in group.elsewhere:
        place = group.elsewhere[name]
        argv = place.command(os.environ[place.variable], group.name, name, *cases)
    else:
        argv = _interpreter(sys.executable, group.name, name, *cases)
    environment = {**os.environ, **_thread_environment(threads), **group.environment}
    done = subprocess.run(
        argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    yield from lines
    seen = {line["case"] for line in lines}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        for case in cases:
            if case not in seen:
                yield {"case": case, "error": f"worker exited with {done.returncode}: {last}"}


def _thread_environment(threads: int) -> dict[str, str]:
    """Hold every library to ``threads`` threads; 0 leaves each to its own default."""
    if threads == 0:
        return {}
    count = str(threads)
    return {
        "OMP_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "VECLIB_MAXIMUM_THREADS": count,
        "NPROC": count,  # the size of XLA's thread pool
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false" if threads == 1 else "",
        "JAX_PLATFORMS": "cpu",
    }
