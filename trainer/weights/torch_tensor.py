"""Tensors of a PyTorch file: descriptions that are checked against their storage before memory is touched."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from trainer.pickled import Inert, plain_dict, shown

# torch.<name> -> dtype of its elements
STORAGES = {
    "FloatStorage": np.dtype(np.float32),
    "DoubleStorage": np.dtype(np.float64),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "ShortStorage": np.dtype(np.int16),
    "CharStorage": np.dtype(np.int8),
    "ByteStorage": np.dtype(np.uint8),
    "BoolStorage": np.dtype(np.bool_),
}
MAX_DIMENSIONS = 16


@dataclass(frozen=True, kw_only=True)
class Storage:
    """A row of elements in a file.

    Attributes:
      dtype: type of the elements.
      count: number of elements.
      read: returns the bytes, [count * itemsize] uint8, or raises ValueError.
      big_endian: whether the most significant byte of an element comes first.
    """

    dtype: np.dtype
    count: int
    read: Callable[[], np.ndarray]
    big_endian: bool = False

    def elements(self) -> np.ndarray:
        """Return the elements, [count], a view of the file where its byte order is ours.

        Raises:
          ValueError: the file does not hold them.
        """
        if not self.count:
            return np.empty(0, self.dtype)
        data, size = self.read(), self.dtype.itemsize
        if len(data) != self.count * size:
            raise ValueError(f"must have {self.count} elements in {self.count * size} bytes, got {len(data)}")
        if self.big_endian:
            data = np.ascontiguousarray(data.reshape(-1, size)[:, ::-1]).reshape(-1)
        if self.dtype == np.bool_:
            return data != 0  # another byte than 0 and 1 is no valid bool of numpy
        return data.view(self.dtype)


@dataclass(frozen=True)
class Tensor:
    """A view of a storage: element (i, j, …) is number offset + i * stride[0] + j * stride[1] + …"""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def array(self) -> np.ndarray:
        """Return the tensor as a read-only array; nothing is copied.

        Raises:
          ValueError: it reaches beyond its storage or is larger; the text starts with "must".
        """
        values = (self.offset, *self.size, *self.stride)
        if len(self.size) != len(self.stride) or len(self.size) > MAX_DIMENSIONS:
            raise ValueError(
                f"must have as many strides as dimensions, at most {MAX_DIMENSIONS}, got {len(self.stride)} "
                f"and {len(self.size)}"
            )
        if any(value < 0 for value in values):
            raise ValueError(
                "must have an offset, sizes and strides of at least 0, "
                f"got {self.offset}, {self.size} and {self.stride}"
            )
        count = math.prod(self.size)
        if max(values) >= 2**48:
            raise ValueError(f"must have sizes below {2**48}, got {max(values)}")
        if not count:
            return np.empty(self.size, self.storage.dtype)
        last = self.offset + sum((n - 1) * s for n, s in zip(self.size, self.stride, strict=True))
        if last >= self.storage.count:
            raise ValueError(f"must lie within its {self.storage.count} stored elements, got element {last}")
        if count > self.storage.count:
            raise ValueError(
                f"must have at most as many elements as are stored, {self.storage.count}, got {count}"
            )
        elements = self.storage.elements()
        # The stride of a dimension of one element is never used, and may be any number.
        steps = [s * elements.itemsize if n > 1 else 0 for n, s in zip(self.size, self.stride, strict=True)]
        start = elements[self.offset :]
        return np.lib.stride_tricks.as_strided(start, self.size, steps, writeable=False)


def rebuild(arguments: tuple) -> Tensor | Inert:
    """Return the tensor of ``torch._utils._rebuild_tensor_v2(storage, offset, size, stride, …)``.

    Raises:
      ValueError: the arguments are of other types.
    """
    if len(arguments) < 4:
        raise ValueError(f"a tensor of {len(arguments)} instead of 4 arguments")
    storage, offset, size, stride = arguments[:4]
    if isinstance(storage, Inert):
        return storage
    for part in (size, stride):
        if not isinstance(part, tuple) or not all(type(n) is int for n in part):
            raise ValueError(f"a tensor whose size or stride is {shown(part)}, not a tuple of integers")
    if not isinstance(storage, Storage) or type(offset) is not int:
        raise ValueError(f"a tensor of {shown(storage)} at offset {shown(offset)}")
    return Tensor(storage, offset, size, stride)


def storage_fields(pid: Any) -> tuple[np.dtype | Inert, str, int, Any]:
    """Return (dtype, key, number of elements, view) of a persistent id; an Inert for an unknown dtype.

    Raises:
      ValueError: it does not describe a storage.
    """
    if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] not in ("storage", b"storage"):
        raise ValueError(f"a pickle that refers to {shown(pid)} outside itself")
    kind, key, _, count = pid[1:5]
    if not isinstance(kind, Inert) or not isinstance(key, str) or type(count) is not int:
        raise ValueError("a storage that is not described by a type, a key and a number of elements")
    if not 0 <= count < 2**48:
        raise ValueError(f"a storage of {count} elements")
    module, _, name = kind.name.rpartition(".")
    known = module in ("torch", "torch.cuda") and name in STORAGES
    return STORAGES[name] if known else kind, key, count, pid[5] if len(pid) > 5 else None


def _ordered(arguments: tuple) -> dict:
    """Return an OrderedDict's items, which Python 2 gives as a list of pairs."""
    pairs = arguments[0] if arguments else []
    if not isinstance(pairs, list) or not all(isinstance(p, list) and len(p) == 2 for p in pairs):
        raise ValueError("an OrderedDict of something else than pairs")
    return plain_dict([part for pair in pairs for part in pair])


# What a pickle of PyTorch may make: dotted name -> function of the tuple of arguments.
CLASSES = {
    "collections.OrderedDict": _ordered,
    "collections.defaultdict": lambda arguments: {},
    "torch.Size": lambda arguments: arguments[0] if arguments else (),
    "torch._utils._rebuild_tensor": rebuild,
    "torch._utils._rebuild_tensor_v2": rebuild,
    "torch._utils._rebuild_parameter": lambda arguments: arguments[0] if arguments else None,
    "torch._utils._rebuild_parameter_with_state": lambda arguments: arguments[0] if arguments else None,
}
