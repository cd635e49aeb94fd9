"""Reader of PyTorch's ``.pt`` and ``.pth`` files that needs no PyTorch and runs no code from the file.

Such a file is a zip archive of a pickle, which describes the tensors, and of their bytes. The unpickler knows
only the few names that tensors need. It refuses a file that refers to any other.
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
    """Read the state dict of a file: arrays by name, in PyTorch's layouts.

    A state dict wrapped as ``{"state_dict": …}`` or ``{"model": …}`` is unwrapped.

    Raises:
      ConfigError: PyTorch did not write the file, or it holds more than tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            [pickled] = [name for name in archive.namelist() if name.endswith("data.pkl")]
            state_dict = _Unpickler(archive, pickled).load()
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
        hint = "write it with torch.save(model.state_dict(), FILE), or use a safetensors file"
        raise ConfigError(f"{path}: must be a state dict that PyTorch saved, got {error}", hint) from None
    for wrapper in ("state_dict", "model"):
        if isinstance(state_dict, dict) and isinstance(state_dict.get(wrapper), dict):
            state_dict = state_dict[wrapper]
    if not isinstance(state_dict, dict) or not all(isinstance(a, np.ndarray) for a in state_dict.values()):
        raise ConfigError(f"{path}: must be a state dict: tensors by name")
    # torch.nn.DataParallel puts "module." before each name.
    return {name.removeprefix("module."): array for name, array in state_dict.items()}


class _Unpickler(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile, pickled: str):
        super().__init__(io.BytesIO(archive.read(pickled)))
        self._archive = archive
        self._folder = pickled.removesuffix("data.pkl") + "data/"

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        known = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"{module}.{name}, which is not part of a tensor")
        return known[module, name]

    def persistent_load(self, pid: tuple) -> np.ndarray:
        _, dtype, key, _, count = pid
        return np.frombuffer(self._archive.read(self._folder + key), dtype, count)


def _tensor(storage: np.ndarray, offset: int, size: tuple, stride: tuple, *_: Any) -> np.ndarray:
    if any(size) and offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) >= len(storage):
        raise ValueError("a tensor larger than its data")
    steps = tuple(s * storage.itemsize for s in stride)
    return np.lib.stride_tricks.as_strided(storage[offset:], size, steps, writeable=False).copy()
