"""A network as the training step sees it: a static definition, and flat dicts of named arrays.

Names are paths in the module tree joined by dots (``blocks.0.conv1.conv.kernel``): the same names in the
state, in checkpoints and in exported files, whatever version of NNX made them.
"""

import importlib
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from trainer.config import ModelConfig
from trainer.errors import ConfigError
from trainer.models.variants import Variant
from trainer.registry import ARCHS
from trainer.state import Arrays

SMALL_STEM_PIXELS = 64  # up to this side the ImageNet stem would leave too little to look at


@dataclass(frozen=True)
class Network:
    """A module taken apart once: ``apply`` puts it together inside a traced function, at no cost per step."""

    graphdef: Any
    variables: dict[str, tuple[tuple, type]]  # name -> (path in the module tree, nnx variable type)

    def apply(
        self,
        params: Arrays,
        stats: Arrays,
        images: jax.Array,
        train: bool,
        key: jax.Array | None = None,
    ) -> tuple[jax.Array, Arrays]:
        """images: [B, H, W, C] float32, normalised; key: of what is random in training (stochastic depth).

        Returns logits [B, classes] and the new statistics.
        """
        arrays = params | stats
        state = nnx.from_flat_state([(path, kind(arrays[n])) for n, (path, kind) in self.variables.items()])
        module = nnx.merge(self.graphdef, state)
        logits = module(images, train=train, key=key)
        return logits, _of_all_groups(_arrays(nnx.state(module, nnx.BatchStat)))


def build(
    config: ModelConfig, num_classes: int, channels: int, image_size: int, platform: str, batch: int = 0
):
    """Returns (network, init) where ``init(key) -> (params, stats)`` may be traced and jitted.

    Args:
      platform: "cpu", "gpu" or "tpu"; decides what dtype "auto" is, and whether BatchNorm is folded.
      image_size: pixels of a side; decides what stem "auto" is.
      batch: examples that go through the network at once, over all devices; for ``model.bn_group``.

    Raises:
      ConfigError: the settings contradict each other.
    """
    module_name, class_name, sizes = ARCHS[config.arch]
    family = getattr(importlib.import_module(f"trainer.models.{module_name}"), class_name)
    arguments = {
        "width": config.width,
        "num_classes": num_classes,
        "channels": channels,
        "stem": stem(config, image_size),
        "variant": _variant(config, sizes),
        "dtype": compute_dtype(config, platform),
        "bn_momentum": config.bn_momentum,
        "bn_epsilon": config.bn_epsilon,
        "norm_groups": _norm_groups(config, batch),
        "fold": _folds(config, platform),
        "wide": config.grad_dtype == "float32" and compute_dtype(config, platform) != jnp.float32,
    }
    sizes = {key: sizes[key] for key in ("block", "stage_sizes")}

    def make(key: jax.Array) -> nnx.Module:
        return family(**sizes, **arguments, rngs=nnx.Rngs(key))

    def init(key: jax.Array) -> tuple[Arrays, Arrays]:
        module = make(key)
        return _arrays(nnx.state(module, nnx.Param)), _arrays(nnx.state(module, nnx.BatchStat))

    abstract = nnx.eval_shape(make, jax.random.key(0))
    graphdef, state = nnx.split(abstract)
    flat = dict(nnx.to_flat_state(state))
    return Network(graphdef, {_join(path): (path, type(v)) for path, v in flat.items()}), init


def compute_dtype(config: ModelConfig, platform: str) -> jnp.dtype:
    name = config.dtype
    if name == "auto":
        name = "float32" if platform == "cpu" else "bfloat16"
    return jnp.dtype(name)


def stem(config: ModelConfig, image_size: int) -> str:
    if config.stem != "auto":
        return config.stem
    return "small" if image_size <= SMALL_STEM_PIXELS else "imagenet"


def _variant(config: ModelConfig, sizes: dict[str, Any]) -> Variant:
    made = Variant(
        **{key: sizes[key] for key in ("groups", "group_width") if key in sizes},
        pool_shortcut=config.shortcut == "pool",
        blur=config.blur,
        squeeze=config.squeeze,
        depth_rate=config.stochastic_depth,
    )
    if not made.inner_width(config.width):
        least = -(-64 // made.group_width)
        raise ConfigError(f"model.width: must be at least {least} for {config.arch}, got {config.width}")
    return made


def _folds(config: ModelConfig, platform: str) -> bool:
    """What it saves was asked of the TPU's compiler alone; in float32 its gradients are less exact."""
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


def _of_all_groups(stats: Arrays) -> Arrays:
    """Running statistics [C] from those of each group, [G, C]: one reduction over the devices for all."""
    if all(a.ndim == 1 for a in stats.values()):
        return stats
    means = jnp.mean(jnp.concatenate(list(stats.values()), axis=1), axis=0)
    ends = np.cumsum([a.shape[1] for a in stats.values()])
    return dict(zip(stats, jnp.split(means, ends[:-1]), strict=True))


def _arrays(state: nnx.State) -> Arrays:
    return {_join(path): variable.get_value() for path, variable in nnx.to_flat_state(state)}


def _join(path: tuple) -> str:
    return ".".join(map(str, path))
