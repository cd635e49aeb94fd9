"""Writer of PyTorch's zip files: ``torch.load`` reads what is written here without PyTorch."""

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

FOLDER = "archive"
DATE = (1980, 1, 1, 0, 0, 0)  # the same arrays give the same bytes
# Opcodes of pickle protocol 2 (pickletools).
PROTO, MARK, STOP, GLOBAL, REDUCE, PERSISTENT = b"\x80\x02", b"(", b".", b"c", b"R", b"Q"
EMPTY_TUPLE, TUPLE, SETITEMS, FALSE = b")", b"t", b"u", b"\x89"


def write(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name, as ``torch.save(state_dict, path)`` does with float32 tensors.

    Raises:
      OSError: the file cannot be written.
    """
    arrays = {name: np.asarray(array, "<f4", order="C") for name, array in arrays.items()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:

        def add(name: str, content: bytes) -> None:
            archive.writestr(zipfile.ZipInfo(f"{FOLDER}/{name}", DATE), content)

        add("data.pkl", _pickle(arrays))
        add("byteorder", b"little")
        for key, array in enumerate(arrays.values()):
            add(f"data/{key}", array.tobytes())
        add("version", b"3\n")


def _pickle(arrays: Mapping[str, np.ndarray]) -> bytes:
    items = [_text(name) + _tensor(str(key), array) for key, (name, array) in enumerate(arrays.items())]
    return b"".join([PROTO, _ordered_dict(), MARK, *items, SETITEMS, STOP])


def _tensor(key: str, array: np.ndarray) -> bytes:
    strides = [step // array.itemsize for step in array.strides]
    storage = (
        _text("storage"),
        _class("torch", "FloatStorage"),
        _text(key),
        _text("cpu"),
        _number(array.size),
    )
    arguments = (
        _tuple(*storage) + PERSISTENT,
        _number(0),  # offset
        _tuple(*map(_number, array.shape)),
        _tuple(*map(_number, strides)),
        FALSE,  # requires_grad
        _ordered_dict(),  # hooks
    )
    return _class("torch._utils", "_rebuild_tensor_v2") + _tuple(*arguments) + REDUCE


def _ordered_dict() -> bytes:
    return _class("collections", "OrderedDict") + EMPTY_TUPLE + REDUCE


def _class(module: str, name: str) -> bytes:
    return GLOBAL + f"{module}\n{name}\n".encode()


def _tuple(*parts: bytes) -> bytes:
    return b"".join([MARK, *parts, TUPLE])


def _text(text: str) -> bytes:
    encoded = text.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def _number(number: int) -> bytes:
    if number < 2**31:
        return b"J" + struct.pack("<i", number)
    return b"\x8a\x08" + struct.pack("<q", number)
