"""A pickle machine that can build data and nothing else.

Pickle is a small stack language whose programs may name any function and call it. This machine
knows the operations that data need, and looks names up in a table that its caller gives it: what
is not in the table ends the reading. Nothing is ever imported, and what the table has are readers
of this package, which check their arguments.

Opcodes are a byte, and a list is 64. So the containers that may be made are counted against the
bytes read so far, and numbers are recalled from a list instead of a dictionary of them.

The language: `pickletools` of the standard library, whose names the operations have here.
"""

import pickle
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

from volta.io.reading import Cursor, broken, charge, plain, shown

__all__ = ["Known", "Ordered", "unpickled"]

MAX_PROTOCOL: Final = 5
# Containers that a pickle may have before it must have this many bytes for each. A tensor takes
# 7 of them and at least 62 bytes, a pair of small integers in a list 1 and 5 bytes.
FREE_CONTAINERS: Final = 1024
BYTES_OF_ONE: Final = 4
# Memory that an operation may need at most: a place on the stack and in a list or in the memo,
# which are copied as they grow; and beyond that a number, a text, a container, and a pair in a
# dictionary that has just grown.
OF_OPERATION: Final = 24
OF_NUMBER: Final = 32
OF_TEXT: Final = 80  # and its letters
OF_CONTAINER: Final = 88
OF_PAIR: Final = 160


class Known:
    """What a name in a pickle stands for: a reader that takes the tuple of arguments."""

    def __init__(self, name: str, call: Callable[[tuple[Any, ...]], Any] | None = None) -> None:
        self.name, self.call = name, call


