"""The JSON that ``python -m trainer.check`` prints. Sizes are in bytes per device."""

from typing import Annotated, Literal, NotRequired, TypedDict, get_args

StepName = Literal["train", "eval"]
PROGRESS = "progress: "  # start of a line on stderr that names the current stage
STEPS: tuple[StepName, ...] = get_args(StepName)


class Collective(TypedDict):
    """Collectives of one kind over one network, in one step."""

    kind: Annotated[str, "opcode in XLA: all-reduce, all-gather, …"]
    network: Annotated[str, "ici within a slice, dcn between slices"]
    number: Annotated[int, "number of collectives"]
    bytes: Annotated[int, "bytes of their results on one device"]
    rounds: NotRequired[Annotated[int, "longest chain of transfers that wait for each other; dcn only"]]


class Memory(TypedDict):
    """Memory of one device in one step, by use."""

    parameters: Annotated[int, "parameters of the network"]
    statistics: Annotated[int, "running means and variances of BatchNorm"]
    optimizer: NotRequired[Annotated[int, "state of the optimizer; in the training step only"]]
    batch: Annotated[int, "the device's part of the batch"]
    activations: NotRequired[Annotated[int, "activations and other temporary arrays"]]
    program: NotRequired[Annotated[int, "generated code; only where it was generated"]]


class StepResult(TypedDict):
    """Cost of one step on one device."""

    fits: Annotated[bool, "whether the step fits the memory of a device, by the compiler"]
    seconds: Annotated[float, "time that tracing and compiling took, in seconds"]
    peak: Annotated[int, "memory that the step needs"]
    limit: NotRequired[Annotated[int, "memory of a device; only where the step does not fit"]]
    memory: Annotated[Memory, "the memory by use"]
    flops: NotRequired[Annotated[float, "floating-point operations"]]
    bytes: NotRequired[Annotated[float, "traffic with the memory of the device"]]
    collectives: NotRequired[Annotated[list[Collective], "collectives between the devices"]]


class CheckResult(TypedDict):
    """Cost of a run on a slice that is not here."""

    estimated: Annotated[bool, "whether the costs are estimated from traced operations, without a compiler"]
    code: Annotated[bool, "whether the code was generated"]
    versions: Annotated[dict[str, str], "versions of the packages that the result depends on"]
    device_kind: Annotated[str, "kind of the devices, as JAX names it"]
    devices: Annotated[int, "number of devices of the run"]
    model: Annotated[int, "devices that share one copy of the network (mesh.model)"]
    batch: Annotated[int, "examples per step, over all devices"]
    accumulate: Annotated[int, "number of parts that each batch is computed in"]
    bn_group: Annotated[int, "examples that BatchNorm normalises together; 0 means the whole batch"]
    assumed: Annotated[str, "why another dataset stands in for the run's own; empty where none does"]
    image: Annotated[list[int], "height and width in pixels, channels"]
    examples: Annotated[int, "training images per epoch"]
    steps: Annotated[int, "steps of the whole run"]
    steps_per_epoch: Annotated[float, "steps per epoch"]
    evaluations: Annotated[int, "evaluation steps of the whole run"]
    parameters: Annotated[int, "number of trainable parameters of the network"]
    train: NotRequired[Annotated[StepResult, "the training step"]]
    eval: NotRequired[Annotated[StepResult, "the evaluation step"]]
