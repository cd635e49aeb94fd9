"""Reads PyTorch's ``.pt`` and ``.pth`` files without PyTorch, and without running what they hold.

The file is a zip: a pickle that names tensors, and their bytes. Only the few names that tensors need are
known to the unpickler; a file that asks for another is refused.
"""

import collections
import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from trainer.errors import ConfigError

STORAGES = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "BoolStorage": np.bool_,
}


def load(path: str | Path) -> dict[str, np.ndarray]:
    """The state dict of a file; one that is wrapped as ``{"state_dict": …}`` or ``{"model": …}`` too.

    Raises:
      ConfigError: it is not such a file, or holds more than tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            [inside] = [name for name in archive.namelist() if name.endswith("data.pkl")]
            found = _Unpickler(archive, inside).load()
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
        hint = "torch.save(model.state_dict(), FILE) writes it; safetensors files are read as well"
        raise ConfigError(f"{path}: must be a state dict that PyTorch saved, got {error}", hint) from None
    for wrapper in ("state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(wrapper), dict):
            found = found[wrapper]
    if not isinstance(found, dict) or not all(isinstance(a, np.ndarray) for a in found.values()):
        raise ConfigError(f"{path}: must be a state dict, names to tensors")
    return {name.removeprefix("module."): array for name, array in found.items()}  # of data-parallel training


class _Unpickler(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile, inside: str):
        super().__init__(io.BytesIO(archive.read(inside)))
        self._archive = archive
        self._folder = inside.removesuffix("data.pkl") + "data/"

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        known = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"{module}.{name} in it, which is not a tensor")
        return known[module, name]

    def persistent_load(self, pid: tuple) -> np.ndarray:
        _, dtype, key, _, count = pid
        return np.frombuffer(self._archive.read(self._folder + key), dtype, count)


def _tensor(storage: np.ndarray, offset: int, size: tuple, stride: tuple, *_: Any) -> np.ndarray:
    if any(size) and offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) >= len(storage):
        raise ValueError("a tensor that is larger than its data")
    steps = tuple(s * storage.itemsize for s in stride)
    return np.lib.stride_tricks.as_strided(storage[offset:], size, steps, writeable=False).copy()
