"""Weights of torchvision and timm, in and out: from ``.pth`` and safetensors files alike."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
from safetensors.numpy import save_file

from trainer.config import ModelConfig
from trainer.errors import ConfigError, TrainError, first_line
from trainer.models import network
from trainer.models.architecture import Foreign
from trainer.weights import outputs, state_dict, torch_file, torch_names, torch_write
from trainer.weights.file import Weights, describe

INPUTS = ("class_names", "image_size", "mean", "std", "crop")  # fields of Weights beside a file of tensors


@dataclass(frozen=True)
class Imported:
    """Converted weights, and one line about each choice that was made for the reader."""

    weights: Weights
    notes: list[str]


def load_torch(
    path: str | Path,
    model: ModelConfig,
    image_size: int,
    part: str = "",
    class_names: list[str] | None = None,
    library: str = "torchvision",
) -> Imported:
    """Read a ``.pth`` or ``.safetensors`` file of torchvision or timm, or one of their training checkpoints.

    The content tells the format. The result has the mean and standard deviation that weights of this
    architecture have there; without ``class_names`` its classes are numbered.

    Args:
      path: the file.
      model: architecture and options of the network in it.
      image_size: height and width of the input in pixels.
      part: which network of a training checkpoint, "state_dict_ema"; empty: the one without averaging.
      class_names: names of the classes, in the order of the logits.
      library: "torchvision" or "timm", whose names the file has.

    Raises:
      ConfigError: the file is not readable, or holds another network than ``model``.
    """
    model = network.with_stem(model, image_size)
    theirs = torch_names.layout(model, library)
    choice = state_dict.choose(path, _tensors(path), part, theirs.anchor)
    notes = _notes(choice)
    names = _class_names(path, choice.tensors, class_names, theirs)
    _, shapes = describe(model, len(names), len(theirs.mean), image_size, "cpu")
    if not names:
        shapes = {name: shape for name, shape in shapes.items() if not name.startswith("head.")}
        notes.append(
            f"it has no head (no {theirs.head}): train.init starts one afresh, predict has no classes"
        )
    weights = Weights(
        model=model,
        class_names=names,
        image_size=image_size,
        mean=theirs.mean,
        std=theirs.std,
        arrays=torch_names.read(model, choice.tensors, shapes, str(path), library, notes),
    )
    return Imported(weights, notes)


def save_torch(weights: Weights, path: str | Path, library: str = "torchvision") -> None:
    """Write weights for torchvision or timm: a zip file of PyTorch, or safetensors where the path ends so.

    These libraries load tensors alone. The classes and the images that the network expects stand in a second
    file, ``PATH.json``, with the fields of `Weights`.

    Raises:
      TrainError: the file cannot be written.
      ConfigError: the architecture states nothing of this library.
    """
    arrays = torch_names.write(weights.model, weights.arrays, library)
    try:
        with outputs.replaced(path) as temporary:
            if Path(path).suffix.lower() in outputs.SAFETENSORS:
                save_file(arrays, temporary)
            else:
                torch_write.write(temporary, arrays)
        with outputs.replaced(sidecar(path)) as temporary:
            fields = {name: getattr(weights, name) for name in INPUTS}
            temporary.write_text(json.dumps(fields, indent=2) + "\n")
    except safetensors.SafetensorError as error:
        raise TrainError(f"{path}: cannot be written: {error}") from None


def sidecar(path: str | Path) -> Path:
    """Return the file beside exported weights that holds what their own format has no place for."""
    return Path(f"{path}.json")


def _tensors(path: str | Path) -> Mapping[str, state_dict.Read]:
    """Return the tensors of a file by dotted name, whatever its suffix is."""
    try:
        data = torch_file.map_file(path)
        # A safetensors file begins with the length of its header, which is JSON.
        if bytes(data[8:9]) == b"{":
            file = safetensors.safe_open(path, "np")
            return {name: functools.partial(_safetensor, file, name) for name in file.keys()}  # noqa: SIM118
        return state_dict.flatten(torch_file.read(path))
    except OSError as error:
        raise ConfigError(f"{path}: must be a file that can be read, got {error.strerror}") from None
    except (ValueError, safetensors.SafetensorError) as error:
        expected = "must be weights of PyTorch (torch.save) or a safetensors file"
        raise ConfigError(f"{path}: {expected}, got {first_line(error)}", state_dict.HINT) from None


def _safetensor(file: safetensors.safe_open, name: str):
    try:
        return file.get_tensor(name)
    except Exception as error:  # what numpy has no type for raises TypeError, KeyError or SafetensorError
        raise ValueError(f"must be numbers that numpy has, got {first_line(error)}") from None


def _class_names(
    path: str | Path, tensors: state_dict.StateDict, names: list[str] | None, theirs: Foreign
) -> list[str]:
    """Return the names of the classes, none where the file has no head."""
    if theirs.head not in tensors:
        if theirs.head_bias in tensors:
            raise ConfigError(f"{path}: {theirs.head} must be there beside {theirs.head_bias}, got none")
        if names:
            raise ConfigError(
                f"--classes: must be left out for a file without a head, got {len(names)} names"
            )
        return []
    shape = tensors[theirs.head].shape
    if len(shape) != 2 or not shape[0]:
        raise ConfigError(f"{path}: {theirs.head} must be [classes, features], got {list(shape)}")
    if names is None:
        return [f"class {i}" for i in range(shape[0])]
    if len(names) != shape[0]:
        raise ConfigError(f"--classes: must name the {shape[0]} classes of {path}, got {len(names)} names")
    return names


def _notes(choice: state_dict.Choice) -> list[str]:
    if not choice.others:
        return []
    used, others = (p.rstrip(".") or "the names without a prefix" for p in (choice.prefix, choice.others[0]))
    return [f"read {used}; the file also holds {others}, which --state chooses"]
