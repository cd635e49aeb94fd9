"""TrainConfig: every setting of the trainer with its default; ``section.field=value`` changes one."""

import dataclasses
import difflib
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from trainer import imports, paths, registry
from trainer.errors import ConfigError, ExitCode
from trainer.registry import ARCHS, DATASETS


def option(
    default: Any,
    text: str,
    choices: Iterable[str] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    paths: bool = False,
    local: Collection[str] | None = None,
    code: str = "",
) -> Any:
    """Declare a dataclass field with its help text, choices and bounds.

    Args:
      default: its type is the type of the field.
      text: help, which must be clear without the helps of other settings.
      choices: allowed values; empty: any.
      minimum: least value; None: unbounded.
      maximum: greatest value; None: unbounded.
      paths: allow a path or gs://… (anything with a slash) beside the choices.
      local: the value is a path, which ``resolve`` makes absolute unless it is one of these; None: no path.
      code: allow package.module:name beside the choices, and names that packages add: "archs" or "datasets".
    """
    metadata = {"help": text, "choices": tuple(choices), "paths": paths, "local": local, "code": code}
    metadata |= {"minimum": minimum, "maximum": maximum}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    arch: str = option("resnet50", "network architecture: a name or package.module:name", ARCHS, code="archs")
    width: int = option(64, "channels of the first stage; later stages double it", minimum=1)
    depth: int = option(
        0,
        "layers of a cifar network: 6n + 2 for cifar-resnet and cifar-plain, 9n + 2 for cifar-preact; 0: the "
        "number in its name",
        minimum=0,
        maximum=20_000,
    )
    dtype: str = option(
        "auto",
        "dtype of the convolutions; auto: bfloat16 on TPU and GPU, float32 on CPU",
        ("auto", "bfloat16", "float32"),
    )
    grad_dtype: str = option(
        "auto",
        "dtype in which kernel gradients are summed over pixels and devices; auto: same as model.dtype",
        ("auto", "float32"),
    )
    stem: str = option(
        "auto",
        "first layers; imagenet: 7x7 convolution and max pooling; small: 3x3 without pooling, for images of "
        "8 to 64 pixels; deep: three 3x3 and max pooling (ResNet-D); auto: by data.image_size",
        ("auto", "small", "imagenet", "deep"),
    )
    shortcut: str = option(
        "conv",
        "shortcut of blocks that halve the resolution; conv: 1x1 with stride 2; pool: mean pooling, then 1x1 "
        "(ResNet-D)",
        ("conv", "pool"),
    )
    blur: str = option(
        "off",
        "blur against aliasing (arXiv:1904.11486); after: behind strided 3x3 convolutions and the stem's "
        "pooling; before: in front of every strided convolution, as in ffcv",
        ("off", "after", "before"),
    )
    squeeze: float = option(
        0.0,
        "squeeze-and-excitation: hidden channels as a fraction of the block's channels; 0: none",
        minimum=0,
        maximum=1,
    )
    stochastic_depth: float = option(
        0.0,
        "stochastic depth: probability that an example skips the last block; that of the first is 0, between "
        "them it rises linearly",
        minimum=0,
        maximum=0.99,
    )
    pool: str = option(
        "auto",
        "what the head of a ViT sees; token: the class token; mean: the mean of all tokens; map: attention "
        "with a learned probe (arXiv:2106.04560); auto: token",
        ("auto", "token", "mean", "map"),
    )
    positions: str = option(
        "auto",
        "positions of a ViT's patches; sincos2d: fixed waves (arXiv:2205.01580); auto: learned",
        ("auto", "learned", "sincos2d"),
    )
    representation: bool = option(
        False, "layer with tanh before the head of a ViT, as wide as a token (arXiv:2010.11929, section 3.1)"
    )
    padding: str = option(
        "auto",
        "padding of an EfficientNet; same: as TensorFlow pads, in the authors' weights; symmetric: as "
        "PyTorch pads, in weights of torchvision and timm; auto: same",
        ("auto", "same", "symmetric"),
    )
    activation: str = option(
        "auto",
        "activation of an NFNet, scaled so that it keeps the variance; auto: gelu for F0 to F6, relu for "
        "nf-resnet50",
        ("auto", "relu", "gelu", "silu"),
    )
    dropout: float = option(
        0.0, "share of the features before the head that training zeroes", minimum=0, maximum=0.99
    )
    bn_momentum: float = option(0.9, "decay per step of the running statistics of BatchNorm", minimum=0)
    bn_epsilon: float = option(1e-5, "epsilon added to the variance in BatchNorm", minimum=0)
    bn_fold: str = option(
        "auto",
        "fold BatchNorm into the widening 1x1 convolutions while training, which saves memory traffic; auto: "
        "on for bfloat16 on TPU, otherwise off",
        ("auto", "on", "off"),
    )
    bn_group: int = option(
        0, "examples per group that shares BatchNorm statistics; 0: the whole global batch", minimum=0
    )
    repeat: str = option(
        "loop",
        "equal blocks of a network; loop: compiled one by one; scan: compiled once, for deep networks",
        ("loop", "scan"),
    )
    remat: str = option(
        "none",
        "activations of equal blocks that are computed again in the backward pass, to save memory; dots: all "
        "but the results of matrix products; full: all",
        ("none", "dots", "full"),
    )
    solver: str = option(
        "auto",
        "iterations that look for the fixed point of an equilibrium model; plain: apply the layer again; "
        "anderson: combine earlier points; broyden: approximate the inverse Jacobian; auto: the network's",
        ("auto", "plain", "anderson", "broyden"),
    )
    iterations: int = option(
        0,
        "iterations of the solver of an equilibrium model, each one application of its layer; 0: the "
        "network's own number",
        minimum=0,
    )
    solver_memory: int = option(
        0,
        "earlier points that solver=anderson combines, or updates that solver=broyden keeps; 0: 5 for "
        "anderson, all for broyden",
        minimum=0,
    )
    damping: float = option(
        1.0,
        "share of the new point in each step of an equilibrium model with solver=plain or anderson, and in "
        "each step of the phantom gradient; 1: no damping",
        minimum=0.01,
        maximum=1,
    )
    fixed_point_gradient: str = option(
        "phantom",
        "gradient of an equilibrium model; phantom: through a few damped steps after the solver "
        "(arXiv:2111.05177); implicit: of the fixed point itself, by solving a linear system; unrolled: "
        "through all plain iterations, whose memory grows with their number",
        ("phantom", "implicit", "unrolled"),
    )
    gradient_iterations: int = option(
        0,
        "steps of the phantom gradient of an equilibrium model, or iterations of the linear system of the "
        "implicit one; 0: 5 steps, or as many iterations as the solver has",
        minimum=0,
    )
    jacobian: float = option(
        0.0,
        "weight of the penalty on the Jacobian of an equilibrium model's layer at its fixed point "
        "(arXiv:2106.14342); 0: none",
        minimum=0,
    )


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    name: str = option(
        "synthetic",
        "dataset: a name, a folder, gs://… or package.module:name",
        DATASETS,
        paths=True,
        code="datasets",
    )
    root: str = option(
        "",
        "folder with the files of a named dataset; empty: the folder where its package puts them",
        local=("",),
    )
    val_share: float = option(
        0.0,
        "share of each class of the training split that is held out for evaluation, as a fraction; "
        "0: the dataset has a split for evaluation",
        minimum=0,
        maximum=0.9,
    )
    val_seed: int = option(0, "seed that chooses the examples held out by data.val_share", minimum=0)
    subset: str = option(
        "", "which of several datasets at one path, such as EMNIST's letters; coarse: CIFAR-100's 20 classes"
    )
    image_size: int = option(224, "height and width in pixels of the decoded images", minimum=8)
    normalize: str = option(
        "dataset",
        "scale of the images that the network sees; dataset: mean 0 and deviation 1 by the dataset's own "
        "numbers; symmetric: -1 to 1",
        ("dataset", "symmetric"),
    )
    eval_crop: float = option(
        0.875, "centre crop for evaluation, as a fraction of the shorter side", minimum=0.1, maximum=1
    )
    min_area: float = option(
        0.08,
        "least area of a random training crop, as a fraction of the image; 1: the whole image",
        minimum=0.01,
        maximum=1,
    )
    shift_pixels: int = option(
        0, "largest random shift of a training image in pixels, filled with zeros", minimum=0
    )
    flip: bool = option(False, "mirror a random half of the training images left to right")
    threads: int = option(0, "threads per host that prepare batches; 0: one per CPU core", minimum=0)
    prefetch: int = option(
        4, "batches that each host prepares ahead; raised to data.threads where that is more", minimum=1
    )
    bad_images: int = option(
        10,
        "damaged images that each host passes over before the run fails; in training black ones replace "
        "them, evaluations leave them out",
        minimum=0,
    )
    max_megapixels: int = option(
        100, "largest image in megapixels; a larger one counts as damaged", minimum=1
    )
    stage: str = option(
        "",
        "local folder of each host for shards copied from a bucket; empty: ~/.cache/resnet-launch/data, or "
        "RESNET_CACHE",
        local=("",),
    )
    stage_gib: float = option(100.0, "disk space in GiB per host for shards copied to data.stage", minimum=0)

    @property
    def max_pixels(self) -> int:
        return self.max_megapixels * 1_000_000


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    name: str = option(
        "sgd",
        "optimizer; rmsprop: as TensorFlow has it",
        ("sgd", "adamw", "lamb", "lars", "muon", "rmsprop", "schedule-free"),
    )
    lr: float = option(0.1, "peak learning rate for a global batch of optim.lr_batch examples", minimum=0)
    lr_batch: int = option(
        256,
        "global batch that the learning rates are stated for; they are multiplied by train.batch / lr_batch; "
        "0: used as they are",
        minimum=0,
    )
    momentum: float = option(
        0.9, "momentum of the optimizer; beta1 of adamw and lamb", minimum=0, maximum=0.99999
    )
    nesterov: bool = option(True, "use Nesterov momentum (sgd, lars, muon)")
    momentum_dtype: str = option(
        "float32", "dtype in which adamw keeps its momentum between steps", ("float32", "bfloat16")
    )
    beta2: float = option(
        0.999,
        "beta2 of adamw and lamb; decay of the mean of squares of rmsprop",
        minimum=0,
        maximum=0.99999,
    )
    epsilon: float = option(
        1e-6,
        "epsilon added to the denominator of adamw and lamb, and under the root of rmsprop",
        minimum=0,
    )
    trust: float = option(0.001, "trust coefficient of lars", minimum=0)
    weight_decay: float = option(
        1e-4,
        "weight decay; decoupled from the gradient for adamw, lamb and muon, otherwise L2 added to it",
        minimum=0,
    )
    decay: str = option(
        "kernels",
        "parameters that weight decay applies to; all: scales and biases as well as kernels",
        ("kernels", "all"),
    )
    warmup_epochs: float = option(5.0, "length of the linear warm-up in epochs", minimum=0)
    warmup_steps: int = option(0, "length of the linear warm-up in steps; 0: optim.warmup_epochs", minimum=0)
    warmup_lr: float = option(
        0.0, "learning rate at the start of the warm-up, for optim.lr_batch examples", minimum=0
    )
    schedule: str = option(
        "cosine",
        "course of the learning rate after the warm-up",
        ("cosine", "constant", "step", "exponential", "polynomial", "linear"),
    )
    final_lr: float = option(
        0.0,
        "learning rate at the end of schedule=cosine, polynomial or linear, for optim.lr_batch examples",
        minimum=0,
    )
    power: float = option(2.0, "exponent of schedule=polynomial", minimum=0)
    step_epochs: str = option(
        "30,60,80", "epochs at which schedule=step multiplies the learning rate by optim.step_factor"
    )
    step_factor: float = option(
        0.1, "factor by which schedule=step or exponential multiplies the learning rate", minimum=0
    )
    decay_epochs: float = option(
        2.4,
        "epochs after which schedule=exponential multiplies the learning rate by optim.step_factor, again "
        "and again from the start of the run",
        minimum=0.001,
    )
    loss: str = option(
        "softmax",
        "loss; softmax: cross-entropy over the classes; binary: cross-entropy per class (arXiv:2110.00476)",
        ("softmax", "binary"),
    )
    label_smoothing: float = option(
        0.1, "label smoothing: probability spread evenly over all classes", minimum=0, maximum=1
    )
    clip_norm: float = option(0.0, "largest global norm of the gradient; 0: no clipping", minimum=0)
    clip_adaptive: float = option(
        0.0,
        "largest ratio of a unit's gradient norm to its weight norm (arXiv:2102.06171); 0: no clipping",
        minimum=0,
    )
    ema: float = option(
        0.0,
        "decay of an exponential moving average of the weights, evaluated beside the raw weights; 0: none",
        minimum=0,
        maximum=1,
    )
    ema_every_steps: int = option(1, "steps between updates of the averaged weights of optim.ema", minimum=1)


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Augmentation that runs on the devices, on decoded images."""

    policy: str = option(
        "none",
        "automatic augmentation; trivial: TrivialAugment Wide; rand: RandAugment as timm has it; "
        "rand-google: as EfficientNet and big_vision have it; auto: AutoAugment for ImageNet; "
        "three: 3-Augment of DeiT III",
        ("none", "trivial", "rand", "rand-google", "auto", "three"),
    )
    magnitude: float = option(
        7.0, "strength of RandAugment, from 0 to 10; of rand-google also above", minimum=0, maximum=30
    )
    magnitude_std: float = option(
        0.5, "standard deviation of augment.magnitude between images, for augment.policy=rand", minimum=0
    )
    operations: int = option(2, "operations of RandAugment, one after another", minimum=1, maximum=16)
    jitter: float = option(
        0.0,
        "largest change of brightness, contrast and saturation, as a fraction, after augment.policy; 0: none",
        minimum=0,
        maximum=1,
    )
    erase: float = option(
        0.0, "fraction of training images with a random rectangle erased", minimum=0, maximum=1
    )
    erase_fill: str = option(
        "mean",
        "content of the rectangles of augment.erase; mean: the mean colour; noise: a normal draw per pixel",
        ("mean", "noise"),
    )
    mixup: float = option(0.0, "alpha of mixup; 0: no mixup", minimum=0)
    partner: str = option(
        "mirror",
        "image of the batch that each image is mixed with; mirror: the first with the last, as in timm; "
        "previous: the one before, with the larger share for the image itself, as in big_vision",
        ("mirror", "previous"),
    )
    cutmix: float = option(
        0.0, "alpha of CutMix; 0: no CutMix; with mixup: each step draws one of the two", minimum=0
    )
    repeats: int = option(
        1,
        "consecutive repetitions of each example, each augmented anew; an epoch keeps its length "
        "(arXiv:1902.05509)",
        minimum=1,
    )
    resolution: int = option(
        0,
        "height and width in pixels to which training images are resized on the device; 0: data.image_size",
        minimum=0,
    )
    final_resolution: int = option(
        0, "training resolution in pixels after its ramp; 0: augment.resolution throughout", minimum=0
    )
    stages: int = option(
        0,
        "equal parts of the run, over which the resolution and all settings with a final value rise evenly; "
        "0: the resolution alone rises, from augment.ramp_from_epoch to augment.ramp_to_epoch",
        minimum=0,
        maximum=100,
    )
    final_magnitude: float = option(
        0.0,
        "augment.magnitude in the last of augment.stages; 0: the same throughout",
        minimum=0,
        maximum=30,
    )
    final_mixup: float = option(
        0.0, "augment.mixup in the last of augment.stages; 0: the same throughout", minimum=0
    )
    final_cutmix: float = option(
        0.0, "augment.cutmix in the last of augment.stages; 0: the same throughout", minimum=0
    )
    final_dropout: float = option(
        0.0,
        "model.dropout in the last of augment.stages; 0: the same throughout",
        minimum=0,
        maximum=0.99,
    )
    ramp_from_epoch: int = option(0, "last epoch at augment.resolution, counted from 0", minimum=0)
    ramp_to_epoch: int = option(
        0,
        "first epoch at augment.final_resolution, counted from 0; the resolution rises to it in multiples of "
        "32 pixels",
        minimum=0,
    )


@dataclass(frozen=True, kw_only=True)
class SparseConfig:
    """Sparse training: kernels most of whose weights are zeros."""

    method: str = option(
        "none",
        "sparse training; magnitude: prunes the smallest weights little by little; static: zeros at random "
        "places throughout; set and rigl: as static, but weights move, to random places or to where the "
        "gradient is largest (arXiv:1707.04780, arXiv:1911.11134)",
        ("none", "magnitude", "set", "rigl", "static"),
    )
    sparsity: float = option(
        0.0,
        "share of zeros in the sparse kernels, from 0 to 1; with sparse.pattern: that of the pattern",
        minimum=0,
        maximum=0.9999,
    )
    distribution: str = option(
        "uniform",
        "zeros over the layers; uniform: the same share in each, the first layer dense; erk: more in large "
        "layers (arXiv:1911.11134, section 3)",
        ("uniform", "erk"),
    )
    pattern: str = option(
        "none",
        "weights that are left in each group of consecutive inputs, such as two of four; none: anywhere",
        ("none", "2:4", "4:8"),
    )
    begin: float = option(0.0, "share of the run before sparse.method=magnitude prunes", minimum=0, maximum=1)
    end: float = option(
        0.75, "share of the run after which the zeros stay where they are", minimum=0, maximum=1
    )
    every_steps: int = option(100, "steps between changes of the zeros", minimum=1)
    drop: float = option(
        0.3,
        "share of a layer's weights that a change of set and rigl moves at first; it falls to 0 as a half "
        "cosine",
        minimum=0,
        maximum=1,
    )


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    batch: int = option(1024, "global batch: examples per step, over all hosts", minimum=1)
    epochs: float = option(90.0, "passes over the training data", minimum=0)
    steps: int = option(0, "optimizer updates; 0: as many as train.epochs takes", minimum=0)
    accumulate: int = option(
        1,
        "gradient accumulation: equal parts of a batch that run one after another, for one update",
        minimum=1,
    )
    init: str = option(
        "",
        "trained network to start from: a run directory, or a file written by resnet-train import or export; "
        "empty: random weights",
        local=("",),
    )
    allow_changes: bool = option(
        False,
        "resume although settings differ that change what is learnt, such as the learning rate or the "
        "augmentation",
    )
    freeze: str = option(
        "", "parameters that are not trained, by the start of their names, such as stem,blocks.0"
    )
    shard: str = option(
        "none",
        "state that is sharded over the devices of a slice; optimizer: optimizer state (ZeRO-1); all: that "
        "and the parameters (ZeRO-3)",
        ("none", "optimizer", "all"),
    )
    seed: int = option(0, "random seed of the parameters, the data order and the augmentation", minimum=0)
    eval_every_epochs: float = option(1.0, "epochs between evaluations; 0: only at the end", minimum=0)
    on_nan: str = option(
        "stop",
        f"reaction to a loss or gradient that is not finite; stop: exit {ExitCode.FATAL}; rollback: return "
        "to the newest checkpoint and continue with the batch after the bad one",
        ("stop", "rollback"),
    )
    max_rollbacks: int = option(3, "rollbacks of a run before it stops for good", minimum=0)
    hang_seconds: float = option(
        600.0,
        f"longest step in seconds before the process counts as hung (exit {ExitCode.HUNG}); 0: no limit",
        minimum=0,
    )
    first_step_seconds: float = option(
        3600.0,
        "longest start-up in seconds, compilation and first step included, before the process counts as "
        f"hung (exit {ExitCode.HUNG}); 0: no limit",
        minimum=0,
    )
    join_seconds: int = option(300, "longest wait for the other hosts, in seconds", minimum=1)
    compile_cache: str = option(
        "auto",
        "cache of compiled programs, a folder; auto: in the run directory; off: none",
        local=("auto", "off"),
    )


@dataclass(frozen=True, kw_only=True)
class MeshConfig:
    model: int = option(
        1,
        "devices of a slice that share one copy of a ViT, by heads and hidden units (tensor parallelism); 1: "
        "each device has its own",
        minimum=1,
    )


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    enabled: bool = option(True, "save checkpoints and resume from them")
    every_steps: int = option(0, "steps between saves; 0: one with each evaluation", minimum=0)
    every_minutes: float = option(
        0.0, "minutes between saves, checked every log.every_steps steps; 0: no saves by the clock", minimum=0
    )
    keep: int = option(2, "number of newest checkpoints to keep", minimum=1)
    keep_best: int = option(1, "number of checkpoints with the best validation accuracy to keep", minimum=0)


@dataclass(frozen=True, kw_only=True)
class LogConfig:
    every_steps: int = option(10, "steps between logged training metrics", minimum=1)
    format: str = option(
        "auto",
        "form of the log lines on stdout; auto: for people on a terminal, logfmt elsewhere",
        ("auto", "logfmt", "json"),
    )
    wandb: str = option(
        "auto",
        "mode of Weights & Biases; auto: online where WANDB_API_KEY is set, otherwise offline",
        ("auto", "online", "offline", "off"),
    )
    wandb_project: str = option("resnet-launch", "project in Weights & Biases")
    wandb_entity: str = option("", "team or user in Weights & Biases; empty: the default of the API key")
    wandb_group: str = option(
        "", "group of runs in Weights & Biases; empty: the sweep that the run belongs to"
    )
    notify_restarts: int = option(
        1, "restarts between two messages about restarts, where RESNET_NOTIFY_URL is set; 0: none", minimum=0
    )
    notify_format: str = option(
        "auto",
        "form of the messages to RESNET_NOTIFY_URL; auto: slack for hooks.slack.com, json elsewhere",
        ("auto", "slack", "json"),
    )
    tensorboard: bool = option(
        False, "write TensorBoard files to the run directory (needs the extra tensorboard)"
    )
    profile_steps: str = option(
        "", "steps to trace with xprof into the run directory, such as 100-104; empty: none"
    )
    metrics_port: int = option(0, "port on the first host for Prometheus to scrape; 0: none", minimum=0)
    predicted: float = option(
        0.0,
        "images/s over all devices that the run should reach, as `submit --check` predicts; 0: an estimate, "
        "for devices whose peaks are known",
        minimum=0,
    )


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Every setting of one run, resolved and validated.

    Raises:
      ConfigError: names every setting with a bad value.
    """

    name: str = "run"
    run_dir: str = ""
    recipe: str = ""
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    optim: OptimConfig = OptimConfig()
    augment: AugmentConfig = AugmentConfig()
    sparse: SparseConfig = SparseConfig()
    train: LoopConfig = LoopConfig()
    mesh: MeshConfig = MeshConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    log: LogConfig = LogConfig()

    def __post_init__(self):
        problems = [p for path, f, value in _walk(self) if (p := _problem(path, f, value))]
        if self.train.on_nan == "rollback" and not self.checkpoint.enabled:
            problems.append("train.on_nan: must be stop where checkpoint.enabled is false, got 'rollback'")
        for name in ("magnitude", "final_magnitude"):
            if self.augment.policy != "rand-google" and (value := getattr(self.augment, name)) > 10:
                must = "must be at most 10 unless augment.policy is rand-google"
                problems.append(f"augment.{name}: {must}, got {value:g}")
        if problems:
            raise ConfigError("\n".join(problems))


