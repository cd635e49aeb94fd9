"""A network as the training step sees it: a static definition, and flat dicts of named arrays.

Names are paths in the module tree joined by dots (``blocks.0.conv1.conv.kernel``): the same names in the
state, in checkpoints and in exported files, whatever version of NNX made them.
"""

import contextlib
import dataclasses
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from flax.typing import PathParts

from trainer import imports
from trainer.config import ModelConfig
from trainer.devices.model_axis import Division
from trainer.errors import ConfigError
from trainer.models.architecture import METRICS, Architecture, Inputs, Outputs
from trainer.models.layers import LayerConfig
from trainer.models.stacks import LEAST_BLOCKS, Stacks, rows_remembered, stacks_of
from trainer.registry import ARCHS
from trainer.state import Arrays

Init = Callable[[jax.Array], tuple[Arrays, Arrays]]

SMALL_STEM_PIXELS = 64  # up to this side the ImageNet stem would leave too little to look at


@dataclass(frozen=True)
class Network:
    """A module taken apart once: ``apply`` puts it together inside a traced function, at no cost per step.

    Args:
      name: the architecture, for messages.
      classes: length of a row of logits.
      graphdef: the static part of the module, as ``nnx.split`` gives it.
      variables: name -> (path in the module tree, abstract nnx variable) of each parameter and statistic.
      random: (path, abstract nnx variable) of each key and counter of layers that draw.
      takes_key: whether the module takes a parameter ``key``.
      draws: whether training needs a key.
      division: how ``mesh.model`` divides the parameters; None: it cannot.
      layers: settings of its layers, of which the training step needs the dtype and BatchNorm's groups.
      by_slice: whether each slice may compute its own examples, see ``Architecture``.
      stacks: arrays that may come stacked; none where blocks are compiled one by one.
    """

    name: str
    classes: int
    graphdef: nnx.GraphDef[nnx.Module]
    variables: dict[str, tuple[PathParts, nnx.Variable[Any]]]
    random: tuple[tuple[PathParts, nnx.Variable[Any]], ...]
    takes_key: bool
    draws: bool
    division: Division | None
    layers: LayerConfig
    by_slice: bool
    stacks: Stacks

    @property
    def is_own(self) -> bool:
        """Whether the network comes from a module that the request names."""
        return self.name not in ARCHS

    @property
    def shapes(self) -> tuple[dict[str, jax.ShapeDtypeStruct], dict[str, jax.ShapeDtypeStruct]]:
        """Parameters and statistics as ShapeDtypeStruct, by name; the network is not traced for them."""
        shapes = {
            name: jax.ShapeDtypeStruct(variable.get_value().shape, variable.get_value().dtype)
            for name, (_, variable) in self.variables.items()
        }
        statistics = self.statistics
        params = {name: shape for name, shape in shapes.items() if name not in statistics}
        return params, {name: shape for name, shape in shapes.items() if name in statistics}

    @property
    def statistics(self) -> frozenset[str]:
        """Names of the running statistics."""
        return frozenset(n for n, (_, v) in self.variables.items() if isinstance(v, nnx.BatchStat))

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
          key: a scalar key of what is random in training; None: nothing is.
        """
        outputs, stats = self.forward(params, stats, images, train, key)
        return outputs.logits, stats

    def forward(
        self,
        params: Arrays,
        stats: Arrays,
        images: jax.Array,
        train: bool,
        key: jax.Array | None = None,
    ) -> tuple[Outputs, Arrays]:
        """Return all that the network returns, and the statistics, stacked as they come; see ``apply``."""
        with rows_remembered():
            arrays = self.stacks.separate(params | stats)
            outputs, after = self._forward(arrays, images, train, key)
            return outputs, self.stacks.like(after, stats)

    def _forward(
        self, arrays: Arrays, images: jax.Array, train: bool, key: jax.Array | None
    ) -> tuple[Outputs, Arrays]:
        flat = [(path, variable.replace(arrays[n])) for n, (path, variable) in self.variables.items()]
        flat += [
            (path, variable.replace(_drawn(variable, key, i)))
            for i, (path, variable) in enumerate(self.random)
        ]
        module: Any = nnx.merge(self.graphdef, nnx.from_flat_state(flat))
        keys = {"key": key} if self.takes_key else {}
        with _running(self.name, f"cannot be called with train={train}"):
            outputs = module(images, train=train, **keys)
        outputs = self._checked(outputs, len(images))
        return outputs, _averaged_groups(_arrays(nnx.state(module, nnx.BatchStat)), self.variables)

    def _checked(self, outputs: Any, batch: int) -> Outputs:
        logits, penalties, metrics = outputs if isinstance(outputs, Outputs) else (outputs, {}, {})
        expected = (batch, self.classes)
        if not isinstance(logits, jax.Array) or logits.shape != expected or logits.dtype.kind not in "fV":
            got = getattr(logits, "aval", None) or type(logits).__name__
            raise ConfigError(
                f"model.arch: {self.name} must return logits {list(expected)} (images, classes) of a float "
                f"dtype, got {got}"
            )
        for kind, scalars in (("penalty", penalties), ("metric", metrics)):
            for name, value in scalars.items():
                if jnp.shape(value) != ():
                    raise ConfigError(
                        f"model.arch: {self.name}: {kind} {name!r} must be a scalar, got {jnp.shape(value)}"
                    )
        if unknown := sorted(set(metrics) - set(METRICS)):
            listed = ", ".join(METRICS)
            raise ConfigError(
                f"model.arch: {self.name}: a metric must be one of {listed}, got {unknown[0]!r}"
            )
        return Outputs(logits.astype(jnp.float32), penalties, metrics)


def find(arch: str) -> Architecture:
    """Return the architecture with a name of ours, or import the one that ``package.module:name`` names.

    Raises:
      ConfigError: the module cannot be imported, or the name is no ``Architecture``.
    """
    if arch in ARCHS:
        module, sizes = ARCHS[arch]
        return importlib.import_module(f"trainer.models.{module}").architecture(**sizes)
    if not imports.is_object(arch):
        raise ConfigError(
            f"model.arch: must be one of {', '.join(ARCHS)} or package.module:name, got {arch!r}"
        )
    value = imports.load("model.arch", arch)
    if not isinstance(value, Architecture):
        kind = "a function" if inspect.isroutine(value) else f"{type(value).__name__}"
        raise ConfigError(
            f"model.arch: {arch} must be an Architecture, got {kind}",
            "put @architecture() of trainer.models.architecture above the function that makes the network",
        )
    return value


def fitted(config: ModelConfig, name: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array of weights that were trained on images of another size for those of a network.

    Args:
      config: the settings of the network.
      name: our name of the array.
      array: its values.
      shape: its shape in the network. Where no way leads there, the array comes back as it is.
    """
    fit = find(config.arch).fit
    return array if fit is None or array.shape == shape else fit(name, array, shape)


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
      ConfigError: the settings contradict each other, the network does not honour one of them, or it does not
        fulfil its contract (``trainer.models.architecture``).
    """
    name, architecture = config.arch, find(config.arch)
    _check_settings(config, architecture)
    inputs = Inputs(
        model=config,
        classes=num_classes,
        channels=channels,
        image_size=image_size,
        dtype=compute_dtype(config, platform),
        stem=stem(config, image_size),
        layers=_layer_config(config, platform, batch),
    )

    def make(key: jax.Array) -> nnx.Module:
        with _running(name, "cannot be made"):
            module = architecture.make(inputs, _streams(key))
        if not isinstance(module, nnx.Module):
            raise ConfigError(f"model.arch: {name} must return an nnx.Module, got {type(module).__name__}")
        return module

    def init(key: jax.Array) -> tuple[Arrays, Arrays]:
        module = make(key)
        return _arrays(nnx.state(module, nnx.Param)), _arrays(nnx.state(module, nnx.BatchStat))

    abstract = nnx.eval_shape(make, jax.random.key(0))
    network = _taken_apart(config, architecture, abstract, num_classes, inputs.layers)
    if network.is_own:
        trace(network, init, (1, image_size, image_size, channels))
    return network, init


class _Stream(nnx.RngStream):
    """A stream of the keys that ``nnx.RngStream`` gives, counted in Python.

    Each update of a traced counter walks through the whole program, which took minutes for 1,000 layers.
    """

    def __init__(self, key: jax.Array, *, tag: str):
        super().__init__(key, tag=tag)
        self.drawn = 0

    def __call__(self) -> jax.Array:
        self.drawn += 1
        return jax.random.fold_in(self.key[...], self.drawn - 1)

    def fork(self, *, split: Any = None) -> nnx.RngStream:
        """Return the stream of a layer that draws in training, whose counter is part of its state."""
        return nnx.RngStream(self(), tag=self.tag) if split is None else super().fork(split=split)


def _streams(key: jax.Array) -> nnx.Rngs:
    rngs: Any = nnx.Rngs(key)
    rngs.default = _Stream(key, tag="default")
    return rngs


def _taken_apart(
    config: ModelConfig, architecture: Architecture, module: nnx.Module, classes: int, layers: LayerConfig
) -> Network:
    graphdef, state = nnx.split(module)
    variables, random = {}, []
    for path, variable in dict(nnx.to_flat_state(state)).items():
        if isinstance(variable, nnx.RngState):
            random.append((path, variable))
            continue
        _check_array(config.arch, _join(path), variable)
        variables[_join(path)] = (path, variable)
    takes_key = "key" in inspect.signature(type(module).__call__).parameters
    draws = architecture.draws(config) if architecture.draws else takes_key or bool(random)
    kinds = {
        name: (type(v).__name__, v.get_value().shape, str(v.get_value().dtype))
        for name, (_, v) in variables.items()
    }
    stacks = stacks_of(kinds if config.repeat == "scan" else {}, LEAST_BLOCKS)
    return Network(
        name=config.arch,
        classes=classes,
        graphdef=graphdef,
        variables=variables,
        random=tuple(random),
        takes_key=takes_key,
        draws=draws,
        division=architecture.division,
        layers=layers,
        by_slice=architecture.by_slice,
        stacks=stacks,
    )


def _check_array(arch: str, name: str, variable: Any) -> None:
    """Raise ConfigError for what a checkpoint cannot hold or an optimizer cannot update."""
    must = f"model.arch: {arch}: {name} must be an nnx.Param or nnx.BatchStat"
    if not isinstance(variable, (nnx.Param, nnx.BatchStat)):
        raise ConfigError(
            f"{must}, got {type(variable).__name__}", "what is no state, `__call__` can compute"
        )
    value = variable.get_value()
    if getattr(value, "shape", None) is None or value.dtype != jnp.float32:
        got = getattr(value, "dtype", type(value).__name__)
        raise ConfigError(f"{must} of one float32 array, got {got}", "compute in another dtype: inputs.dtype")


def _check_settings(config: ModelConfig, architecture: Architecture) -> None:
    problems = [
        f"model.{field.name}: must be {field.default!r} for {config.arch}, got {value!r}"
        for field in dataclasses.fields(config)
        if field.name not in architecture.settings | {"arch"}
        and (value := getattr(config, field.name)) != field.default
    ]
    if problems:
        honoured = ", ".join(f"model.{name}" for name in sorted(architecture.settings)) or "none"
        raise ConfigError("\n".join(problems), f"the settings of {config.arch}: {honoured}")


def trace(network: Network, init: Init, shape: tuple[int, ...]) -> None:
    """Trace a network once, so that what is wrong with it is found before any data is read.

    Args:
      network, init: as ``build`` returns them.
      shape: of the images, [B, H, W, C].

    Raises:
      ConfigError: the network cannot be called with such images, or changes the shape of a statistic.
    """
    params, stats = jax.eval_shape(init, jax.random.key(0))
    images = jax.ShapeDtypeStruct(shape, jnp.float32)
    for train in (True, False):

        def forward(params: Arrays, stats: Arrays, images: jax.Array, key: jax.Array, train: bool = train):
            return network.forward(params, stats, images, train, key if train else None)

        _, after = jax.eval_shape(forward, params, stats, images, jax.random.key(0))
        for name, stat in stats.items():
            if name not in after or after[name].shape != stat.shape or after[name].dtype != stat.dtype:
                raise ConfigError(
                    f"model.arch: {network.name}: {name} must keep its shape and dtype in a call"
                )


@contextlib.contextmanager
def _running(name: str, failure: str) -> Iterator[None]:
    """Around code of an own network: its errors name it, and it may mix dtypes as JAX does by default."""
    if name in ARCHS:
        yield
        return
    with imports.running("model.arch", name, f"{name} {failure}"), jax.numpy_dtype_promotion("standard"):
        yield


def _drawn(variable: nnx.Variable[Any], key: jax.Array | None, number: int) -> jax.Array:
    """The key of a layer that draws, from that of the step; its counter begins at 0 in each step."""
    if isinstance(variable, nnx.RngCount):
        return jnp.zeros((), jnp.uint32)
    return jax.random.fold_in(jax.random.key(0) if key is None else key, number)


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


def with_stem(config: ModelConfig, image_size: int) -> ModelConfig:
    """Return the settings with what stem "auto" is; unchanged for a network without a choice of stems."""
    if "stem" not in find(config.arch).settings:
        return config
    return dataclasses.replace(config, stem=stem(config, image_size))


def _layer_config(config: ModelConfig, platform: str, batch: int) -> LayerConfig:
    dtype = compute_dtype(config, platform)
    return LayerConfig(
        dtype=dtype,
        float32_kernel_grads=config.grad_dtype == "float32" and dtype != jnp.float32,
        norm_momentum=config.bn_momentum,
        norm_epsilon=config.bn_epsilon,
        norm_groups=_norm_groups(config, batch),
        fold_norm=_folds(config, platform),
        pack_relu=platform == "tpu" and _folds(config, platform),
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


def _averaged_groups(stats: Arrays, variables: Mapping[str, tuple[Any, nnx.Variable[Any]]]) -> Arrays:
    """Running statistics [C] from those of each group, [G, C]: one reduction over the devices for all."""
    grouped = {n: a for n, a in stats.items() if a.ndim == 2 and variables[n][1].get_value().ndim == 1}
    if not grouped:
        return stats
    means = jnp.mean(jnp.concatenate(list(grouped.values()), axis=1), axis=0)  # [sum of all C]
    ends = np.cumsum([a.shape[1] for a in grouped.values()])
    return stats | dict(zip(grouped, jnp.split(means, ends[:-1]), strict=True))


def _arrays(state: nnx.State) -> Arrays:
    return {_join(path): variable.get_value() for path, variable in nnx.to_flat_state(state)}


def _join(path: PathParts) -> str:
    return ".".join(map(str, path))
