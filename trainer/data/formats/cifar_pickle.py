"""The pickles of CIFAR, read without running anything in them.

A batch is a dict: "data" is an array [n, 3072] uint8, "labels" (or "fine_labels" and "coarse_labels") a list
of numbers. The archives hold pickles of Python 2. Copies that Python 3 wrote are read too. Arrays are made
once the pickle has been read, and only those that are asked for, so that no operation costs much.
"""

import io
import math
from typing import Any

import numpy as np

from trainer import pickled

# What `repr` shows of a key that was bytes: copies keep the keys of ``encoding="bytes"``.
KEYS = ("{}", "b'{}'")
SHORT = 1000  # bytes, such as those of a key or name, that are encoded at once


def batch(content: bytes, hundred: bool, coarse: bool) -> tuple[np.ndarray, np.ndarray]:
    """Images [n, 3072] uint8 and labels [n] int32.

    Raises:
      ValueError: the pickle is damaged or holds something else; the text follows "got".
    """
    fields = _fields(content)
    images = _array(_value(fields, "data"))
    values = _value(fields, ("coarse_labels" if coarse else "fine_labels") if hundred else "labels")
    numbers = values if isinstance(values, list) else _array(values).ravel().tolist()
    wrong = next((number for number in numbers if type(number) is not int or not 0 <= number < 2**31), None)
    if wrong is not None:
        raise ValueError(f"the label {pickled.shown(wrong)}")
    return images, np.array(numbers, np.int32)


def class_names(content: bytes, hundred: bool, coarse: bool) -> list[str]:
    """The names of the classes; raises ValueError as `batch`."""
    names = _value(
        _fields(content),
        ("coarse_label_names" if coarse else "fine_label_names") if hundred else "label_names",
    )
    if not isinstance(names, list):
        raise ValueError(f"{pickled.shown(names)} as names")
    return [_text(name) for name in names]


def _fields(content: bytes) -> dict[str, Any]:
    value = pickled.read(io.BytesIO(content), CLASSES, _no_objects)
    if not isinstance(value, dict):
        raise ValueError(f"a pickle of {pickled.shown(value)}")
    return value


def _value(fields: dict[str, Any], name: str) -> Any:
    for key in KEYS:
        if key.format(name) in fields:
            return fields[key.format(name)]
    raise ValueError(f"a pickle without {name!r}: {', '.join(map(pickled.shown, list(fields)[:6]))}")


def _text(name: Any) -> str:
    if isinstance(name, bytes):
        return name.decode()
    if not isinstance(name, str):
        raise ValueError(f"{pickled.shown(name)} as a name")
    return name


class _DType(pickled.Buildable):
    """numpy.dtype, by its name."""

    def __init__(self, arguments: tuple):
        self.name = arguments[0] if arguments and isinstance(arguments[0], str) else ""

    def build(self, state: Any) -> None:
        """Take the order of bytes, which the types used here do not need, or are refused for."""
        if isinstance(state, tuple) and len(state) > 1 and state[1] == ">":
            raise ValueError("an array of big-endian numbers")


class _Array(pickled.Buildable):
    """numpy.ndarray: first empty, then built from (version, shape, dtype, whether Fortran's order, bytes)."""

    def __init__(self, arguments: tuple):
        del arguments
        self.parts: tuple[Any, Any, Any, Any] | None = None  # bytes, dtype, shape, order

    def build(self, state: Any) -> None:
        """Take the shape, type and bytes."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise ValueError("an array without its values")
        _, shape, dtype, fortran, data = state
        self.parts = data, dtype, shape, "F" if fortran is True else "C"


def _from_buffer(arguments: tuple) -> _Array:
    """numpy's function of protocol 5: bytes, dtype, shape, order."""
    array = _Array(())
    if len(arguments) != 4:
        raise ValueError("an array without its values")
    data, dtype, shape, order = arguments
    array.parts = data, dtype, shape, order
    return array


def _values(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    data = data.text if isinstance(data, _Latin) else data
    data = data.encode("latin-1") if isinstance(data, str) else data
    types = {"u1": np.uint8, "i4": np.int32, "i8": np.int64}
    kind = types.get(dtype.name.lstrip("|<=")) if isinstance(dtype, _DType) else None
    if kind is None or not isinstance(data, (bytes, bytearray)):
        raise ValueError("an array of another type than uint8, int32 or int64")
    if not isinstance(shape, tuple) or not all(type(side) is int and 0 <= side < 2**31 for side in shape):
        raise ValueError("an array without a shape")
    if math.prod(shape) * kind().itemsize != len(data):
        raise ValueError(f"an array of {len(data):,} bytes for {' x '.join(map(str, shape))} values")
    return np.frombuffer(data, kind).reshape(shape, order="F" if order == "F" else "C")


def _array(value: Any) -> np.ndarray:
    if not isinstance(value, _Array) or value.parts is None:
        raise ValueError(f"{pickled.shown(value)} instead of an array")
    return _values(*value.parts)


class _Latin:
    """Bytes that are encoded once they are needed."""

    def __init__(self, text: str):
        self.text = text


def _encoded(arguments: tuple) -> bytes | _Latin:
    """codecs.encode(text, "latin1"), with which Python 3 writes bytes in protocol 2."""
    text, *_ = arguments or (None,)
    if not isinstance(text, str):
        raise ValueError("bytes that are no text")
    return text.encode("latin-1") if len(text) <= SHORT else _Latin(text)


def _no_objects(pid: Any) -> Any:
    raise ValueError(f"a pickle that refers to {pickled.shown(pid)} outside itself")


_MODULES = ("numpy.core", "numpy._core")  # before NumPy 2 and since
CLASSES: dict[str, pickled.Construct] = {
    "numpy.dtype": _DType,
    "_codecs.encode": _encoded,
    **{f"{module}.multiarray._reconstruct": _Array for module in _MODULES},
    **{f"{module}.numeric._frombuffer": _from_buffer for module in _MODULES},
}
