"""Reader of pickles that runs nothing: classes and functions stay names, their objects stay inert.

It is an interpreter of its own, because ``pickle.Unpickler`` cannot be bounded: a few bytes make it allocate
gigabytes for its memo, or hash a tuple so deep that the process dies. Here an operation costs a constant
amount of memory, and there is a limit to the bytes and to the operations.
"""

import io
import pickletools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

# The checkpoint of a ResNet-152 with averages and momentum has 0.5 MB of pickle in 120,000 operations.
MAX_BYTES = 16 << 20
MAX_OPERATIONS = 1_000_000
MAX_INTEGER_BITS = 128  # the magic number of torch.save has 80

VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
NEW = {"EMPTY_TUPLE": tuple, "EMPTY_LIST": list, "EMPTY_DICT": dict}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
PUTS, GETS = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), ("GET", "BINGET", "LONG_BINGET")
_MARK = object()


@dataclass(frozen=True, eq=False)
class Inert:
    """A class or function by its dotted name, or an object that it would have made."""

    name: str


class Buildable:
    """An object of the reader's own that takes the state which a pickle gives it (BUILD)."""

    def build(self, state: Any) -> None:
        """Take the state; raises ValueError where it is none."""
        raise NotImplementedError


Construct = Callable[[tuple], Any]