MAX_WHOLE = 2**63 - 1
SECTIONS = {
    "model": ModelConfig,
    "data": DataConfig,
    "optim": OptimConfig,
    "augment": AugmentConfig,
    "sparse": SparseConfig,
    "train": LoopConfig,
    "mesh": MeshConfig,
    "checkpoint": CheckpointConfig,
    "log": LogConfig,
}
FIELDS = {f"{s}.{f.name}": f for s, cls in SECTIONS.items() for f in dataclasses.fields(cls)}
TYPES = {path: type(f.default) for path, f in FIELDS.items()}
PREDICTED = "log.predicted"  # the throughput that `check` or the trainer predicts, and nobody has to choose


def resolve(name: str, run_dir: str, recipe: str, *layers: Mapping[str, Any]) -> TrainConfig:
    """Merge layers of ``{"section.field": value}`` into a TrainConfig; later layers win.

    The first layer is what the network has as defaults (``registry.defaults``).

    A value may be a string, which is converted to the type of the field. Paths become absolute.

    Raises:
      ConfigError: names every unknown field (with the closest match) and every bad value.
    """
    merged = {path: value for layer in layers for path, value in layer.items()}
    arch = merged.get("model.arch", ModelConfig.arch)
    merged = registry.defaults(str(arch), merged) | merged
    problems, sections = [], {s: {} for s in SECTIONS}
    for path, value in merged.items():
        try:
            section, _, leaf = path.partition(".")
            sections[section][leaf] = _read(path, value)
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    configs = {s: SECTIONS[s](**values) for s, values in sections.items()}
    return TrainConfig(name=name, run_dir=run_dir, recipe=recipe, **configs)


