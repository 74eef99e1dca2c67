"""Launches made ready for a device: compiled, with their parameters, and run as often as wanted."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from volta.wgpu.launch import Launch
from volta.wgpu.memory import Buffer, size_class
from volta.wgpu.native import Handle, Pipeline
from volta.wgpu.queue import Queue

__all__ = ["Program"]

_ALIGNED: Final = 256  # bytes by which parameters of a launch may begin, whatever the device
_KEPT: Final = 16  # choices of buffers for a launch; a loop takes the same again and again


class _Ready(NamedTuple):
    """A launch, with what binds buffers to it, by their handles, and its parameters' start."""

    launch: Launch
    pipeline: Pipeline
    groups: dict[tuple[Handle, ...], Handle]
    start: int


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
        self._parameters, starts = self._written()
        self._last = {p.var: i for i, launch in enumerate(launches) for p in launch.parts}
        self._places, self._sizes = self._placed()
        pipelines = [_pipeline(queue, launch) for launch in launches]
        own = zip(launches, pipelines, starts, strict=True)
        self._ready = [_Ready(launch, pipeline, {}, start) for launch, pipeline, start in own]
        queue.programs.add(self)

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

    def _placed(self) -> tuple[dict[int, int], list[int]]:
        """Places of variables that are neither given nor returned, and the bytes of places.

        A variable has the place of one that no later launch uses.
        """
        inner = {v: size_class(n) for v, n in self.made.items() if v not in self.results}
        places: dict[int, int] = {}
        sizes: list[int] = []
        free: dict[int, list[int]] = {}
        for i, launch in enumerate(self.launches):
            mine = [v for v in dict.fromkeys(p.var for p in launch.parts) if v in inner]
            for v in mine:
                if v not in places:
                    of_size = free.get(inner[v])
                    places[v] = of_size.pop() if of_size else len(sizes)
                    sizes += [inner[v]] * (places[v] == len(sizes))
            for v in mine:
                if self._last[v] == i:
                    free.setdefault(inner[v], []).append(places[v])
        return places, sizes

    def run(self, inputs: Mapping[int, Buffer]) -> dict[int, Buffer]:
        """Record the launches, and return buffers of the results."""
        queue = self.queue
        with queue.lock:
            made = {v: queue.take(self.made[v]) for v in self.results}
            inner = [queue.take(n) for n in self._sizes]
            known = {**inputs, **made, **{v: inner[i] for v, i in self._places.items()}}
            work = []
            for launch, pipeline, groups, start in self._ready:
                buffers = [known[part.var] for part in launch.parts]
                handles = tuple([b.handle for b in buffers])
                group = groups.get(handles)
                if group is None:
                    if len(groups) >= _KEPT:
                        groups.clear()
                    group = groups[handles] = self._bound(launch, pipeline, start, buffers)
                work.append((pipeline, group, launch.grid))
            queue.run(work, [self._parameters, *known.values()])
        return made

    def _bound(
        self, launch: Launch, pipeline: Pipeline, start: int, buffers: Sequence[Buffer]
    ) -> Handle:
        """What binds buffers to a launch."""
        bound = [(self._parameters.handle, start, len(launch.words))]
        for part, buffer in zip(launch.parts, buffers, strict=True):
            nbytes = part.nbytes or min(buffer.size, self.queue.native.binding)
            bound.append((buffer.handle, part.start, nbytes))
        return self.queue.native.group(pipeline, bound)

    def forget(self) -> None:
        """Let go of what keeps memory that nothing uses."""
        for ready in self._ready:
            ready.groups.clear()


def _pipeline(queue: Queue, launch: Launch) -> Pipeline:
    kinds = ["uniform", *("write" if part.writes else "read" for part in launch.parts)]
    return queue.pipeline(launch.text, kinds, launch.label)
