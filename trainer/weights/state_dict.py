"""Choice of one network's tensors among all that a file of weights or a training checkpoint holds.

Wrappers put their own words before each name: "module." (DataParallel), "_orig_mod." (torch.compile),
"model." (Lightning). A training checkpoint holds the network under a key, and often an average of it under
another. Both are prefixes of dotted names, and a network is wherever the family's anchor follows one: the
name of a tensor that each of its networks has.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer.errors import ConfigError
from trainer.pickled import Inert, shown
from trainer.weights.torch_tensor import Tensor

AVERAGE = re.compile(r"(^|[._])(ema|avg|averag\w*|swa|shadow|teacher)([._]|$)", re.IGNORECASE)
MAX_DEPTH, MAX_TENSORS = 6, 100_000
HINT = "write it with torch.save(model.state_dict(), FILE), or use a safetensors file"

Read = Callable[[], np.ndarray]


class StateDict(Mapping[str, np.ndarray]):
    """Arrays by name, each read from the file when it is asked for.

    Args:
      path: the file, for errors.
      reads: functions by name that return the array, or raise ValueError with a text that starts with "must".
    """

    def __init__(self, path: Any, reads: Mapping[str, Read]):
        self.path, self._reads = path, reads

    def __getitem__(self, name: str) -> np.ndarray:
        try:
            return self._reads[name]()
        except ValueError as error:
            raise ConfigError(f"{self.path}: {shown(name)[1:-1]} {error}", HINT) from None

    def __contains__(self, name: object) -> bool:
        return name in self._reads

    def __iter__(self) -> Iterator[str]:
        return iter(self._reads)

    def __len__(self) -> int:
        return len(self._reads)


@dataclass(frozen=True)
class Choice:
    """The tensors of one network.

    Attributes:
      prefix: what stands before each of its names in the file.
      others: prefixes of the other networks in the file.
      tensors: its arrays by name, without the prefix.
    """

    prefix: str
    others: list[str]
    tensors: StateDict


def choose(path: Any, reads: Mapping[str, Read], part: str, anchor: str) -> Choice:
    """Return the tensors of one network of a file.

    Args:
      path: the file, for errors.
      reads: functions by dotted name, as ``StateDict`` takes them.
      part: first words of the prefix, such as "state_dict_ema"; empty: the network that is no average.
      anchor: name of a tensor that each network of the family has.

    Raises:
      ConfigError: there is no network under the prefix, or several; the message names them.
    """
    prefixes = sorted(
        name.removesuffix(anchor) for name in reads if name == anchor or name.endswith(f".{anchor}")
    )
    if not prefixes:
        names = ", ".join(shown(name)[1:-1] for name in list(reads)[:3]) or "no tensors"
        raise ConfigError(f"{path}: must hold a network with a tensor named {anchor}, got {names}", HINT)
    fitting = [p for p in prefixes if f"{p}.".startswith(f"{part.rstrip('.')}.")] if part else prefixes
    if not part:
        fitting = [p for p in prefixes if not AVERAGE.search(p)] or prefixes
    if len(fitting) != 1:
        listed = ", ".join(shown(p.rstrip("."))[1:-1] or "the names without a prefix" for p in prefixes[:8])
        wanted = f"one network under --state {part}" if part else "one network, or a choice by --state"
        raise ConfigError(f"{path}: must hold {wanted}, got {listed}", "resnet-train import --state NAME …")
    [prefix] = fitting
    inside = {name.removeprefix(prefix): read for name, read in reads.items() if name.startswith(prefix)}
    return Choice(prefix, [p for p in prefixes if p != prefix], StateDict(path, inside))


def flatten(value: Any) -> dict[str, Read]:
    """Return the tensors in nested dicts by dotted name; what is no tensor is left out.

    Raises:
      ValueError: the value is not a dict, or holds too many tensors; the text follows "got".
    """
    if not isinstance(value, dict):
        raise ValueError(f"{_kind(value)} instead of tensors by name")
    reads: dict[str, Read] = {}
    queue: list[tuple[str, dict, int]] = [("", value, 0)]
    entries = 0
    for prefix, part, depth in queue:  # grows while it is read
        entries += len(part)
        if entries > MAX_TENSORS:
            raise ValueError(f"more than {MAX_TENSORS} entries")
        for key, item in part.items():
            if isinstance(item, dict) and depth < MAX_DEPTH:
                queue.append((f"{prefix}{key}.", item, depth + 1))
            elif isinstance(item, Tensor):
                reads[prefix + key] = item.array
            elif isinstance(item, Inert) and item.name.startswith("torch."):
                reads[prefix + key] = _unreadable(item.name)
    return reads


def _kind(value: Any) -> str:
    if isinstance(value, Inert):
        return f"an object of {value.name}"
    return "one tensor" if isinstance(value, Tensor) else shown(value)


def _unreadable(name: str) -> Read:
    def read() -> np.ndarray:
        raise ValueError(f"must be an ordinary tensor, got {name}")

    return read