def schema() -> list[dict[str, Any]]:
    """Return one row per setting, with which the launcher checks a request before it is sent."""
    rows = []
    for path, f in FIELDS.items():
        row = {"field": path, "type": TYPES[path].__name__, "default": f.default, "help": f.metadata["help"]}
        row |= {key: list(f.metadata[key]) for key in ("choices",) if f.metadata[key]}
        row |= {key: f.metadata[key] for key in ("minimum", "maximum") if f.metadata[key] is not None}
        row |= {key: f.metadata[key] for key in ("paths", "code") if f.metadata[key]}
        row |= {"local": list(f.metadata["local"])} if f.metadata["local"] is not None else {}
        rows.append(row)
    return rows


def parse_setting(text: str) -> tuple[str, str]:
    """Split ``"train.batch=64"`` into ``("train.batch", "64")``.

    Raises:
      ConfigError: there is no equals sign.
    """
    path, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set: must be section.field=value, got '{text}'")
    return path.strip(), value.strip()


def _read(path: str, value: Any) -> Any:
    if path not in FIELDS:
        close = difflib.get_close_matches(path, FIELDS, n=1, cutoff=0.5)
        raise ConfigError(f"{path}: no such setting" + (f"; did you mean {close[0]}?" if close else ""))
    kind, metadata = TYPES[path], FIELDS[path].metadata
    if isinstance(value, str) and metadata["code"] and value not in metadata["choices"]:
        value = imports.added(metadata["code"], value)
    if isinstance(value, str) and metadata["paths"]:
        return paths.dataset(path, value, metadata["choices"])
    if isinstance(value, str) and metadata["local"] is not None and value not in metadata["local"]:
        return paths.absolute(path, value)
    if not isinstance(value, str) or kind is str:
        is_whole = kind is float and isinstance(value, int) and abs(value) <= MAX_WHOLE
        return float(value) if is_whole else value
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
        return f"{path}: must be {_kind_name(TYPES[path])}, got {repr(value)[:200]}"
    if TYPES[path] is int and abs(value) > MAX_WHOLE:
        return f"{path}: must be at most {MAX_WHOLE} in size, got a number of {value.bit_length()} bits"
    is_code = f.metadata["code"] and imports.is_object(value)
    if choices and value not in choices and not is_code and not (f.metadata["paths"] and "/" in value):
        close = difflib.get_close_matches(value, choices, n=1, cutoff=0.5)
        more = " or package.module:name" if f.metadata["code"] else ""
        text = f"{path}: must be one of {', '.join(choices)}{more}, got '{value}'"
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
