"""What ``python -m trainer.check`` prints: the shape of its JSON, declared once. Sizes are in bytes."""

from typing import Annotated, Literal, NotRequired, TypedDict, get_args

StepName = Literal["train", "eval"]
PROGRESS = "progress: "  # head of a line on stderr that says how far it is
STEPS: tuple[StepName, ...] = get_args(StepName)


class Collective(TypedDict):
    """Exchanges of one kind over one network, in one step."""

    kind: Annotated[str, "as XLA names it: all-reduce, all-gather, …"]
    network: Annotated[str, "ici within a slice, dcn between slices"]
    number: Annotated[int, "how many there are"]
    bytes: Annotated[int, "what a device puts into all of them"]
    rounds: NotRequired[Annotated[int, "how many wait for one another; between slices only"]]


class Memory(TypedDict):
    """What one step needs a device's memory for."""

    parameters: int
    statistics: Annotated[int, "running means and variances of BatchNorm"]
    optimizer: NotRequired[Annotated[int, "state of the optimizer; of the training step"]]
    batch: Annotated[int, "the device's part of the batch"]
    activations: NotRequired[Annotated[int, "the rest of what the step computes with"]]
    program: NotRequired[Annotated[int, "the code, where it was generated"]]


class StepResult(TypedDict):
    """One step on one device."""

    fits: Annotated[bool, "whether the compiler placed it in the device's memory"]
    seconds: Annotated[float, "how long tracing and compiling took"]
    peak: Annotated[int, "memory that it needs"]
    limit: NotRequired[Annotated[int, "memory that there is, where the compiler refuses the step"]]
    memory: Annotated[Memory, "what it needs the memory for"]
    flops: NotRequired[Annotated[float, "floating-point operations"]]
    bytes: NotRequired[Annotated[float, "traffic with the device's memory"]]
    collectives: NotRequired[Annotated[list[Collective], "exchanges between the devices"]]


class CheckResult(TypedDict):
    """A run on a slice that is not here."""

    estimated: Annotated[bool, "whether operations were counted instead of compiled"]
    code: Annotated[bool, "whether the code was generated too"]
    versions: Annotated[dict[str, str], "of the packages that the result depends on"]
    device_kind: Annotated[str, "JAX's name of the devices"]
    devices: Annotated[int, "devices of the run"]
    batch: Annotated[int, "examples per step, over all devices"]
    accumulate: Annotated[int, "parts that each batch is computed in"]
    bn_group: Annotated[int, "examples that BatchNorm normalises together; 0: all"]
    assumed: Annotated[str, "why the dataset is not the run's own; empty where it is"]
    image: Annotated[list[int], "height, width, channels"]
    examples: Annotated[int, "training images per epoch"]
    steps: Annotated[int, "steps of the whole run"]
    steps_per_epoch: Annotated[float, "steps per epoch"]
    evaluations: Annotated[int, "evaluation steps of the whole run"]
    parameters: Annotated[int, "trainable numbers of the network"]
    train: NotRequired[Annotated[StepResult, "the training step"]]
    eval: NotRequired[Annotated[StepResult, "the evaluation step"]]