class Ordered(dict[Any, Any]):
    """An ordered dictionary, and the attributes that it was given."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        super().__init__()
        self.state: dict[Any, Any] | None = None


def unpickled(cursor: Cursor, names: Mapping[str, Known], persistent: Callable[[Any], Any]) -> Any:
    """Build the object of the pickle at a place, and go past it.

    Parameters
    ----------
    cursor : Cursor
        Where the pickle begins; it moves to its end.
    names : mapping of str to Known
        What ``module.name`` may be.
    persistent : function
        From the identifier of an object that is stored elsewhere to what stands for it.
    """
    machine = _Machine(cursor, names, persistent)
    while True:
        code = cursor.integer(1, "a pickle")
        charge(OF_OPERATION)
        if code == pickle.STOP[0]:
            return machine.pop()
        operation = _OPERATIONS.get(code)
        if operation is None:
            broken(
                "a pickle of tensors must have only the operations that data need",
                f"{bytes((code,))!r} at byte {cursor.place - 1}",
                "Do not load this file by other means unless you trust who made it.",
            )
        operation(machine)


class _Machine:
    def __init__(
        self, cursor: Cursor, names: Mapping[str, Known], persistent: Callable[[Any], Any]
    ) -> None:
        self.cursor, self.names, self.persistent = cursor, names, persistent
        self.start, self.containers = cursor.place, 0
        self.stack: list[Any] = []
        self.marks: list[int] = []  # lengths of the stack
        self.memo: list[Any] = []

    # the stack

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            broken("a pickle must not take more from its stack than is there", "an empty stack")
        return self.stack.pop()

    def top(self, kind: type, what: str) -> Any:
        value = self.pop()
        self.stack.append(value)
        if not isinstance(value, kind):
            broken(f"a pickle must {what} a {kind.__name__}", type(value).__name__)
        return value

    def since_mark(self) -> list[Any]:
        if not self.marks:
            broken("a pickle must have marked its stack", "no mark")
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def mark(self) -> None:
        self.marks.append(len(self.stack))

    def pop_one(self) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.pop()

    def duplicate(self) -> None:
        self.stack.append(self.top(object, "repeat"))

    def push_container(self, value: Any) -> None:
        self.containers += 1
        if self.containers > FREE_CONTAINERS + (self.cursor.place - self.start) // BYTES_OF_ONE:
            got = f"{self.containers} in {self.cursor.place - self.start} bytes"
            broken("a pickle must have more bytes than lists and the like need", got)
        charge(OF_CONTAINER)
        self.stack.append(value)

    # framing

    def protocol(self) -> None:
        version = self.cursor.integer(1, "a pickle")
        if version > MAX_PROTOCOL:
            broken(f"the protocol of a pickle must be at most {MAX_PROTOCOL}", str(version))

    def frame(self) -> None:
        self.cursor.skip(8, "a pickle")

    # numbers, text

    def integer(self, width: int, signed: bool = False) -> None:
        charge(OF_NUMBER)
        self.stack.append(self.cursor.integer(width, "a pickle", signed))

    def long(self, width: int) -> None:
        count = self.cursor.integer(width, "a pickle")
        charge(OF_NUMBER + 2 * count)  # Python has 30 bits in 32
        self.stack.append(self.cursor.integer(count, "a pickle", signed=True))

    def float(self) -> None:
        charge(OF_NUMBER)
        self.stack.append(struct.unpack(">d", self.cursor.take(8, "a pickle"))[0])

    def text(self, width: int) -> None:
        charge(OF_TEXT)
        count = self.cursor.integer(width, "a pickle")
        self.stack.append(self.cursor.text(count, "a pickle's text"))

    def octets(self, width: int) -> None:
        charge(OF_TEXT)
        count = self.cursor.integer(width, "a pickle")
        self.stack.append(self.cursor.take(count, "a pickle"))

    def push(self, value: Any) -> None:
        self.stack.append(value)

    # containers

    def list_of(self) -> None:
        self.push_container(self.since_mark())

    def append(self) -> None:
        value = self.pop()
        self.top(list, "append to").append(value)

    def appends(self) -> None:
        values = self.since_mark()
        self.top(list, "append to").extend(values)

    def tuple_of(self, count: int) -> None:
        self.push_container(tuple([self.pop() for _ in range(count)][::-1]))

    def tuple_since_mark(self) -> None:
        self.push_container(tuple(self.since_mark()))

    def dict_of(self) -> None:
        items = self.since_mark()
        self.push_container({})
        self._set_items(items)

    def set_item(self) -> None:
        value, key = self.pop(), self.pop()
        self._set_items([key, value])

    def set_items(self) -> None:
        self._set_items(self.since_mark())

    def _set_items(self, items: list[Any]) -> None:
        target = self.top(dict, "set items of")
        if len(items) % 2:
            broken("the items of a dictionary must be pairs", f"{len(items)} objects")
        charge(OF_PAIR * (len(items) // 2))
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Exact types: the hash of a deep tuple would need a deep C stack, and that of a long
            # integer takes its length in time, at every use.
            if type(key) is not str and (type(key) is not int or key.bit_length() > 64):
                broken("the keys of dictionaries must be text or 64-bit integers", shown(key))
            target[key] = value

    # the memo

    def put(self, width: int) -> None:
        self._remember(self.cursor.integer(width, "a pickle"))

    def memoize(self) -> None:
        self._remember(len(self.memo))

    def _remember(self, number: int) -> None:
        if not self.memo and number == 1:  # where Python 2 begins
            self.memo.append(None)
        if number > len(self.memo):
            broken("a pickle must number what it remembers in order", f"number {number}")
        self.memo[number : number + 1] = [self.top(object, "remember")]

    def get(self, width: int) -> None:
        number = self.cursor.integer(width, "a pickle")
        if number >= len(self.memo):
            broken("a pickle must remember what it recalls", f"number {number}")
        self.stack.append(self.memo[number])

    # names and calls

    def line(self) -> str:
        start = self.cursor.place
        while self.cursor.integer(1, "a name") != ord("\n"):
            if self.cursor.place - start > 1000:
                broken("a name must be at most 1000 bytes long", f"more at byte {start}")
        text = bytes(self.cursor.data[start : self.cursor.place - 1])
        return Cursor(text).text(len(text), "a name")

    def name(self) -> None:
        module = self.line()
        self._look_up(module, self.line())

    def name_on_stack(self) -> None:
        name, module = self.pop(), self.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            broken("a name must be text", f"{type(module).__name__}, {type(name).__name__}")
        self._look_up(module, name)

    def _look_up(self, module: str, name: str) -> None:
        known = self.names.get(f"{module}.{name}")
        if known is None:
            broken(
                "a pickle of tensors must name only what tensors need",
                plain(f"{module}.{name}"),
                "Save a dictionary of tensors alone. Nothing was run; do not load this file by "
                "other means unless you trust who made it.",
            )
        self.stack.append(known)

    def reduce(self) -> None:
        args, function = self.pop(), self.pop()
        if not isinstance(function, Known) or function.call is None or not isinstance(args, tuple):
            got = function.name if isinstance(function, Known) else shown(function)
            broken("a pickle must call what can be called", got)
        self.push_container(function.call(args))

    def build(self) -> None:
        state = self.pop()
        target = self.top(Ordered, "set attributes of")
        if not isinstance(state, dict):
            broken("attributes must be a dictionary", type(state).__name__)
        target.state = state

    def persistent_object(self) -> None:
        self.push_container(self.persistent(self.pop()))


_Operation = Callable[[_Machine], None]
_OPERATIONS: Final[dict[int, _Operation]] = {
    code[0]: operation
    for code, operation in (
        (pickle.PROTO, _Machine.protocol),
        (pickle.FRAME, _Machine.frame),
        (pickle.MARK, _Machine.mark),
        (pickle.POP, _Machine.pop_one),
        (pickle.POP_MARK, lambda m: m.since_mark().clear()),
        (pickle.DUP, _Machine.duplicate),
        (pickle.NONE, lambda m: m.push(None)),
        (pickle.NEWTRUE, lambda m: m.push(True)),
        (pickle.NEWFALSE, lambda m: m.push(False)),
        (pickle.BININT, lambda m: m.integer(4, signed=True)),
        (pickle.BININT1, lambda m: m.integer(1)),
        (pickle.BININT2, lambda m: m.integer(2)),
        (pickle.LONG1, lambda m: m.long(1)),
        (pickle.LONG4, lambda m: m.long(4)),
        (pickle.BINFLOAT, _Machine.float),
        (pickle.BINUNICODE, lambda m: m.text(4)),
        (pickle.SHORT_BINUNICODE, lambda m: m.text(1)),
        (pickle.BINUNICODE8, lambda m: m.text(8)),
        # Python 2's text; what is not UTF-8 there is no name of a tensor.
        (pickle.BINSTRING, lambda m: m.text(4)),
        (pickle.SHORT_BINSTRING, lambda m: m.text(1)),
        (pickle.BINBYTES, lambda m: m.octets(4)),
        (pickle.SHORT_BINBYTES, lambda m: m.octets(1)),
        (pickle.BINBYTES8, lambda m: m.octets(8)),
        (pickle.EMPTY_LIST, lambda m: m.push_container([])),
        (pickle.LIST, _Machine.list_of),
        (pickle.APPEND, _Machine.append),
        (pickle.APPENDS, _Machine.appends),
        (pickle.EMPTY_TUPLE, lambda m: m.push(())),
        (pickle.TUPLE, _Machine.tuple_since_mark),
        (pickle.TUPLE1, lambda m: m.tuple_of(1)),
        (pickle.TUPLE2, lambda m: m.tuple_of(2)),
        (pickle.TUPLE3, lambda m: m.tuple_of(3)),
        (pickle.EMPTY_DICT, lambda m: m.push_container({})),
        (pickle.DICT, _Machine.dict_of),
        (pickle.SETITEM, _Machine.set_item),
        (pickle.SETITEMS, _Machine.set_items),
        (pickle.BINPUT, lambda m: m.put(1)),
        (pickle.LONG_BINPUT, lambda m: m.put(4)),
        (pickle.MEMOIZE, _Machine.memoize),
        (pickle.BINGET, lambda m: m.get(1)),
        (pickle.LONG_BINGET, lambda m: m.get(4)),
        (pickle.GLOBAL, _Machine.name),
        (pickle.STACK_GLOBAL, _Machine.name_on_stack),
        (pickle.REDUCE, _Machine.reduce),
        (pickle.BUILD, _Machine.build),
        (pickle.BINPERSID, _Machine.persistent_object),
    )
}
