"""Conversion of weights to and from the names and layouts of torchvision and timm, as each family has them.

Our weights are flat dicts of named arrays, float32.
"""

from collections.abc import Iterable, Mapping

import jax.numpy as jnp
import numpy as np

from trainer.config import ModelConfig
from trainer.errors import ConfigError
from trainer.models import network
from trainer.models.architecture import Foreign
from trainer.pickled import shown

DAMAGED = "the training that wrote the file diverged, or the file is damaged: take an earlier checkpoint"
QUANTISED = "weights that were quantised must be turned back into floats first"


def layout(config: ModelConfig, library: str = "torchvision") -> Foreign:
    """Return how a library names and lays out a network.

    Raises:
      ConfigError: the architecture states nothing of this library.
    """
    libraries = network.find(config.arch).foreign
    if library not in libraries:
        listed = " or ".join(libraries) or "no library"
        raise ConfigError(
            f"{library}: must be a library whose names {config.arch} has, which are {listed}",
            "--to safetensors writes our own names; foreign=… of trainer.models.architecture adds a library",
        )
    return libraries[library](config)


def names(config: ModelConfig, ours: Iterable[str], library: str = "torchvision") -> dict[str, str]:
    """Map our name of each parameter and running statistic to a library's."""
    theirs = layout(config, library)
    return {name: theirs.name(name) for name in ours}


def read(
    config: ModelConfig,
    state_dict: Mapping[str, np.ndarray],
    shapes: Mapping[str, tuple],
    source: str = "the file",
    library: str = "torchvision",
    notes: list[str] | None = None,
) -> dict[str, np.ndarray]:
    """Convert a state dict of torchvision or timm to our arrays, float32.

    Positions of another image size are resampled.

    Args:
      config: configuration of the network.
      state_dict: arrays by their names.
      shapes: shapes by our names.
      source: the file, for errors.
      library: library whose names the state dict has.
      notes: gets a line for each array that was resampled.

    Raises:
      ConfigError: an array is missing, left over, of another shape, or not of finite numbers; the message
        names it.
    """
    theirs_layout = layout(config, library)
    mapping = {name: theirs_layout.name(name) for name in shapes}
    if missing := [theirs for theirs in mapping.values() if theirs not in state_dict]:
        raise _different(config, source, f"{missing[0]} is missing")
    present = {name for name in state_dict if not name.endswith(theirs_layout.ignored)}
    if extra := present - set(mapping.values()):
        raise _different(config, source, f"{shown(min(extra))[1:-1]} does not belong to it")
    arrays = {}
    for ours, theirs in mapping.items():
        theirs_array = state_dict[theirs]
        as_read = theirs_layout.read(ours, theirs_array, tuple(shapes[ours]))
        array = network.fitted(config, ours, as_read, tuple(shapes[ours]))
        if array is not as_read and notes is not None:
            notes.append(f"{theirs} is resampled from {as_read.shape} to {array.shape}")
        if array.shape != tuple(shapes[ours]):
            got = f"{theirs} must be {tuple(shapes[ours])} in our layout, got {array.shape}"
            raise _different(config, source, got)
        arrays[ours] = as_float32(array, f"{source}: {theirs}")
        if ours.endswith(".var") and (arrays[ours] < 0).any():
            raise ConfigError(f"{source}: {theirs} must be at least 0, got {arrays[ours].min()}", DAMAGED)
    return arrays


def as_float32(array: np.ndarray, name: str) -> np.ndarray:
    """Return an array of weights as float32.

    Raises:
      ConfigError: it holds integers, or numbers that are not finite in float32; the message has the name.
    """
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise ConfigError(f"{name} must be of a floating-point type, got {array.dtype}", QUANTISED)
    with np.errstate(over="ignore"):  # a float64 beyond float32's range is an error below
        array = np.array(array, np.float32)
    if not (finite := np.isfinite(array)).all():
        count = array.size - np.count_nonzero(finite)
        bad = array.ravel()[np.argmin(finite)]
        raise ConfigError(f"{name} must be finite in float32, got {bad} in {count} of {array.size}", DAMAGED)
    return array


def write(
    config: ModelConfig, arrays: Mapping[str, np.ndarray], library: str = "torchvision"
) -> dict[str, np.ndarray]:
    """Convert our arrays to a state dict of a library, without the counters of training steps."""
    theirs = layout(config, library)
    return {
        theirs.name(ours): np.asarray(theirs.write(ours, array), order="C") for ours, array in arrays.items()
    }


def _different(config: ModelConfig, source: str, difference: str) -> ConfigError:
    hint = "--arch and --set model.… must describe the network that the file holds"
    return ConfigError(f"{source}: must hold a {config.arch}: {difference}", hint)
