"""The functions that the devices of a run execute, built from its settings and compiled ahead."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import jax
import optax

from trainer.config import TrainConfig
from trainer.data.source import Source
from trainer.devices.model_axis import Division
from trainer.errors import ConfigError
from trainer.learning import optimizers, sparse, step
from trainer.learning.sparse_cost import measure_of
from trainer.models import network
from trainer.models.stacks import Stacks
from trainer.plan import Plan, Stage, make_plan
from trainer.rundir.dataset import DatasetRecord
from trainer.state import EvalStep, State, TrainStep

OWN_RESOLUTION = (
    "--set augment.resolution=0 --set augment.final_resolution=0 trains at the resolution of the images"
)
# Update rules that treat each number of an array for itself; the others take its norm, or it as a matrix.
EACH_NUMBER = ("sgd", "adamw", "rmsprop", "schedule-free")


@dataclass(frozen=True, kw_only=True)
class Program:
    """The pure functions of a run and the shapes of their arguments.

    Attributes:
      plan: when the run evaluates, saves and ends.
      train_steps: stage -> training step, in the order of the plan.
      eval_step: step of an evaluation, over one batch.
      init_state: ``init_state(key) -> State``, the state before the first update.
      key: random key from ``train.seed``.
      shapes: State of ShapeDtypeStruct.
      image_size: height and width of the decoded images, in pixels.
      config: settings of the run.
      optimizer: update rule, for the shapes of its state.
      division: how ``mesh.model`` divides the parameters; None: it cannot.
      stacks: arrays that are one array between the steps.
    """

    plan: Plan
    train_steps: dict[Stage, TrainStep]
    eval_step: EvalStep
    init_state: Any
    key: jax.Array
    shapes: State
    image_size: int
    config: TrainConfig
    optimizer: optax.GradientTransformation
    division: Division | None
    stacks: Stacks

    @property
    def stacked_shapes(self) -> State:
        """The State of ShapeDtypeStruct that the compiled steps take and return."""
        return jax.eval_shape(self.stacks.stacked, self.shapes)

    @property
    def train_step(self) -> TrainStep:
        """The training step of the largest images, which needs most memory."""
        largest = max(self.train_steps, key=lambda stage: stage.pixels or self.image_size)
        return self.train_steps[largest]


def make_program(config: TrainConfig, train_source: Source, test_source: Source, platform: str) -> Program:
    """Build the program of a run.

    Args:
      config: settings of the run.
      train_source: training data, for its size and shapes.
      test_source: test data, for its normalisation.
      platform: "cpu", "gpu" or "tpu": the devices that will run it, which decide the dtype "auto".

    Raises:
      ConfigError: the settings contradict each other or the images of the data.
    """
    plan = make_plan(config, train_source.size)
    height, _, channels = train_source.image_shape
    if (largest := max(plan.resolutions(), default=0)) > height:
        raise ConfigError(
            f"augment.resolution: must be at most the {height} pixels of the images of "
            f"'{train_source.name}', got {largest}",
            OWN_RESOLUTION,
        )
    batch = config.train.batch // config.train.accumulate
    classes = train_source.num_classes
    net, init = network.build(config.model, classes, channels, height, platform, batch)
    for pixels in plan.resolutions():
        if pixels not in (0, height):
            _check_resolution(net, init, config, pixels, (classes, channels), platform)

    def at_dropout(rate: float) -> network.Network:
        if rate == config.model.dropout:
            return net
        model = dataclasses.replace(config.model, dropout=rate)
        return network.build(model, classes, channels, height, platform, batch)[0]

    schedule = optimizers.make_schedule(config.optim, config.train.batch, plan.steps, plan.steps_per_epoch)
    optimizer = sparse.wrap(optimizers.make_optimizer(config.optim, schedule), config, plan.steps)
    measure = None
    if config.sparse.method != "none":
        measure = measure_of(net, init, config, (height, height, channels))
    init_state, key = step.make_init(init, optimizer, config.optim), jax.random.key(config.train.seed)
    return Program(
        plan=plan,
        train_steps={
            stage: step.make_train_step(
                at_dropout(stage.dropout),
                optimizer,
                schedule,
                train_source,
                _at_stage(config, stage),
                stage.pixels,
                measure,
            )
            for stage in plan.stages() or [plan.stage(0)]
        },
        eval_step=step.make_eval_step(net, test_source),
        init_state=init_state,
        key=key,
        shapes=jax.eval_shape(step.make_first_state(optimizer, config.optim), *net.shapes),
        image_size=height,
        config=config,
        optimizer=optimizer,
        division=net.division,
        stacks=net.stacks if may_stack(config) else Stacks({}),
    )


def may_stack(config: TrainConfig) -> bool:
    """Whether the update of a stacked array is that of its rows, and every device holds all of it."""
    rule, plain = config.optim, config.sparse.method == "none" and not config.train.freeze
    whole = config.train.shard == "none" and config.mesh.model == 1
    return rule.name in EACH_NUMBER and not rule.clip_adaptive and plain and whole


def _at_stage(config: TrainConfig, stage: Stage) -> TrainConfig:
    """The settings of a run with the augmentation of a stage."""
    mixing = {"magnitude": stage.magnitude, "mixup": stage.mixup, "cutmix": stage.cutmix}
    return dataclasses.replace(config, augment=dataclasses.replace(config.augment, **mixing))


def _check_resolution(
    net: network.Network,
    init: network.Init,
    config: TrainConfig,
    pixels: int,
    sizes: tuple[int, int],
    platform: str,
) -> None:
    """Raise ConfigError where the network cannot take training images of so many pixels.

    Its program is compiled while the run goes on, and would end it there.
    """
    classes, channels = sizes
    try:
        network.build(config.model, classes, channels, pixels, platform)
        network.trace(net, init, (1, pixels, pixels, channels))
    except ConfigError as error:
        problem = str(error).splitlines()[0]
        raise ConfigError(
            f"augment.resolution: training at {pixels} pixels: {problem}", OWN_RESOLUTION
        ) from None


def state_shapes(config: TrainConfig, dataset: DatasetRecord) -> State:
    """Return the state of a run as ShapeDtypeStruct, as its checkpoints hold it; no data is read.

    Raises:
      ConfigError: the settings contradict each other.
    """
    channels = len(dataset.mean)
    net, _ = network.build(config.model, len(dataset.class_names), channels, dataset.image_size, "cpu")
    # The state of an optimizer counts steps whatever its schedule is.
    optimizer = optimizers.make_optimizer(config.optim, optax.constant_schedule(0.0))
    optimizer = sparse.wrap(optimizer, config, 1)
    return jax.eval_shape(step.make_first_state(optimizer, config.optim), *net.shapes)
