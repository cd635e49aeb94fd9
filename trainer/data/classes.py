"""Classes of a dataset and of a network, matched by their names."""

import dataclasses
import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.data.source import DAMAGED, Source
from trainer.errors import ConfigError
from trainer.rundir.dataset import first_difference, listed, normalised

HINT = "give the classes of the dataset the names that the network knows"
HINT_UNNAMED = "resnet-train import --classes FILE gives them names"


@dataclass(frozen=True, kw_only=True)
class ClassMatch:
    """Where the classes of a dataset are among those of a network.

    Attributes:
      positions: [classes of the dataset] int32, the logit of each.
      warning: what was assumed, or which classes the dataset lacks; empty where both have the same.
    """

    positions: np.ndarray
    warning: str


def match(network: Sequence[str], data: Sequence[str]) -> ClassMatch:
    """Find each class of a dataset among the classes of a network.

    Classes that an import has only numbered ("class 0", "class 1", …) have no names; they match classes that
    are numbers, and as many classes of any names in their order.

    Args:
      network: names in the order of the logits.
      data: names in the order of the labels.

    Raises:
      ConfigError: the network does not know a class, or a name stands for two classes.
    """
    if not first_difference(network, data):
        return ClassMatch(positions=np.arange(len(data), dtype=np.int32), warning="")
    if numbered(network):
        return _match_numbered(network, data)
    known = _positions(network, "network")
    _positions(data, "data")
    for position, name in enumerate(data):
        if normalised(name) not in known:
            raise _unknown(network, data, position)
    positions = np.array([known[normalised(name)] for name in data], np.int32)
    return ClassMatch(positions=positions, warning=_lacking(network, positions))


def numbered(names: Sequence[str]) -> bool:
    """Return whether classes have no names, only the numbers that an import gives them."""
    return list(names) == [f"class {number}" for number in range(len(names))]


def relabelled(source: Source, network: Sequence[str], positions: np.ndarray) -> Source:
    """Return a source with the classes of a network.

    Args:
      source: examples with labels of their own.
      network: names in the order of the logits.
      positions: [classes of the source] int32, the label of each in the network.
    """

    def gather(indices: np.ndarray, draws: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        images, labels = source.gather(indices, draws)
        return images, np.where(labels == DAMAGED, labels, positions[labels])

    return dataclasses.replace(source, class_names=list(network), gather=gather)


def _match_numbered(network: Sequence[str], data: Sequence[str]) -> ClassMatch:
    if list(data) == [str(number) for number in range(len(data))] and len(data) <= len(network):
        positions = np.arange(len(data), dtype=np.int32)
        return ClassMatch(positions=positions, warning=_lacking(network, positions))
    if len(data) != len(network):
        raise ConfigError(
            f"data: must have the {len(network):,} classes of the network, which are only numbered, "
            f"got {len(data):,}: {listed(data)}",
            HINT_UNNAMED,
        )
    text = (
        f"the network's {len(network):,} classes are only numbered; those of the data are assumed to be in "
        f"the same order: {network[0]} is {data[0]!r}, {network[-1]} is {data[-1]!r}"
    )
    return ClassMatch(positions=np.arange(len(data), dtype=np.int32), warning=text)


def _positions(names: Sequence[str], owner: str) -> dict[str, int]:
    known: dict[str, int] = {}
    for position, name in enumerate(map(normalised, names)):
        if name in known:
            raise ConfigError(
                f"data: {owner} classes must have different names to be matched by name, got {name!r} for "
                f"classes {known[name]} and {position}"
            )
        known[name] = position
    return known


def _unknown(network: Sequence[str], data: Sequence[str], position: int) -> ConfigError:
    name = data[position]
    close = difflib.get_close_matches(name, network, n=1, cutoff=0.6)
    return ConfigError(
        f"data: classes must be among the network's {len(network):,} ({listed(network)}), "
        f"got {name!r}, class {position} of {len(data):,}",
        f"{HINT}; did you mean {close[0]!r}?" if close else HINT,
    )


def _lacking(network: Sequence[str], positions: np.ndarray) -> str:
    lacking = [name for position, name in enumerate(network) if position not in set(positions.tolist())]
    if not lacking:
        return ""
    return (
        f"the data has {len(positions):,} of the network's {len(network):,} classes; "
        f"it lacks {listed(lacking)}"
    )
