"""TrainConfig: every default of the trainer, and the one way to change it (``section.field=value``)."""

import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from trainer.errors import ConfigError, ExitCode
from trainer.registry import ARCHS, DATASETS


def option(
    default: Any,
    text: str,
    choices: Iterable[str] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    paths: bool = False,
) -> Any:
    """A field with what the command line has to know of it: help text, choices, the bounds.

    ``paths``: beside the choices it takes a path or gs://…, which is anything with a slash.
    """
    metadata = {"help": text, "choices": tuple(choices), "paths": paths}
    metadata |= {"minimum": minimum, "maximum": maximum}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    arch: str = option("resnet50", "network", ARCHS)
    width: int = option(64, "channels of the first stage", minimum=1)
    dtype: str = option(
        "auto",
        "arithmetic of convolutions; auto: bfloat16 on TPU and GPU, float32 on CPU",
        ("auto", "bfloat16", "float32"),
    )
    grad_dtype: str = option(
        "auto",
        "type in which kernels' gradients are summed over pixels and devices; auto: that of the convolutions",
        ("auto", "float32"),
    )
    stem: str = option(
        "auto",
        "first layers; small: 3x3 without pooling, for 8 to 64 pixels; deep: three 3x3 (ResNet-D)",
        ("auto", "small", "imagenet", "deep"),
    )
    shortcut: str = option(
        "conv", "where the image is halved; pool: mean pooling, then 1x1 (ResNet-D)", ("conv", "pool")
    )
    blur: str = option(
        "off",
        "smooths strides; after: the 3x3 and the pooling; before: each convolution with stride, as ffcv does",
        ("off", "after", "before"),
    )
    squeeze: float = option(
        0.0, "squeeze and excitation: channels squeezed to this share; 0: none", minimum=0, maximum=1
    )
    stochastic_depth: float = option(
        0.0, "share of examples that skip the last block; rises from 0 at the first", minimum=0, maximum=0.99
    )
    bn_momentum: float = option(0.9, "share of the old running statistics kept at each step", minimum=0)
    bn_epsilon: float = option(1e-5, "added to the variance", minimum=0)
    bn_fold: str = option(
        "auto",
        "training folds BatchNorm into the 1x1 convolutions that widen, which saves memory traffic; auto: on "
        "TPU in bfloat16",
        ("auto", "on", "off"),
    )
    bn_group: int = option(
        0, "examples that share BatchNorm statistics; 0: the whole global batch", minimum=0
    )


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    name: str = option("synthetic", "dataset: a name, a folder or gs://…", DATASETS, paths=True)
    root: str = option("", "folder of a named dataset's files; empty: where its package puts them")
    image_size: int = option(224, "pixels of a side of what the network sees", minimum=8)
    eval_crop: float = option(0.875, "share of the shorter side that evaluation sees", minimum=0.1, maximum=1)
    min_area: float = option(
        0.08, "least share of an image that training sees; 1: all of it", minimum=0.01, maximum=1
    )
    shift_pixels: int = option(0, "largest random translation, zeros come in", minimum=0)
    flip: bool = option(False, "mirror half of the training images left to right")
    threads: int = option(0, "threads that prepare batches on each host; 0: one a core", minimum=0)
    prefetch: int = option(4, "batches prepared ahead on each host, at least one a thread", minimum=1)
    bad_images: int = option(10, "damaged images a host replaces by black ones before it ends", minimum=0)
    max_megapixels: int = option(100, "an image of more is taken for damaged", minimum=1)
    stage: str = option("/tmp/resnet-data", "folder on this host for shards of a bucket")
    stage_gib: float = option(100.0, "GiB that the shards may take there", minimum=0)

    @property
    def max_pixels(self) -> int:
        return self.max_megapixels * 1_000_000


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    name: str = option("sgd", "optimizer", ("sgd", "adamw", "lamb", "lars", "muon", "schedule-free"))
    lr: float = option(0.1, "peak learning rate, for as many examples as lr_batch says", minimum=0)
    lr_batch: int = option(
        256, "examples that lr is stated for: it grows with the batch; 0: lr as it is", minimum=0
    )
    momentum: float = option(0.9, "momentum; the first beta of adamw and lamb", minimum=0, maximum=0.99999)
    nesterov: bool = option(True, "Nesterov's momentum (sgd, lars, muon)")
    beta2: float = option(0.999, "second beta of adamw and lamb", minimum=0, maximum=0.99999)
    epsilon: float = option(1e-6, "added to a denominator (adamw, lamb)", minimum=0)
    trust: float = option(0.001, "trust coefficient of lars", minimum=0)
    weight_decay: float = option(
        1e-4, "L2 added to the gradient; adamw, lamb, muon: apart from the gradient", minimum=0
    )
    decay: str = option("kernels", "what decays: kernels only, or scales and biases too", ("kernels", "all"))
    warmup_epochs: float = option(5.0, "linear warm-up", minimum=0)
    warmup_lr: float = option(0.0, "where the warm-up begins, stated as lr is", minimum=0)
    schedule: str = option(
        "cosine", "learning rate after the warm-up", ("cosine", "constant", "step", "polynomial", "linear")
    )
    final_lr: float = option(0.0, "where cosine, polynomial and linear end, stated as lr is", minimum=0)
    power: float = option(2.0, "of the polynomial", minimum=0)
    step_epochs: str = option("30,60,80", "epochs at which schedule=step multiplies the rate")
    step_factor: float = option(0.1, "by this", minimum=0)
    loss: str = option(
        "softmax", "softmax: cross-entropy; binary: one a class (arXiv:2110.00476)", ("softmax", "binary")
    )
    label_smoothing: float = option(0.1, "probability spread over all classes", minimum=0, maximum=1)
    clip_norm: float = option(0.0, "longest gradient; 0: any", minimum=0)
    clip_adaptive: float = option(
        0.0, "longest gradient of a unit as a share of its weights (arXiv:2102.06171); 0: any", minimum=0
    )
    ema: float = option(
        0.0,
        "decay of the averaged weights that are evaluated beside the raw ones; 0: none",
        minimum=0,
        maximum=1,
    )
    ema_every_steps: int = option(1, "steps between updates of the averaged weights", minimum=1)


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """On the device, after the decoding."""

    policy: str = option(
        "none", "trivial: TrivialAugment wide; rand: RandAugment, two operations", ("none", "trivial", "rand")
    )
    magnitude: float = option(7.0, "strength of RandAugment, of 10", minimum=0, maximum=10)
    magnitude_std: float = option(0.5, "deviation of that strength", minimum=0)
    erase: float = option(0.0, "share of images with a rectangle erased", minimum=0, maximum=1)
    mixup: float = option(0.0, "alpha of mixup; 0: none", minimum=0)
    cutmix: float = option(0.0, "alpha of CutMix; with mixup: one or the other, a coin a step", minimum=0)
    repeats: int = option(1, "times that an example stands in an epoch, which stays as long", minimum=1)
    resolution: int = option(0, "pixels that training images are resized to; 0: as they come", minimum=0)
    final_resolution: int = option(0, "pixels at the end of the ramp; 0: no ramp", minimum=0)
    ramp_from_epoch: int = option(0, "last epoch of the first resolution", minimum=0)
    ramp_to_epoch: int = option(
        0, "first epoch of the final resolution; between: steps of 32 pixels", minimum=0
    )


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    batch: int = option(1024, "examples of one step, over all hosts", minimum=1)
    epochs: float = option(90.0, "passes over the training data", minimum=0)
    steps: int = option(0, "optimizer updates; 0: as many as the epochs need", minimum=0)
    accumulate: int = option(
        1, "parts of a batch that go through the network one after another, for one update", minimum=1
    )
    init: str = option("", "file of weights to start from (resnet-train import or export); empty: none")
    freeze: str = option("", "parameters that stay as they are, by the start of their names: stem,blocks.0")
    shard: str = option(
        "none",
        "what is divided over a slice's devices: optimizer (ZeRO-1), or all of its state and the parameters "
        "(ZeRO-3)",
        ("none", "optimizer", "all"),
    )
    seed: int = option(0, "of the parameters, the data order and the augmentation", minimum=0)
    eval_every_epochs: float = option(1.0, "epochs between evaluations; 0: only at the end", minimum=0)
    on_nan: str = option(
        "stop",
        f"loss not finite: exit {ExitCode.FATAL}, or back to the newest checkpoint and over the batches that "
        "followed it",
        ("stop", "rollback"),
    )
    max_rollbacks: int = option(3, "rollbacks of one run before it stops", minimum=0)
    hang_seconds: float = option(
        600.0, f"a step that takes longer is hung (exit {ExitCode.HUNG}); 0: never", minimum=0
    )
    first_step_seconds: float = option(3600.0, "the same for start-up, compilation included", minimum=0)
    join_seconds: int = option(300, "longest wait for the other hosts", minimum=1)
    compile_cache: str = option("auto", "folder of compiled programs; auto: in the run directory; off: none")


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    enabled: bool = option(True, "save and resume")
    every_steps: int = option(0, "steps between saves; 0: with each evaluation", minimum=0)
    every_minutes: float = option(
        0.0, "minutes between saves, looked at every log.every_steps; 0: none by the clock", minimum=0
    )
    keep: int = option(2, "newest checkpoints kept", minimum=1)
    keep_best: int = option(1, "checkpoints kept for their validation accuracy", minimum=0)


