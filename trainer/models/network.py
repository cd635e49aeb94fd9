"""A network as the training step sees it: a static definition, and flat dicts of named arrays.

Names are paths in the module tree joined by dots (``blocks.0.conv1.conv.kernel``): the same names in the
state, in checkpoints and in exported files, whatever version of NNX made them.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from flax.typing import PathParts

from trainer.config import ModelConfig
from trainer.errors import ConfigError
from trainer.models.layers import LayerConfig
from trainer.registry import ARCHS
from trainer.state import Arrays

Init = Callable[[jax.Array], tuple[Arrays, Arrays]]

SMALL_STEM_PIXELS = 64  # up to this side the ImageNet stem would leave too little to look at


@dataclass(frozen=True)
class Network:
    """A module taken apart once: ``apply`` puts it together inside a traced function, at no cost per step.

    Args:
      graphdef: the static part of the module, as ``nnx.split`` gives it.
      variables: name -> (path in the module tree, nnx variable type).
    """

    graphdef: nnx.GraphDef[nnx.Module]
    variables: dict[str, tuple[PathParts, type[nnx.Variable[Any]]]]

    def apply(
        self,
        params: Arrays,
        stats: Arrays,
        images: jax.Array,
        train: bool,
        key: jax.Array | None = None,
    ) -> tuple[jax.Array, Arrays]:
        """Return logits, [B, num_classes] float32, and the statistics after them.

        Args:
          params, stats: float32 arrays by name, as ``build`` made them; BatchNorm's statistics are [C].
          images: [B, H, W, C] float32, normalised.
          train: whether statistics are those of the batch, and come back changed.
          key: a scalar key of what is random in training (stochastic depth); None: nothing is.
        """
        arrays = params | stats
        state = nnx.from_flat_state([(path, kind(arrays[n])) for n, (path, kind) in self.variables.items()])
        module: Any = nnx.merge(self.graphdef, state)
        logits = module(images, train=train, key=key)  # [B, num_classes]
        return logits, _averaged_groups(_arrays(nnx.state(module, nnx.BatchStat)))


class Family(Protocol):
    """The class of a family of networks, as the registry names it."""

    @staticmethod
    def configure(model: ModelConfig, sizes: Mapping[str, Any], stem: str, /) -> Any:
        """Return the family's own frozen configuration of a registered network.

        Args:
          model: the settings of the run.
          sizes: what the registry holds of the network.
          stem: ``model.stem``, or what its "auto" means for the images of the run.

        Raises:
          ConfigError: the settings contradict each other, or the network.
        """
        ...

    def __call__(
        self, config: Any, layers: LayerConfig, /, *, channels: int, num_classes: int, rngs: nnx.Rngs
    ) -> nnx.Module:
        """Return the network; ``module(images, train=..., key=...)`` returns logits."""
        ...


def build(
    config: ModelConfig, num_classes: int, channels: int, image_size: int, platform: str, batch: int = 0
) -> tuple[Network, Init]:
    """Return (network, init), where ``init(key) -> (params, stats)`` may be traced and jitted.

    Args:
      config: the settings of the network.
      num_classes: length of a row of logits.
      channels: channels of the images.
      image_size: pixels of a side; decides what stem "auto" is.
      platform: "cpu", "gpu" or "tpu"; decides what dtype "auto" is, and whether BatchNorm is folded.
      batch: examples that go through the network at once, over all devices; for ``model.bn_group``.

    Raises:
      ConfigError: the settings contradict each other.
    """
    module_name, class_name, sizes = ARCHS[config.arch]
    family: Family = getattr(importlib.import_module(f"trainer.models.{module_name}"), class_name)
    family_config = family.configure(config, sizes, stem(config, image_size))
    layers = _layer_config(config, platform, batch)

    def make(key: jax.Array) -> nnx.Module:
        rngs = nnx.Rngs(key)
        return family(family_config, layers, channels=channels, num_classes=num_classes, rngs=rngs)

    def init(key: jax.Array) -> tuple[Arrays, Arrays]:
        module = make(key)
        return _arrays(nnx.state(module, nnx.Param)), _arrays(nnx.state(module, nnx.BatchStat))

    abstract = nnx.eval_shape(make, jax.random.key(0))
    graphdef, state = nnx.split(abstract)
    flat = dict(nnx.to_flat_state(state))
    return Network(graphdef, {_join(path): (path, type(v)) for path, v in flat.items()}), init


def compute_dtype(config: ModelConfig, platform: str) -> jnp.dtype:
    """Return the dtype of convolutions; "auto" is float32 on "cpu" and bfloat16 on "gpu" and "tpu"."""
    name = config.dtype
    if name == "auto":
        name = "float32" if platform == "cpu" else "bfloat16"
    return jnp.dtype(name)


def stem(config: ModelConfig, image_size: int) -> str:
    """Return the kind of first layers; "auto" is "small" for sides of up to 64 pixels, else "imagenet"."""
    if config.stem != "auto":
        return config.stem
    return "small" if image_size <= SMALL_STEM_PIXELS else "imagenet"


def _layer_config(config: ModelConfig, platform: str, batch: int) -> LayerConfig:
    dtype = compute_dtype(config, platform)
    return LayerConfig(
        dtype=dtype,
        float32_kernel_grads=config.grad_dtype == "float32" and dtype != jnp.float32,
        norm_momentum=config.bn_momentum,
        norm_epsilon=config.bn_epsilon,
        norm_groups=_norm_groups(config, batch),
        fold_norm=_folds(config, platform),
    )


def _folds(config: ModelConfig, platform: str) -> bool:
    """Auto: on TPU, whose compiler alone was asked what it saves. In float32 its gradients are less exact."""
    if config.bn_fold != "auto":
        return config.bn_fold == "on"
    return platform == "tpu" and compute_dtype(config, platform) == jnp.bfloat16


def _norm_groups(config: ModelConfig, batch: int) -> int:
    if not config.bn_group or not batch or config.bn_group == batch:
        return 1
    if batch % config.bn_group:
        raise ConfigError(
            f"model.bn_group: must divide the {batch} examples that go through the network at once, "
            f"got {config.bn_group}"
        )
    return batch // config.bn_group


def _averaged_groups(stats: Arrays) -> Arrays:
    """Running statistics [C] from those of each group, [G, C]: one reduction over the devices for all."""
    if all(a.ndim == 1 for a in stats.values()):
        return stats
    means = jnp.mean(jnp.concatenate(list(stats.values()), axis=1), axis=0)  # [sum of all C]
    ends = np.cumsum([a.shape[1] for a in stats.values()])
    return dict(zip(stats, jnp.split(means, ends[:-1]), strict=True))


def _arrays(state: nnx.State) -> Arrays:
    return {_join(path): variable.get_value() for path, variable in nnx.to_flat_state(state)}


def _join(path: PathParts) -> str:
    return ".".join(map(str, path))
