"""Reader of PyTorch's ``.pt`` and ``.pth`` files that needs no PyTorch and runs no code from the file.

Such a file is a pickle, which describes the tensors, and the bytes of their storages. Since PyTorch 1.6 both
are members of a zip archive; before, they followed each other in one file. The file is mapped, not read: only
the tensors that are used cost memory, and each is checked against its storage first.
"""

import stat
from pathlib import Path
from typing import Any

import numpy as np

from trainer.weights import torch_legacy, torch_zip


def read(path: str | Path) -> Any:
    """Read what ``torch.save`` wrote: plain values, tensors as ``Tensor``, other objects as ``Inert``.

    Raises:
      OSError: the file cannot be read.
      ValueError: PyTorch did not write the file, or it is damaged; the text follows "got".
    """
    data = map_file(path)
    head = bytes(data[:4])
    if head == b"PK\x03\x04":
        with open(path, "rb") as file:
            return torch_zip.Archive(file, data).load()
    if head[:1] == b"\x80":
        return torch_legacy.load(data)
    if bytes(data[257:262]) == b"ustar":
        raise ValueError("a tar file, as PyTorch wrote before version 0.2: load it there and save it again")
    raise ValueError("an empty file" if not len(data) else "a file of another format")


def map_file(path: str | Path) -> np.ndarray:
    """Return the bytes of a regular file, [size] uint8, without reading them.

    Raises:
      OSError: the file cannot be read.
      ValueError: the path is not a regular file.
    """
    status = Path(path).stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("a folder" if stat.S_ISDIR(status.st_mode) else "no regular file")
    return np.memmap(path, np.uint8, "r") if status.st_size else np.empty(0, np.uint8)
