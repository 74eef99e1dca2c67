"""The index of a model in several files: which file has which tensor.

As the Hub writes it, beside safetensors or PyTorch files::

    {"metadata": {"total_size": 24},
     "weight_map": {"weight": "model-00001-of-00002.safetensors", …}}

The index is not trusted: it names shards in its own directory (which may be links, as in the Hub's
cache), and each has exactly the tensors that the index says. ``total_size`` is not compared, since
files with tied weights have it wrong.

The format: https://huggingface.co/docs/huggingface_hub/package_reference/serialization
"""

from collections.abc import Callable
from typing import Any, Final

from volta.io.jsontext import is_object, members, value_of
from volta.io.reading import BrokenRuleError, Contents, Source, add, broken, mapped, plain

__all__ = ["read"]

MAX_INDEX: Final = 100_000_000  # bytes, as the header of a safetensors file
SUFFIXES: Final = (".safetensors", ".bin", ".pt", ".pth")


def read(source: Source, read_shard: Callable[[Source], Contents]) -> Contents:
    """Read an index and the headers of its shards."""
    metadata, places = _index(source)
    shards: dict[str, Contents] = {}
    for shard in dict.fromkeys(places.values()):
        shards[shard] = _shard(source, shard, read_shard)
        for key, value in shards[shard].metadata.items():
            if metadata.setdefault(key, value) != value:
                got = f"{plain(value)} in {plain(shard)}, {plain(metadata[key])} before"
                broken(f"shards must agree on metadata {key!r}", got)
    _check_names(places, shards)
    return Contents({name: shards[place].tensors[name] for name, place in places.items()}, metadata)


def _index(source: Source) -> tuple[dict[str, str], dict[str, str]]:
    if len(source.buffer) > MAX_INDEX:
        got = f"{len(source.buffer)} bytes"
        broken(f"an index must be at most {MAX_INDEX} bytes long", got)
    metadata: dict[str, str] = {}
    places: dict[str, str] | None = None
    for name, start, end in members(source.buffer, 0, len(source.buffer), "an index"):
        if name == "weight_map" and places is None and is_object(source.buffer, start):
            places = _places(source.buffer, start, end)
        elif name == "weight_map":
            broken("an index must have one weight_map from names to files", "another")
        elif name == "metadata":
            metadata = _metadata(source.buffer, start, end)
        else:
            value_of(source.buffer, start, end, "an index")
    if places is None:
        broken("an index must have one weight_map from names to files", "none")
    return metadata, places


def _places(data: Any, start: int, end: int) -> dict[str, str]:
    """Names of the shards by those of the tensors."""
    places: dict[str, str] = {}
    shards: dict[str, str] = {}  # each name once, however many tensors it has
    for name, begin, stop in members(data, start, end, "an index"):
        place = value_of(data, begin, stop, "an index")
        if not isinstance(place, str):
            broken("a shard must be the name of a file", f"{plain(str(place))} for {plain(name)}")
        if place not in shards:
            _check_place(name, place)
        add(places, name, shards.setdefault(place, place))
    return places


def _check_place(name: str, place: str) -> None:
    plain_name = place.isprintable() and place == place.strip() and not place.startswith(".")
    if not plain_name or any(c in place for c in "/\\:"):
        broken(
            "a shard must lie in the directory of its index",
            f"{plain(place)} for {plain(name)}",
            "Do not use this index.",
        )
    if not place.endswith(SUFFIXES):
        got = f"{plain(place)} for {plain(name)}"
        broken(f"a shard must be one of {', '.join(SUFFIXES)}, and no index", got)


def _metadata(data: Any, start: int, end: int) -> dict[str, str]:
    """The texts among what an index says of itself."""
    if not is_object(data, start):
        got = plain(str(value_of(data, start, end, "an index")))
        broken("the metadata of an index must be an object", got)
    items: dict[str, str] = {}
    for name, begin, stop in members(data, start, end, "the metadata"):
        value = value_of(data, begin, stop, "the metadata")
        if isinstance(value, str):
            add(items, name, value)
    return items


def _shard(source: Source, name: str, read_shard: Callable[[Source], Contents]) -> Contents:
    try:
        return read_shard(mapped(source.path.parent / name, source.writable))
    except OSError as error:
        got = f"{plain(name)}, {error.strerror}"
        broken("the shards of an index must be readable", got, "Fetch all of its files.")
    except BrokenRuleError as error:
        must, got, advice = error.args
        broken(must, f"{got} in its shard {name}", advice or "That file is not valid.")


def _check_names(places: dict[str, str], shards: dict[str, Contents]) -> None:
    for name, place in places.items():
        if name not in shards[place].tensors:
            broken("a shard must have the tensors of the index", f"no {plain(name)} in {place}")
    for place, contents in shards.items():
        for name in contents.tensors:
            if places.get(name) != place:
                got = f"{plain(name)} in {place}, which the index puts elsewhere"
                broken("a tensor must be where the index says", got)
