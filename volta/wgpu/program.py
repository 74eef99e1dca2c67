"""Launches made ready for a device: compiled, with their parameters, and run as often as wanted."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from volta.wgpu.launch import Launch
from volta.wgpu.memory import Buffer
from volta.wgpu.native import Pipeline
from volta.wgpu.queue import Queue

__all__ = ["Program"]

_ALIGNED: Final = 256  # bytes by which parameters of a launch may begin, whatever the device


class Program:
    """Launches that share variables.

    Parameters
    ----------
    queue : Queue
    launches : sequence of Launch
    made : dict of int to int
        Bytes of the variables that they write.
    results : iterable of int
        Those of them that are returned.
    """

    def __init__(
        self,
        queue: Queue,
        launches: Sequence[Launch],
        made: Mapping[int, int],
        results: Iterable[int],
    ) -> None:
        self.queue, self.launches, self.made = queue, launches, made
        self.results = tuple(results)
        self.pipelines = [_pipeline(queue, launch) for launch in launches]
        self._parameters, self._starts = self._written()
        self._last = {p.var: i for i, launch in enumerate(launches) for p in launch.parts}

    def uses(self, v: int) -> bool:
        """Whether a launch reads or writes a variable."""
        return v in self._last

    def _written(self) -> tuple[Buffer, list[int]]:
        """Parameters of all launches, and where those of each begin."""
        words, starts = bytearray(), []
        for launch in self.launches:
            words += bytes(-len(words) % _ALIGNED)
            starts.append(len(words))
            words += launch.words
        return self.queue.write(np.frombuffer(bytes(words), np.uint8)), starts

    def run(self, inputs: Mapping[int, Buffer]) -> dict[int, Buffer]:
        """Record the launches, and return buffers of the results."""
        queue, kept = self.queue, {*self.results, *inputs}
        known = dict(inputs)
        with queue.lock:
            native = queue.native
            for i, launch in enumerate(self.launches):
                used = [self._parameters]
                bound = [(self._parameters.handle, self._starts[i], len(launch.words))]
                for part in launch.parts:
                    buffer = known.get(part.var)
                    if buffer is None:
                        buffer = known[part.var] = queue.take(self.made[part.var])
                    used.append(buffer)
                    nbytes = part.nbytes or min(buffer.size, native.binding)
                    bound.append((buffer.handle, part.start, nbytes))
                group = native.group(self.pipelines[i], bound)
                queue.dispatch(self.pipelines[i], group, launch.grid, used)
                for part in launch.parts:
                    if self._last[part.var] == i and part.var not in kept:
                        known.pop(part.var, None)  # it may be bound twice
            for v in self.results:  # what has no element no kernel writes
                if v not in known:
                    known[v] = queue.take(self.made[v])
        return {v: known[v] for v in self.results}


def _pipeline(queue: Queue, launch: Launch) -> Pipeline:
    kinds = ["uniform", *("write" if part.writes else "read" for part in launch.parts)]
    return queue.pipeline(launch.text, kinds, launch.label)