def read(
    stream: io.BytesIO,
    classes: Mapping[str, Construct],
    persistent: Callable[[Any], Any],
) -> Any:
    """Read one pickle; the stream then stands behind it.

    Args:
      stream: bytes of the file, at most MAX_BYTES of which are read.
      classes: dotted name -> function of the tuple of arguments, for what may be made.
      persistent: function of a persistent id, which returns the object.

    Raises:
      ValueError: the pickle is damaged, too large, or uses what this reader does not know.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of odd escapes in the text of protocol 0
        return _Machine(classes, persistent).run(stream)


def shown(value: Any, length: int = 80) -> str:
    """Return a value that a file holds as one short line without control characters."""
    if not isinstance(value, (str, bytes, int, float, bool, type(None))):
        return value.name if isinstance(value, Inert) else f"a {type(value).__name__}"
    text = repr(value[:length] if isinstance(value, (str, bytes)) else value)
    return ascii(text)[1:-1] if not text.isprintable() else text


class _Machine:
    def __init__(self, classes: Mapping[str, Construct], persistent: Callable[[Any], Any]):
        self._classes, self._persistent = classes, persistent
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self, stream: io.BytesIO) -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count >= MAX_OPERATIONS:
                raise ValueError(f"a pickle of more than {MAX_OPERATIONS} operations")
            if opcode.name == "STOP":
                return self._pop()
            self._execute(opcode.name, argument)
        raise ValueError("a pickle without an end")

    def _execute(self, name: str, argument: Any) -> None:
        if name in VALUES:
            self._stack.append(_bounded(argument))
        elif name in CONSTANTS:
            self._stack.append(CONSTANTS[name])
        elif name in NEW:
            self._stack.append(NEW[name]())
        elif name in TUPLES:
            self._stack.append(tuple(reversed([self._pop() for _ in range(TUPLES[name])])))
        elif name in PUTS:
            self._put(len(self._memo) if argument is None else argument)
        elif name in GETS:
            if argument not in self._memo:
                raise ValueError(f"a pickle that uses entry {argument} of its memo before it is set")
            self._stack.append(self._memo[argument])
        elif handler := getattr(self, f"_do_{name.lower()}", None):
            handler(argument)
        else:
            raise ValueError(f"a pickle with the operation {name}, which this reader does not know")

    def _put(self, entry: int) -> None:
        if not 0 <= entry < MAX_OPERATIONS:
            raise ValueError(f"a pickle that sets entry {shown(_bounded(entry))} of its memo")
        self._memo[entry] = self._top()

    def _top(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise ValueError("a pickle that takes more than it holds")
        return self._stack[-1]

    def _pop(self) -> Any:
        self._top()
        return self._stack.pop()

    def _pop_marked(self) -> list[Any]:
        """Return what stands above the newest mark, and remove both."""
        values = []
        while self._stack and self._stack[-1] is not _MARK:
            values.append(self._stack.pop())
        if not self._stack:
            raise ValueError("a pickle that takes more than it holds")
        self._stack.pop()
        return values[::-1]

    def _make(self, function: Any, arguments: Any) -> None:
        if not isinstance(function, Inert) or not isinstance(arguments, tuple):
            raise ValueError(f"a pickle that calls {shown(function)} with {shown(arguments)}")
        construct = self._classes.get(function.name)
        self._stack.append(construct(arguments) if construct else function)

    def _append(self, values: list[Any]) -> None:
        target = self._top()
        if isinstance(target, list):
            target.extend(values)
        elif not isinstance(target, Inert):
            raise ValueError(f"a pickle that appends to {shown(target)}")

    def _set(self, values: list[Any]) -> None:
        target = self._top()
        if len(values) % 2 or not isinstance(target, (dict, Inert)):
            raise ValueError(f"a pickle that sets {len(values)} keys and values of {shown(target)}")
        if isinstance(target, dict):
            target.update(plain_dict(values))

    def _do_proto(self, version: int) -> None:
        if version > 5:
            raise ValueError(f"a pickle of protocol {version}, newer than 5")

    def _do_frame(self, _: int) -> None:
        pass

    def _do_mark(self, _: None) -> None:
        self._stack.append(_MARK)

    def _do_pop(self, _: None) -> None:
        if not self._stack:
            raise ValueError("a pickle that takes more than it holds")
        self._stack.pop()

    def _do_pop_mark(self, _: None) -> None:
        self._pop_marked()

    def _do_dup(self, _: None) -> None:
        self._stack.append(self._top())

    def _do_tuple(self, _: None) -> None:
        self._stack.append(tuple(self._pop_marked()))

    def _do_list(self, _: None) -> None:
        self._stack.append(self._pop_marked())

    def _do_dict(self, _: None) -> None:
        self._stack.append(plain_dict(self._pop_marked()))

    def _do_empty_set(self, _: None) -> None:
        self._stack.append(Inert("builtins.set"))

    def _do_frozenset(self, _: None) -> None:
        self._pop_marked()
        self._stack.append(Inert("builtins.frozenset"))

    def _do_additems(self, _: None) -> None:
        self._append(self._pop_marked())

    def _do_append(self, _: None) -> None:
        self._append([self._pop()])

    def _do_appends(self, _: None) -> None:
        self._append(self._pop_marked())

    def _do_setitem(self, _: None) -> None:
        value, key = self._pop(), self._pop()
        self._set([key, value])

    def _do_setitems(self, _: None) -> None:
        self._set(self._pop_marked())

    def _do_global(self, names: str) -> None:
        self._stack.append(Inert(_dotted(*names.split(" ", 1))))

    def _do_stack_global(self, _: None) -> None:
        name, module = self._pop(), self._pop()
        self._stack.append(Inert(_dotted(module, name)))

    def _do_reduce(self, _: None) -> None:
        arguments, function = self._pop(), self._pop()
        self._make(function, arguments)

    _do_newobj = _do_reduce

    def _do_newobj_ex(self, _: None) -> None:
        self._pop()  # keyword arguments
        self._do_reduce(None)

    def _do_obj(self, _: None) -> None:
        function, *arguments = self._pop_marked() or [None]
        self._make(function, tuple(arguments))

    def _do_inst(self, names: str) -> None:
        self._make(Inert(_dotted(*names.split(" ", 1))), tuple(self._pop_marked()))

    def _do_build(self, _: None) -> None:
        state = self._pop()  # also of inert objects, such as the versions in a state dict's _metadata
        if isinstance(target := self._top(), Buildable):
            target.build(state)

    def _do_persid(self, pid: str) -> None:
        self._stack.append(self._persistent(pid))

    def _do_binpersid(self, _: None) -> None:
        self._stack.append(self._persistent(self._pop()))


def _bounded(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() > MAX_INTEGER_BITS:
        raise ValueError(f"a pickle with an integer of {value.bit_length()} bits")
    return value


def _dotted(module: Any, name: Any = None) -> str:
    if not isinstance(module, str) or not isinstance(name, str):
        raise ValueError("a pickle with a class whose name is not text")
    text = f"{module}.{name}"[:120]
    return text if text.isprintable() else ascii(text)[1:-1]


def plain_dict(values: list[Any]) -> dict[str, Any]:
    """Return a dict from keys and values in turn, its keys as text.

    Only text is hashed: a tuple could be too deep for it, and chosen integers all have one hash.
    """
    if len(values) % 2:
        raise ValueError("a pickle of a dict with a key that has no value")
    return {_key(key): value for key, value in zip(values[::2], values[1::2], strict=True)}


def _key(key: Any) -> str:
    return key if isinstance(key, str) else shown(key)
