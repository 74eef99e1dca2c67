"""Files of weights from the command line: ``python -m volta inspect`` and ``convert``."""

import argparse
import math
import sys
from collections.abc import Sequence

from volta.core.errors import VoltaError
from volta.io import load_file, save_file
from volta.io.formats import opened

__all__ = ["main"]

MAX_TEXT = 60  # letters of an item of metadata


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status, 0 if all went well and 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m volta", description=__doc__)
    commands = parser.add_subparsers(required=True)
    inspecting = commands.add_parser("inspect", help="print a table of the tensors in a file")
    inspecting.add_argument("file")
    inspecting.set_defaults(run=lambda given: inspect(given.file))
    converting = commands.add_parser(
        "convert", help="write the tensors of a file in the format that a suffix names"
    )
    converting.add_argument("source")
    converting.add_argument("target")
    converting.add_argument(
        "--layout",
        choices=("volta", "pt"),
        help="how the weights are laid out, where the file does not say it; none is changed",
    )
    converting.set_defaults(run=lambda given: convert(given.source, given.target, given.layout))
    given = parser.parse_args(arguments)
    try:
        given.run(given)
    except (OSError, ValueError, TypeError, VoltaError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def inspect(path: str) -> None:
    """Print a row for each tensor, the sums, and the metadata; no tensor is read."""
    with opened("inspect", path) as contents:
        rows = [
            (name, stored.encoding, str(stored.shape), f"{stored.size:,}")
            for name, stored in contents.tensors.items()
        ]
        numbers = sum(math.prod(stored.shape) for stored in contents.tensors.values())
        size = sum(stored.size for stored in contents.tensors.values())
    _print_table([("name", "type", "shape", "bytes"), *rows])
    print(f"{len(rows)} tensors, {numbers:,} numbers, {size:,} bytes")
    for key, value in contents.metadata.items():
        text = value if len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]}… ({len(value):,} letters)"
        print(f"{key}: {_printable(text)}")


def convert(source: str, target: str, layout: str | None = None) -> None:
    """Write what one file holds to another; the suffix of `target` names the format."""
    state = load_file(source)
    if layout is not None:
        said = state.metadata.setdefault("format", layout)
        if said != layout:
            msg = (
                f"convert: the layout must be what the file says; got {layout!r} for {source}, "
                f"which says {said!r}. Leave --layout out."
            )
            raise ValueError(msg)
    save_file(state, target)


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    rows = [tuple(map(_printable, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for *texts, size in rows:
        cells = [text.ljust(width) for text, width in zip(texts, widths[:-1], strict=True)]
        print("  ".join([*cells, size.rjust(widths[-1])]))


def _printable(text: str) -> str:
    """`text` without what would move a terminal's cursor."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


if __name__ == "__main__":
    sys.exit(main())