@dataclass(frozen=True, kw_only=True)
class LogConfig:
    every_steps: int = option(10, "steps between logged losses", minimum=1)
    wandb: str = option("auto", "auto: online with a key, else offline", ("auto", "online", "offline", "off"))
    wandb_project: str = option("resnet-launch", "wandb project")
    wandb_entity: str = option("", "wandb team or user; empty: the key's default")
    tensorboard: bool = option(False, "TensorBoard's files in the run directory (extra: tensorboard)")
    profile_steps: str = option("", "steps of an xprof trace in the run directory: 100-104; empty: none")
    metrics_port: int = option(0, "port of the first host for a Prometheus server; 0: none", minimum=0)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One run, fully resolved. Sections are frozen too; nothing is looked up with a default later."""

    name: str = "run"
    run_dir: str = ""
    recipe: str = ""
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    optim: OptimConfig = OptimConfig()
    augment: AugmentConfig = AugmentConfig()
    train: LoopConfig = LoopConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    log: LogConfig = LogConfig()

    def __post_init__(self):
        problems = [p for path, f, value in _walk(self) if (p := _problem(path, f, value))]
        if self.train.on_nan == "rollback" and not self.checkpoint.enabled:
            problems.append("train.on_nan: must be stop where checkpoint.enabled is false, got 'rollback'")
        if problems:
            raise ConfigError("\n".join(problems))


SECTIONS = {
    "model": ModelConfig,
    "data": DataConfig,
    "optim": OptimConfig,
    "augment": AugmentConfig,
    "train": LoopConfig,
    "checkpoint": CheckpointConfig,
    "log": LogConfig,
}
FIELDS = {f"{s}.{f.name}": f for s, cls in SECTIONS.items() for f in dataclasses.fields(cls)}
TYPES = {path: type(f.default) for path, f in FIELDS.items()}  # every default has its field's type


def resolve(name: str, run_dir: str, recipe: str, *layers: Mapping[str, Any]) -> TrainConfig:
    """Merges layers of ``{"section.field": value}``, the later ones win, into a TrainConfig.

    Values may be strings as typed; they are read by the type of the field.

    Raises:
      ConfigError: names every unknown field (with the closest match) and every bad value.
    """
    merged = {path: value for layer in layers for path, value in layer.items()}
    problems, sections = [], {s: {} for s in SECTIONS}
    for path, value in merged.items():
        try:
            section, _, leaf = path.partition(".")
            sections[section][leaf] = _read(path, value)
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    built = {s: SECTIONS[s](**values) for s, values in sections.items()}
    return TrainConfig(name=name, run_dir=run_dir, recipe=recipe, **built)


def schema() -> list[dict[str, Any]]:
    """One row a field: what the launcher needs to check a request before it is sent."""
    rows = []
    for path, f in FIELDS.items():
        row = {"field": path, "type": TYPES[path].__name__, "default": f.default, "help": f.metadata["help"]}
        row |= {key: list(f.metadata[key]) for key in ("choices",) if f.metadata[key]}
        row |= {key: f.metadata[key] for key in ("minimum", "maximum") if f.metadata[key] is not None}
        row |= {"paths": True} if f.metadata["paths"] else {}
        rows.append(row)
    return rows


def parse_setting(text: str) -> tuple[str, str]:
    """``"train.batch=64"`` -> ``("train.batch", "64")``."""
    path, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set: must be section.field=value, got '{text}'")
    return path.strip(), value.strip()


def _read(path: str, value: Any) -> Any:
    if path not in FIELDS:
        close = difflib.get_close_matches(path, FIELDS, n=1, cutoff=0.5)
        raise ConfigError(f"{path}: no such field" + (f"; did you mean {close[0]}?" if close else ""))
    kind = TYPES[path]
    if not isinstance(value, str) or kind is str:
        return float(value) if kind is float and isinstance(value, int) else value
    try:
        if kind is bool:
            return {"true": True, "1": True, "false": False, "0": False}[value.lower()]
        return kind(value)
    except (KeyError, ValueError):
        raise ConfigError(f"{path}: must be {_kind_name(kind)}, got '{value}'") from None


def _walk(config: TrainConfig):
    for section, cls in SECTIONS.items():
        for f in dataclasses.fields(cls):
            yield f"{section}.{f.name}", f, getattr(getattr(config, section), f.name)


def _problem(path: str, f: dataclasses.Field, value: Any) -> str | None:
    choices, minimum = f.metadata["choices"], f.metadata["minimum"]
    if type(value) is not TYPES[path]:
        return f"{path}: must be {_kind_name(TYPES[path])}, got {value!r}"
    if choices and value not in choices and not (f.metadata["paths"] and "/" in value):
        close = difflib.get_close_matches(value, choices, n=1, cutoff=0.5)
        text = f"{path}: must be one of {', '.join(choices)}, got '{value}'"
        return text + (f"; did you mean {close[0]}?" if close else "")
    if minimum is not None and not (value >= minimum and math.isfinite(value)):
        return f"{path}: must be a number of at least {minimum}, got {value}"
    maximum = f.metadata["maximum"]
    if maximum is not None and value > maximum:
        return f"{path}: must be a number of at most {maximum}, got {value}"
    return None


def _kind_name(kind: type) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return names[kind]
